import assert from "node:assert/strict";
import * as coma from "../coma.js";
import { all, any, contains, key, matches, notContains, notMatches } from "../coma.js";
import { Host, test } from "./host.js";

const texts = (records) => records.map((r) => r.text);

/** A memory with five records, an hour apart. */
async function filled(t) {
  const host = await Host.start(t);
  const { memory } = await host.connect("m");
  const start = new Date("2026-01-01T00:00:00Z");
  const things = [["the cat sleeps", "calm", 1], ["the dog barks", "loud", 2], ["rain on the roof", "calm", 3], ["a train passes", "loud", 4.5], ["the cat purrs", "calm", 5]];
  const ids = await memory.addRecords(things.map(([text, mood, n], i) => ({
    id: `r${i}`, text, time: new Date(start.getTime() + i * 3_600_000), metadata: { mood, n, even: i % 2 === 0 },
  })));
  assert.deepEqual(ids, ["r0", "r1", "r2", "r3", "r4"]);
  return { host, memory, start };
}

test("records are added, found by time and by name", async (t) => {
  const { host, memory, start } = await filled(t);
  assert.deepEqual(texts(await memory.get(2)), ["the cat purrs", "a train passes"]);
  assert.deepEqual(texts(await memory.get(1, { oldest: true })), ["the cat sleeps"]);
  assert.equal((await memory.get()).length, 5);
  const hour = (n) => new Date(start.getTime() + n * 3_600_000);
  assert.deepEqual(texts(await memory.get(0, { since: hour(1), until: hour(3), oldest: true })), ["the dog barks", "rain on the roof"]);
  assert.deepEqual((await memory.get(0, { ids: ["r3", "r1", "nobody"] })).map((r) => r.id).sort(), ["r1", "r3"]);
  assert.deepEqual(await memory.get(0, { ids: [] }), []);
  const [found] = await memory.get(0, { ids: ["r3"], withVectors: true });
  assert.deepEqual(found.time, hour(3));
  assert.deepEqual(found.metadata, { mood: "loud", n: 4.5, even: false });
  assert.ok(found.vector.length > 100 && found.vector.every(Number.isFinite), `vector of ${found.vector.length}`);
  assert.equal((await memory.get(1))[0].vector, undefined);
  // Another module of the agent sees the same.
  const other = await host.connect("other");
  assert.equal(await other.memory.count(), 5);
});

test("records are found by what they say", async (t) => {
  const { memory } = await filled(t);
  const found = await memory.query("a kitten", 2);
  assert.deepEqual(texts(found).sort(), ["the cat purrs", "the cat sleeps"]);
  assert.ok(found[0].distance <= found[1].distance && found[0].distance > 0, `distances ${found[0].distance}, ${found[1].distance}`);
  assert.deepEqual(texts(await memory.query("a kitten", 1, { where: key("mood").equal("loud") })), ["the dog barks"]);
  const [cat] = await memory.get(0, { ids: ["r0"], withVectors: true });
  const [same] = await memory.queryVector(cat.vector, 1);
  assert.equal(same.id, "r0");
  assert.ok(same.distance < 1e-5, `distance ${same.distance}`);
  assert.equal((await memory.queryVector(Float32Array.from(cat.vector), 1, { withVectors: true }))[0].vector.length, cat.vector.length);
  await assert.rejects(memory.queryVector([], 1), coma.Invalid);
  await assert.rejects(memory.queryVector([1, 2], 1), coma.Invalid);
  await assert.rejects(memory.query("x", 1, { oldest: true }), /it does not take "oldest"/);
});

test("conditions choose records", async (t) => {
  const { memory } = await filled(t);
  for (const [name, where, want] of [
    ["equal", key("mood").equal("calm"), "024"],
    ["notEqual", key("mood").notEqual("calm"), "13"],
    ["notEqual of a key that is not there", key("colour").notEqual("red"), "01234"],
    ["greater", key("n").greater(3), "34"],
    ["atLeast", key("n").atLeast(3), "234"],
    ["less", key("n").less(2), "0"],
    ["atMost", key("n").atMost(2), "01"],
    ["in", key("n").in(1, 4.5), "03"],
    ["notIn", key("n").notIn(1, 4.5), "124"],
    ["boolean", key("even").equal(true), "024"],
    ["contains", contains("cat"), "04"],
    ["notContains", notContains("the"), "3"],
    ["matches", matches("^a|roof$"), "23"],
    ["notMatches", notMatches("cat|dog"), "23"],
    ["all", all(key("mood").equal("calm"), contains("cat")), "04"],
    ["any", any(key("n").equal(1), key("n").equal(2)), "01"],
    ["a list, all of which hold", [key("even").equal(true), key("n").greater(1)], "24"],
    ["an empty list", [], "01234"],
  ]) {
    const found = await memory.get(0, { where, oldest: true });
    assert.equal(found.map((r) => r.id.slice(1)).join(""), want, name);
    assert.equal(await memory.count(where), want.length, name);
  }
  await assert.rejects(memory.get(0, { where: matches("(") }), coma.Invalid);
});

test("retrievers choose records", async (t) => {
  const { memory, start } = await filled(t);
  assert.deepEqual(texts(await memory.retrieve(coma.latest(), "", 2)), ["the cat purrs", "a train passes"]);
  assert.deepEqual(texts(await memory.retrieve(coma.oldest(), "", 1)), ["the cat sleeps"]);
  const now = new Date(start.getTime() + 5 * 3_600_000);
  const [weighted] = await memory.retrieve(coma.timeWeighted({ decay: 1, now, space: "cosine" }), "a cat", 1);
  assert.equal(weighted.id, "r4"); // what is newer than the others by e^3600
  assert.ok(weighted.score > 0, `score ${weighted.score}`);
  const drawn = [];
  for (let i = 0; i < 2; i++) {
    drawn.push(texts(await memory.retrieve(coma.alphaBeta({ beta: -20, pi: 0, seed: 7 }), "a cat", 3)));
  }
  assert.deepEqual(drawn[0], drawn[1]);
  const marginal = await memory.retrieve(coma.marginalRelevance({ halfLife: 3_600_000, importance: "n", now }), "a cat", 2);
  assert.equal(marginal[0].id, "r4");
  const [cat] = await memory.get(0, { ids: ["r0"], withVectors: true });
  assert.equal((await memory.retrieveVector(coma.timeWeighted({ now }), cat.vector, 1))[0].id, "r0");
  await assert.rejects(memory.retrieve(coma.alphaBeta({ pi: 2 }), "x", 1), coma.Invalid);
  assert.throws(() => coma.marginalRelevance({ halflife: 1 }), coma.Invalid);
});

test("records are changed and forgotten", async (t) => {
  const { memory } = await filled(t);
  await memory.update({ id: "r0", text: "the cat has left", metadata: { mood: "sad" } });
  assert.deepEqual(texts(await memory.query("the cat has left", 1)), ["the cat has left"]);
  const time = new Date("2027-01-01T00:00:00Z");
  await memory.update([{ id: "r1", time }, { id: "r2", metadata: { mood: "wet" } }]);
  const [dog] = await memory.get(1);
  assert.deepEqual([dog.id, dog.text, dog.time], ["r1", "the dog barks", time]);
  await assert.rejects(memory.update([{ id: "r2", text: "x" }, { id: "nobody", text: "y" }]), coma.NotFound);
  assert.deepEqual((await memory.get(0, { ids: ["r2"] }))[0].text, "rain on the roof");

  const id = await memory.add("for a moment", { n: 1 }, { ttl: 3_600_000 });
  const [moment] = await memory.get(0, { ids: [id] });
  assert.ok(moment.expires > new Date() && moment.expires - Date.now() <= 3_600_000, `expires ${moment.expires}`);
  await memory.addRecords([{ id, text: "another text" }]);
  assert.equal((await memory.get(0, { ids: [id] }))[0].text, "for a moment");

  assert.equal(await memory.delete({ ids: [id, "nobody"] }), 1);
  assert.equal(await memory.delete({ ids: [] }), 0);
  assert.equal(await memory.delete({ where: key("mood").equal("wet") }), 1);
  await assert.rejects(memory.delete({}), coma.Invalid);
  assert.equal(await memory.count(), 4);
  assert.equal(await memory.clear(), 4);
  assert.equal(await memory.count(), 0);
  for (const metadata of [{ a: NaN }, { a: [1] }, { a: null }]) {
    await assert.rejects(memory.add("x", metadata), coma.Invalid);
  }
  await assert.rejects(memory.addRecords([{ text: "x", metdata: {} }]), /it does not take "metdata"/);
});

// The ordinary life of a program that uses Chroma's JavaScript client, with vectors of its own:
//
//     node ordinary.mjs PORT
//
// It ends with status 1 at the first answer that is not what the client's documentation promises.

import assert from "node:assert/strict";
import { AdminClient, ChromaClient } from "chromadb";

const port = Number(process.argv[2]);
const client = new ChromaClient({ host: "localhost", port });

assert.ok((await client.heartbeat()) > 0);
assert.equal(await client.version(), "1.0.0");
assert.equal((await client.listCollections()).length, 0);

const quiet = { embeddingFunction: null };
const plants = await client.createCollection({ name: "plants", metadata: { of: "a garden", rows: 3 }, configuration: { hnsw: { space: "cosine" } }, ...quiet });
assert.equal(plants.name, "plants");
assert.deepEqual(plants.metadata, { of: "a garden", rows: 3 });
assert.equal(plants.configuration.hnsw.space, "cosine");
await assert.rejects(client.createCollection({ name: "plants", ...quiet }));
await assert.rejects(client.getCollection({ name: "stones", ...quiet }));
const same = await client.getOrCreateCollection({ name: "plants", ...quiet });
assert.equal(same.id, plants.id);

await plants.add({
  ids: ["fern", "moss", "rose", "oak"],
  embeddings: [[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0.1, 1]],
  documents: ["ferns like shade", "moss likes shade", "roses like sun", "an oak likes both 🌳"],
  metadatas: [{ height: 0.5, shade: true }, { height: 0.05, shade: true }, { height: 1.5, shade: false, colour: "red" }, { height: 30, shade: false }],
});
assert.equal(await plants.count(), 4);
const peek = await plants.peek({ limit: 2 });
assert.deepEqual(peek.ids, ["fern", "moss"]);
assert.deepEqual((await plants.get({ ids: ["fern"], include: ["embeddings"] })).embeddings[0], [1, 0, 0]);

const got = await plants.get({ where: { $and: [{ shade: false }, { height: { $gt: 1 } }] }, whereDocument: { $contains: "sun" } });
assert.deepEqual(got.ids, ["rose"]);
assert.deepEqual(got.metadatas[0], { height: 1.5, shade: false, colour: "red" });
const rows = (await plants.get({ ids: ["oak", "fern"], include: ["documents"] })).rows();
assert.deepEqual(rows.map((r) => r.document), ["ferns like shade", "an oak likes both 🌳"]);
assert.deepEqual((await plants.get({ limit: 2, offset: 1 })).ids, ["moss", "rose"]);

const near = await plants.query({ queryEmbeddings: [[1, 0, 0], [0, 0.2, 1]], nResults: 2 });
assert.deepEqual(near.ids, [["fern", "moss"], ["oak", "rose"]]);
assert.ok(Math.abs(near.distances[0][0]) < 1e-6 && near.distances[0][1] < 0.01);
const red = await plants.query({ queryEmbeddings: [[1, 0, 0]], where: { colour: { $in: ["red", "blue"] } }, include: ["metadatas", "distances"] });
assert.deepEqual(red.ids, [["rose"]]);
assert.ok(Math.abs(red.distances[0][0] - 1) < 1e-6);

await plants.update({ ids: ["moss"], metadatas: [{ colour: "green" }] });
assert.deepEqual((await plants.get({ ids: ["moss"] })).metadatas[0], { height: 0.05, shade: true, colour: "green" });
await plants.upsert({ ids: ["moss", "ivy"], embeddings: [[0.8, 0.2, 0], [0.5, 0.5, 0]], documents: ["moss again", "ivy climbs"] });
assert.equal(await plants.count(), 5);
await assert.rejects(plants.add({ ids: ["wrong"], embeddings: [[1, 2]] }), /dimension/);
assert.deepEqual(await plants.delete({ where: { shade: true } }), { deleted: 2 });
assert.deepEqual(await plants.delete({ ids: ["ivy"] }), { deleted: 1 });

await plants.modify({ name: "trees-and-flowers", metadata: { of: "a park" } });
const renamed = await client.getCollection({ name: "trees-and-flowers", ...quiet });
assert.equal(renamed.id, plants.id);
assert.deepEqual(renamed.metadata, { of: "a park" });
assert.equal(await client.countCollections(), 1);
assert.deepEqual((await client.listCollections()).map((c) => c.name), ["trees-and-flowers"]);
await client.deleteCollection({ name: "trees-and-flowers" });
await assert.rejects(renamed.count());

const admin = new AdminClient({ host: "localhost", port });
await admin.createDatabase({ name: "field_notes", tenant: "default_tenant" });
const notes = new ChromaClient({ host: "localhost", port, tenant: "default_tenant", database: "field_notes" });
await (await notes.createCollection({ name: "day-1", ...quiet })).add({ ids: ["a"], embeddings: [[1]] });
assert.equal(await notes.countCollections(), 1);
assert.equal(await client.countCollections(), 0);
await admin.deleteDatabase({ name: "field_notes", tenant: "default_tenant" });
await assert.rejects(admin.getDatabase({ name: "field_notes", tenant: "default_tenant" }));

console.log("all as promised");

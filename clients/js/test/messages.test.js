import assert from "node:assert/strict";
import * as coma from "../coma.js";
import { Host, test } from "./host.js";

test("a message arrives with all that it carries", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const other = await host.connect("other");
  const deadline = new Date(Date.now() + 60_000);
  await m.send("other", "hello – 世界 🌱", {
    id: "id-1", contentType: "text/x-greeting", headers: { traceparent: "00-x" }, replyTo: "a/m", correlationId: "c1", deadline,
  });
  const got = await other.receive();
  assert.equal(got.text, "hello – 世界 🌱");
  assert.deepEqual([got.id, got.from, got.to, got.topic], ["id-1", "a/m", "a/other", ""]);
  assert.deepEqual([got.contentType, got.headers, got.replyTo, got.correlationId], ["text/x-greeting", { traceparent: "00-x" }, "a/m", "c1"]);
  assert.deepEqual(got.deadline, deadline);
  assert.ok(got.time <= new Date() && got.age >= 0 && got.age < 60_000, `age ${got.age}`);
  assert.equal(got.deaths, 0);
  await m.send("a/other", "");
  assert.equal((await other.receive()).text, "");
  await m.sendJSON("other", { n: [1, 2] });
  const json = await other.receive();
  assert.deepEqual([json.json(), json.contentType], [{ n: [1, 2] }, "application/json"]);
  await m.send("other", "no json");
  const wrong = await other.receive();
  assert.throws(() => wrong.json(), coma.Invalid);
});

test("points in time are exact to the millisecond", () => {
  const start = Date.parse("2026-11-21T12:00:00Z");
  for (let i = 0; i < 1000; i++) {
    const wire = JSON.parse(`{"time": ${start + i}000000, "deadline": ${start + i}999000}`);
    const msg = new coma.Message(wire, { name: "a", module: "m" });
    assert.deepEqual([msg.time.getTime(), msg.deadline.getTime()], [start + i, start + i]);
  }
});

test("big and binary messages arrive as they are", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const other = await host.connect("other", { api: host.http, token: `coma:${host.token}` });
  const every = Uint8Array.from({ length: 256 }, (_, i) => i);
  const utf8 = new TextEncoder().encode("\ufeffgrün");
  const control = "\u0000\u0001\"\\".repeat(100_000);
  const big = "ä".repeat(8 << 20);
  const bigBytes = Uint8Array.from({ length: 16 << 20 }, (_, i) => (i * 31) & 0xff);
  for (const content of [every, utf8, control, big, bigBytes]) {
    await m.send("other", content);
    const got = await other.receive();
    if (typeof content === "string") {
      assert.ok(got.text === content, `${content.length} characters came as ${got.text.length}`);
    } else {
      assert.ok(Buffer.from(got.bytes).equals(content), `${content.length} bytes came as ${got.bytes.length}`);
    }
  }
  assert.equal((await (await m.send("other", utf8), other.receive())).text, "\ufeffgrün");
  await assert.rejects(m.send("other", new Uint8Array((16 << 20) + 1)), coma.TooLarge);
  await assert.rejects(m.send("other", big + "!"), coma.TooLarge);
});

test("ten thousand messages arrive in order, awaited or not", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const other = await host.connect("other");
  const sending = (async () => {
    const under = [];
    for (let i = 0; i < 10_000; i++) {
      under.push(m.send("other", String(i)));
      if (i % 1000 === 999) {
        await under.at(-1);
      }
    }
    await Promise.all(under);
  })();
  let n = 0;
  for await (const msg of other) {
    assert.equal(msg.text, String(n));
    if (++n === 10_000) {
      break;
    }
  }
  await sending;
  assert.equal(await other.pending(), 0);
  assert.equal(await other.tryReceive(), null);
});

test("receive waits, gives up, and says what is finished with", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const other = await host.connect("other");
  assert.equal(await other.tryReceive(), null);
  await assert.rejects(other.receive({ timeout: 20 }), { name: "TimeoutError" });
  await assert.rejects(other.receive({ timeout: 0 }), { name: "TimeoutError" });
  const giving = new AbortController();
  const waiting = assert.rejects(other.receive({ signal: giving.signal }), /enough/);
  giving.abort(new Error("enough"));
  await waiting;
  await assert.rejects(other.receive({ signal: giving.signal }), /enough/);

  for (const text of ["1", "2", "3"]) {
    await m.send("other", text);
  }
  assert.equal((await other.receive({ timeout: 60_000 })).text, "1");
  assert.equal(await other.pending(), 2);
  assert.equal((await other.tryReceive()).text, "2");
  assert.equal(await other.pending(), 1);
  // Two receives at the same time get a message each.
  const [a, b] = [other.receive(), other.receive()];
  await m.send("other", "4");
  assert.deepEqual([(await a).text, (await b).text], ["3", "4"]);
});

test("topics are published on and subscribed to", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const other = await host.connect("other");
  await other.subscribe("js/+/light");
  await m.publish("js/kitchen/light", "on");
  await m.publish("js/kitchen/door", "open");
  await m.publish("js/hall/light", new Uint8Array([0xff, 0]));
  const first = await other.receive();
  assert.deepEqual([first.topic, first.text], ["js/kitchen/light", "on"]);
  const second = await other.receive();
  assert.deepEqual([second.topic, [...second.bytes]], ["js/hall/light", [0xff, 0]]);
  await other.unsubscribe("js/+/light");
  await m.publish("js/kitchen/light", "off");
  await m.publishRetained("js/state", "kept");
  await other.subscribe("js/state");
  assert.equal((await other.receive()).text, "kept");
  await assert.rejects(other.subscribe("a/#/b"), coma.Invalid);
  await assert.rejects(m.publish("a/+", "x"), coma.Invalid);
});

test("what is wrong is told by kind", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  await assert.rejects(m.send("othr", "x"), (error) => error instanceof coma.Unknown && error.code === 1003 && error.message.includes("other"));
  await assert.rejects(m.send("other", { not: "text" }), coma.Invalid);
  await assert.rejects(m.send("other", "x", { contenttype: "text/plain" }), /it does not take "contenttype"/);
  await assert.rejects(m.sendJSON("other", undefined), coma.Invalid);
  await assert.rejects(m.sendJSON("other", 1n), coma.Invalid);
  await assert.rejects(m.receive({ timout: 1 }), coma.Invalid);
  await assert.rejects(coma.connect({ api: host.api }), /agent, module not given/);
  await assert.rejects(coma.connect({ api: "nonsense", agent: "a", module: "x" }), coma.Invalid);
  await assert.rejects(coma.connect({ api: "ftp://x", agent: "a", module: "x" }), coma.Invalid);
  await assert.rejects(coma.connect({ api: "http://me:secret@x", agent: "a", module: "x" }), coma.Invalid);
  await assert.rejects(coma.connect({ api: "unix:///nowhere.sock", agent: "a", module: "x" }), /open session of a\/x: connect to unix:\/\/\/nowhere.sock/);
  await assert.rejects(coma.connect({ api: host.http, token: "wrong", agent: "a", module: "x" }), coma.Unauthorized);
  await assert.rejects(coma.connect({ api: host.http, agent: "a", module: "x", signal: AbortSignal.abort(new Error("not now")) }), /not now/);
  await m.close();
  await assert.rejects(m.send("other", "x"), coma.Closed);
  await assert.rejects(m.receive(), coma.Closed);
  await m.close();
});

test("what modules say to the outside arrives", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  m.log("one", 2, { three: 3 }, [4]);
  assert.deepEqual(pick(await host.told("log")), { level: "INFO", text: 'one 2 {"three":3} [4]' });
  m.logger.warn("careful", { n: 1, who: { name: "Ada" } });
  assert.deepEqual(pick(await host.told("log")), { level: "WARN", text: "careful", attrs: [{ key: "n", value: "1" }, { key: "who", value: '{"name":"Ada"}' }] });
  m.print("tok");
  m.print("en\n");
  assert.equal(await host.told("print"), "tok");
  assert.equal(await host.told("print"), "en\n");
  assert.equal(await m.input("your name?"), "answer to your name?");
  await assert.rejects(m.input("nobody"), coma.NoInput);
  const giving = new AbortController();
  const asked = m.input("silence", { signal: giving.signal });
  giving.abort(new Error("enough"));
  await assert.rejects(asked, /enough/);
});

test("values are kept", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  assert.equal(await m.kept("k"), undefined);
  for (const value of [{ a: [1, "ü"] }, 0, "", false]) {
    await m.keep("k", value);
    assert.deepEqual(await m.kept("k"), value);
  }
  await m.close();
  const next = await host.connect("m", { generation: 2 });
  assert.equal(await next.kept("k"), false);
  await next.keep("k", null);
  assert.equal(await next.kept("k"), undefined);
  await assert.rejects(next.keep("big", "x".repeat(2 << 20)), coma.TooLarge);
});

test("every keeps its rhythm and ends by a signal or a failure", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  let turns = 0;
  await assert.rejects(m.every(5, () => {
    if (++turns === 3) {
      throw new Error("third");
    }
  }), /third/);
  const ending = new AbortController();
  await assert.rejects(m.every(5, () => ending.abort(new Error("ended")), { signal: ending.signal }), /ended/);
  await assert.rejects(m.every(0, () => {}), coma.Invalid);
});

test("a module that is stopped hears of it wherever it waits", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const other = await host.connect("other");
  await m.send("other", "last");
  await m.send("other", "left");
  const heard = [];
  for await (const msg of other) {
    heard.push(msg.text);
    other.stop();
  }
  assert.deepEqual(heard, ["last"]);
  assert.ok(other.signal.aborted && other.signal.reason instanceof coma.Stopped);
  await assert.rejects(other.receive(), coma.Stopped);
  await assert.rejects(other.input("silence"), coma.Stopped);
  await assert.rejects(other.every(5, () => {}), coma.Stopped);
  await m.send("other", "it can still speak"); // a module that ends may have something to say
  const late = (error) => {
    assert.ok(error instanceof coma.Stopped, error); // it has a second, which may be too short here
    return true;
  };
  while (await other.send("m", "farewell").then(() => false, late));
  assert.equal((await m.receive()).text, "farewell");
  await other.close();
  const next = await host.connect("other", { generation: 2 });
  assert.equal((await next.receive()).text, "left");
});

function pick({ level, text, attrs }) {
  return attrs ? { level, text, attrs } : { level, text };
}

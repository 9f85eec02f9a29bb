// What a host would never send, from servers that are none.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, Stopped } from "../coma.js";
import { test } from "./host.js";

/** Serves WebSockets: each connection is given to talk, which gets a peer with write, frames and the socket. */
async function serve(t, talk) {
  const server = createServer((request, answer) => answer.writeHead(426).end());
  const sockets = new Set();
  server.on("upgrade", (request, socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: coma\r\n\r\n`);
    talk(new Far(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** The server's side of a WebSocket, as small as these tests can do with. */
class Far {
  #buffer = Buffer.alloc(0);
  #frames = [];
  #wake = () => {};

  constructor(socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      for (let frame; (frame = this.#parse()); ) {
        const message = frame.opcode === 1 ? JSON.parse(frame.payload) : {};
        if (message.method === "close") {
          this.answer(message.id);
        } else {
          this.#frames.push(frame);
        }
      }
      this.#wake();
    });
  }

  #parse() {
    const b = this.#buffer;
    const small = b[1] & 0x7f;
    const start = 2 + (small === 126 ? 2 : small === 127 ? 8 : 0);
    if (b.length < start + 4) {
      return undefined;
    }
    const length = small === 126 ? b.readUInt16BE(2) : small === 127 ? Number(b.readBigUInt64BE(2)) : small;
    if (b.length < start + 4 + length) {
      return undefined;
    }
    assert.equal(b[1] & 0x80, 0x80, "a client's frames are masked");
    const payload = Buffer.from(b.subarray(start + 4, start + 4 + length));
    payload.forEach((byte, i) => (payload[i] = byte ^ b[start + (i & 3)]));
    this.#buffer = b.subarray(start + 4 + length);
    return { opcode: b[0] & 0x0f, payload };
  }

  async next() {
    while (this.#frames.length === 0) {
      await new Promise((resolve) => (this.#wake = resolve));
    }
    return this.#frames.shift();
  }

  /** Resolves to the next call or notification of a method. */
  async asked(method) {
    for (;;) {
      const { opcode, payload } = await this.next();
      const message = opcode === 1 ? JSON.parse(payload) : {};
      if (message.method === method) {
        return message;
      }
    }
  }

  write(first, payload = "") {
    this.socket.write(frame(first, Buffer.from(payload)));
  }

  answer(id, result = {}) {
    this.write(0x81, JSON.stringify({ jsonrpc: "2.0", id, result }));
  }

  async welcome() {
    const open = await this.asked("open");
    this.answer(open.id, { version: "test" });
    return open.params;
  }
}

/** A server's frame. */
function frame(first, payload) {
  const n = payload.length;
  const header = n < 126 ? Buffer.from([first, n]) : n < 65536 ? Buffer.from([first, 126, n >> 8, n & 0xff]) : Buffer.concat([Buffer.from([first, 127]), Buffer.alloc(8)]);
  if (n >= 65536) {
    header.writeBigUInt64BE(BigInt(n), 2);
  }
  return Buffer.concat([header, payload]);
}

/** Random numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

test("frames in pieces, pings and strange messages do no harm", async (t) => {
  const api = await serve(t, async (far) => {
    await far.welcome();
    await far.asked("next");
    far.write(0x89, "are you there");
    const pong = await far.next();
    assert.deepEqual([pong.opcode, pong.payload.toString()], [0xa, "are you there"]);
    far.write(0x81, '{"jsonrpc":"2.0","method":"unheard of","params":{}}');
    far.write(0x81, '{"jsonrpc":"2.0","id":99,"result":{}}');
    far.write(0x81, "[]");
    far.write(0x81, "null");
    far.write(0x81, '{"jsonrpc":"2.0","id":"x","method":"do this"}');
    const refusal = await far.next();
    assert.deepEqual(JSON.parse(refusal.payload).error.code, -32601);
    const text = Buffer.from('{"jsonrpc":"2.0","method":"message","params":{"seq":7,"text":"grün"}}');
    far.write(0x01, text.subarray(0, 62)); // in the middle of a letter
    far.write(0x89, "");
    far.write(0x00, text.subarray(62, 64));
    for (const byte of [...text.subarray(64)]) {
      far.write(0x00, Buffer.from([byte]));
    }
    far.write(0x80);
  });
  const agent = await connect({ api, agent: "a", module: "m" });
  const msg = await agent.receive();
  assert.equal(msg.text, "grün");
  await agent.close();
});

for (const [what, say] of [
  ["a frame that is not JSON", (far) => far.write(0x81, "{")],
  ["a binary frame", (far) => far.write(0x82, "{}")],
  ["a frame with reserved bits", (far) => far.write(0xc1, "{}")],
  ["a masked frame", (far) => far.socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x7b, 0x7d]))],
  ["a continuation of nothing", (far) => far.write(0x80, "{}")],
  ["two messages mixed", (far) => (far.write(0x01, "{"), far.write(0x81, "{}"))],
  ["text that is not UTF-8", (far) => far.write(0x81, Buffer.from([0xff, 0xfe]))],
  ["a frame larger than any", (far) => far.socket.write(Buffer.from([0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]))],
  ["a ping in pieces", (far) => far.write(0x09, "x")],
  ["a close", (far) => far.write(0x88, Buffer.from([3, 0xe8]))],
  ["half a frame and the end", (far) => far.socket.end(Buffer.from([0x81, 100, 0x7b]))],
]) {
  test(`after ${what} the connection is made again`, async (t) => {
    let connections = 0;
    const opened = [];
    const api = await serve(t, async (far) => {
      const first = ++connections === 1;
      opened.push(await far.welcome());
      const asked = await far.asked("pending");
      if (first) {
        say(far);
      } else {
        far.answer(asked.id, { count: 42 });
      }
    });
    const agent = await connect({ api, agent: "a", module: "m" });
    assert.equal(await agent.pending(), 42);
    assert.equal(connections, 2);
    assert.deepEqual(opened.map((p) => Boolean(p.resume)), [false, true]);
    await agent.close();
  });
}

test("messages arrive however they are cut into frames and packets", async (t) => {
  const random = seeded(1);
  const texts = Array.from({ length: 300 }, (_, i) => `${i} ${"ü–🌱".repeat(random() < 0.05 ? random() * 20_000 : random() * 20)}`);
  const api = await serve(t, async (far) => {
    await far.welcome();
    await far.asked("next");
    const frames = [];
    for (const [i, text] of texts.entries()) {
      const payload = Buffer.from(JSON.stringify({ jsonrpc: "2.0", method: "message", params: { seq: i + 1, text } }));
      let opcode = 0x01;
      for (let at = 0; at < payload.length || opcode === 0x01; opcode = 0x00) {
        const end = random() < 0.5 ? payload.length : Math.min(payload.length, at + 1 + Math.floor(random() * payload.length));
        frames.push(frame((end === payload.length ? 0x80 : 0) | opcode, payload.subarray(at, end)));
        at = end;
        if (random() < 0.1) {
          frames.push(frame(0x89, Buffer.from("ping")));
        }
      }
    }
    const all = Buffer.concat(frames);
    for (let at = 0; at < all.length; ) {
      const end = at + 1 + Math.floor(random() ** 4 * 100_000);
      far.socket.write(all.subarray(at, end));
      await new Promise((resolve) => setImmediate(resolve)); // a packet of its own, most often
      at = end;
    }
  });
  const agent = await connect({ api, agent: "a", module: "m" });
  for (const text of texts) {
    assert.equal((await agent.receive()).text, text);
  }
  await agent.close();
});

test("noise does no harm", async (t) => {
  const random = seeded(2);
  let connections = 0;
  const api = await serve(t, async (far) => {
    await far.welcome();
    const asked = await far.asked("pending");
    if (++connections > 200) {
      far.answer(asked.id, { count: 42 });
      return;
    }
    const noise = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 200) }, () => Math.floor(random() * 256)));
    if (random() < 0.7) { // what begins as a frame of text gets further
      noise[0] = 0x81;
      noise[1] = Math.floor(random() * 128);
    }
    far.socket.end(noise);
  });
  const agent = await connect({ api, agent: "a", module: "m" });
  assert.equal(await agent.pending(), 42);
  assert.equal(connections, 201);
  await agent.close();
});

test("a send whose answer was lost is sent again as the same", async (t) => {
  const sent = [];
  const api = await serve(t, async (far) => {
    await far.welcome();
    const { id, params } = await far.asked("send");
    sent.push(params);
    if (sent.length === 1) {
      far.socket.destroy();
    } else {
      far.answer(id);
    }
  });
  const agent = await connect({ api, agent: "a", module: "m" });
  await agent.send("other", "hello");
  assert.equal(sent[0].id, sent[1].id);
  assert.deepEqual(sent.map((p) => Boolean(p.resent)), [false, true]);
  await agent.close();
});

test("a call that is given up is cancelled", async (t) => {
  let cancelled;
  const heard = new Promise((resolve) => (cancelled = resolve));
  const api = await serve(t, async (far) => {
    await far.welcome();
    const { id } = await far.asked("input");
    cancelled([id, (await far.asked("$/cancel")).params.id]);
  });
  const agent = await connect({ api, agent: "a", module: "m" });
  const giving = new AbortController();
  const asked = agent.input("?", { signal: giving.signal });
  setTimeout(() => giving.abort(new Error("enough")), 20); // after the call has left
  await assert.rejects(asked, /enough/);
  const [id, of] = await heard;
  assert.equal(of, id);
  await agent.close();
});

test("a module that is asked to stop waits for answers for a while only", async (t) => {
  let answer;
  const answered = new Promise((resolve) => (answer = resolve));
  const cancelled = [];
  const api = await serve(t, async (far) => {
    await far.welcome();
    const ids = {};
    while (!ids.send || !ids.pending) {
      const message = JSON.parse((await far.next()).payload);
      ids[message.method] = message.id;
    }
    await answered;
    far.answer(ids.pending, { count: 42 });
    ids.kept = (await far.asked("kept")).id;
    for (let i = 0; i < 2; i++) {
      const { id } = (await far.asked("$/cancel")).params;
      cancelled.push(Object.keys(ids).find((method) => ids[method] === id));
    }
  });
  const agent = await connect({ api, agent: "a", module: "m" });
  const timers = heldTimers(t);
  const sent = agent.send("other", "into a full mailbox");
  const counted = agent.pending();
  assert.deepEqual(timers, []);
  agent.stop();
  answer();
  assert.equal(await counted, 42);
  const kept = agent.kept("k"); // what is asked later has as long
  assert.deepEqual(timers.map(({ ms }) => ms), [1000, 1000]);
  timers[0].f();
  await assert.rejects(sent, Stopped);
  timers[1].f();
  await assert.rejects(kept, Stopped);
  await agent.close(); // which the server has read after the others
  assert.deepEqual(cancelled, ["send", "kept"]);
});

/** Holds the timers that are set from now on back from running out: the test has them do so. */
function heldTimers(t) {
  const set = globalThis.setTimeout;
  const timers = [];
  globalThis.setTimeout = (f, ms) => {
    timers.push({ f, ms });
    return { unref() {} };
  };
  t.after(() => (globalThis.setTimeout = set));
  return timers;
}

test("servers that are no hosts are told apart", async (t) => {
  const plain = createServer((request, answer) => answer.writeHead(404).end());
  plain.listen(0, "127.0.0.1");
  await once(plain, "listening");
  t.after(() => plain.close());
  await assert.rejects(connect({ api: `http://127.0.0.1:${plain.address().port}`, agent: "a", module: "m" }), /HTTP status 404/);
  const wrong = createServer();
  wrong.on("upgrade", (request, socket) => socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n"));
  wrong.listen(0, "127.0.0.1");
  await once(wrong, "listening");
  t.after(() => wrong.close());
  await assert.rejects(connect({ api: `http://127.0.0.1:${wrong.address().port}`, agent: "a", module: "m" }), /no WebSocket/);
});

test("a host of another version is its last word", async (t) => {
  const api = await serve(t, async (far) => {
    const open = await far.asked("open");
    far.write(0x81, JSON.stringify({ jsonrpc: "2.0", id: open.id, error: { code: -32602, message: "invalid params: what?" } }));
  });
  await assert.rejects(connect({ api, agent: "a", module: "m" }), /what\?/);
});

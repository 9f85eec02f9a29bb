import assert from "node:assert/strict";
import * as coma from "../coma.js";
import { Host, test } from "./host.js";

test("a host that is killed and started again goes on where it was", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const other = await host.connect("other");
  await other.subscribe("js/light");
  for (const text of ["1", "2", "3"]) {
    await m.send("other", text);
  }
  assert.equal((await other.receive()).text, "1");
  assert.equal((await other.receive()).text, "2"); // in hand from here on
  await m.memory.add("before");
  await m.keep("k", 1);
  await host.stop();
  const late = m.send("other", "4"); // it waits for the host
  const counted = other.memory.count();
  await host.start();
  await late;
  assert.equal(await counted, 1);
  assert.equal(await m.kept("k"), 1);
  assert.equal((await other.receive()).text, "3");
  assert.equal((await other.receive()).text, "4");
  await m.publish("js/light", "on");
  assert.equal((await other.receive()).text, "on");
  const waiting = other.receive();
  await host.kill();
  await host.start();
  await m.send("other", "5");
  assert.equal((await waiting).text, "5");
});

test("nothing is lost or doubled while the host comes and goes", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const other = await host.connect("other");
  const n = 2000;
  const sending = (async () => {
    for (let i = 0; i < n; i++) {
      await m.send("other", String(i));
    }
  })();
  for (let i = 0; i < n; i++) {
    assert.equal((await other.receive()).text, String(i));
    if (i % 500 === 250) {
      await host.stop();
      await host.start();
    }
  }
  await sending;
  assert.equal(await other.tryReceive(), null);
});

test("a message in the hand of a module that is killed is there again", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  for (const text of ["1", "2", "3"]) {
    await m.send("other", text);
  }
  const module = host.run(t, "other", `
    import { connect } from "coma";
    const agent = await connect();
    for await (const msg of agent) {
      console.log(msg.text, msg.deaths);
      if (msg.text === "2") for (;;);
    }`);
  assert.equal(await module.lines.next(), "1 0");
  assert.equal(await module.lines.next(), "2 0");
  module.kill("SIGKILL");
  await module.exited;
  const next = await host.connect("other", { generation: 2 });
  assert.equal((await next.receive()).text, "2");
  assert.equal((await next.receive()).text, "3");
});

for (const [what, code, exit, then] of [
  ["comes to its end", `await agent.receive();`, [0, null], "2 0"],
  ["leaves with 0", `await agent.receive(); process.exit(0);`, [0, null], "2 0"],
  ["fails", `await agent.receive(); throw new Error("broken");`, [1, null], "1 1"],
  ["leaves with 3", `await agent.receive(); process.exit(3);`, [3, null], "1 1"],
  ["waits for nothing that could happen", `await agent.receive(); await new Promise(() => {});`, [13, null], "1 1"],
  ["gives back", `await agent.receive(); await agent.close("stopped"); process.exit(1);`, [1, null], "1 0"],
]) {
  test(`a module that ${what} is done with its message, or not`, async (t) => {
    const host = await Host.start(t);
    const m = await host.connect("m");
    await m.send("other", "1");
    await m.send("other", "2");
    const module = host.run(t, "other", `import { connect } from "coma"; const agent = await connect(); ${code}`);
    assert.deepEqual(await module.exited, exit, module.complaints);
    const next = await host.connect("other", { generation: 2 });
    const msg = await next.receive();
    assert.equal(`${msg.text} ${msg.deaths}`, then);
  });
}

for (const [what, code, exit] of [
  ["in a loop over its messages", `for await (const msg of agent) {} console.log("cleared up");`, 0],
  ["in a receive that nobody catches", `console.log("up"); for (;;) await agent.receive();`, 0],
  ["in an every that nobody catches", `await agent.every(20, () => console.log("turn"));`, 0],
  ["by its signal", `import { setTimeout } from "node:timers/promises"; console.log("up"); await setTimeout(60_000, null, { signal: agent.signal });`, 0],
  ["not at all", `console.log("up"); setInterval(() => {}, 1000);`, 0],
  ["by a failure", `console.log("up"); try { await agent.receive(); } catch { throw new Error("on the way out"); }`, 1],
]) {
  test(`SIGTERM ends a module that heeds it ${what}`, async (t) => {
    const host = await Host.start(t);
    const m = await host.connect("m");
    const module = host.run(t, "other", `import { connect } from "coma"; const agent = await connect(); await agent.send("m", "ready"); ${code}`);
    await m.receive();
    if (!code.includes("for await")) {
      await module.lines.next(); // it says so when it is where it is to be
    }
    module.kill("SIGTERM");
    assert.deepEqual(await module.exited, [exit, null], module.complaints);
    if (code.includes("cleared up")) {
      assert.equal(await module.lines.next(), "cleared up");
    }
  });
}

for (const [where, call] of [
  ["a full mailbox", `agent.send("other", "one too many")`],
  ["a memory that is away", `agent.memory.add("lost")`],
  ["an answer of the person at the console", `agent.input("silence")`],
]) {
  test(`SIGTERM ends a module that waits for ${where}, and its message comes again`, async (t) => {
    const host = await Host.start(t);
    const outside = await host.connect("outside", { agent: "b" });
    await outside.send("other", "no room for more");
    await outside.send("m", "work");
    const module = host.run(t, "m", `
      import { connect } from "coma";
      const agent = await connect();
      for await (const msg of agent) {
        console.log(msg.text);
        await ${call};
      }`, "b");
    assert.equal(await module.lines.next(), "work");
    module.kill("SIGTERM");
    assert.deepEqual(await module.exited, [0, null], module.complaints);
    const next = await host.connect("m", { agent: "b", generation: 2 });
    const again = await next.receive();
    assert.deepEqual([again.text, again.deaths], ["work", 0]);
  });
}

for (const [what, turn] of [
  ["closes the session in the end", `try { await agent.send("other", "x"); } finally { await agent.close(); }`],
  ["goes on after any error", `await agent.send("other", "x").catch(() => {});`],
]) {
  test(`a message that the stop has cut short comes again to a module that ${what}`, async (t) => {
    const host = await Host.start(t);
    const outside = await host.connect("outside", { agent: "b" });
    await outside.send("other", "no room for more");
    await outside.send("m", "work");
    const module = host.run(t, "m", `
      import { connect } from "coma";
      const agent = await connect();
      for await (const msg of agent) {
        console.log(msg.text);
        ${turn}
      }`, "b");
    assert.equal(await module.lines.next(), "work");
    module.kill("SIGTERM");
    const [code] = await module.exited;
    assert.ok(code === 0 || code === 143, `${code} ${module.complaints}`); // 143: a busy host has not answered in time
    const next = await host.connect("m", { agent: "b", generation: 2 });
    const again = await next.receive();
    assert.deepEqual([again.text, again.deaths], ["work", 0]);
  });
}

for (const [what, turn] of [
  ["passes Stopped on", `await agent.send("other", "x");`],
  ["closes the session", `try { await agent.send("other", "x"); } finally { await agent.close(); }`],
  ["goes on after any error", `await agent.send("other", "x").catch(() => {});`],
]) {
  // With exit code 0 who runs the module would say for it that it has finished with the message.
  test(`the exit code of a module that ${what} tells that the host could not be told`, async (t) => {
    const host = await Host.start(t);
    const outside = await host.connect("outside", { agent: "b" });
    await outside.send("other", "no room for more");
    await outside.send("m", "work");
    const module = host.run(t, "m", `
      import { connect } from "coma";
      const agent = await connect();
      for await (const msg of agent) {
        console.log(msg.text);
        ${turn}
      }`, "b");
    assert.equal(await module.lines.next(), "work");
    await host.kill();
    module.kill("SIGTERM");
    assert.deepEqual(await module.exited, [143, null], module.complaints);
  });
}

test("a module without anything to do ends, and what it said has arrived", async (t) => {
  const host = await Host.start(t);
  const m = await host.connect("m");
  const module = host.run(t, "other", `
    import { connect } from "coma";
    const agent = await connect();
    agent.send("m", "x".repeat(8 << 20));
    for (let i = 0; i < 1000; i++) agent.log("line", i);
    agent.log("last");`);
  assert.equal((await m.receive()).text.length, 8 << 20);
  while ((await host.told("log")).text !== "last");
  assert.deepEqual(await module.exited, [0, null], module.complaints);
});

test("a module without anything to do ends while its host is away, too", async (t) => {
  const host = await Host.start(t);
  const module = host.run(t, "other", `
    import { connect } from "coma";
    const agent = await connect();
    process.stdin.once("data", () => process.stdin.destroy());
    console.log("up");`);
  await module.lines.next();
  await host.kill();
  module.stdin.write("now\n");
  assert.deepEqual(await module.exited, [0, null], module.complaints);
});

test("connecting to a host that does not answer is given up", async (t) => {
  const host = await Host.start(t);
  const options = { api: host.api, agent: "a", module: "m" };
  host.process.kill("SIGSTOP");
  try {
    await assert.rejects(coma.connect({ ...options, signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  } finally {
    host.process.kill("SIGCONT");
  }
  await (await coma.connect(options)).close();
});

test("a newer generation takes the seat", async (t) => {
  const host = await Host.start(t);
  const old = await host.connect("other");
  const replaced = assert.rejects(old.receive(), coma.Replaced);
  const next = await host.connect("other", { generation: 2 });
  await replaced;
  await next.send("other", "to myself");
  assert.equal((await next.receive()).text, "to myself");
  await old.close();
});

test("a guest speaks beside the module", async (t) => {
  const host = await Host.start(t);
  const module = await host.connect("other");
  const m = await host.connect("m");
  const guest = await host.connect("other", { guest: true });
  await guest.send("m", "from the guest");
  assert.equal((await m.receive()).from, "a/other");
  await assert.rejects(guest.receive(), coma.Invalid);
  await assert.rejects(guest.tryReceive(), coma.Invalid);
  await guest.memory.add("seen");
  assert.equal(await module.memory.count(), 1);
  await m.send("other", "for the module");
  assert.equal((await module.receive()).text, "for the module");
  await host.stop();
  await host.start();
  await guest.send("m", "again");
  assert.equal((await m.receive()).text, "again");
  assert.equal((await module.tryReceive()), null);
});

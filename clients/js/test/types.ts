// What a program in TypeScript may say, and what it may not. It is checked, never run.

import { type Agent, alphaBeta, connect, key, type MemoryRecord, type Message, Unknown } from "../coma.js";

const agent: Agent = await connect({ api: "http://127.0.0.1:8000", agent: "a", module: "m" });
const always: Message = await agent.receive();
const inTime: Message = await agent.receive({ timeout: 10 });
// @ts-expect-error: nothing may be there
const wrong: Message = await agent.tryReceive();
for await (const msg of agent) {
  const text: string = msg.text;
  await agent.send(msg.from, text, { correlationId: msg.id }).catch((error) => error instanceof Unknown && error.code);
}
await agent.send("m", always.bytes);
// @ts-expect-error: values go by sendJSON
await agent.send("m", { a: 1 });
// @ts-expect-error: it is contentType
await agent.send("m", "x", { contenttype: "y" });
const found: MemoryRecord[] = await agent.memory.get(1, { where: [key("n").in(1, "2")], oldest: true });
// @ts-expect-error: nearness knows no oldest
await agent.memory.query("x", 1, { oldest: true });
await agent.memory.retrieve(alphaBeta({ seed: 1 }), found[0]?.text ?? "", 3, { since: new Date() });
await agent.memory.update({ id: "1", metadata: { a: true } });
agent.logger.info("seen", { inTime, wrong });

// Sends as fast as it can, in as many lines of calls at a time as SENDERS says.
import { connect } from "coma";

const senders = Number(process.env.SENDERS);
const each = Math.floor(Number(process.env.MESSAGES) / senders);
const text = "x".repeat(100);
const agent = await connect();
await Promise.all(Array.from({ length: senders }, async () => {
  for (let i = 0; i < each; i++) {
    await agent.send("sink", text);
  }
}));

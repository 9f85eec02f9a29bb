// Counts what arrives, and how fast, from the first message on.
import { connect } from "coma";

const senders = Number(process.env.SENDERS);
const total = Math.floor(Number(process.env.MESSAGES) / senders) * senders;
const agent = await connect();
await agent.receive();
const start = performance.now();
for (let i = 1; i < total; i++) {
  await agent.receive();
}
await agent.logger.info("result", { per_second: (total - 1) / ((performance.now() - start) / 1000) });

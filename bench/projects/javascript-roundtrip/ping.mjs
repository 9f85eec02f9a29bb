// Measures the way there and back, in some thousand turns after as many for warming up.
import { connect } from "coma";

const turns = 3000;
const agent = await connect();
const times = [];
for (let i = 0; i < 2 * turns; i++) {
  const start = performance.now();
  await agent.send("pong", "ping");
  await agent.receive();
  times.push((performance.now() - start) * 1000);
}
const sorted = times.slice(turns).sort((a, b) => a - b);
await agent.logger.info("result", { p50_us: sorted[turns / 2], p99_us: sorted[Math.floor(turns * 0.99)] });
await agent.send("pong", "done");

// Answers each message, until it is told to be done.
import { connect } from "coma";

const agent = await connect();
for await (const msg of agent) {
  if (msg.text === "done") {
    break;
  }
  await agent.send("ping", msg.text);
}

// The helm (JavaScript) steers: away from dangers, and otherwise back to its course. The heading outlives reloads, and any
// MQTT client can read it on ship/heading.

import { connect } from "coma";

const COURSE = 90; // degrees: east
const TURN = 40; // how far it turns from a danger

const ship = await connect();
let heading = (await ship.kept("heading")) ?? COURSE;

for await (const message of ship) {
  const { what, bearing, danger, again } = message.json();
  const before = heading;
  if (danger) {
    heading = (heading + (bearing > 0 && bearing < 180 ? -TURN : TURN) + 360) % 360; // what is to starboard: to port
  } else {
    heading = COURSE;
  }
  await ship.keep("heading", heading);
  await ship.publishRetained("ship/heading", String(heading));

  if (heading !== before) {
    const turn = danger ? `turned to ${heading}° away from ${what}` : `back on course, ${heading}°`;
    console.log(turn);
    await ship.memory.add(turn, { by: "helm", heading });
    await ship.send("captain", danger && again ? `${turn}: we should know by now` : turn);
  }
}

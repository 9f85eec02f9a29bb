import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import * as coma from "../coma.js";
import { test } from "./host.js";

test("coma.d.ts names what coma.js has", async () => {
  const types = await readFile(new URL("../coma.d.ts", import.meta.url), "utf8");
  const named = (text, pattern) => [...text.matchAll(pattern)].map((match) => match[1]);
  assert.deepEqual(new Set(named(types, /^export (?:class|function) (\w+)/gm)), new Set(Object.keys(coma)));
  for (const kind of [coma.Agent, coma.Message, coma.Memory]) {
    const [body] = types.match(new RegExp(`^export class ${kind.name} [^]*?^}`, "m"));
    const declared = new Set(named(body, /^  (?:readonly |get )?(\w+)[(?:]/gm));
    for (const name of Object.getOwnPropertyNames(kind.prototype)) {
      assert.ok(["constructor", "heedless"].includes(name) || declared.has(name), `${kind.name}.${name} is not in coma.d.ts`);
    }
  }
});

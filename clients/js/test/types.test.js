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
      assert.ok(name === "constructor" || declared.has(name), `${kind.name}.${name} is not in coma.d.ts`);
    }
  }
});

test("docs/languages.md names what coma.js has", async () => {
  const page = await readFile(new URL("../../../docs/languages.md", import.meta.url), "utf8");
  const members = [coma.Agent, coma.Message, coma.Memory].flatMap((kind) => Object.getOwnPropertyNames(kind.prototype));
  const fields = Object.keys(new coma.Message({}, { name: "a", module: "m" }));
  const known = new Set([...members, ...fields, ...Object.keys(coma), "name", "module", "generation", "undefined", "null"]);
  const cells = [...page.matchAll(/^\|.*\|.*\|(.*)\|.*\|$/gm)].map((row) => row[1]).join();
  const named = [...cells.matchAll(/`(?:agent\.|memory\.|msg\.|where: )?([a-zA-Z]+)(?=\(|`)/g)].map((match) => match[1]);
  assert.ok(named.length > 40, `${named.length} names in the table`);
  assert.deepEqual(named.filter((name) => !known.has(name) && name !== "JavaScript"), []);
});

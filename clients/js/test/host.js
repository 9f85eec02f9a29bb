// A host in a process of its own, and modules in others: what the tests run against.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import nodeTest from "node:test";
import { connect } from "../coma.js";

const patience = 60_000; // how long anything may take on a busy machine

/** Is node:test's, with an end to what would never end. */
export const test = (name, f) => nodeTest(name, { timeout: 2 * patience }, f);

/** Lines of a process, each waited for in order. */
class Lines {
  #lines = [];
  #wake = () => {};
  #ended = false;

  constructor(stream) {
    const reader = createInterface({ input: stream });
    reader.on("line", (line) => {
      this.#lines.push(line);
      this.#wake();
    });
    reader.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Resolves to the first of the lines to come for which is holds. */
  async next(is = () => true) {
    const late = AbortSignal.timeout(patience);
    for (;;) {
      while (this.#lines.length > 0) {
        const line = this.#lines.shift();
        if (is(line)) {
          return line;
        }
      }
      if (this.#ended || late.aborted) {
        throw new Error(late.aborted ? "nothing was said in time" : "the process has ended");
      }
      await new Promise((resolve) => {
        this.#wake = resolve;
        late.addEventListener("abort", resolve);
      });
    }
  }
}

export class Host {
  /** Starts a host that ends with the test t. */
  static async start(t) {
    const dir = await mkdtemp(join(tmpdir(), "js-")); // short, for the socket's sake
    const host = new Host(dir);
    t.after(async () => {
      await Promise.all(host.agents.map((agent) => agent.close().catch(() => {}))); // the test may have closed it, or the host have gone
      await host.stop();
      await rm(dir, { recursive: true, force: true });
    });
    await host.start();
    return host;
  }

  agents = []; // connected

  constructor(dir) {
    this.dir = dir;
  }

  async start() {
    this.process = spawn(process.env.COMA_TEST_BINARY, [], { env: { ...process.env, COMA_TEST_HOST: this.dir }, stdio: ["pipe", "pipe", "inherit"] });
    this.exited = once(this.process, "exit");
    this.lines = new Lines(this.process.stdout);
    Object.assign(this, JSON.parse(await this.lines.next()));
  }

  /** Ends the host as "coma backend stop" does. */
  async stop() {
    this.process.stdin.end();
    await this.exited;
  }

  async kill() {
    this.process.kill("SIGKILL");
    await this.exited;
  }

  /** Resolves to the next thing told of what: log or print. */
  async told(what) {
    return JSON.parse(await this.lines.next((line) => what in JSON.parse(line)))[what];
  }

  /** Connects as a module of agent a, or another, until the test ends. */
  async connect(module, options = {}) {
    const agent = await connect({ api: this.api, agent: "a", module, ...options });
    this.agents.push(agent);
    return agent;
  }

  /** Runs code as a module in a Node of its own, as coma run does. */
  run(t, module, code, agent = "a") {
    const child = spawn(process.execPath, ["--import", new URL("../register.js", import.meta.url).href, "--input-type=module", "-e", code], {
      env: { ...process.env, COMA_API: this.api, COMA_AGENT: agent, COMA_MODULE: module, COMA_GENERATION: "1", COMA_TOKEN: this.token },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.exited = once(child, "exit");
    child.complaints = "";
    child.stderr.on("data", (chunk) => (child.complaints += chunk));
    child.lines = new Lines(child.stdout);
    t.after(() => child.kill("SIGKILL"));
    return child;
  }
}

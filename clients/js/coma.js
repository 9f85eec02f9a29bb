/**
 * coma for JavaScript: what a module written for Node, or a page in a browser, imports to be a part of an agent.
 *
 *     import { connect } from "coma";
 *
 *     const agent = await connect();
 *     for await (const msg of agent) {
 *       agent.log("heard:", msg.text);
 *       await agent.send(msg.from, "hello to you");
 *     }
 *
 * One file, no dependencies; Node from 18.19 on, and browsers. The names and their meaning are those of Go's package coma.
 * All durations are in milliseconds, all points in time are Dates.
 *
 * How to read it: connect and Agent are what authors use, then Message, Memory and its conditions and retrievers, then the
 * errors. Below them is the link: Seat is a module's place at the host (which message is in hand, what is finished with),
 * Wire a connection that is made again when it is lost, Peer JSON-RPC 2.0 on one connection. At the end are the two
 * platforms: Node, with a WebSocket of its own (RFC 6455) on a unix or TCP socket, and the browser with its native one.
 *
 * @module coma
 */

const maxMessageBytes = 16 << 20; // text of one message or publication

/**
 * @typedef {object} ConnectOptions
 * @property {string} [api] where the host's API is: unix:///path, http://host:port or https://host:port; default: $COMA_API
 * @property {string} [token] the host's token, or user:password; default: $COMA_TOKEN
 * @property {string} [agent] the agent's name; default: $COMA_AGENT
 * @property {string} [module] this module's name; default: $COMA_MODULE
 * @property {number} [generation] default: $COMA_GENERATION, else 1
 * @property {boolean} [guest] speak as the module without its mailbox, beside the program that has it: all but receiving
 * @property {AbortSignal} [signal] gives up connecting
 */

/**
 * Connects to the host. In a module that "coma run" has started it needs no options. A program of its own (a browser's
 * page always) names api, token, agent and module, and is that module from then on.
 *
 * A connection that is lost later is made again, however long the host is away; the calls under way wait for it.
 *
 * @param {ConnectOptions} [options]
 * @returns {Promise<Agent>}
 */
export async function connect(options = {}) {
  const platform = await findPlatform();
  const env = platform.env;
  const agent = options.agent ?? env.COMA_AGENT;
  const module = options.module ?? env.COMA_MODULE;
  const api = options.api ?? env.COMA_API;
  const missing = [["api", api], ["agent", agent], ["module", module]].filter(([, value]) => !value).map(([name]) => name);
  if (!agent || !module || !api) {
    throw new Invalid(`connect: ${missing.join(", ")} not given: "coma run" gives them to its modules; another program names them: connect({api, token, agent, module})`);
  }
  const identity = { agent, module, generation: options.generation ?? Number(env.COMA_GENERATION || 1) };
  const seat = new Seat(platform, api, options.token ?? env.COMA_TOKEN ?? "", identity, options.guest ?? false);
  await seat.open(options.signal);
  return new Agent(seat, platform, platform.attend(seat, !options.module && Boolean(env.COMA_MODULE)));
}

/** What a call may be told: signal gives it up, with the signal's reason. @typedef {{signal?: AbortSignal}} CallOptions */

/**
 * What else a message carries.
 * @typedef {object} SendOptions
 * @property {string} [id] of two messages with one ID that arrive shortly after each other, a host may keep only the first
 * @property {string} [contentType] MIME type
 * @property {Record<string, string>} [headers] free; traceparent is W3C trace context
 * @property {string} [replyTo] where an answer goes, if not to the sender
 * @property {string} [correlationId] ties an answer to its request
 * @property {Date} [deadline] after which an answer is of no use
 * @property {AbortSignal} [signal] gives up sending
 */

/**
 * A module's view of the agent that it is a part of. connect makes it.
 *
 * It is async iterable: each turn is a receive, and the loop ends when the module is asked to stop.
 */
export class Agent {
  /** @type {Seat} */ #seat;
  /** @type {Platform} */ #platform;
  #leave;

  /**
   * @param {Seat} seat
   * @param {Platform} platform
   * @param {() => void} leave undoes what sees to the end of the process
   * @internal
   */
  constructor(seat, platform, leave) {
    this.#seat = seat;
    this.#platform = platform;
    this.#leave = leave;
    /** The agent's name. @readonly */
    this.name = seat.identity.agent;
    /** This module's name. @readonly */
    this.module = seat.identity.module;
    /** 1 for the module's first version, one more with every reload. @readonly */
    this.generation = seat.identity.generation;
    /** The agent's shared memory. @readonly */
    this.memory = new Memory(seat);
    /** The module's log, with a level and key: value pairs. @readonly */
    this.logger = Object.freeze({ debug: this.#at("DEBUG"), info: this.#at("INFO"), warn: this.#at("WARN"), error: this.#at("ERROR") });
  }

  /**
   * Aborts, with a Stopped, when the module is asked to stop (SIGTERM). A module that asks for it ends by itself; one that
   * does neither that nor receive, input or every is ended as soon as nothing of it is under way.
   */
  get signal() {
    this.#seat.heeded = true;
    return this.#seat.stopping.signal;
  }

  /**
   * Puts text (or bytes) into the mailbox of module to: "module" of the same agent, or "agent/module". Resolves once the
   * host has the message; while that mailbox is full it waits. A module that nobody runs or has run is Unknown, and the
   * error names the nearest.
   *
   * @param {string} to
   * @param {string | Uint8Array} text
   * @param {SendOptions} [options]
   * @returns {Promise<void>}
   */
  async send(to, text, options = {}) {
    const { signal, deadline, contentType, replyTo, correlationId, ...rest } = chosen("send", options, ["id", "contentType", "headers", "replyTo", "correlationId", "deadline", "signal"]);
    await this.#seat.send({
      ...rest, to, ...textOrData(`send to ${to}`, text), content_type: contentType, reply_to: replyTo, correlation_id: correlationId,
      deadline: deadline && deadline.getTime() * 1e6,
    }, signal);
  }

  /**
   * Sends value as JSON, with content type application/json. The receiver reads it with Message.json.
   *
   * @param {string} to
   * @param {unknown} value
   * @param {SendOptions} [options]
   * @returns {Promise<void>}
   */
  async sendJSON(to, value, options = {}) {
    await this.send(to, asJSON(`send to ${to}`, value), { contentType: "application/json", ...options });
  }

  /**
   * Waits for the next message. Calling it (or tryReceive) also tells the host that the message received before is finished
   * with; until then that one is still the mailbox's, and a module that dies gets it again. When none has come within
   * timeout it rejects with a TimeoutError, as AbortSignal.timeout has it. When the module is asked to stop it rejects with
   * Stopped; left uncaught, that is a clean end of the process.
   *
   * @param {{timeout?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<Message>}
   */
  async receive(options = {}) {
    const { timeout, signal } = chosen("receive", options, ["timeout", "signal"]);
    const late = timeout === undefined || timeout === Infinity ? undefined : AbortSignal.timeout(Math.max(0, Math.ceil(timeout)));
    return new Message(await this.#seat.receive([this.signal, signal, late]), this);
  }

  /**
   * Is receive that does not wait: null where no message is there.
   *
   * @param {CallOptions} [options]
   * @returns {Promise<Message | null>}
   */
  async tryReceive(options = {}) {
    const { signal } = chosen("tryReceive", options, ["signal"]);
    const wire = await this.#seat.tryReceive([this.signal, signal]);
    return wire && new Message(wire, this);
  }

  /** Receives until the module is asked to stop. @returns {AsyncGenerator<Message, void, void>} */
  async *[Symbol.asyncIterator]() {
    for (;;) {
      let message;
      try {
        message = await this.receive();
      } catch (error) {
        if (error instanceof Stopped) {
          return;
        }
        throw error;
      }
      yield message;
    }
  }

  /** Counts the messages that wait in the mailbox, without the one received last. @param {CallOptions} [options] */
  async pending(options = {}) {
    return /** @type {number} */ ((await this.#seat.call("pending", undefined, options.signal)).count);
  }

  /**
   * Sends text (or bytes) to an MQTT topic: actuators, other systems, whoever subscribes.
   *
   * @param {string} topic
   * @param {string | Uint8Array} text
   * @param {CallOptions} [options]
   */
  async publish(topic, text, options = {}) {
    await this.#publish(topic, text, false, options.signal);
  }

  /**
   * Is publish, and the broker keeps the text for those who subscribe later. An empty text removes it.
   *
   * @param {string} topic
   * @param {string | Uint8Array} text
   * @param {CallOptions} [options]
   */
  async publishRetained(topic, text, options = {}) {
    await this.#publish(topic, text, true, options.signal);
  }

  /** @param {string} topic @param {string | Uint8Array} text @param {boolean} retain @param {AbortSignal} [signal] */
  async #publish(topic, text, retain, signal) {
    await this.#seat.call("publish", { topic, payload: toBase64(asBytes(`publish on ${topic}`, text)), retain }, signal);
  }

  /**
   * Lets what is published on topics that match pattern arrive by receive, with Message.topic set. A pattern is MQTT's: +
   * stands for one level, # at the end for all levels below. Subscribe before the first receive: then the subscription
   * holds over a reload without a gap. In a full mailbox the oldest publication makes room for the newest; messages that
   * were sent to the module are never dropped.
   *
   * @param {string} pattern
   * @param {CallOptions} [options]
   */
  async subscribe(pattern, options = {}) {
    await this.#seat.subscribe(pattern, options.signal);
  }

  /** Ends what subscribe began. @param {string} pattern @param {CallOptions} [options] */
  async unsubscribe(pattern, options = {}) {
    await this.#seat.unsubscribe(pattern, options.signal);
  }

  /**
   * Writes to the person at the console, without adding a line end: a stream of tokens can be printed piece by piece.
   * Nothing has to wait for the promise, which never rejects: where the host is out of reach, standard output has the text.
   *
   * @param {...unknown} args
   */
  async print(...args) {
    const text = args.map(readable).join(" ");
    try {
      await this.#seat.tell("print", { text });
    } catch {
      this.#platform.write(text, false);
    }
  }

  /**
   * Asks the person at the console and resolves to the line that is answered. NoInput means that there is nobody to ask
   * (any more). When the module is asked to stop it rejects with Stopped.
   *
   * @param {string} [prompt]
   * @param {CallOptions} [options]
   * @returns {Promise<string>}
   */
  async input(prompt = "", options = {}) {
    return (await this.#seat.call("input", { text: prompt }, this.signal, options.signal)).text;
  }

  /**
   * Stores a value, as JSON, under key for later generations of this module: after a reload, a restart or a crash kept has
   * it. null and undefined remove the key. Values are small (1 MiB); what other modules should know belongs into memory.
   *
   * @param {string} key
   * @param {unknown} value
   * @param {CallOptions} [options]
   */
  async keep(key, value, options = {}) {
    const params = value === undefined || value === null
      ? { key }
      : { key, found: true, value: toBase64(encoder.encode(asJSON(`keep ${key}`, value))) };
    await this.#seat.call("keep", params, options.signal);
  }

  /**
   * Reads what keep stored under key: undefined where nothing is kept.
   *
   * @param {string} key
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  async kept(key, options = {}) {
    const answer = await this.#seat.call("kept", { key }, options.signal);
    return answer.found ? JSON.parse(decoder.decode(fromBase64(answer.value ?? ""))) : undefined;
  }

  /**
   * Writes a line to the module's log. What a module prints to its standard output or standard error is logged too, a line
   * an entry. Nothing has to wait for the promise, which never rejects.
   *
   * @param {...unknown} args
   */
  log(...args) {
    return this.#log("INFO", args.map(readable).join(" "));
  }

  /** @param {string} level @returns {(text: string, attrs?: Record<string, unknown>) => Promise<void>} */
  #at(level) {
    return (text, attrs) => this.#log(level, text, attrs);
  }

  /** @param {string} level @param {string} text @param {Record<string, unknown>} [attrs] */
  async #log(level, text, attrs = {}) {
    const entry = { time: new Date(), level, text, attrs: Object.entries(attrs).map(([key, value]) => ({ key, value: readable(value) })) };
    try {
      await this.#seat.tell("log", entry);
    } catch {
      this.#platform.write(text + "\n", true); // the host is out of reach: standard error is the log's other way
    }
  }

  /**
   * Calls f at once and then once each interval, until f fails or the module is asked to stop (it rejects with Stopped then).
   * Turns never overlap and never pile up: those that f was too slow for are left out. Each is shifted at random by up to
   * a twentieth of the interval, so that many modules do not beat as one.
   *
   * @param {number} interval in milliseconds
   * @param {() => unknown} f
   * @param {CallOptions} [options]
   * @returns {Promise<never>}
   */
  async every(interval, f, options = {}) {
    if (!(interval > 0)) {
      throw new Invalid(`every ${interval}: the interval must be positive`);
    }
    const start = performance.now();
    for (let turn = 0; ;) {
      this.signal.throwIfAborted();
      options.signal?.throwIfAborted();
      await f();
      turn = Math.max(turn, Math.floor((performance.now() - start) / interval)) + 1;
      const due = start + turn * interval + (Math.random() - 0.5) * interval / 10;
      await pause(due - performance.now(), true, this.signal, options.signal);
    }
  }

  /**
   * Ends the session: "finished" says that the message in hand is done with, "stopped" gives it back, "died" gives it back
   * and counts as a death of it. Not told, it is finished, or stopped if a call ended by Stopped since that message came. A
   * process that ends says so by itself: likewise with exit code 0, else died.
   *
   * @param {"finished" | "stopped" | "died"} [outcome]
   */
  async close(outcome = this.#seat.outcome) {
    this.#leave();
    await this.#seat.close(outcome);
  }

  /**
   * Asks the module to stop, as SIGTERM does: receive, input and every end at once, with Stopped; so does any other call
   * that has no answer a second later, or a second after it was made.
   */
  stop() {
    this.#seat.stop();
  }
}

/** A message from a module, a device or a person. */
export class Message {
  /** @type {Uint8Array | undefined} */ #bytes;

  /**
   * @param {any} wire
   * @param {{name: string, module: string}} to
   * @internal
   */
  constructor(wire, to) {
    this.#bytes = wire.data === undefined ? undefined : fromBase64(wire.data);
    /** Unique. @type {string} */
    this.id = wire.id ?? "";
    /** "agent/module", "mqtt:<client id>" for a device, "cli" for "coma send". @type {string} */
    this.from = wire.from ?? "";
    /** "agent/module". @type {string} */
    this.to = wire.to || `${to.name}/${to.module}`;
    /** The MQTT topic, for what arrived by subscribe; else "". @type {string} */
    this.topic = wire.topic ?? "";
    /** The content. Where it is not UTF-8, bytes has it as it is. @type {string} */
    this.text = this.#bytes ? decoder.decode(this.#bytes) : wire.text ?? "";
    /** When the host accepted it. */
    this.time = fromNanoseconds(wire.time ?? 0);
    /** MIME type, "" for plain text. @type {string} */
    this.contentType = wire.content_type ?? "";
    /** Free; traceparent is W3C trace context. @type {Record<string, string>} */
    this.headers = wire.headers ?? {};
    /** Where an answer goes, "" for from. @type {string} */
    this.replyTo = wire.reply_to ?? "";
    /** Ties an answer to its request. @type {string} */
    this.correlationId = wire.correlation_id ?? "";
    /** After which an answer is of no use. @type {Date | undefined} */
    this.deadline = wire.deadline ? fromNanoseconds(wire.deadline) : undefined;
    /** How many times a module died while it had this message in hand. @type {number} */
    this.deaths = wire.deaths ?? 0;
  }

  /** The content as bytes. @returns {Uint8Array} */
  get bytes() {
    return (this.#bytes ??= encoder.encode(this.text));
  }

  /** How long ago, in milliseconds, the host accepted the message. */
  get age() {
    return Date.now() - this.time.getTime();
  }

  /** Reads the text as JSON. @returns {any} */
  json() {
    try {
      return JSON.parse(this.text);
    } catch (error) {
      throw new Invalid(`decode message ${this.id} from ${this.from}: ${text(error)}`, { cause: error });
    }
  }
}

// ---------------------------------------------------------------------------------------------------------- memory

/**
 * One entry of a memory, as it is given.
 * @typedef {object} NewRecord
 * @property {string} [id] unique; made where it is missing
 * @property {string} text
 * @property {ArrayLike<number>} [vector] made from text where it is missing
 * @property {Date} [time] now, where it is missing
 * @property {Date} [expires] from then on the record is not there any more
 * @property {Metadata} [metadata]
 */
/**
 * One entry of a memory, as it is found.
 * @typedef {object} MemoryRecord
 * @property {string} id
 * @property {string} text
 * @property {number[]} [vector] only with withVectors
 * @property {Date} time
 * @property {Date} [expires]
 * @property {Metadata} metadata
 */
/**
 * A record that query or retrieve found. distance is cosine distance: 0 is the same direction, 2 the opposite. score is what
 * a retriever went by; 0 from query.
 * @typedef {MemoryRecord & {distance: number, score: number}} Match
 */
/** What else there is to know of a record. @typedef {Record<string, string | number | boolean>} Metadata */
/**
 * Narrows the records that a query works on.
 * @typedef {object} Narrowing
 * @property {Condition | Condition[]} [where] conditions, all of which must hold
 * @property {Date} [since] leaves out records before
 * @property {Date} [until] leaves out records at and after
 * @property {boolean} [withVectors] answers carry the records' vectors
 * @property {AbortSignal} [signal]
 */
/** Narrows the records of get. @typedef {Narrowing & {oldest?: boolean, ids?: string[]}} Selection */

/**
 * The agent's shared memory: records of text, found again by time, by what they say, or by their metadata. What add has
 * resolved for is on disk. All modules of an agent see the same records at once.
 */
export class Memory {
  /** @type {Seat} */ #seat;

  /** @param {Seat} seat @internal */
  constructor(seat) {
    this.#seat = seat;
  }

  /**
   * Remembers text and resolves to the new record's ID. With ttl (milliseconds), for that long only.
   *
   * @param {string} text
   * @param {Metadata} [metadata]
   * @param {{ttl?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<string>}
   */
  async add(text, metadata = {}, options = {}) {
    const { ttl, signal } = chosen("add", options, ["ttl", "signal"]);
    const expires = ttl === undefined ? undefined : new Date(Date.now() + ttl);
    const [id] = await this.addRecords([{ text, metadata, expires }], { signal });
    return /** @type {string} */ (id);
  }

  /**
   * Remembers all records, or none if one of them is wrong, and resolves to their IDs in order. A record whose ID is there
   * already is left as it is.
   *
   * @param {NewRecord[]} records
   * @param {CallOptions} [options]
   * @returns {Promise<string[]>}
   */
  async addRecords(records, options = {}) {
    // IDs are made here, so that asking again after a lost connection adds nothing twice.
    const named = records.map((r) => toWireRecord("add records", { ...r, id: r.id || this.#seat.newID() }));
    return this.#seat.call("memory.add", { records: named }, options.signal);
  }

  /**
   * Resolves to the newest limit records (all, if limit is 0), newest first; with oldest: true from the other end.
   *
   * @param {number} [limit]
   * @param {Selection} [options]
   * @returns {Promise<MemoryRecord[]>}
   */
  async get(limit = 0, options = {}) {
    const { ids, oldest } = chosen("get", options, ["oldest", "ids", ...narrowing]);
    if (ids && ids.length === 0) {
      return [];
    }
    const found = await this.#seat.call("memory.get", { select: { limit, oldest, ids, ...narrowed(options) } }, options.signal);
    return found.map(fromWireRecord);
  }

  /**
   * Resolves to the k records that are nearest to text, nearest first.
   *
   * @param {string} text
   * @param {number} [k]
   * @param {Narrowing} [options]
   * @returns {Promise<Match[]>}
   */
  async query(text, k = 10, options = {}) {
    return this.#find("query", { text, k }, options);
  }

  /**
   * Is query for a vector of the caller's own, in as many dimensions as the memory's.
   *
   * @param {ArrayLike<number>} vector
   * @param {number} [k]
   * @param {Narrowing} [options]
   * @returns {Promise<Match[]>}
   */
  async queryVector(vector, k = 10, options = {}) {
    return this.#find("query", { vector: toVector("queryVector", vector), k }, options);
  }

  /**
   * Resolves to up to k records that matter for text by the rule of retriever, what matters most first: see latest, oldest,
   * timeWeighted, alphaBeta and marginalRelevance.
   *
   * @param {Retriever} retriever
   * @param {string} text
   * @param {number} [k]
   * @param {Narrowing} [options]
   * @returns {Promise<Match[]>}
   */
  async retrieve(retriever, text, k = 10, options = {}) {
    return this.#find("retrieve", { text, k, ...retriever }, options);
  }

  /**
   * Is retrieve for a vector of the caller's own.
   *
   * @param {Retriever} retriever
   * @param {ArrayLike<number>} vector
   * @param {number} [k]
   * @param {Narrowing} [options]
   * @returns {Promise<Match[]>}
   */
  async retrieveVector(retriever, vector, k = 10, options = {}) {
    return this.#find("retrieve", { vector: toVector("retrieveVector", vector), k, ...retriever }, options);
  }

  /** @param {"query" | "retrieve"} how @param {object} asked @param {Narrowing} options @returns {Promise<Match[]>} */
  async #find(how, asked, options) {
    const params = { ...asked, ...narrowed(chosen(how, options, narrowing)) };
    const found = await this.#seat.call(`memory.${how}`, how === "query" ? { query: params } : { retrieval: params }, options.signal);
    return found.map(fromWireMatch);
  }

  /**
   * Changes the records with the given IDs: what is given replaces what was there; a new text is embedded again. If an ID is
   * unknown, nothing is changed and the error is NotFound.
   *
   * @param {(Partial<NewRecord> & {id: string}) | (Partial<NewRecord> & {id: string})[]} records
   * @param {CallOptions} [options]
   */
  async update(records, options = {}) {
    const all = (Array.isArray(records) ? records : [records]).map((r) => toWireRecord("update records", { text: "", ...r }));
    await this.#seat.call("memory.update", { records: all }, options.signal);
  }

  /**
   * Forgets the records that ids or where choose (at least one is needed) and resolves to how many there were.
   *
   * @param {{ids?: string[], where?: Condition | Condition[], signal?: AbortSignal}} options
   * @returns {Promise<number>}
   */
  async delete(options) {
    const { ids, where, signal } = chosen("delete", options, ["ids", "where", "signal"]);
    if (ids && ids.length === 0) {
      return 0;
    }
    return (await this.#seat.call("memory.delete", { ids, filter: allOf(where) }, signal)).count;
  }

  /**
   * Counts the records for which the conditions hold; without one, all.
   *
   * @param {Condition | Condition[]} [where]
   * @param {CallOptions} [options]
   * @returns {Promise<number>}
   */
  async count(where, options = {}) {
    return (await this.#seat.call("memory.count", { filter: allOf(where) }, options.signal)).count;
  }

  /** Forgets everything and resolves to how many records there were. @param {CallOptions} [options] @returns {Promise<number>} */
  async clear(options = {}) {
    return (await this.#seat.call("memory.clear", {}, options.signal)).count;
  }
}

const narrowing = ["where", "since", "until", "withVectors", "signal"];

/** @param {Narrowing} options */
function narrowed({ where, since, until, withVectors }) {
  return { filter: allOf(where), since, until, vectors: withVectors };
}

/** @param {string} call @param {NewRecord} record */
function toWireRecord(call, record) {
  const { id, text, vector, time, expires, metadata } = chosen(call, record, ["id", "text", "vector", "time", "expires", "metadata"]);
  for (const [key, value] of Object.entries(metadata ?? {})) {
    if (typeof value !== "string" && typeof value !== "boolean" && !Number.isFinite(value)) {
      throw new Invalid(`${call}: metadata value of "${key}" must be a string, a finite number or a boolean`);
    }
  }
  return { id, text, vector: vector && toVector(call, vector), time, expires, metadata };
}

/** @param {any} wire @returns {MemoryRecord} */
function fromWireRecord(wire) {
  /** @type {MemoryRecord} */
  const record = { id: wire.id, text: wire.text, time: new Date(wire.time), metadata: wire.metadata ?? {} };
  if (wire.vector) {
    record.vector = wire.vector;
  }
  if (wire.expires) {
    record.expires = new Date(wire.expires);
  }
  return record;
}

/** @param {any} wire @returns {Match} */
function fromWireMatch(wire) {
  return { ...fromWireRecord(wire), distance: wire.distance ?? 0, score: wire.score ?? 0 };
}

/** @param {string} call @param {ArrayLike<number>} vector */
function toVector(call, vector) {
  const numbers = Array.from(vector);
  if (numbers.length === 0 || !numbers.every(Number.isFinite)) {
    throw new Invalid(`${call}: the vector is empty or has a value that is no finite number`);
  }
  return numbers;
}

/**
 * A condition on a record, such as key("mood").equal("calm").
 * @typedef {object} Condition
 * @property {string} op
 * @property {string} [key]
 * @property {unknown} [value]
 * @property {Condition[]} [filters]
 */

/** @param {Condition | Condition[] | undefined} where @returns {Condition | undefined} */
function allOf(where) {
  return Array.isArray(where) ? (where.length > 0 ? all(...where) : undefined) : where;
}

/** Begins a condition on the metadata value of that name. Numbers compare by value. @param {string} name */
export function key(name) {
  /** @param {string} op @param {unknown} value @returns {Condition} */
  const is = (op, value) => ({ op, key: name, value });
  return {
    /** Holds where the value is there and equal. @param {string | number | boolean} value */
    equal: (value) => is("eq", value),
    /** Holds where the value differs or is not there. @param {string | number | boolean} value */
    notEqual: (value) => is("ne", value),
    /** Holds where the value is a number above. @param {number} value */
    greater: (value) => is("gt", value),
    /** Holds where the value is a number above or equal. @param {number} value */
    atLeast: (value) => is("gte", value),
    /** Holds where the value is a number below. @param {number} value */
    less: (value) => is("lt", value),
    /** Holds where the value is a number below or equal. @param {number} value */
    atMost: (value) => is("lte", value),
    /** Holds where the value is one of those given. @param {...(string | number | boolean)} values */
    in: (...values) => is("in", values),
    /** Holds where the value is none of those given, or is not there. @param {...(string | number | boolean)} values */
    notIn: (...values) => is("nin", values),
  };
}

/** Holds where the record's text has part in it, to the letter. @param {string} part @returns {Condition} */
export const contains = (part) => ({ op: "contains", value: part });
/** Holds where the record's text does not have part in it. @param {string} part @returns {Condition} */
export const notContains = (part) => ({ op: "notcontains", value: part });
/** Holds where pattern, a regular expression of RE2's syntax, is found in the record's text. @param {string} pattern @returns {Condition} */
export const matches = (pattern) => ({ op: "regex", value: pattern });
/** Holds where pattern is nowhere found in the record's text. @param {string} pattern @returns {Condition} */
export const notMatches = (pattern) => ({ op: "notregex", value: pattern });
/** Holds where every one of conditions does. @param {...Condition} conditions @returns {Condition} */
export const all = (...conditions) => ({ op: "and", filters: conditions });
/** Holds where at least one of conditions does. @param {...Condition} conditions @returns {Condition} */
export const any = (...conditions) => ({ op: "or", filters: conditions });

/** A rule by which Memory.retrieve chooses records; its formulas and sources are in docs/memory.md. @typedef {Record<string, object>} Retriever */
/** What distance a retriever reckons with: the squared Euclidean one (default), or Match.distance. @typedef {"l2" | "cosine"} Space */

/** Retrieves the newest records, newest first. @returns {Retriever} */
export const latest = () => ({ by_time: {} });

/** Retrieves the oldest records, oldest first. @returns {Retriever} */
export const oldest = () => ({ by_time: { oldest: true } });

/**
 * Retrieves by distance × exp(age in seconds × decay), the least first; a match's score is that product. A positive decay
 * pushes old records back. all: weigh every record rather than the nearest 100.
 *
 * @param {{decay?: number, now?: Date, all?: boolean, space?: Space}} [options]
 * @returns {Retriever}
 */
export const timeWeighted = (options = {}) => ({
  time_weighted: { decay: 0, ...chosen("timeWeighted", options, ["decay", "now", "all", "space"]) },
});

/**
 * Draws records at random, without replacement, with the probabilities
 * pi · softmax(alpha × share of references) + (1 − pi) · softmax(beta × distance). A negative beta prefers what is near. The
 * same seed, records and counts draw the same; without one, at random.
 *
 * @param {{alpha?: number, beta?: number, pi?: number, seed?: number, all?: boolean, space?: Space}} [options]
 * @returns {Retriever}
 */
export const alphaBeta = (options = {}) => ({
  alpha_beta: { alpha: 0, beta: 0, pi: 0, ...chosen("alphaBeta", options, ["alpha", "beta", "pi", "seed", "all", "space"]) },
});

/**
 * Retrieves by recency × relevance × importance and passes over records that say the same as one that it has chosen already.
 * halfLife: the age, in milliseconds, at which a record counts half. importance: the metadata key of a positive number.
 * lambda: how much relevance counts against novelty, to 1; default 0.5.
 *
 * @param {{halfLife?: number, importance?: string, lambda?: number, now?: Date}} [options]
 * @returns {Retriever}
 */
export function marginalRelevance(options = {}) {
  const { halfLife, ...rest } = chosen("marginalRelevance", options, ["halfLife", "importance", "lambda", "now"]);
  return { marginal_relevance: { ...rest, half_life: halfLife && Math.round(halfLife * 1e6) } };
}

// ---------------------------------------------------------------------------------------------------------- errors

/** An error of the host or of this library. code is the host's, as internal/api/errors.go lists them; 1000 for no special kind. */
export class ComaError extends Error {
  /** @internal */ static kind = 1000; // code, where none is said

  /** @param {string} message @param {{cause?: unknown, code?: number}} [options] */
  constructor(message, options = {}) {
    super(message, options);
    this.name = new.target.name;
    /** @readonly */
    this.code = options.code ?? new.target.kind;
  }
}

/** input: there is nobody (left) to ask. */
export class NoInput extends ComaError { static kind = 1001; }
/** Memory.update: no record has that ID. */
export class NotFound extends ComaError { static kind = 1002; }
/** send: nobody runs, or has run, a module of that name. */
export class Unknown extends ComaError { static kind = 1003; }
/** An argument is wrong; the text says which. */
export class Invalid extends ComaError { static kind = 1004; }
/** A message, publication or kept value is over its limit. */
export class TooLarge extends ComaError { static kind = 1005; }
/** A newer generation of the module has its place. */
export class Replaced extends ComaError { static kind = 1006; }
/** The session has been closed. */
export class Closed extends ComaError { static kind = 1007; }
/** The token is missing or wrong. */
export class Unauthorized extends ComaError { static kind = 1008; }
/** Another program has what was asked for. */
export class InUse extends ComaError { static kind = 1009; }
/** The module is asked to stop. It is no failure: left uncaught, the process ends with exit code 0. */
export class Stopped extends ComaError {}

/** The connection went before the answer came: whether the host acted on the call is unknown. It never leaves this file. */
class Lost extends Error {}

const kinds = [NoInput, NotFound, Unknown, Invalid, TooLarge, Replaced, Closed, Unauthorized, InUse];

/** @param {{code: number, message: string}} error an error of JSON-RPC */
function remoteError({ code, message }) {
  const Kind = kinds.find(({ kind }) => kind === code) ?? ComaError;
  return new Kind(message, { code });
}

// ------------------------------------------------------------------------------------------------------------ seat

const maxSending = 256; // sends under way; more wait here
const lastWait = 1000; // how long a call waits for its answer in a module that is asked to stop
const closeTimeout = 1000; // how long a module that ends waits for a host that is away
const outputTimeout = 5000; // how long print and log do
const endedBySignal = 128 + 15; // the exit code of a module that SIGTERM ended before it was done

/** @typedef {{agent: string, module: string, generation: number}} Identity */

/**
 * A module's seat at the host.
 *
 * The host pushes messages ahead, up to a window; receive hands out what has arrived. Each receive tells the host, in one
 * notification without an answer, what is finished with: that frees the window, and lets the host know which message is in
 * the module's hand should the module die. When the connection is lost, what was pushed ahead is forgotten here and pushed
 * again by the host; the message in hand stays in hand.
 *
 * @implements {Owner}
 */
class Seat {
  /** @type {any[]} */ #queue = []; // pushed, not handed out
  #hand = 0; // seq of the message in the module's hand, 0 for none
  #cut = 0; // seq of the message that was in hand when a call ended by Stopped: the module has not finished with it
  #done = 0; // all up to here are finished with
  #waits = false; // a receive waits for a push: the host takes the first message to come for being in hand
  /** @type {Set<string>} */ #topics = new Set(); // subscribed to: a host that was restarted is told again
  /** @type {Error | undefined} */ #ended;
  stopping = new AbortController(); // the module is asked to stop
  heeded = false; // it would notice
  unheard = () => {}; // called when the host could not be told that the message in hand goes back
  #overdue = new Alarm(); // calls from before that have waited for long enough
  #arrived = new Gate();
  #receiving = new Slots(1);
  #sending = new Slots(maxSending);
  #ids = 0;

  /**
   * @param {Platform} platform
   * @param {string} api
   * @param {string} token
   * @param {Identity} identity
   * @param {boolean} guest
   */
  constructor(platform, api, token, identity, guest) {
    this.identity = identity;
    this.guest = guest;
    this.idPrefix = Array.from(platform.random(8), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.wire = new Wire(platform, api, token, this);
  }

  /** @param {AbortSignal} [signal] */
  async open(signal) {
    const { agent, module } = this.identity;
    try {
      await this.wire.connect(signal);
    } catch (error) {
      if (error instanceof ComaError) {
        error.message = `open session of ${agent}/${module}: ${error.message}`;
      }
      throw error;
    }
  }

  /** Tells whether the module has a message in hand. */
  get busy() {
    return this.#hand !== 0;
  }

  /** How the module ends, if it ends well. @returns {"finished" | "stopped"} */
  get outcome() {
    return this.busy && this.#cut === this.#hand ? "stopped" : "finished";
  }

  newID() {
    this.#ids++;
    return `${this.idPrefix}-${this.#ids.toString(36)}`;
  }

  /** @param {Peer} peer @param {boolean} again @param {...(Signal | undefined)} signals */
  async greet(peer, again, ...signals) {
    this.#queue = [];
    const resume = again && !this.guest;
    await peer.call("open", {
      ...this.identity, mode: this.guest ? "guest" : undefined, resume, hand: resume ? this.#hand : 0, done: resume ? this.#done : 0,
    }, ...signals);
    if (!again) {
      return;
    }
    for (const pattern of this.#topics) {
      await peer.call("subscribe", { pattern }, ...signals).catch((error) => {
        // A pattern that is refused is the affair of the subscribe that is under way with it.
        if (error instanceof Lost || signals.some((signal) => signal?.aborted)) {
          throw error;
        }
      });
    }
  }

  /** Tells the host what has changed while the connection was made: greet has told what was in hand before. @param {Peer} peer */
  settled(peer) {
    if (!this.guest) {
      this.#tell(this.#waits || this.#hand !== 0, peer);
    }
  }

  /**
   * Tells the host where the module stands: with next, that it has the message after done in hand or waits for it; else that
   * it has nothing and wants nothing. Where there is no connection, the next one is told.
   * @param {boolean} next
   * @param {Peer} [peer]
   */
  #tell(next, peer = this.wire.peer) {
    peer?.notify(next ? "next" : "later", { ack: this.#done });
  }

  /** @param {string} method @param {any} params */
  notified(method, params) {
    if (method === "message") {
      const last = this.#queue.at(-1)?.seq ?? Math.max(this.#done, this.#hand);
      if (params.seq > last) {
        this.#queue.push(params);
        this.#arrived.wake();
      }
    } else if (method === "ended") {
      this.ended(remoteError(params));
    }
  }

  /** @param {Error} error */
  ended(error) {
    this.#ended ??= error;
    this.#arrived.wake();
  }

  /**
   * Finishes with the message in hand and takes the next one of the queue. With wait, where there is none, the host is told
   * that one is waited for.
   * @param {boolean} wait
   */
  #take(wait) {
    if (this.#ended) {
      throw again(this.#ended);
    }
    this.#finish();
    const knows = this.#waits; // the host takes the first message to come for being in hand
    const message = this.#queue.shift();
    this.#waits = !message && wait;
    if (message) {
      this.#hand = message.seq;
    }
    if (!knows && (message || wait)) {
      this.#tell(true);
    }
    return message;
  }

  #finish() {
    if (this.#hand !== 0) {
      this.#done = this.#hand;
      this.#hand = 0;
    }
  }

  /** Notes that the module receives no more at present. A message that the stop has cut short stays the mailbox's. */
  #giveUp() {
    if (this.outcome === "finished") {
      this.#finish();
    }
    this.#waits = false;
    this.#tell(false);
  }

  /** @param {(Signal | undefined)[]} signals */
  receive(signals) {
    return this.#alone(signals, async () => {
      for (;;) {
        const message = this.#take(true);
        if (message) {
          return message;
        }
        await this.#arrived.wait(...signals);
      }
    });
  }

  /** @param {(Signal | undefined)[]} signals */
  tryReceive(signals) {
    return this.#alone(signals, async () => {
      const message = this.#take(false);
      if (message) {
        return message;
      }
      // What the host has for us arrives before its answer does.
      await this.wire.call("poll", { ack: this.#done }, ...signals);
      return this.#take(false) ?? null;
    });
  }

  /** Calls f, which receives, when no other receive is under way. @param {(Signal | undefined)[]} signals @param {() => Promise<any>} f */
  async #alone(signals, f) {
    if (this.guest) {
      throw new Invalid("receive: a guest has no mailbox: connect without guest");
    }
    await this.#receiving.take(...signals);
    try {
      throwIfAborted(signals);
      return await this.wire.hold(async () => {
        const message = await f();
        // What the host is told has left this process by then: should the message kill it at once, the host knows which.
        await this.wire.peer?.flushed();
        return message;
      });
    } catch (error) {
      this.#giveUp();
      throw error;
    } finally {
      this.#receiving.give();
    }
  }

  /**
   * Sends a message, which gets its ID here, so that the host can tell a repetition after a lost connection from a second
   * message.
   * @param {any} message
   * @param {AbortSignal} [signal]
   */
  async send(message, signal) {
    message.id ||= this.newID();
    const late = this.#late();
    await this.#heed(this.#sending.take(late, signal));
    try {
      await this.#heed(this.wire.call("send", message, late, signal));
    } finally {
      this.#sending.give();
    }
  }

  /** @param {string} pattern @param {AbortSignal} [signal] */
  async subscribe(pattern, signal) {
    const already = this.#topics.has(pattern);
    this.#topics.add(pattern); // before the host knows, lest it is forgotten when the host is restarted right after
    try {
      await this.call("subscribe", { pattern }, signal);
    } catch (error) {
      if (!already) {
        this.#topics.delete(pattern);
      }
      throw error;
    }
  }

  /** @param {string} pattern @param {AbortSignal} [signal] */
  async unsubscribe(pattern, signal) {
    this.#topics.delete(pattern);
    await this.call("unsubscribe", { pattern }, signal);
  }

  /** Asks the host, for as long as the module may wait. @param {string} method @param {any} params @param {...(Signal | undefined)} signals */
  call(method, params, ...signals) {
    return this.#heed(this.wire.call(method, params, this.#late(), ...signals));
  }

  /** Notes what a call that ends by Stopped has left undone. @template T @param {Promise<T>} call @returns {Promise<T>} */
  async #heed(call) {
    try {
      return await call;
    } catch (error) {
      if (error instanceof Stopped) {
        this.#cut = this.#hand;
      }
      throw error;
    }
  }

  /** Asks the module to stop. What it does not wait for it may go on with: a message in hand is finished with so. */
  stop() {
    if (!this.stopping.signal.aborted) {
      this.stopping.abort(new Stopped("the module is asked to stop"));
      this.#overdue.set(lastWait, this.stopping.signal.reason);
    }
  }

  /** Aborts when the module is asked to stop, and a call that begins now has waited for long enough. @returns {Signal} */
  #late() {
    return this.stopping.signal.aborted ? new Alarm().set(lastWait, this.stopping.signal.reason) : this.#overdue;
  }

  /** Tells the host something that has no answer. It waits for a host that is away, but not long. @param {string} method @param {any} params */
  tell(method, params) {
    return this.wire.hold(async () => {
      const peer = this.wire.peer ?? await this.wire.current(AbortSignal.timeout(outputTimeout), this.#late());
      peer.notify(method, params);
      await peer.flushed();
    });
  }

  /** @param {string} outcome */
  #farewell(outcome) {
    return { outcome, done: this.#done, hand: this.#hand };
  }

  /** Waits for a host that is away for a short while only. @param {string} outcome */
  async close(outcome) {
    if (this.#ended) {
      this.wire.close();
      return;
    }
    try {
      await this.wire.call("close", this.#farewell(outcome), AbortSignal.timeout(closeTimeout));
    } catch (error) {
      if (error instanceof ComaError && !(error instanceof Replaced)) { // a newer generation has the seat, as it should
        throw error;
      }
      if (outcome === "stopped" && this.busy) {
        this.unheard();
      }
    } finally {
      this.ended(new Closed("the session is closed"));
      this.wire.close();
    }
  }

  /** Resolves when what was sent has left the process. */
  flushed() {
    return this.wire.hold(async () => this.wire.peer?.flushed());
  }

  /** Closes without waiting, in a process that ends now. @param {string} outcome */
  closeNow(outcome) {
    if (!this.#ended) {
      const peer = this.wire.peer;
      peer?.call("close", this.#farewell(outcome)).catch(() => {}); // nobody is left to hear the answer
      peer?.flush();
      if (!peer && outcome === "stopped" && this.busy) {
        this.unheard();
      }
      this.ended(new Closed("the session is closed"));
    }
  }
}

// ------------------------------------------------------------------------------------------------------------ wire

const patience = 3000; // how long a host may say that another has our place before it is believed

/** Refusals to be greeted that are a host's last word, rather than that of a host that is away or starting. */
const lastWords = [1004, 1006, 1008, -32600, -32601, -32602];

/**
 * What a Wire tells its owner.
 * @typedef {object} Owner
 * @property {(method: string, params: any) => void} notified the host has told something
 * @property {(peer: Peer, again: boolean, ...signals: (Signal | undefined)[]) => Promise<void>} greet says what must be said first on a connection
 * @property {(peer: Peer) => void} settled the connection has been made again, and is about to be used
 * @property {(error: Error) => void} ended there will be no connection any more
 */

/**
 * A connection to the host that outlives the host's restarts: when it is lost it is made again, and what had no answer is
 * asked again. All methods are safe to repeat but send, which says "resent".
 */
class Wire {
  /** @type {Peer | undefined} */ peer; // undefined while there is no connection
  /** @type {Error | undefined} */ #error; // why there will be none any more
  #changed = new Gate();
  #life = new AbortController();

  /** @param {Platform} platform @param {string} api @param {string} token @param {Owner} owner */
  constructor(platform, api, token, owner) {
    this.platform = platform;
    this.hold = platform.hold;
    this.api = api;
    this.token = token;
    this.owner = owner;
  }

  /** Makes the first connection, and keeps it up until close. @param {AbortSignal} [signal] */
  connect(signal) {
    return this.hold(async () => {
      const { peer, lost } = await this.#establish(false, signal);
      this.#keep(peer, lost);
    });
  }

  close() {
    this.#life.abort(new Closed("the session is closed"));
    this.peer?.close();
  }

  /** @param {boolean} again @param {AbortSignal} [signal] */
  async #establish(again, signal) {
    const connection = await this.platform.open(this.api, this.token, this.#life.signal, signal);
    const peer = new Peer(connection, this.owner);
    const lost = new Promise((resolve) => connection.listen((frame) => peer.read(frame), (error) => {
      peer.fail(error);
      resolve(undefined);
    }));
    try {
      await this.owner.greet(peer, again, this.#life.signal, signal);
      this.#life.signal.throwIfAborted();
    } catch (error) {
      peer.close();
      if (error instanceof Lost) {
        throw new ComaError(`the host at ${this.api} has gone`, { cause: error });
      }
      throw error;
    }
    if (again) {
      this.owner.settled(peer);
    }
    this.peer = peer;
    this.#changed.wake();
    return { peer, lost };
  }

  /** Replaces lost connections until the life ends or the host refuses. @param {Peer} peer @param {Promise<unknown>} lost */
  async #keep(peer, lost) {
    try {
      for (;;) {
        await lost;
        this.peer = undefined;
        this.#life.signal.throwIfAborted();
        ({ peer, lost } = await this.#again());
      }
    } catch (error) {
      this.#error = /** @type {Error} */ (error);
      this.owner.ended(this.#error);
    }
    this.#changed.wake();
  }

  /** Makes a new connection, however long the host is away. */
  async #again() {
    let refused = 0; // since when the host says that another has our place: it may be our own lost connection
    for (let wait = 10; ; wait = Math.min(2 * wait, 1000)) {
      try {
        return await this.#establish(true);
      } catch (error) {
        this.#life.signal.throwIfAborted();
        if (error instanceof ComaError && lastWords.includes(error.code)) {
          throw error;
        }
        refused = error instanceof InUse ? refused || Date.now() : 0;
        if (refused && Date.now() - refused > patience) {
          throw error;
        }
      }
      await pause(wait, false, this.#life.signal);
    }
  }

  /** @param {...(Signal | undefined)} signals @returns {Promise<Peer>} the connection, waiting while there is none */
  async current(...signals) {
    while (!this.peer) {
      if (this.#error) {
        throw again(this.#error);
      }
      await this.#changed.wait(...signals);
    }
    return this.peer;
  }

  /**
   * Asks the host, again after each lost connection.
   * @param {string} method
   * @param {any} params
   * @param {...(Signal | undefined)} signals
   * @returns {Promise<any>}
   */
  call(method, params, ...signals) {
    return this.hold(async () => {
      throwIfAborted(signals);
      for (;;) {
        const peer = this.peer ?? await this.current(...signals);
        try {
          return await peer.call(method, params, ...signals);
        } catch (error) {
          if (!(error instanceof Lost)) {
            throw error;
          }
        }
        if (method === "send") {
          params.resent = true;
        }
        while (this.peer === peer) {
          await this.#changed.wait(...signals);
        }
      }
    });
  }
}

// ------------------------------------------------------------------------------------------------------------ peer

/**
 * A WebSocket, as a platform gives it.
 * @typedef {object} Connection
 * @property {boolean} batching the host takes, and sends, arrays that mix messages of all kinds
 * @property {(heard: (frame: string) => void, ended: (error: Error) => void) => void} listen ended is called once, and nothing after it
 * @property {(frame: string) => void} send
 * @property {() => Promise<void> | undefined} flushed resolves when what was sent has left the process; undefined: it has
 * @property {(error?: Error) => void} close
 */

/** JSON-RPC 2.0 on one connection. Calls that are made together leave together. */
class Peer {
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */ #calls = new Map();
  #ids = 0;
  /** @type {string[]} */ #out = []; // waits for the end of the turn to leave
  /** @type {Error | undefined} */ #lost;

  /** @param {Connection} connection @param {Pick<Owner, "notified">} owner */
  constructor(connection, owner) {
    this.connection = connection;
    this.owner = owner;
  }

  /**
   * Asks the far side. A signal that aborts cancels the call there.
   * @param {string} method
   * @param {any} params
   * @param {...(Signal | undefined)} signals
   * @returns {Promise<any>}
   */
  call(method, params, ...signals) {
    const id = ++this.#ids;
    return settled(signals, (resolve, reject) => {
      if (this.#lost) {
        reject(this.#lost);
        return;
      }
      this.#calls.set(id, { resolve, reject });
      this.#queue({ jsonrpc: "2.0", id, method, params });
    }, () => {
      this.#calls.delete(id);
      this.notify("$/cancel", { id });
    });
  }

  /** Tells the far side something that has no answer. @param {string} method @param {any} params */
  notify(method, params) {
    this.#queue({ jsonrpc: "2.0", method, params });
  }

  /** @param {object} message */
  #queue(message) {
    if (this.#out.push(JSON.stringify(message)) === 1) {
      queueMicrotask(() => this.flush());
    }
  }

  /** Sends what is queued. */
  flush() {
    const out = this.#out;
    if (out.length === 0 || this.#lost) {
      return;
    }
    this.#out = [];
    if (this.connection.batching && out.length > 1) {
      this.connection.send(`[${out.join(",")}]`);
    } else {
      out.forEach((message) => this.connection.send(message));
    }
  }

  /** Sends what is queued; what is returned resolves when it has left this process. */
  flushed() {
    this.flush();
    return this.#lost ? undefined : this.connection.flushed();
  }

  /** Reads a frame. @param {string} frame */
  read(frame) {
    let messages;
    try {
      messages = JSON.parse(frame);
    } catch (error) {
      this.connection.close(new Error(`read frame: ${text(error)}`));
      return;
    }
    for (const message of Array.isArray(messages) ? messages : [messages]) {
      this.#accept(message);
    }
  }

  /** @param {any} message */
  #accept(message) {
    if (typeof message?.method === "string") {
      if (message.id === undefined || message.id === null) {
        this.owner.notified(message.method, message.params ?? {});
      } else {
        this.#queue({ jsonrpc: "2.0", id: message.id, error: { code: -32601, message: `no method "${message.method}"` } });
      }
      return;
    }
    const call = this.#calls.get(message?.id);
    if (!call) {
      return; // an answer that nobody waits for any more
    }
    this.#calls.delete(message.id);
    if (message.error) {
      call.reject(remoteError(message.error));
    } else {
      call.resolve(message.result);
    }
  }

  /** Answers all waiting calls with the loss of the connection. @param {Error} cause */
  fail(cause) {
    this.#lost ??= new Lost("connection lost", { cause });
    for (const call of this.#calls.values()) {
      call.reject(this.#lost);
    }
    this.#calls.clear();
  }

  close() {
    this.flush();
    this.connection.close();
  }
}

// --------------------------------------------------------------------------------------------------------- waiting

/** Where any number wait until they are woken. */
class Gate {
  /** @type {Set<() => void>} */ #waiting = new Set();

  wake() {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    waiting.forEach((go) => go());
  }

  /** Resolves at the next wake, or rejects with the reason of the first signal that aborts. @param {...(Signal | undefined)} signals @returns {Promise<void>} */
  wait(...signals) {
    return called(this.#waiting, signals);
  }
}

/** A number of slots, given in the order in which they were asked for. */
class Slots {
  #free;
  /** @type {Set<() => void>} */ #line = new Set();

  /** @param {number} n */
  constructor(n) {
    this.#free = n;
  }

  /** @param {...(Signal | undefined)} signals */
  async take(...signals) {
    if (this.#free > 0) {
      this.#free--;
    } else {
      await called(this.#line, signals);
    }
  }

  give() {
    const [next] = this.#line;
    if (next) {
      this.#line.delete(next);
      next();
    } else {
      this.#free++;
    }
  }
}

/** Stands in line until it is called, or one of signals aborts. @param {Set<() => void>} line @param {(Signal | undefined)[]} signals @returns {Promise<void>} */
function called(line, signals) {
  /** @type {() => void} */
  let go;
  return settled(signals, (resolve) => line.add(go = resolve), () => line.delete(go));
}

/**
 * What gives a call up: an AbortSignal, or an Alarm.
 * @typedef {object} Signal
 * @property {boolean} aborted
 * @property {any} reason
 * @property {(type: "abort", listener: () => void) => void} addEventListener
 * @property {(type: "abort", listener: () => void) => void} removeEventListener
 */

/** A signal that all calls listen to: an AbortSignal would look through all its listeners for each one that comes. @implements {Signal} */
class Alarm {
  aborted = false;
  /** @type {any} */ reason;
  /** @type {Set<() => void>} */ #listeners = new Set();

  /** Has it abort after a time, for which it does not keep a process alive. @param {number} ms @param {unknown} reason */
  set(ms, reason) {
    /** @type {any} */
    const timer = setTimeout(() => {
      this.aborted = true;
      this.reason = reason;
      this.#listeners.forEach((listener) => listener());
    }, ms);
    timer.unref?.();
    return this;
  }

  /** @param {"abort"} _ @param {() => void} listener */
  addEventListener(_, listener) {
    this.#listeners.add(listener);
  }

  /** @param {"abort"} _ @param {() => void} listener */
  removeEventListener(_, listener) {
    this.#listeners.delete(listener);
  }
}

/**
 * A promise that start settles; where one of signals aborts before (or has), it rejects with that one's reason, and undo is
 * called.
 * @template T
 * @param {(Signal | undefined)[]} signals
 * @param {(resolve: (value: T) => void, reject: (error: any) => void) => void} start
 * @param {() => void} undo
 * @returns {Promise<T>}
 */
function settled(signals, start, undo) {
  return new Promise((resolve, reject) => {
    let over = false;
    const end = () => {
      over = true;
      signals.forEach((signal) => signal?.removeEventListener("abort", abort));
    };
    const abort = () => {
      if (!over) {
        end();
        undo();
        reject(signals.find((signal) => signal?.aborted)?.reason);
      }
    };
    signals.forEach((signal) => signal?.addEventListener("abort", abort));
    start((value) => (end(), resolve(value)), (error) => (end(), reject(error)));
    if (signals.some((signal) => signal?.aborted)) {
      queueMicrotask(abort);
    }
  });
}

/** @param {(Signal | undefined)[]} signals */
function throwIfAborted(signals) {
  const aborted = signals.find((signal) => signal?.aborted);
  if (aborted) {
    throw aborted.reason;
  }
}

/**
 * Waits, and keeps a process of Node alive for it or not.
 * @param {number} ms
 * @param {boolean} alive
 * @param {...(Signal | undefined)} signals
 * @returns {Promise<void>}
 */
function pause(ms, alive, ...signals) {
  /** @type {any} */
  let timer; // a number, in a browser
  return settled(signals, (resolve) => {
    timer = setTimeout(resolve, Math.max(ms, 0));
    if (!alive) {
      timer.unref?.();
    }
  }, () => clearTimeout(timer));
}

// ---------------------------------------------------------------------------------------------------------- values

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** @param {number} ns since 1970, of which a number knows every 256th: without the 500, one in eight whole milliseconds came as the one before */
function fromNanoseconds(ns) {
  return new Date((ns + 500) / 1e6);
}

/** An error for one more caller, whose stack it tells beside the first one's. @param {Error} error */
function again(error) {
  if (!(error instanceof ComaError)) {
    return error;
  }
  const kind = /** @type {new (message: string, options: object) => ComaError} */ (error.constructor);
  return new kind(error.message, { code: error.code, cause: error });
}

/**
 * Returns given, in which nothing may be but what is taken: a limit that is misspelt would not be kept, and nobody noticed.
 * @template {object} T
 * @param {string} call
 * @param {T} given
 * @param {string[]} taken
 */
function chosen(call, given, taken) {
  for (const name of Object.keys(given)) {
    if (!taken.includes(name)) {
      throw new Invalid(`${call}: it does not take "${name}": it takes ${taken.join(", ")}`);
    }
  }
  return given;
}

/** @param {string} call @param {string | Uint8Array} content @returns {Uint8Array} */
function asBytes(call, content) {
  if (typeof content !== "string" && !(content instanceof Uint8Array)) {
    throw new Invalid(`${call}: text must be a string or a Uint8Array; sendJSON takes other values`);
  }
  const bytes = typeof content === "string" ? encoder.encode(content) : content;
  if (bytes.length > maxMessageBytes) {
    throw new TooLarge(`${call}: message of ${bytes.length} bytes: too large: at most ${maxMessageBytes}`);
  }
  return bytes;
}

/** @param {string} call @param {string | Uint8Array} content a message's */
function textOrData(call, content) {
  if (typeof content === "string" && content.length <= maxMessageBytes / 3) { // as many bytes at most
    return { text: content };
  }
  const bytes = asBytes(call, content);
  return typeof content === "string" ? { text: content } : { data: toBase64(bytes) };
}

/** @param {string} call @param {unknown} value */
function asJSON(call, value) {
  let json;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    throw new Invalid(`${call}: ${text(error)}`, { cause: error });
  }
  if (json === undefined) {
    throw new Invalid(`${call}: a ${typeof value} has no JSON`);
  }
  return json;
}

/** @param {unknown} value @returns {string} as it stands in a log */
function readable(value) {
  if (typeof value === "string") {
    return value;
  }
  if (value instanceof Error) {
    return value.stack ?? String(value);
  }
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

/** @param {unknown} error */
function text(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {Uint8Array} bytes @returns {string} base64 (RFC 4648, padded) */
function toBase64(bytes) {
  if (typeof Buffer !== "undefined") {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
  }
  const pieces = [];
  for (let i = 0; i < bytes.length; i += 0x8000) { // as many arguments as any browser takes
    pieces.push(String.fromCharCode(...bytes.subarray(i, i + 0x8000)));
  }
  return btoa(pieces.join(""));
}

/** @param {string} base64 @returns {Uint8Array} */
function fromBase64(base64) {
  if (typeof Buffer !== "undefined") {
    return new Uint8Array(Buffer.from(base64, "base64"));
  }
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

// -------------------------------------------------------------------------------------------------------- platforms

/**
 * What differs between Node and a browser.
 * @typedef {object} Platform
 * @property {Record<string, string | undefined>} env
 * @property {(n: number) => Uint8Array} random
 * @property {(text: string, error: boolean) => void} write writes to standard output, or standard error
 * @property {<T>(f: () => Promise<T>) => Promise<T>} hold calls f, and keeps the process alive until it has settled
 * @property {(seat: Seat, module: boolean) => () => void} attend sees to the end of the process, until what is returned is called; module: "coma run" has started it, and ends it by SIGTERM
 * @property {(api: string, token: string, ...signals: (Signal | undefined)[]) => Promise<Connection>} open
 */

/** @returns {Promise<Platform>} */
async function findPlatform() {
  return typeof process !== "undefined" && process.versions?.node ? node() : browser();
}

// The subprotocols: with the first, messages of all kinds that are ready together are one array.
const batch = "coma.batch";
const plain = "coma";

/** @returns {Platform} */
function browser() {
  return {
    env: {},
    random: (n) => crypto.getRandomValues(new Uint8Array(n)),
    write: (text, error) => (error ? console.error(text) : console.log(text)),
    hold: (f) => f(),
    attend: () => () => {},
    open: openNative,
  };
}

/**
 * Opens the browser's own WebSocket. It can set no header, so the token is a subprotocol; and it tells no reason when the
 * host refuses.
 *
 * @param {string} api
 * @param {string} token
 * @param {...(Signal | undefined)} signals
 * @returns {Promise<Connection>}
 */
async function openNative(api, token, ...signals) {
  const url = parseURL(api, ["http:", "https:"], "a browser needs http://host:port");
  const socket = new WebSocket(`${url.protocol === "https:" ? "wss" : "ws"}://${url.host}/rpc`, [batch, plain, ...credentials(token)]);
  return settled(signals, (resolve, reject) => {
    socket.onopen = () => resolve({
      batching: socket.protocol === batch,
      listen: (heard, ended) => {
        socket.onmessage = (event) => heard(event.data);
        socket.onclose = (event) => ended(new Error(`closed: ${event.code} ${event.reason}`));
      },
      send: (frame) => socket.send(frame),
      flushed: () => undefined, // a browser does not tell
      close: () => socket.close(),
    });
    socket.onerror = () => {
      reject(new ComaError(`connect to ${api}: refused: there is no host, the token is not its own, or it does not let pages of ${location.origin} in`));
    };
  }, () => socket.close());
}

/** @param {string} token a token, or user:password, which no subprotocol can have as it is */
function credentials(token) {
  if (!token) {
    return [];
  }
  const unpadded = toBase64(encoder.encode(token)).replace(/[+]/g, "-").replace(/[/]/g, "_").replace(/=/g, "");
  return token.includes(":") ? [`coma.basic.${unpadded}`] : [`coma.token.${token}`];
}

/** @param {string} api @param {string[]} protocols @param {string} want */
function parseURL(api, protocols, want) {
  let url;
  try {
    url = new URL(api);
  } catch (error) {
    throw new Invalid(`host address "${api}": ${text(error)}`, { cause: error });
  }
  if (url.username || url.password) { // addresses are shown
    throw new Invalid("host address: it is no place for a password: user:password is a token");
  }
  if (!protocols.includes(url.protocol)) {
    throw new Invalid(`host address "${api}": ${want}`);
  }
  return url;
}

/** @returns {Promise<Platform>} */
async function node() {
  const { randomBytes } = await import("node:crypto");
  const alive = setInterval(() => {}, 0x7fffffff).unref();
  let holds = 0;
  return {
    env: process.env,
    random: (n) => randomBytes(n),
    write: (text, error) => void (error ? process.stderr : process.stdout).write(text),
    hold: async (f) => {
      if (holds++ === 0) {
        alive.ref();
      }
      try {
        return await f();
      } finally {
        if (--holds === 0) {
          alive.unref();
        }
      }
    },
    attend: (seat, module) => attend(seat, module, () => holds > 0),
    open: openNode,
  };
}

/**
 * Sees to the end of a Node process: the session is closed as finished if the exit code is 0, else as died. A module of
 * "coma run" is asked to stop by SIGTERM.
 *
 * @param {Seat} seat
 * @param {boolean} module
 * @param {() => boolean} underway whether a call is under way
 * @returns {() => void} undoes it
 */
function attend(seat, module, underway) {
  // At its end a process can only write what the kernel takes at once: what it has not taken yet leaves before.
  const flush = () => void seat.flushed();
  /** @param {number} code */
  const exit = (code) => seat.closeNow((process.exitCode ?? code) === 0 ? seat.outcome : "died"); // exitCode alone tells of an await that can never end
  /** @type {NodeJS.Timeout | undefined} */
  let look;
  let unheard = false;
  const end = () => {
    if (!seat.heeded && !seat.busy && !underway()) {
      process.exit(0);
    }
  };
  /** A module that was asked to stop and let the Stopped pass ends well; the message in hand comes again. @param {unknown} error */
  const uncaught = (error) => {
    if (error instanceof Stopped || (error instanceof Error && error.cause instanceof Stopped)) {
      seat.closeNow("stopped");
      process.exit(unheard ? endedBySignal : 0);
    }
    console.error("Uncaught", error);
    process.exit(1);
  };
  const terminate = () => {
    process.on("uncaughtException", uncaught);
    seat.stop();
    look = setInterval(end, 50).unref(); // a module that does not look at signals would be killed, after a while
    end();
  };
  seat.unheard = () => {
    unheard = true;
    process.exitCode ||= endedBySignal; // 0 would tell who runs the module that the message in hand is finished with
  };
  process.on("beforeExit", flush);
  process.on("exit", exit);
  if (module) {
    process.once("SIGTERM", terminate);
  }
  return () => {
    clearInterval(look);
    process.off("beforeExit", flush);
    process.off("exit", exit);
    process.off("SIGTERM", terminate);
  };
}

const handshakeTimeout = 30_000;
const maxFrameBytes = 257 << 20; // as the host's own limit

/**
 * Opens a WebSocket as RFC 6455 has it: Node has none before 22, and none on a unix socket.
 *
 * @param {string} api
 * @param {string} token
 * @param {...(Signal | undefined)} signals
 * @returns {Promise<Connection>}
 */
async function openNode(api, token, ...signals) {
  const url = parseURL(api, ["unix:", "http:", "https:"], "want unix:///path, http://host:port or https://host:port");
  const { request, Agent: Once } = url.protocol === "https:" ? await import("node:https") : await import("node:http");
  const { createHash, randomBytes } = await import("node:crypto");
  const key = randomBytes(16).toString("base64");
  const where = url.protocol === "unix:" ? { socketPath: decodeURIComponent(url.pathname), host: "coma" } : { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port || undefined };
  const asked = request({
    ...where, path: "/rpc", agent: new Once({ keepAlive: false }), timeout: handshakeTimeout,
    headers: {
      Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": 13, "Sec-WebSocket-Key": key,
      "Sec-WebSocket-Protocol": `${batch}, ${plain}`, ...(token ? { Authorization: `Bearer ${token}` } : {}),
    },
  });
  return settled(signals, (resolve, reject) => {
    /** @param {string} why @param {typeof ComaError} [kind] */
    const refuse = (why, kind = ComaError) => {
      asked.destroy();
      reject(new kind(`connect to ${api}: ${why}`));
    };
    asked.on("upgrade", (answer, socket, head) => {
      const accept = createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
      if (answer.headers["sec-websocket-accept"] !== accept) {
        socket.destroy();
        refuse("the answer is no WebSocket's");
        return;
      }
      socket.setTimeout(0);
      resolve(new NodeSocket(/** @type {import("node:net").Socket} */ (socket), head, answer.headers["sec-websocket-protocol"] === batch, randomBytes));
    });
    asked.on("response", ({ statusCode, statusMessage }) => {
      if (statusCode === 401) {
        refuse("not authorized: the token is not the host's", Unauthorized);
      } else {
        refuse(`HTTP status ${statusCode} ${statusMessage}`);
      }
    });
    asked.on("socket", (socket) => socket.unref()); // as all that holds no call
    asked.on("timeout", () => refuse("the host does not answer"));
    asked.on("error", (error) => refuse(error.message));
    asked.end();
  }, () => asked.destroy());
}

/** The client's side of a WebSocket on a stream. Only text crosses. @implements {Connection} */
class NodeSocket {
  /** @type {(frame: string) => void} */ #heard = () => {};
  /** @type {((error: Error) => void) | undefined} */ #ended;
  /** @type {Buffer[]} */ #chunks = []; // received, not read
  #size = 0; // of chunks
  #need = 0; // as many bytes must be there for more to be known
  /** @type {Buffer[]} */ #pieces = []; // of a message in several frames
  #pieced = 0; // their bytes
  #decoder = new TextDecoder("utf-8", { fatal: true });
  /** @type {Buffer} */ #random = Buffer.alloc(0); // for masks
  #closing = false;

  /**
   * @param {import("node:net").Socket} socket
   * @param {Buffer} head what came with the handshake's answer
   * @param {boolean} batching
   * @param {(n: number) => Buffer} random
   */
  constructor(socket, head, batching, random) {
    this.socket = socket;
    this.batching = batching;
    this.random = random;
    this.head = head;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 15_000); // a host whose machine has gone is noticed
    socket.unref(); // what is under way keeps the process alive, an open connection does not
    socket.on("error", () => {}); // "close" follows
  }

  /** @param {(frame: string) => void} heard @param {(error: Error) => void} ended */
  listen(heard, ended) {
    this.#heard = heard;
    this.#ended = ended;
    if (this.socket.destroyed) {
      this.close(new Error("closed"));
      return;
    }
    this.socket.on("data", (/** @type {Buffer} */ chunk) => this.#received(chunk));
    this.socket.on("close", () => this.close(new Error("closed")));
    this.#received(this.head);
  }

  /** @param {string} frame */
  send(frame) {
    this.#write(0x1, frame);
  }

  flushed() {
    if (this.socket.writableLength === 0 || this.socket.destroyed) {
      return undefined;
    }
    return /** @type {Promise<void>} */ (new Promise((resolve) => this.socket.write("", () => resolve())));
  }

  /** @param {Error} [error] why, if the far side is to blame */
  close(error) {
    if (!this.#closing) {
      this.#closing = true;
      if (!error) {
        this.#write(0x8, Buffer.from([1000 >> 8, 1000 & 0xff]));
        this.socket.end();
        setTimeout(() => this.socket.destroy(), 1000).unref();
      } else {
        this.socket.destroy();
      }
    }
    const ended = this.#ended;
    this.#ended = undefined;
    ended?.(error ?? new Error("closed"));
  }

  /** Writes a frame, masked as section 5.3 asks of clients. @param {number} opcode @param {string | Buffer} payload */
  #write(opcode, payload) {
    const n = Buffer.byteLength(payload);
    const extra = n < 126 ? 0 : n < 65536 ? 2 : 8;
    const start = 2 + extra + 4;
    const frame = Buffer.allocUnsafe(start + n);
    frame[0] = 0x80 | opcode;
    frame[1] = 0x80 | (extra === 0 ? n : extra === 2 ? 126 : 127);
    if (extra === 2) {
      frame.writeUInt16BE(n, 2);
    } else if (extra === 8) {
      frame.writeBigUInt64BE(BigInt(n), 2);
    }
    if (this.#random.length === 0) {
      this.#random = this.random(4096); // for a thousand frames: the system takes longer to give some than all else here
    }
    const mask = this.#random.subarray(0, 4);
    this.#random = this.#random.subarray(4);
    mask.copy(frame, start - 4);
    if (typeof payload === "string") {
      frame.write(payload, start);
    } else {
      payload.copy(frame, start);
    }
    for (let i = 0; i < n; i++) {
      frame[start + i] = /** @type {number} */ (frame[start + i]) ^ /** @type {number} */ (mask[i & 3]);
    }
    this.socket.write(frame);
  }

  /** @param {Buffer} chunk */
  #received(chunk) {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#closing || this.#size < this.#need) {
      return;
    }
    try {
      let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
      let frame = readFrame(rest);
      for (; frame.payload && !this.#closing; frame = readFrame(rest)) {
        this.#frame(frame, frame.payload);
        rest = rest.subarray(frame.end);
      }
      this.#chunks = rest.length > 0 ? [rest] : [];
      this.#size = rest.length;
      this.#need = frame.end;
    } catch (error) {
      this.close(/** @type {Error} */ (error));
    }
  }

  /** @param {{final: boolean, opcode: number}} frame @param {Buffer} payload */
  #frame({ final, opcode }, payload) {
    switch (opcode) {
      case 0x0:
      case 0x1:
        if ((opcode === 0x0) !== this.#pieces.length > 0) {
          throw new Error("frames of two messages are mixed");
        }
        this.#pieces.push(payload);
        this.#pieced += payload.length;
        if (this.#pieced > maxFrameBytes) {
          throw new Error("message too large");
        }
        if (final) {
          const whole = this.#pieces.length === 1 ? payload : Buffer.concat(this.#pieces);
          this.#pieces = [];
          this.#pieced = 0;
          this.#heard(this.#decoder.decode(whole));
        }
        return;
      case 0x8:
        if (!this.socket.writableEnded) {
          this.#write(0x8, payload.subarray(0, 2));
          this.socket.end();
        }
        throw new Error("closed by the host");
      case 0x9:
        this.#write(0xa, payload);
        return;
      case 0xa:
        return;
      default:
        throw new Error(`frame of kind ${opcode}: only text crosses`);
    }
  }
}

/**
 * Reads the frame that buffer begins with, section 5.2. Where not all of it is there it has no payload, and end is how many
 * bytes must be there for more to be known.
 * @param {Buffer} buffer
 * @returns {{end: number, final: boolean, opcode: number, payload?: Buffer}}
 */
function readFrame(buffer) {
  const first = buffer[0] ?? 0;
  const second = buffer[1] ?? 0;
  const frame = { end: 2, final: (first & 0x80) !== 0, opcode: first & 0x0f };
  if ((first & 0x70) !== 0 || (second & 0x80) !== 0) {
    throw new Error("frame with bits that were not agreed on");
  }
  if (frame.opcode >= 0x8 && (!frame.final || second > 125)) {
    throw new Error("control frame of several parts");
  }
  const start = 2 + (second === 126 ? 2 : second === 127 ? 8 : 0);
  frame.end = start;
  if (buffer.length < start) {
    return frame;
  }
  const length = second === 126 ? buffer.readUInt16BE(2) : second === 127 ? Number(buffer.readBigUInt64BE(2)) : second;
  if (length > maxFrameBytes) {
    throw new Error(`frame of ${length} bytes: too large`);
  }
  frame.end += length;
  return buffer.length < frame.end ? frame : { ...frame, payload: buffer.subarray(start, frame.end) };
}

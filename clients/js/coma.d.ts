/**
 * @typedef {object} ConnectOptions
 * @property {string} [api] where the host's API is: unix:///path, http://host:port or https://host:port; default: $COMA_API
 * @property {string} [token] the host's token; default: $COMA_TOKEN
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
export function connect(options?: ConnectOptions): Promise<Agent>;
/** Begins a condition on the metadata value of that name. Numbers compare by value. @param {string} name */
export function key(name: string): {
    /** Holds where the value is there and equal. @param {string | number | boolean} value */
    equal: (value: string | number | boolean) => Condition;
    /** Holds where the value differs or is not there. @param {string | number | boolean} value */
    notEqual: (value: string | number | boolean) => Condition;
    /** Holds where the value is a number above. @param {number} value */
    greater: (value: number) => Condition;
    /** Holds where the value is a number above or equal. @param {number} value */
    atLeast: (value: number) => Condition;
    /** Holds where the value is a number below. @param {number} value */
    less: (value: number) => Condition;
    /** Holds where the value is a number below or equal. @param {number} value */
    atMost: (value: number) => Condition;
    /** Holds where the value is one of those given. @param {...(string | number | boolean)} values */
    in: (...values: (string | number | boolean)[]) => Condition;
    /** Holds where the value is none of those given, or is not there. @param {...(string | number | boolean)} values */
    notIn: (...values: (string | number | boolean)[]) => Condition;
};
/**
 * Retrieves by recency × relevance × importance and passes over records that say the same as one that it has chosen already.
 * halfLife: the age, in milliseconds, at which a record counts half. importance: the metadata key of a positive number.
 * lambda: how much relevance counts against novelty, to 1; default 0.5.
 *
 * @param {{halfLife?: number, importance?: string, lambda?: number, now?: Date}} [options]
 * @returns {Retriever}
 */
export function marginalRelevance(options?: {
    halfLife?: number;
    importance?: string;
    lambda?: number;
    now?: Date;
}): Retriever;
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
    /**
     * @param {Seat} seat
     * @param {Platform} platform
     * @internal
     */
    constructor(seat: Seat, platform: Platform);
    /** The agent's name. @readonly */
    readonly name: string;
    /** This module's name. @readonly */
    readonly module: string;
    /** 1 for the module's first version, one more with every reload. @readonly */
    readonly generation: number;
    /** The agent's shared memory. @readonly */
    readonly memory: Memory;
    /** The module's log, with a level and key: value pairs. @readonly */
    readonly logger: Readonly<{
        /** @param {string} text @param {Record<string, unknown>} [attrs] */
        debug: (text: string, attrs?: Record<string, unknown>) => Promise<void>;
        /** @param {string} text @param {Record<string, unknown>} [attrs] */
        info: (text: string, attrs?: Record<string, unknown>) => Promise<void>;
        /** @param {string} text @param {Record<string, unknown>} [attrs] */
        warn: (text: string, attrs?: Record<string, unknown>) => Promise<void>;
        /** @param {string} text @param {Record<string, unknown>} [attrs] */
        error: (text: string, attrs?: Record<string, unknown>) => Promise<void>;
    }>;
    /**
     * Aborts, with a Stopped, when the module is asked to stop (SIGTERM). A module that asks for it ends by itself; one that
     * does neither that nor receive, input or every is ended as soon as nothing of it is under way.
     */
    get signal(): AbortSignal;
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
    send(to: string, text: string | Uint8Array, options?: SendOptions): Promise<void>;
    /**
     * Sends value as JSON, with content type application/json. The receiver reads it with Message.json.
     *
     * @param {string} to
     * @param {unknown} value
     * @param {SendOptions} [options]
     * @returns {Promise<void>}
     */
    sendJSON(to: string, value: unknown, options?: SendOptions): Promise<void>;
    /**
     * Waits for the next message. Calling it (or tryReceive) also tells the host that the message received before is finished
     * with; until then that one is still the mailbox's, and a module that dies gets it again. With a timeout it resolves to
     * null when none has come by then. When the module is asked to stop it rejects with Stopped; left uncaught, that is a
     * clean end of the process.
     *
     * @overload
     * @param {{signal?: AbortSignal}} [options]
     * @returns {Promise<Message>}
     */
    receive(options?: {
        signal?: AbortSignal;
    } | undefined): Promise<Message>;
    /**
     * @overload
     * @param {{timeout: number, signal?: AbortSignal}} options
     * @returns {Promise<Message | null>}
     */
    receive(options: {
        timeout: number;
        signal?: AbortSignal;
    }): Promise<Message | null>;
    /**
     * Is receive that does not wait: null where no message is there.
     *
     * @param {CallOptions} [options]
     * @returns {Promise<Message | null>}
     */
    tryReceive(options?: CallOptions): Promise<Message | null>;
    /** Counts the messages that wait in the mailbox, without the one received last. @param {CallOptions} [options] */
    pending(options?: CallOptions): Promise<number>;
    /**
     * Sends text (or bytes) to an MQTT topic: actuators, other systems, whoever subscribes.
     *
     * @param {string} topic
     * @param {string | Uint8Array} text
     * @param {CallOptions} [options]
     */
    publish(topic: string, text: string | Uint8Array, options?: CallOptions): Promise<void>;
    /**
     * Is publish, and the broker keeps the text for those who subscribe later. An empty text removes it.
     *
     * @param {string} topic
     * @param {string | Uint8Array} text
     * @param {CallOptions} [options]
     */
    publishRetained(topic: string, text: string | Uint8Array, options?: CallOptions): Promise<void>;
    /**
     * Lets what is published on topics that match pattern arrive by receive, with Message.topic set. A pattern is MQTT's: +
     * stands for one level, # at the end for all levels below. Subscribe before the first receive: then the subscription
     * holds over a reload without a gap. In a full mailbox the oldest publication makes room for the newest; messages that
     * were sent to the module are never dropped.
     *
     * @param {string} pattern
     * @param {CallOptions} [options]
     */
    subscribe(pattern: string, options?: CallOptions): Promise<void>;
    /** Ends what subscribe began. @param {string} pattern @param {CallOptions} [options] */
    unsubscribe(pattern: string, options?: CallOptions): Promise<void>;
    /**
     * Writes to the person at the console, without adding a line end: a stream of tokens can be printed piece by piece.
     * Nothing has to wait for the promise, which never rejects: where the host is out of reach, standard output has the text.
     *
     * @param {...unknown} args
     */
    print(...args: unknown[]): Promise<void>;
    /**
     * Asks the person at the console and resolves to the line that is answered. NoInput means that there is nobody to ask
     * (any more). When the module is asked to stop it rejects with Stopped.
     *
     * @param {string} [prompt]
     * @param {CallOptions} [options]
     * @returns {Promise<string>}
     */
    input(prompt?: string, options?: CallOptions): Promise<string>;
    /**
     * Stores a value, as JSON, under key for later generations of this module: after a reload, a restart or a crash kept has
     * it. null and undefined remove the key. Values are small (1 MiB); what other modules should know belongs into memory.
     *
     * @param {string} key
     * @param {unknown} value
     * @param {CallOptions} [options]
     */
    keep(key: string, value: unknown, options?: CallOptions): Promise<void>;
    /**
     * Reads what keep stored under key: undefined where nothing is kept.
     *
     * @param {string} key
     * @param {CallOptions} [options]
     * @returns {Promise<any>}
     */
    kept(key: string, options?: CallOptions): Promise<any>;
    /**
     * Writes a line to the module's log. What a module prints to its standard output or standard error is logged too, a line
     * an entry. Nothing has to wait for the promise, which never rejects.
     *
     * @param {...unknown} args
     */
    log(...args: unknown[]): Promise<void>;
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
    every(interval: number, f: () => unknown, options?: CallOptions): Promise<never>;
    /**
     * Ends the session: "finished" says that the message in hand is done with, "stopped" gives it back, "died" gives it back
     * and counts as a death of it. A process that ends says so by itself: finished with exit code 0, else died.
     *
     * @param {"finished" | "stopped" | "died"} [outcome]
     */
    close(outcome?: "finished" | "stopped" | "died"): Promise<void>;
    /** Asks the module to stop, as SIGTERM does. */
    stop(): void;
    /** Tells whether nobody would notice that the module is to stop. @internal */
    get heedless(): boolean;
    /** Receives until the module is asked to stop. @returns {AsyncGenerator<Message, void, void>} */
    [Symbol.asyncIterator](): AsyncGenerator<Message, void, void>;
    #private;
}
/** A message from a module, a device or a person. */
export class Message {
    /**
     * @param {any} wire
     * @param {{name: string, module: string}} to
     * @internal
     */
    constructor(wire: any, to: {
        name: string;
        module: string;
    });
    /** Unique. @type {string} */
    id: string;
    /** "agent/module", "mqtt:<client id>" for a device, "cli" for "coma send". @type {string} */
    from: string;
    /** "agent/module". @type {string} */
    to: string;
    /** The MQTT topic, for what arrived by subscribe; else "". @type {string} */
    topic: string;
    /** The content. Where it is not UTF-8, bytes has it as it is. @type {string} */
    text: string;
    /** When the host accepted it. */
    time: Date;
    /** MIME type, "" for plain text. @type {string} */
    contentType: string;
    /** Free; traceparent is W3C trace context. @type {Record<string, string>} */
    headers: Record<string, string>;
    /** Where an answer goes, "" for from. @type {string} */
    replyTo: string;
    /** Ties an answer to its request. @type {string} */
    correlationId: string;
    /** After which an answer is of no use. @type {Date | undefined} */
    deadline: Date | undefined;
    /** How many times a module died while it had this message in hand. @type {number} */
    deaths: number;
    /** The content as bytes. @returns {Uint8Array} */
    get bytes(): Uint8Array;
    /** How long ago, in milliseconds, the host accepted the message. */
    get age(): number;
    /** Reads the text as JSON. @returns {any} */
    json(): any;
    #private;
}
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
    /** @param {Seat} seat @internal */
    constructor(seat: Seat);
    /**
     * Remembers text and resolves to the new record's ID. With ttl (milliseconds), for that long only.
     *
     * @param {string} text
     * @param {Metadata} [metadata]
     * @param {{ttl?: number, signal?: AbortSignal}} [options]
     * @returns {Promise<string>}
     */
    add(text: string, metadata?: Metadata, options?: {
        ttl?: number;
        signal?: AbortSignal;
    }): Promise<string>;
    /**
     * Remembers all records, or none if one of them is wrong, and resolves to their IDs in order. A record whose ID is there
     * already is left as it is.
     *
     * @param {NewRecord[]} records
     * @param {CallOptions} [options]
     * @returns {Promise<string[]>}
     */
    addRecords(records: NewRecord[], options?: CallOptions): Promise<string[]>;
    /**
     * Resolves to the newest limit records (all, if limit is 0), newest first; with oldest: true from the other end.
     *
     * @param {number} [limit]
     * @param {Selection} [options]
     * @returns {Promise<MemoryRecord[]>}
     */
    get(limit?: number, options?: Selection): Promise<MemoryRecord[]>;
    /**
     * Resolves to the k records that are nearest to text, nearest first.
     *
     * @param {string} text
     * @param {number} [k]
     * @param {Narrowing} [options]
     * @returns {Promise<Match[]>}
     */
    query(text: string, k?: number, options?: Narrowing): Promise<Match[]>;
    /**
     * Is query for a vector of the caller's own, in as many dimensions as the memory's.
     *
     * @param {ArrayLike<number>} vector
     * @param {number} [k]
     * @param {Narrowing} [options]
     * @returns {Promise<Match[]>}
     */
    queryVector(vector: ArrayLike<number>, k?: number, options?: Narrowing): Promise<Match[]>;
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
    retrieve(retriever: Retriever, text: string, k?: number, options?: Narrowing): Promise<Match[]>;
    /**
     * Is retrieve for a vector of the caller's own.
     *
     * @param {Retriever} retriever
     * @param {ArrayLike<number>} vector
     * @param {number} [k]
     * @param {Narrowing} [options]
     * @returns {Promise<Match[]>}
     */
    retrieveVector(retriever: Retriever, vector: ArrayLike<number>, k?: number, options?: Narrowing): Promise<Match[]>;
    /**
     * Changes the records with the given IDs: what is given replaces what was there; a new text is embedded again. If an ID is
     * unknown, nothing is changed and the error is NotFound.
     *
     * @param {(Partial<NewRecord> & {id: string}) | (Partial<NewRecord> & {id: string})[]} records
     * @param {CallOptions} [options]
     */
    update(records: (Partial<NewRecord> & {
        id: string;
    }) | (Partial<NewRecord> & {
        id: string;
    })[], options?: CallOptions): Promise<void>;
    /**
     * Forgets the records that ids or where choose (at least one is needed) and resolves to how many there were.
     *
     * @param {{ids?: string[], where?: Condition | Condition[], signal?: AbortSignal}} options
     * @returns {Promise<number>}
     */
    delete(options: {
        ids?: string[];
        where?: Condition | Condition[];
        signal?: AbortSignal;
    }): Promise<number>;
    /**
     * Counts the records for which the conditions hold; without one, all.
     *
     * @param {Condition | Condition[]} [where]
     * @param {CallOptions} [options]
     * @returns {Promise<number>}
     */
    count(where?: Condition | Condition[], options?: CallOptions): Promise<number>;
    /** Forgets everything and resolves to how many records there were. @param {CallOptions} [options] @returns {Promise<number>} */
    clear(options?: CallOptions): Promise<number>;
    #private;
}
export function contains(part: string): Condition;
export function notContains(part: string): Condition;
export function matches(pattern: string): Condition;
export function notMatches(pattern: string): Condition;
export function all(...conditions: Condition[]): Condition;
export function any(...conditions: Condition[]): Condition;
export function latest(): Retriever;
export function oldest(): Retriever;
export function timeWeighted(options?: {
    decay?: number;
    now?: Date;
    all?: boolean;
    space?: Space;
}): Retriever;
export function alphaBeta(options?: {
    alpha?: number;
    beta?: number;
    pi?: number;
    seed?: number;
    all?: boolean;
    space?: Space;
}): Retriever;
/** An error of the host or of this library. code is the host's, as internal/api/errors.go lists them; 1000 for no special kind. */
export class ComaError extends Error {
    /** @param {string} message @param {{cause?: unknown, code?: number}} [options] */
    constructor(message: string, options?: {
        cause?: unknown;
        code?: number;
    });
    /** @readonly */
    readonly code: number;
}
/** input: there is nobody (left) to ask. */
export class NoInput extends ComaError {
}
/** Memory.update: no record has that ID. */
export class NotFound extends ComaError {
}
/** send: nobody runs, or has run, a module of that name. */
export class Unknown extends ComaError {
}
/** An argument is wrong; the text says which. */
export class Invalid extends ComaError {
    /** @param {string} message @param {{cause?: unknown}} [options] */
    constructor(message: string, options?: {
        cause?: unknown;
    });
}
/** A message, publication or kept value is over its limit. */
export class TooLarge extends ComaError {
    /** @param {string} message @param {{cause?: unknown}} [options] */
    constructor(message: string, options?: {
        cause?: unknown;
    });
}
/** A newer generation of the module has its place. */
export class Replaced extends ComaError {
}
/** The session has been closed. */
export class Closed extends ComaError {
    /** @param {string} message @param {{cause?: unknown}} [options] */
    constructor(message: string, options?: {
        cause?: unknown;
    });
}
/** The token is missing or wrong. */
export class Unauthorized extends ComaError {
    /** @param {string} message @param {{cause?: unknown}} [options] */
    constructor(message: string, options?: {
        cause?: unknown;
    });
}
/** Another program has what was asked for. */
export class InUse extends ComaError {
}
/** The module is asked to stop. It is no failure: left uncaught, the process ends with exit code 0. */
export class Stopped extends ComaError {
}
export type ConnectOptions = {
    /**
     * where the host's API is: unix:///path, http://host:port or https://host:port; default: $COMA_API
     */
    api?: string | undefined;
    /**
     * the host's token; default: $COMA_TOKEN
     */
    token?: string | undefined;
    /**
     * the agent's name; default: $COMA_AGENT
     */
    agent?: string | undefined;
    /**
     * this module's name; default: $COMA_MODULE
     */
    module?: string | undefined;
    /**
     * default: $COMA_GENERATION, else 1
     */
    generation?: number | undefined;
    /**
     * speak as the module without its mailbox, beside the program that has it: all but receiving
     */
    guest?: boolean | undefined;
    /**
     * gives up connecting
     */
    signal?: AbortSignal | undefined;
};
/**
 * A condition on a record, such as key("mood").equal("calm").
 */
export type Condition = {
    op: string;
    key?: string | undefined;
    value?: unknown;
    filters?: Condition[] | undefined;
};
/**
 * What differs between Node and a browser.
 */
export type Platform = {
    env: Record<string, string | undefined>;
    random: (n: number) => Uint8Array;
    /**
     * writes to standard output, or standard error
     */
    write: (text: string, error: boolean) => void;
    /**
     * keeps the process alive until what is returned is called
     */
    hold: () => () => void;
    /**
     * sees to the end of the process; module: "coma run" has started it, and ends it by SIGTERM
     */
    attend: (agent: Agent, seat: Seat, module: boolean) => void;
    /**
     * undoes attend
     */
    leave: (agent: Agent) => void;
    open: (api: string, token: string, ...signals: (AbortSignal | undefined)[]) => Promise<Connection>;
};
/**
 * What a call may be told: signal gives it up, with the signal's reason.
 */
export type CallOptions = {
    signal?: AbortSignal;
};
/**
 * What else a message carries.
 */
export type SendOptions = {
    /**
     * of two messages with one ID that arrive shortly after each other, a host may keep only the first
     */
    id?: string | undefined;
    /**
     * MIME type
     */
    contentType?: string | undefined;
    /**
     * free; traceparent is W3C trace context
     */
    headers?: Record<string, string> | undefined;
    /**
     * where an answer goes, if not to the sender
     */
    replyTo?: string | undefined;
    /**
     * ties an answer to its request
     */
    correlationId?: string | undefined;
    /**
     * after which an answer is of no use
     */
    deadline?: Date | undefined;
    /**
     * gives up sending
     */
    signal?: AbortSignal | undefined;
};
/**
 * One entry of a memory, as it is given.
 */
export type NewRecord = {
    /**
     * unique; made where it is missing
     */
    id?: string | undefined;
    text: string;
    /**
     * made from text where it is missing
     */
    vector?: ArrayLike<number> | undefined;
    /**
     * now, where it is missing
     */
    time?: Date | undefined;
    /**
     * from then on the record is not there any more
     */
    expires?: Date | undefined;
    metadata?: Metadata | undefined;
};
/**
 * One entry of a memory, as it is found.
 */
export type MemoryRecord = {
    id: string;
    text: string;
    /**
     * only with withVectors
     */
    vector?: number[] | undefined;
    time: Date;
    expires?: Date | undefined;
    metadata: Metadata;
};
/**
 * A record that query or retrieve found. distance is cosine distance: 0 is the same direction, 2 the opposite. score is what
 * a retriever went by; 0 from query.
 */
export type Match = MemoryRecord & {
    distance: number;
    score: number;
};
/**
 * What else there is to know of a record.
 */
export type Metadata = Record<string, string | number | boolean>;
/**
 * Narrows the records that a query works on.
 */
export type Narrowing = {
    /**
     * conditions, all of which must hold
     */
    where?: Condition | Condition[] | undefined;
    /**
     * leaves out records before
     */
    since?: Date | undefined;
    /**
     * leaves out records at and after
     */
    until?: Date | undefined;
    /**
     * answers carry the records' vectors
     */
    withVectors?: boolean | undefined;
    signal?: AbortSignal | undefined;
};
/**
 * Narrows the records of get.
 */
export type Selection = Narrowing & {
    oldest?: boolean;
    ids?: string[];
};
/**
 * A rule by which Memory.retrieve chooses records; its formulas and sources are in docs/memory.md.
 */
export type Retriever = Record<string, object>;
/**
 * What distance a retriever reckons with: the squared Euclidean one (default), or Match.distance.
 */
export type Space = "l2" | "cosine";
export type Identity = {
    agent: string;
    module: string;
    generation: number;
};
/**
 * What a Wire tells its owner.
 */
export type Owner = {
    /**
     * the host has told something
     */
    notified: (method: string, params: any) => void;
    /**
     * says what must be said first on a connection
     */
    greet: (peer: Peer, again: boolean) => Promise<void>;
    /**
     * the connection has been made again, and is about to be used
     */
    settled: (peer: Peer) => void;
    /**
     * there will be no connection any more
     */
    ended: (error: Error) => void;
};
/**
 * A WebSocket, as a platform gives it.
 */
export type Connection = {
    /**
     * the host takes, and sends, arrays that mix messages of all kinds
     */
    batching: boolean;
    /**
     * ended is called once, and nothing after it
     */
    listen: (heard: (frame: string) => void, ended: (error: Error) => void) => void;
    send: (frame: string) => void;
    /**
     * resolves when what was sent has left the process; undefined: it has
     */
    flushed: () => Promise<void> | undefined;
    close: (error?: Error) => void;
};
/** @typedef {{agent: string, module: string, generation: number}} Identity */
/**
 * A module's seat at the host.
 *
 * The host pushes messages ahead, up to a window; receive hands out what has arrived. Each receive tells the host, in one
 * notification without an answer, what is finished with: that frees the window, and lets the host know which message is in
 * the module's hand should the module die. When the connection is lost, what was pushed ahead is forgotten here and pushed
 * again by the host; the message in hand stays in hand.
 */
declare class Seat {
    /**
     * @param {Platform} platform
     * @param {string} api
     * @param {string} token
     * @param {Identity} identity
     * @param {boolean} guest
     */
    constructor(platform: Platform, api: string, token: string, identity: Identity, guest: boolean);
    identity: Identity;
    guest: boolean;
    idPrefix: string;
    wire: Wire;
    /** @param {AbortSignal} [signal] */
    open(signal?: AbortSignal): Promise<void>;
    /** What the module has in hand. */
    get busy(): boolean;
    newID(): string;
    /** @param {(AbortSignal | undefined)[]} signals */
    receive(signals: (AbortSignal | undefined)[]): Promise<any>;
    /** @param {(AbortSignal | undefined)[]} signals */
    tryReceive(signals: (AbortSignal | undefined)[]): Promise<any>;
    /**
     * Sends a message, which gets its ID here, so that the host can tell a repetition after a lost connection from a second
     * message.
     * @param {any} message
     * @param {AbortSignal} [signal]
     */
    send(message: any, signal?: AbortSignal): Promise<void>;
    /** @param {string} pattern @param {AbortSignal} [signal] */
    subscribe(pattern: string, signal?: AbortSignal): Promise<void>;
    /** @param {string} pattern @param {AbortSignal} [signal] */
    unsubscribe(pattern: string, signal?: AbortSignal): Promise<void>;
    /** @param {string} method @param {any} params @param {...(AbortSignal | undefined)} signals */
    call(method: string, params: any, ...signals: (AbortSignal | undefined)[]): Promise<any>;
    /** Tells the host something that has no answer. It waits for a host that is away, but not long. @param {string} method @param {any} params */
    tell(method: string, params: any): Promise<void>;
    /** Waits for a host that is away for a short while only. @param {string} outcome */
    close(outcome: string): Promise<void>;
    /** Resolves when what was sent has left the process. */
    flushed(): Promise<void>;
    /** Closes without waiting, in a process that ends now. @param {string} outcome */
    closeNow(outcome: string): void;
    #private;
}
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
declare class Peer {
    /** @param {Connection} connection @param {(method: string, params: any) => void} notified */
    constructor(connection: Connection, notified: (method: string, params: any) => void);
    connection: Connection;
    notified: (method: string, params: any) => void;
    /**
     * Asks the far side. A signal that aborts cancels the call there.
     * @param {string} method
     * @param {any} params
     * @param {...(AbortSignal | undefined)} signals
     * @returns {Promise<any>}
     */
    call(method: string, params: any, ...signals: (AbortSignal | undefined)[]): Promise<any>;
    /** Tells the far side something that has no answer. @param {string} method @param {any} params */
    notify(method: string, params: any): void;
    /** Sends what is queued. */
    flush(): void;
    /** Sends what is queued; what is returned resolves when it has left this process. */
    flushed(): Promise<void> | undefined;
    /** Reads a frame. @param {string} frame */
    read(frame: string): void;
    /** Answers all waiting calls with the loss of the connection. @param {Error} cause */
    fail(cause: Error): void;
    close(): void;
    #private;
}
/**
 * What a Wire tells its owner.
 * @typedef {object} Owner
 * @property {(method: string, params: any) => void} notified the host has told something
 * @property {(peer: Peer, again: boolean) => Promise<void>} greet says what must be said first on a connection
 * @property {(peer: Peer) => void} settled the connection has been made again, and is about to be used
 * @property {(error: Error) => void} ended there will be no connection any more
 */
/**
 * A connection to the host that outlives the host's restarts: when it is lost it is made again, and what had no answer is
 * asked again. All methods are safe to repeat but send, which says "resent".
 */
declare class Wire {
    /** @param {Platform} platform @param {string} api @param {string} token @param {Owner} owner */
    constructor(platform: Platform, api: string, token: string, owner: Owner);
    /** @type {Peer | undefined} */ peer: Peer | undefined;
    platform: Platform;
    api: string;
    token: string;
    owner: Owner;
    /** Makes the first connection, and keeps it up until close. @param {AbortSignal} [signal] */
    connect(signal?: AbortSignal): Promise<void>;
    close(): void;
    /** Keeps the process alive, where it would end for want of anything to do, until what is returned is called. */
    hold(): () => void;
    /** @param {...(AbortSignal | undefined)} signals @returns {Promise<Peer>} the connection, waiting while there is none */
    current(...signals: (AbortSignal | undefined)[]): Promise<Peer>;
    /**
     * Asks the host, again after each lost connection.
     * @param {string} method
     * @param {any} params
     * @param {...(AbortSignal | undefined)} signals
     * @returns {Promise<any>}
     */
    call(method: string, params: any, ...signals: (AbortSignal | undefined)[]): Promise<any>;
    #private;
}
export {};

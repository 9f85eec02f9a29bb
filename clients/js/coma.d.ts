// The types of coma.js, whose comments say what everything does. Durations are in milliseconds.

export interface ConnectOptions {
  api?: string;
  token?: string;
  agent?: string;
  module?: string;
  generation?: number;
  guest?: boolean;
  signal?: AbortSignal;
}

export function connect(options?: ConnectOptions): Promise<Agent>;

export interface CallOptions {
  signal?: AbortSignal;
}

export interface SendOptions extends CallOptions {
  id?: string;
  contentType?: string;
  headers?: Record<string, string>;
  replyTo?: string;
  correlationId?: string;
  deadline?: Date;
}

type LogLine = (text: string, attrs?: Record<string, unknown>) => Promise<void>;

export class Agent implements AsyncIterable<Message> {
  private constructor();
  readonly name: string;
  readonly module: string;
  readonly generation: number;
  readonly memory: Memory;
  readonly logger: Readonly<{ debug: LogLine; info: LogLine; warn: LogLine; error: LogLine }>;
  readonly signal: AbortSignal;

  send(to: string, text: string | Uint8Array, options?: SendOptions): Promise<void>;
  sendJSON(to: string, value: unknown, options?: SendOptions): Promise<void>;
  receive(options?: CallOptions & { timeout?: number }): Promise<Message>;
  tryReceive(options?: CallOptions): Promise<Message | null>;
  [Symbol.asyncIterator](): AsyncGenerator<Message, void, void>;
  pending(options?: CallOptions): Promise<number>;

  publish(topic: string, text: string | Uint8Array, options?: CallOptions): Promise<void>;
  publishRetained(topic: string, text: string | Uint8Array, options?: CallOptions): Promise<void>;
  subscribe(pattern: string, options?: CallOptions): Promise<void>;
  unsubscribe(pattern: string, options?: CallOptions): Promise<void>;

  print(...args: unknown[]): Promise<void>;
  input(prompt?: string, options?: CallOptions): Promise<string>;
  log(...args: unknown[]): Promise<void>;
  keep(key: string, value: unknown, options?: CallOptions): Promise<void>;
  kept(key: string, options?: CallOptions): Promise<any>;
  every(interval: number, f: () => unknown, options?: CallOptions): Promise<never>;

  close(outcome?: "finished" | "stopped" | "died"): Promise<void>;
  stop(): void;
}

export class Message {
  private constructor();
  id: string;
  from: string;
  to: string;
  topic: string;
  text: string;
  time: Date;
  contentType: string;
  headers: Record<string, string>;
  replyTo: string;
  correlationId: string;
  deadline: Date | undefined;
  deaths: number;
  get bytes(): Uint8Array;
  get age(): number;
  json(): any;
}

export type Metadata = Record<string, string | number | boolean>;

export interface NewRecord {
  id?: string;
  text: string;
  vector?: ArrayLike<number>;
  time?: Date;
  expires?: Date;
  metadata?: Metadata;
}

export interface MemoryRecord {
  id: string;
  text: string;
  vector?: number[];
  time: Date;
  expires?: Date;
  metadata: Metadata;
}

export interface Match extends MemoryRecord {
  distance: number;
  score: number;
}

export interface Narrowing extends CallOptions {
  where?: Condition | Condition[];
  since?: Date;
  until?: Date;
  withVectors?: boolean;
}

export interface Selection extends Narrowing {
  oldest?: boolean;
  ids?: string[];
}

type Change = Partial<NewRecord> & { id: string };

export class Memory {
  private constructor();
  add(text: string, metadata?: Metadata, options?: CallOptions & { ttl?: number }): Promise<string>;
  addRecords(records: NewRecord[], options?: CallOptions): Promise<string[]>;
  get(limit?: number, options?: Selection): Promise<MemoryRecord[]>;
  query(text: string, k?: number, options?: Narrowing): Promise<Match[]>;
  queryVector(vector: ArrayLike<number>, k?: number, options?: Narrowing): Promise<Match[]>;
  retrieve(retriever: Retriever, text: string, k?: number, options?: Narrowing): Promise<Match[]>;
  retrieveVector(retriever: Retriever, vector: ArrayLike<number>, k?: number, options?: Narrowing): Promise<Match[]>;
  update(records: Change | Change[], options?: CallOptions): Promise<void>;
  delete(options: CallOptions & { ids?: string[]; where?: Condition | Condition[] }): Promise<number>;
  count(where?: Condition | Condition[], options?: CallOptions): Promise<number>;
  clear(options?: CallOptions): Promise<number>;
}

type Scalar = string | number | boolean;

export interface Condition {
  op: string;
  key?: string;
  value?: unknown;
  filters?: Condition[];
}

export function key(name: string): {
  equal(value: Scalar): Condition;
  notEqual(value: Scalar): Condition;
  greater(value: number): Condition;
  atLeast(value: number): Condition;
  less(value: number): Condition;
  atMost(value: number): Condition;
  in(...values: Scalar[]): Condition;
  notIn(...values: Scalar[]): Condition;
};
export function contains(part: string): Condition;
export function notContains(part: string): Condition;
export function matches(pattern: string): Condition;
export function notMatches(pattern: string): Condition;
export function all(...conditions: Condition[]): Condition;
export function any(...conditions: Condition[]): Condition;

export type Retriever = Record<string, object>;
export type Space = "l2" | "cosine";

export function latest(): Retriever;
export function oldest(): Retriever;
export function timeWeighted(options?: { decay?: number; now?: Date; all?: boolean; space?: Space }): Retriever;
export function alphaBeta(options?: { alpha?: number; beta?: number; pi?: number; seed?: number; all?: boolean; space?: Space }): Retriever;
export function marginalRelevance(options?: { halfLife?: number; importance?: string; lambda?: number; now?: Date }): Retriever;

export class ComaError extends Error {
  readonly code: number;
}
export class NoInput extends ComaError {}
export class NotFound extends ComaError {}
export class Unknown extends ComaError {}
export class Invalid extends ComaError {}
export class TooLarge extends ComaError {}
export class Replaced extends ComaError {}
export class Closed extends ComaError {}
export class Unauthorized extends ComaError {}
export class InUse extends ComaError {}
export class Stopped extends ComaError {}

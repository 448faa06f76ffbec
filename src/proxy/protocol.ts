/**
 * Between the proxy's loop, which moves bytes and knows no protocol, and the protocols, which know no sockets.
 *
 *     client ⇄ loop ⇄ Session (one a connection) ⇄ loop ⇄ server
 *
 * Calls come from one thread, one after the other. A session may call its wire within any of its own calls.
 */
import type { FlowL7 } from '../model/flow.ts';

export type Side = 'client' | 'server';

/** What holds for a connection now: the sets of its two ends' policies, compiled by the protocol. Each of them must agree. */
export interface Layers<Compiled> {
  readonly egress?: Compiled;
  readonly ingress?: Compiled;
}

export interface Session {
  /**
   * What the peer has sent: data[start, end), valid during the call only; all of it is taken. Called again only after the loop has
   * found room on the other side, so a session need not count what it hands on.
   */
  data(from: Side, data: Buffer, start: number, end: number): void;
  /** The peer has sent all that it will (FIN). */
  ended(from: Side): void;
  /** The connection to the server could not be made, or broke: `code` as "ECONNREFUSED". The client is still there. */
  serverFailed(code: string): void;
  /** The time of `wire.wake` has come. */
  timeout(): void;
  /** Gone on either side, or given up: release what is held. Nothing is called after it. */
  closed(): void;
  /** The process is to end, and another takes its place. Called again and again. */
  drain?(stage: DrainStage): void;
  /** It is also called by streams of Node, not by the wire alone. */
  readonly usesStreams?: boolean;
  /** Between two exchanges: nothing would be lost if the process handed the two sockets on now. */
  readonly idle: boolean;
}

/**
 * How a connection of a process that ends goes: `rest`: it is handed on when it rests, and who never rests (HTTP/2) asks its client to
 * come again; `end`: it cannot be handed on, so it ends with an exchange whose client is told; `close`: now, if nothing is going on.
 */
export type DrainStage = 'rest' | 'end' | 'close';

export interface Wire<Compiled> {
  /** Changes with the policy: ask at each request. Cheap. Empty when policy asks for nothing any more: all passes. */
  layers(): Layers<Compiled>;
  /** Written at once where the socket takes it, else kept (copied) and written later. The first bytes for the server open the connection to it. */
  send(to: Side, data: Buffer, start: number, end: number): void;
  /** No more to this side, once all of it is written (FIN). */
  end(to: Side): void;
  /** Both sides, at once (RST) or once all is written. */
  close(at: 'once' | 'written'): void;
  /** From now on all bytes pass both ways without the session, spliced. What came with the current call and was not sent is the session's to send first. */
  passAll(): void;
  /** The next `bytes` of this side pass to the other without the session, spliced; they begin after those of the current call. */
  pass(from: Side, bytes: number): void;
  /** Stops reading from this side, or goes on. */
  pause(from: Side, on: boolean): void;
  /** One timer a connection: `timeout()` after that many milliseconds; 0 stops it. Coarse (100 ms). */
  wake(ms: number): void;
  /** CLOCK_MONOTONIC in microseconds, as of now. */
  now(): number;
  /** Tells of a request or an answer: which end's policy judged it, and which rule decided (0: the rule of the connection). */
  record(record: SessionRecord): void;
  /** The same of a request of HTTP and of its answer, which are many: each end that judged it has an opinion. */
  request(facts: HttpFacts, opinions: readonly HttpOpinion[]): void;
  answer(facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void;
}

/** What is told of a request, of at most 255 characters of method: texts as the wire has them, a character for a byte. */
export interface HttpFacts {
  readonly method: string;
  /** Its URL is `origin` and `path`, one behind the other. */
  readonly origin: string;
  readonly path: string;
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  readonly traceId?: string | undefined;
  /** When it came and when it was answered, as of `Wire.now`. Fields, since a number that is no small integer costs an object when it is handed on. */
  askedUs: number;
  answeredUs: number;
  /** Where it has been told, so that its answer can be told in few words: nobody's business but that of who tells. */
  toldFrame: number;
  toldAt: number;
  toldOpinions: readonly HttpOpinion[] | undefined;
}

/** What one end said. */
export interface HttpOpinion {
  readonly direction: 'EGRESS' | 'INGRESS';
  readonly passes: boolean;
  readonly rule: number;
}

/** One request or one answer, for flows. The loop adds addresses, identities and the time. */
export interface SessionRecord {
  readonly verdict: 'FORWARDED' | 'DROPPED' | 'ERROR';
  readonly direction: 'EGRESS' | 'INGRESS';
  readonly rule: number;
  readonly l7: FlowL7;
  /** From the W3C `traceparent` header. */
  readonly traceId?: string;
}

export interface Protocol<Set, Compiled> {
  /** A set in the form that decides quickly; kept by the loop for as long as some connection has it. */
  compile(set: Set): Compiled;
  /** `clientEndpoint`: local id of the client's pod; 0 when it is not on this node. */
  open(wire: Wire<Compiled>, clientEndpoint?: number): Session;
}

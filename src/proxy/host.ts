import type { ProxyConnection } from '../datapath/generated/structs.ts';
import type { SocketAddress } from '../sys/net.ts';
import type { Connection } from './connection.ts';
import type { Loop } from './loop.ts';
import type { HttpFacts, HttpOpinion, Layers, Protocol, SessionRecord } from './protocol.ts';

/** What a connection needs of the worker that carries it. */
export interface Host {
  readonly loop: Loop;
  readonly times: Times;
  /** Of policy; compared with a connection's at each of its events. */
  readonly generation: number;
  /** Begins to connect to the server under the client's address. Throws. */
  connect(connection: Connection): number;
  /** Looks at what is in force for it; false when it may not go on. */
  review(connection: Connection): boolean;
  record(connection: Connection, record: SessionRecord): void;
  request(connection: Connection, facts: HttpFacts, opinions: readonly HttpOpinion[]): void;
  answer(connection: Connection, facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void;
  /** A session threw: its connection is cut off. */
  failed(connection: Connection, error: unknown): void;
  /** Idle connections are to go to another process: `idle` is told of them. */
  readonly draining: boolean;
  idle(connection: Connection): void;
  /** It is about to be closed, or (`handed`) goes on elsewhere. */
  gone(connection: Connection, handed: boolean): void;
}

export interface Times {
  readonly connectMs: number;
  /** After so long a server of this node is tried again from another port. */
  readonly attemptMs: number;
  /** Neither side has said anything. */
  readonly idleMs: number;
  /** A closed connection's last bytes must be taken within this. */
  readonly lingerMs: number;
}

/** Connections to a server of this node are tried so often, each time from another port. */
export const attemptsOfLocal = 3;

/** Of whom it is, and what holds for it. */
export interface Admission {
  readonly client: SocketAddress;
  readonly server: SocketAddress;
  readonly protocol: Protocol<unknown, unknown>;
  /** A session has decided that all of it passes, in another process: this one opens none. */
  readonly passes?: boolean;
  row: ProxyConnection;
  layers: Layers<unknown>;
  /** How records name its ends while the row is this one, and where they have done so last. */
  told?: { readonly row: ProxyConnection; readonly bytes: Uint8Array; frame: number; at: number };
}

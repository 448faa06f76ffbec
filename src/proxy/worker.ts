import type { ProxyConnection, ProxyConnectionKey } from '../datapath/generated/structs.ts';
import type { Logger } from '../std/log.ts';
import { errorText } from '../std/errors.ts';
import { accept, acceptedFrom, closeByReset, ownAddress, peerAddress, type SocketAddress } from '../sys/net.ts';
import { errno, setKeepIdle } from '../sys/streams.ts';
import { readiness } from '../sys/epoll.ts';
import { openFd, type Fd } from '../sys/file.ts';
import { monotonicMicroseconds } from './clock.ts';
import { Connection } from './connection.ts';
import type { Admission, Host, Times } from './host.ts';
import type { Loop, Watched } from './loop.ts';
import type { HttpFacts, HttpOpinion, SessionRecord } from './protocol.ts';
import type { Sets } from './sets.ts';
import type { Timed } from './wheel.ts';

/** What the kernel knows of the connections that it gives to the proxy. */
export interface Rows {
  /** Of policy, now. Asked once a turn of the loop. */
  generation(): number;
  lookup(key: ProxyConnectionKey): ProxyConnection | undefined;
  /** Its connection has ended. */
  delete(key: ProxyConnectionKey): void;
}

export interface WorkerOptions {
  readonly times: Times;
  readonly maxConnections: number;
}

export interface WorkerDependencies {
  readonly loop: Loop;
  readonly rows: Rows;
  readonly sets: Sets;
  readonly records: Records;
  /** Begins to connect to the server. Throws KernelError. */
  readonly connect: (about: Admission) => number;
  readonly log: Logger;
}

export interface Records {
  /** Nobody need wait for it; what there is no room for is counted. */
  add(about: Admission, record: SessionRecord, timeUs: number): void;
  /** As `Wire.request` and `Wire.answer`. */
  request(about: Admission, facts: HttpFacts, opinions: readonly HttpOpinion[]): void;
  answer(about: Admission, facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void;
}

/** Why connections were not taken, or ended by the proxy. */
export const refusals = ['unknown', 'revoked', 'set', 'limit', 'descriptors', 'session'] as const;
export type Refusal = (typeof refusals)[number];

export interface WorkerCounts {
  accepted: number;
  handedOver: number;
  takenOver: number;
  requests: number;
  denied: number;
  readonly refused: Record<Refusal, number>;
}

/** PROXY_REVOKED of bpf/lib/proxy.h. */
const REVOKED = 1;
const acceptsPerEvent = 64;
const askedSeconds = 1;
const silentSeconds = 60;
const sweepTicks = 3;
const sweepRounds = 12;
/** However often policy changes, nobody is asked more often. */
const askTicks = 20;

/** One loop's connections: takes them from the listening sockets, asks the kernel what they are, and keeps to what policy says of them. */
export class Worker implements Host, Timed {
  readonly loop: Loop;
  readonly times: Times;
  readonly connections: Connection[] = [];
  readonly counts: WorkerCounts = { accepted: 0, handedOver: 0, takenOver: 0, requests: 0, denied: 0, refused: { unknown: 0, revoked: 0, set: 0, limit: 0, descriptors: 0, session: 0 } };
  generation = 0;
  wheelTick = 0;
  wheelPrevious: Timed | undefined;
  wheelNext: Timed | undefined;
  draining = false;
  /** Told of each connection that ends, and while it drains of those that are idle. */
  onGone: (connection: Connection) => void = () => {};
  onIdle: (connection: Connection) => void = () => {};
  readonly #options: WorkerOptions;
  readonly #deps: WorkerDependencies;
  readonly #listeners = new Map<number, number>();
  /**
   * The last one that ended. V8 forgets shapes of which there is no object, and with them the code that it has compiled for them: after a pause
   * the first who came would be served by an interpreter.
   */
  #kept: Connection | undefined;
  /** Given up for a moment to take and refuse a connection when there is no descriptor left. */
  #reserve: Fd | undefined;
  #sweepsLeft = 0;
  /** Clients are to be asked, and not before this tick. */
  #mustAsk = false;
  #nextAsk = 0;

  constructor(options: WorkerOptions, dependencies: WorkerDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.loop = dependencies.loop;
    this.times = options.times;
    this.#reserve = openFd('/dev/null');
    this.loop.onTurn = () => this.#look();
    this.#look();
  }

  /** Accepts from a listening socket, which stays its owner's. */
  listen(fd: number): void {
    const listener: Watched = { ready: () => this.#acceptSome(fd) };
    this.#listeners.set(fd, this.loop.watch(listener, fd, readiness.in));
  }

  /** Leaves the listening sockets to others. */
  stopListening(): void {
    for (const [fd, token] of this.#listeners) {
      this.loop.epoll.remove(fd);
      this.loop.unwatch(token);
    }
    this.#listeners.clear();
  }

  /** Goes on with a connection of another process, or with one that was just accepted. False when it was refused. */
  take(client: number, server: number | undefined, passing = false, from = peerAddress(client)): boolean {
    const to = ownAddress(client);
    const about = from && to ? this.#admit(from, to, passing) : this.#refuse('unknown');
    if (!about) {
      closeByReset(client);
      if (server !== undefined) closeByReset(server);
      return false;
    }
    if (server !== undefined) this.counts.takenOver++;
    const connection = new Connection(this, about, client, server);
    if (connection.index === gone) return true;
    connection.index = this.connections.length;
    this.connections.push(connection);
    return true;
  }

  connect(connection: Connection): number {
    return this.#deps.connect(connection.about);
  }

  review(connection: Connection): boolean {
    const { about } = connection;
    const row = this.#deps.rows.lookup(rowKey(about));
    if (!row) return this.#refuse('unknown') !== undefined;
    if ((row.flags & REVOKED) !== 0) return this.#refuse('revoked') !== undefined;
    const changed = row.egressL7 !== about.row.egressL7 || row.ingressL7 !== about.row.ingressL7;
    about.row = row;
    if (!changed) return true;
    const resolved = this.#deps.sets.resolve(row.egressL7, row.ingressL7);
    if ('fault' in resolved) return this.#tellFault(about, resolved.fault, resolved.direction);
    const asks = resolved.layers.egress !== undefined || resolved.layers.ingress !== undefined;
    if (asks && resolved.protocol !== about.protocol) return this.#tellFault(about, 'policy asks for another protocol than before', 'INGRESS');
    about.layers = resolved.layers;
    return true;
  }

  record(connection: Connection, record: SessionRecord): void {
    if (record.l7.type === 'REQUEST') this.counts.requests++;
    if (record.verdict === 'DROPPED') this.counts.denied++;
    this.#deps.records.add(connection.about, record, connection.now());
  }

  request(connection: Connection, facts: HttpFacts, opinions: readonly HttpOpinion[]): void {
    const { counts } = this;
    for (let i = 0; i < opinions.length; i++) {
      counts.requests++;
      if (!opinions[i]!.passes) counts.denied++;
    }
    this.#deps.records.request(connection.about, facts, opinions);
  }

  answer(connection: Connection, facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void {
    this.#deps.records.answer(connection.about, facts, opinions, status);
  }

  idle(connection: Connection): void {
    this.onIdle(connection);
  }

  failed(connection: Connection, error: unknown): void {
    // The first ones in full: what a client can bring about, it can bring about often.
    if (this.counts.refused.session++ < 20) {
      this.#deps.log.error('a session failed: its connection was cut off', { error: errorText(error), stack: error instanceof Error ? error.stack : undefined, server: connection.about.server.port });
    }
  }

  gone(connection: Connection, handed: boolean): void {
    const last = this.connections.at(-1);
    if (connection.index >= 0 && last) {
      this.connections[connection.index] = last;
      last.index = connection.index;
      this.connections.pop();
    }
    connection.index = gone;
    this.#kept = connection;
    if (handed) this.counts.handedOver++;
    else this.#deps.rows.delete(rowKey(connection.about));
    this.onGone(connection);
  }

  /**
   * After a change of policy: a connection that says nothing has the row of its last packet. So its client is asked whether it is
   * there, which it answers with a packet, which is judged; and the row is looked at again.
   */
  tick(now: number): number {
    const { connections, generation } = this;
    const asks = this.#mustAsk && now >= this.#nextAsk;
    if (asks) {
      this.#mustAsk = false;
      this.#nextAsk = now + askTicks;
    }
    const last = !this.#mustAsk && --this.#sweepsLeft <= 0;
    let stale = 0;
    for (let i = connections.length - 1; i >= 0; i--) {
      const connection = connections[i];
      connection?.review();
      if (!connection || connection.index < 0) continue;
      const current = connection.about.row.generation === generation;
      if (!current) stale++;
      if (!current && asks) this.#ask(connection, true);
      else if (connection.asked && (current || last)) this.#ask(connection, false);
    }
    return stale > 0 && !last ? now + sweepTicks : 0;
  }

  #ask(connection: Connection, on: boolean): void {
    connection.asked = on;
    setKeepIdle(connection.client.fd, on ? askedSeconds : silentSeconds);
  }

  /** The numbers of all sets that connections have. */
  setsInUse(): Set<number> {
    const numbers = new Set<number>();
    for (const { about: { row } } of this.connections) numbers.add(row.egressL7).add(row.ingressL7);
    return numbers;
  }

  /** Cuts off all that is left. */
  close(): void {
    this.stopListening();
    for (const connection of [...this.connections]) connection.close('once');
    this.#reserve?.close();
  }

  #look(): void {
    const generation = this.#deps.rows.generation();
    if (generation === this.generation) return;
    this.generation = generation;
    this.#sweepsLeft = sweepRounds;
    this.#mustAsk = true;
    this.loop.wheel.arm(this, this.loop.wheel.now + 1);
  }

  #acceptSome(listener: number): void {
    for (let i = 0; i < acceptsPerEvent; i++) {
      const fd = accept(listener);
      if (fd === -errno.tooManyFiles || fd === -errno.tooManyFilesAtAll) return this.#refuseWithoutDescriptor(listener);
      if (fd < 0) return;
      if (this.connections.length >= this.#options.maxConnections) {
        closeByReset(fd);
        this.#refuse('limit');
        continue;
      }
      this.counts.accepted++;
      this.take(fd, undefined, false, acceptedFrom());
    }
  }

  /** One that waits forever would be asked about forever: with the reserve's descriptor it is taken, and reset. */
  #refuseWithoutDescriptor(listener: number): void {
    this.#refuse('descriptors');
    this.#reserve?.close();
    const fd = accept(listener);
    if (fd >= 0) closeByReset(fd);
    try {
      this.#reserve = openFd('/dev/null');
    } catch {
      this.#reserve = undefined;
    }
  }

  #admit(client: SocketAddress, server: SocketAddress, passing: boolean): Admission | undefined {
    const row = this.#deps.rows.lookup({ client: client.addr, server: server.addr, clientPort: client.port, serverPort: server.port });
    if (!row) return this.#refuse('unknown');
    if ((row.flags & REVOKED) !== 0) return this.#refuse('revoked');
    const resolved = this.#deps.sets.resolve(row.egressL7, row.ingressL7);
    const about = { client, server, row, passes: passing, protocol: 'fault' in resolved ? undefined : resolved.protocol, layers: 'fault' in resolved ? {} : resolved.layers };
    if ('fault' in resolved) return this.#tellFault(about, resolved.fault, resolved.direction) ? undefined : undefined;
    return about as Admission;
  }

  #refuse(why: Refusal): undefined {
    this.counts.refused[why]++;
    return undefined;
  }

  #tellFault(about: Omit<Admission, 'protocol'>, fault: string, direction: 'EGRESS' | 'INGRESS'): false {
    if (this.counts.refused.set++ < 20) this.#deps.log.warn('a connection was refused', { fault, port: about.server.port });
    const rule = direction === 'EGRESS' ? about.row.egressRule : about.row.ingressRule;
    this.#deps.records.add(about as Admission, { verdict: 'ERROR', direction, rule, l7: { type: 'UNKNOWN_L7_TYPE' } }, monotonicMicroseconds());
    return false;
  }
}

/** The place in the list of a connection that has ended. */
const gone = -2;

function rowKey({ client, server }: Pick<Admission, 'client' | 'server'>): ProxyConnectionKey {
  return { client: client.addr, server: server.addr, clientPort: client.port, serverPort: server.port };
}

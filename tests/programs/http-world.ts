/**
 * A client, a server and a box between them, over four lines that lose, repeat and reorder as a seed wants:
 *
 *     client ──before──▶ box ──behind──▶ server          one packet is moved a step; when none is on its way, both timers ring
 *     client ◀──before── box ◀──behind── server
 *
 * All of it is looked at by the model of one connection (tests/differential/http-connection-model.ts).
 */
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { HttpConnectionModel } from '../differential/http-connection-model.ts';
import { Random } from '../differential/random.ts';
import { HttpServerApp } from './http-server-app.ts';
import type { ServerHabits } from './http-server-app.ts';
import { TcpEnd } from './tcp-end.ts';
import { shown, tcpFlag } from './tcp-segment.ts';
import type { Segment } from './tcp-segment.ts';

/** What came out of a box for one packet that went in. */
export interface Passed {
  readonly toServer: readonly Segment[];
  readonly toClient: readonly Segment[];
}

export interface Box {
  fromClient(s: Segment): Passed;
  fromServer(s: Segment): Passed;
}

export interface WorldOptions {
  readonly seed: number;
  readonly box: Box;
  readonly matcher: HttpMatcher;
  /** What the client writes, one after the other: at random moments, or when nothing else moves. */
  readonly writes: readonly Buffer[];
  readonly habits?: ServerHabits;
  /** Of packets that are lost, come twice, or overtake; 0 in a quiet network. Between box and server as many are lost, unless said. */
  readonly loss?: number;
  readonly lossBehind?: number;
  readonly repeats?: number;
  readonly reorders?: number;
  /** How soon the client writes on, without waiting for answers. */
  readonly haste?: number;
  readonly isns?: readonly [client: number, server: number];
  readonly timestamps?: boolean;
  readonly sack?: boolean;
  /** What somebody else does to a packet of the client's before it reaches the box: more packets, other ones. Then the client counts as dishonest. */
  readonly attack?: (s: Segment, random: Random) => readonly Segment[];
  readonly ends?: boolean;
}

type Line = 'clientToBox' | 'boxToServer' | 'serverToBox' | 'boxToClient';
const lines: readonly Line[] = ['clientToBox', 'boxToServer', 'serverToBox', 'boxToClient'];
const quietRounds = 40;
const mostSteps = 20_000;

export class HttpWorld {
  readonly model: HttpConnectionModel;
  readonly client: TcpEnd;
  readonly server: TcpEnd;
  readonly app: HttpServerApp;
  readonly random: Random;
  readonly log: string[] = [];
  packets = 0;
  readonly #o: WorldOptions;
  readonly #queues: Record<Line, Segment[]> = { clientToBox: [], boxToServer: [], serverToBox: [], boxToClient: [] };
  readonly #writes: Buffer[];

  constructor(o: WorldOptions) {
    this.#o = o;
    this.random = new Random(o.seed);
    this.#writes = [...o.writes];
    const { random } = this;
    const end = (isn: number) => new TcpEnd({
      random, isn: isn >>> 0, mss: random.pick([17, 100, 536, 1460]), window: random.pick([65_535, 65_535, 3000]), timestamps: o.timestamps ?? random.chance(0.5), sack: o.sack ?? random.chance(0.5), clock: random.pick([1, 1000, 0x7ffffff0, 0xfffffff0]),
    });
    const isns = o.isns ?? [random.pick([1, 0xffffffff - random.integer(0, 400), random.seed()]), random.pick([1, 0xffffffff - random.integer(0, 400), random.seed()])];
    this.client = end(isns[0]);
    this.server = end(isns[1]);
    this.model = new HttpConnectionModel({ matcher: o.matcher, honest: o.attack === undefined });
    this.app = new HttpServerApp(this.server, this.model, random, o.habits ?? {});
  }

  /** Until nothing moves any more; gives the faults that the model found. */
  run(): readonly string[] {
    this.#send('clientToBox', this.client.open());
    let steps = 0, quiet = 0;
    let before = '';
    for (; steps < mostSteps && quiet < quietRounds; steps++) {
      const busy = lines.filter(line => this.#queues[line].length > 0);
      if (busy.length > 0) {
        this.#move(this.random.pick(busy), steps);
        if (this.random.chance(this.#o.haste ?? 0.05)) this.#writeOn();
        if (this.random.chance(0.3)) this.app.act(false);
      } else {
        this.app.act(true);
        const progress = `${this.client.progress} ${this.server.progress} ${this.#writes.length}`;
        if (progress === before) {
          quiet++;
          if (quiet > 4) this.#writeOn();
          for (const s of this.client.ring()) this.#send('clientToBox', s);
          for (const s of this.server.ring()) this.#send('serverToBox', s);
        } else quiet = 0;
        before = progress;
      }
      this.#poll();
    }
    const waits = steps === mostSteps ? `it goes on after ${mostSteps} steps` : this.#waits();
    this.model.finish({ ...(this.#o.attack === undefined && { written: Buffer.concat(this.#o.writes), waits }) });
    return [...this.app.faults, ...this.model.faults];
  }

  #waits(): string | undefined {
    if (this.client.state === 'reset') return undefined;
    const ended = this.client.peerEnded;
    if (!this.client.flushed && !ended) return `the client still has bytes that nobody acknowledges: ${this.client.progress}, server ${this.server.progress}`;
    if (this.server.state !== 'reset' && !this.server.flushed) return `the server still has bytes that nobody acknowledges: ${this.server.progress}, client ${this.client.progress}`;
    return this.#writes.length > 0 && !ended ? `the client has ${this.#writes.length} writes left` : undefined;
  }

  #writeOn(): void {
    const next = this.#writes.shift();
    if (next !== undefined) this.client.write(next);
    else if (this.#o.ends ?? true) this.client.end();
  }

  #poll(): void {
    for (const s of this.client.poll()) this.#send('clientToBox', s);
    for (const s of this.server.poll()) this.#send('serverToBox', s);
  }

  #send(line: 'clientToBox' | 'serverToBox', s: Segment): void {
    if (line === 'serverToBox') {
      this.model.serverSent(s);
      this.#queues.serverToBox.push(s);
      return;
    }
    for (const out of this.#o.attack ? this.#o.attack(s, this.random) : [s]) {
      this.model.clientSent(out);
      this.#queues.clientToBox.push(out);
    }
  }

  #move(line: Line, step: number): void {
    const queue = this.#queues[line];
    const { random } = this;
    // A network that loses for ever delivers nothing: it grows calm.
    const calm = step > 3000 ? 0 : 1;
    const [s] = queue.splice(random.chance((this.#o.reorders ?? 0) * calm) ? random.integer(0, Math.min(queue.length - 1, 4)) : 0, 1) as [Segment];
    if (random.chance((this.#o.repeats ?? 0) * calm)) queue.push(s);
    const { loss = 0, lossBehind = loss } = this.#o;
    if (random.chance((line === 'boxToServer' || line === 'serverToBox' ? lossBehind : loss) * calm)) return this.#note(line, s, 'lost');
    // A SYN that comes long after its connection would open another one: that is an attack, and made there.
    if (line === 'clientToBox' && s.flags & tcpFlag.syn && this.client.state !== 'syn-sent' && !this.#o.attack) return;
    this.#note(line, s, '');
    this.packets++;
    if (line === 'boxToServer') return this.server.receive(s);
    if (line === 'boxToClient') return this.client.receive(s);
    const passed = line === 'clientToBox' ? this.#o.box.fromClient(s) : this.#o.box.fromServer(s);
    for (const out of passed.toServer) {
      this.model.serverGot(out);
      this.#queues.boxToServer.push(out);
      this.#note('boxToServer', out, 'from the box');
    }
    for (const out of passed.toClient) {
      this.model.clientGot(out);
      this.#queues.boxToClient.push(out);
      this.#note('boxToClient', out, 'from the box');
    }
  }

  #note(line: string, s: Segment, how: string): void {
    if (this.log.length < 5000) this.log.push(`${line} ${how} ${shown(s)}`);
  }
}

/** A box that lets all pass. */
export const openBox: Box = {
  fromClient: s => ({ toServer: [s], toClient: [] }),
  fromServer: s => ({ toServer: [], toClient: [s] }),
};


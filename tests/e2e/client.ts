import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Origin } from '../../src/cli/probe/helper.ts';
import { toolEnv } from '../../src/cluster/outside.ts';

/** refused: a reset or an ICMP port unreachable; reset, closed, aborted: of a connection that was there. */
export type Outcome = 'answered' | 'refused' | 'reset' | 'closed' | 'aborted' | 'silent' | 'unreachable' | 'too-big';

/** What the echo server says of whom it saw (native/echo.c). */
export interface Served {
  readonly pod: string;
  readonly namespace: string;
  readonly node: string;
  readonly peer: string;
  readonly peerPort: number;
  readonly local: string;
  readonly localPort: number;
}

export interface Answer {
  readonly outcome: Outcome;
  readonly served?: Served;
  /** Of HTTP. */
  readonly status?: number;
  /** The far end as this socket sees it (getpeername, or the datagram's source). */
  readonly remote?: string;
  readonly remotePort?: number;
  readonly ownPort?: number;
  /** Of the body. */
  readonly bytes?: number;
  readonly ms?: number;
}

/** How many connections each pod served, and how the others ended. */
export interface Report {
  readonly served: Readonly<Record<string, number>>;
  readonly failed: Readonly<Record<string, number>>;
}

export interface Request {
  readonly to: string;
  readonly port: number;
  readonly protocol?: 'TCP' | 'UDP';
  readonly from?: string;
  readonly ownPort?: number;
  readonly path?: string;
  readonly timeoutMs: number;
}

export interface Datagrams extends Request {
  readonly connected?: boolean;
  readonly bytes?: number;
}

export type Order =
  | ({ readonly id: number; readonly op: 'request' | 'open' } & Request)
  | ({ readonly id: number; readonly op: 'exchange' | 'bind' } & Datagrams)
  | ({ readonly id: number; readonly op: 'many'; readonly count: number; readonly concurrency: number } & Request)
  | { readonly id: number; readonly op: 'ask'; readonly of: number; readonly path?: string; readonly timeoutMs: number }
  | { readonly id: number; readonly op: 'close'; readonly of: number };

/** Without an id and an operation. */
type Wish = Omit<Datagrams, 'timeoutMs'> & { readonly timeoutMs?: number };

/** A connection, or a UDP socket, that stays. */
export interface Held {
  readonly first: Answer;
  ask(timeoutMs?: number, path?: string): Promise<Answer>;
  close(): Promise<void>;
}

const patienceMs = 3_000;

/** A client process in a pod's, a node's or the outside's namespace and group; `close` ends it. */
export class Client {
  readonly label: string;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, { readonly resolve: (answer: never) => void; readonly reject: (error: Error) => void }>();
  #nextId = 1;
  #complaint = '';
  #dead: Error | undefined;

  constructor(origin: Origin) {
    this.label = origin.label;
    // The shell moves itself into the group first: what it becomes never had a socket outside of it.
    this.#child = spawn('/bin/sh', [
      '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-client', origin.cgroup,
      'nsenter', `--net=${origin.netns}`, '--', process.execPath, fileURLToPath(new URL('./client-main.ts', import.meta.url)),
    ], { stdio: ['pipe', 'pipe', 'pipe'], env: toolEnv() });
    this.#child.stderr!.on('data', (chunk: Buffer) => (this.#complaint = (this.#complaint + chunk.toString('utf8')).slice(-2000)));
    this.#child.stdin!.on('error', () => {});
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      const { id, answer, error } = JSON.parse(line) as { id: number; answer: never; error?: string };
      const waiting = this.#pending.get(id);
      this.#pending.delete(id);
      if (error !== undefined) waiting?.reject(new Error(`${this.label}: ${error}`));
      else waiting?.resolve(answer);
    });
    this.#child.on('close', code => {
      this.#dead = new Error(`the client in ${this.label} ended (${code}): ${this.#complaint}`);
      for (const { reject } of this.#pending.values()) reject(this.#dead);
      this.#pending.clear();
    });
  }

  request(wish: Wish): Promise<Answer> {
    return wish.protocol === 'UDP' ? this.#order('exchange', { timeoutMs: patienceMs, ...wish }) : this.#order('request', { timeoutMs: patienceMs, ...wish });
  }

  many(wish: Wish, count: number, concurrency = 8): Promise<Report> {
    return this.#order('many', { timeoutMs: patienceMs, ...wish, count, concurrency });
  }

  async hold(wish: Wish): Promise<Held> {
    const id = this.#nextId;
    const first = await this.#order<Answer>(wish.protocol === 'UDP' ? 'bind' : 'open', { timeoutMs: patienceMs, ...wish });
    return {
      first,
      ask: (timeoutMs = patienceMs, path = '/') => this.#order('ask', { of: id, timeoutMs, path }),
      close: () => this.#order('close', { of: id }),
    };
  }

  close(): void {
    this.#child.stdin!.end();
  }

  #order<T>(op: Order['op'], fields: object): Promise<T> {
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      if (this.#dead) return reject(this.#dead);
      this.#pending.set(id, { resolve: resolve as (answer: never) => void, reject });
      this.#child.stdin!.write(`${JSON.stringify({ id, op, ...fields })}\n`);
    });
  }
}

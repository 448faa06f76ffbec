import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { l7Verdicts } from '../../flows/columns.ts';
import type { HttpTaker } from '../../flows/http-taker.ts';
import type { L7Record } from '../../flows/l7-record.ts';
import { frameVersion } from '../../model/l7-frame.ts';
import type { KeptListeners, ProxyHello, ProxyStatus, RecordLine } from '../../model/l7-proxy.ts';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import { closeSocket } from '../../sys/net.ts';
import { openPidfd, takeFd } from '../../sys/process.ts';
import { type UnixPeer, UnixServer } from '../../sys/unix.ts';
import { FrameReader } from './frame.ts';
import { recordOfLine } from './line.ts';
import { cutRecords, type StreamTaker, streamRoomBytes } from './stream.ts';

export interface L7ListenerDependencies {
  /** The pipeline's: takes one record, holds up nobody. */
  readonly take: (record: L7Record) => void;
  /** The pipeline's, where requests and answers that come in frames go. */
  readonly http: () => HttpTaker;
  /** What a client asked for when a service was translated, by the key of service_addresses. */
  readonly service: (key: number) => { readonly ip: string; readonly port: number } | undefined;
  readonly log: Logger;
}

export interface L7Counts {
  received: number;
  forwarded: number;
  denied: number;
  /** Could not be read, or could not be judged. */
  failed: number;
}

/**
 * The agent's end of the proxy's workers: takes what they tell, and keeps their listening sockets, so that these outlive a worker that
 * is killed and go to the next one. They are this process's own duplicates; nothing here accepts from them.
 */
export class L7Listener {
  /** Of workers that are connected, the last that each said of itself. */
  readonly workers = new Map<number, ProxyStatus>();
  /** Records that workers had no room for, or that were not understood. */
  lost = 0;
  notUnderstood = 0;
  /** Requests and answers, by what they were: `http`, `kafka`, `dns`, `other`. */
  readonly counts = new Map<string, L7Counts>();
  readonly #deps: L7ListenerDependencies;
  readonly #kept = new Map<number, readonly number[]>();
  #server: UnixServer | undefined;
  readonly #frames: FrameReader;
  readonly #tell: HttpTaker['tell'] = (record, saying, latencyNs, verdict, traceId) => {
    this.#count('http', l7Verdicts[verdict]!);
    this.#deps.http().tell(record, saying, latencyNs, verdict, traceId);
  };

  constructor(dependencies: L7ListenerDependencies) {
    this.#deps = dependencies;
    this.#frames = new FrameReader(dependencies.service);
  }

  /** Throws KernelError where it cannot. */
  listen(path: string): void {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#server = new UnixServer(path, streamRoomBytes, greet => this.#serve(greet));
  }

  close(): void {
    this.#server?.close();
    for (const fds of this.#kept.values()) fds.forEach(fd => closeSocket(fd));
    this.#kept.clear();
  }

  #serve(greet: (text: string) => void): UnixPeer {
    let worker: number | undefined;
    const taker: StreamTaker = {
      line: text => void (worker = this.#take(text) ?? worker),
      frame: entries => this.#frame(entries),
    };
    greet(JSON.stringify({ pid: process.pid, listeners: Object.fromEntries(this.#kept), frames: frameVersion } satisfies KeptListeners) + '\n');
    return {
      take: bytes => cutRecords(bytes, taker),
      gone: () => void (worker !== undefined && this.workers.delete(worker)),
    };
  }

  /** Returns the worker's number where the line says it. */
  #take(line: string): number | undefined {
    try {
      const value = JSON.parse(line) as RecordLine | ProxyHello | { readonly status: ProxyStatus } | { readonly lost: number };
      if (Array.isArray(value)) this.#record(recordOfLine(value as RecordLine, this.#deps.service));
      else if ('lost' in value) this.lost += value.lost;
      else if ('status' in value) this.workers.set(value.status.worker, value.status);
      else if ('hello' in value) return this.#keep(value.hello), value.hello.worker;
    } catch (error) {
      this.#misunderstood(error);
    }
    return undefined;
  }

  #frame(entries: Buffer): void {
    try {
      this.#frames.read(entries, this.#deps.http().texts, this.#tell);
    } catch (error) {
      this.#misunderstood(error);
    }
  }

  #misunderstood(error: unknown): void {
    if (this.notUnderstood++ < 10) this.#deps.log.warn('something that the proxy told was not understood', { error: errorText(error) });
  }

  #record(record: L7Record): void {
    this.#count(record.l7.http ? 'http' : record.l7.kafka ? 'kafka' : record.l7.dns ? 'dns' : 'other', record.verdict);
    this.#deps.take(record);
  }

  #count(kind: string, verdict: L7Record['verdict']): void {
    let counts = this.counts.get(kind);
    if (!counts) this.counts.set(kind, counts = { received: 0, forwarded: 0, denied: 0, failed: 0 });
    counts.received++;
    counts[verdict === 'DROPPED' ? 'denied' : verdict === 'ERROR' ? 'failed' : 'forwarded']++;
  }

  #keep({ pid, worker, listeners }: ProxyHello['hello']): void {
    using process = openPidfd(pid);
    if (!process) return;
    const fds = listeners.map(fd => takeFd(process, fd));
    this.#kept.get(worker)?.forEach(fd => closeSocket(fd));
    this.#kept.set(worker, fds);
  }
}

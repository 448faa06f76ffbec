import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { toolEnv } from '../../cluster/outside.ts';
import { repositoryRoot } from '../../cluster/root.ts';
import { CirriError } from '../../std/errors.ts';
import type { Origin } from '../probe/helper.ts';
import type { End } from '../probe/protocol.ts';

export type PeerProtocol = 'tcp' | 'udp' | 'sctp' | 'icmp';

/** How a probe ended, as its own end saw it: a drop looks like silence. */
export interface PeerResult {
  /** `http-403`: the request was answered so. */
  readonly outcome: 'allow' | 'refused' | 'unreachable' | 'silent' | 'http-403';
  readonly reason?: string;
}

export interface PeerProbe {
  readonly protocol: PeerProtocol;
  /** Of this end's addresses; left out, the kernel chooses. */
  readonly source?: string;
  readonly destination: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** TCP: the bytes of an HTTP/1.1 request without a body; only an answer of 200 is `allow` then. */
  readonly request?: string;
  /** SCTP: the source port; left out, one that this end does not use. */
  readonly ownPort?: number;
}

interface Pending {
  readonly onSource: (source: End) => void;
  readonly resolve: (result: PeerResult) => void;
  readonly reject: (error: Error) => void;
}

/** One end of the rig (native/peer.c): a server and a client in a namespace and group, until it is closed. */
export class Peer {
  readonly label: string;
  /** `raw`: the kernel has no SCTP, and INIT packets stand for it. */
  sctp: 'kernel' | 'raw' = 'kernel';
  readonly #child: ChildProcess;
  readonly #probes = new Map<number, Pending>();
  readonly #syncs = new Map<string, { readonly resolve: () => void; readonly reject: (error: Error) => void }>();
  readonly #listening = new Set<string>();
  readonly #complaints: string[] = [];
  #dead: Error | undefined;
  #nextId = 1;
  #closing = false;

  constructor(origin: Origin) {
    this.label = origin.label;
    // The shell moves itself into the group first: what it becomes never had a socket outside of it.
    this.#child = spawn('/bin/sh', [
      '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-peer', origin.cgroup,
      'nsenter', `--net=${origin.netns}`, '--', join(repositoryRoot, 'build', 'cirri-peer'),
    ], { stdio: ['pipe', 'pipe', 'pipe'], env: toolEnv() });
    this.#child.stderr!.on('data', (chunk: Buffer) => this.#complaints.push(chunk.toString('utf8').trim()));
    this.#child.stdin!.on('error', () => {});
    createInterface({ input: this.#child.stdout! }).on('line', line => this.#take(line));
    this.#child.on('error', error => this.#end(error));
    this.#child.on('close', code => this.#end(new CirriError('ERR_RIG', `the rig's end in ${this.label} ended (${code ?? 'killed'}): ${this.#complaints.join('; ') || 'no message'}`)));
  }

  listen(protocol: PeerProtocol, port: number): void {
    const order = `listen ${protocol} ${port}`;
    if (protocol === 'icmp' || this.#listening.has(order)) return;
    this.#listening.add(order);
    this.#send(order);
  }

  /** Resolves when everything ordered so far has been carried out; throws with what could not be. */
  async sync(): Promise<void> {
    if (this.#dead) throw this.#dead;
    const word = String(this.#nextId++);
    await new Promise<void>((resolve, reject) => {
      this.#syncs.set(word, { resolve, reject });
      this.#send(`sync ${word}`);
    });
    if (this.#complaints.length > 0) throw new CirriError('ERR_RIG', `the rig's end in ${this.label}: ${this.#complaints.splice(0).join('; ')}`);
  }

  /** `cancel` ends the probe as silent. */
  probe(probe: PeerProbe, onSource: (source: End) => void): { readonly result: Promise<PeerResult>; readonly cancel: () => void } {
    const id = this.#nextId++;
    const result = new Promise<PeerResult>((resolve, reject) => {
      if (this.#dead) return reject(this.#dead);
      this.#probes.set(id, { onSource, resolve, reject });
      this.#send(`probe ${id} ${probe.protocol} ${probe.source ?? '-'} ${probe.destination} ${probe.port} ${probe.timeoutMs} ${probe.ownPort ?? 0}${probe.request === undefined ? '' : ` ${Buffer.from(probe.request, 'latin1').toString('hex')}`}`);
    });
    return { result, cancel: () => this.#probes.has(id) && this.#send(`cancel ${id}`) };
  }

  close(): void {
    this.#closing = true;
    this.#child.stdin!.end();
  }

  #send(line: string): void {
    this.#child.stdin!.write(line + '\n');
  }

  #take(line: string): void {
    const [word, id = '', ...rest] = line.split(' ');
    if (word === 'source') this.#probes.get(Number(id))?.onSource({ ip: rest[0]!, port: Number(rest[1]) });
    else if (word === 'done') this.#finish(Number(id), rest);
    else if (word === 'sctp') this.sctp = id as Peer['sctp'];
    else if (word === 'synced') this.#synced(id);
    else this.#complaints.push(line);
  }

  #finish(id: number, [outcome, ...reason]: readonly string[]): void {
    const pending = this.#probes.get(id);
    this.#probes.delete(id);
    pending?.resolve({ outcome: outcome as PeerResult['outcome'], ...(reason.length > 0 && { reason: reason.join(' ') }) });
  }

  #synced(word: string): void {
    const waiting = this.#syncs.get(word);
    this.#syncs.delete(word);
    waiting?.resolve();
  }

  #end(error: Error): void {
    if (this.#closing) error = new CirriError('ERR_RIG', `the rig's end in ${this.label} was closed`);
    this.#dead ??= error;
    for (const { reject } of [...this.#probes.values(), ...this.#syncs.values()]) reject(error);
    this.#probes.clear();
    this.#syncs.clear();
  }
}

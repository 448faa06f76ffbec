import { setImmediate, setTimeout } from 'node:timers/promises';
import type { L7Set } from '../model/l7.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import type { ProtocolLoader } from './protocols.ts';
import { Rehearsal, type Scene } from './rehearsal.ts';
import type { Worker } from './worker.ts';

/** Others of the process wait no longer than this. */
const sliceMs = 4;
const whileBusyMs = 100;
/** Who has served others for so long needs no rehearsal any more. */
const busyLooks = 100;
/** It is no duty: on a machine that is too slow for it, it ends. */
const mostMs = 5_000;
const rounds = 150;

const rest: L7Set = { protocol: 'http', rules: [{ rule: 1, method: 'GET', path: '/api/v1/products.*', headers: [] }, { rule: 2, method: 'POST', path: '/api/v1/orders', headers: [] }] };
const hosts: L7Set = { protocol: 'http', rules: [{ rule: 1, host: 'shop.*|127.*', headers: [{ name: 'user-agent' }] }, { rule: 2, path: '/api/.*', headers: [{ name: 'x-token', value: 'abc' }] }] };
const all: L7Set = { protocol: 'http', rules: [{ rule: 1, path: '/.*', headers: [] }] };
/** Different ones: what is compiled for one set alone would be thrown away at the next. */
const scenes: readonly Scene[] = [{ ingress: rest }, { egress: hosts, ingress: all }, { egress: all }];

/**
 * A process that has just started runs in an interpreter: for its first seconds of work, requests would wait for compilations, up to 30 ms at
 * a time. So it rehearses, some thousand requests (rehearsal.ts), before it takes anybody's place or while nobody asks it for anything.
 */
export class WarmUp {
  /** What V8 has compiled lasts as long as the objects that it was compiled for: of each shape one, and each scene's policy. */
  #kept: readonly Worker[] = [];
  #running: Promise<void> | undefined;
  readonly #load: ProtocolLoader;
  readonly #log: Logger;
  readonly #signal: AbortSignal;

  constructor(dependencies: { readonly load: ProtocolLoader; readonly log: Logger; readonly signal: AbortSignal }) {
    this.#load = dependencies.load;
    this.#log = dependencies.log;
    this.#signal = dependencies.signal;
  }

  /** HTTP is in use, and has not been rehearsed. */
  get due(): boolean {
    return this.#running === undefined && this.#load.loaded.has('http');
  }

  /** Once. While `isBusy` says so it waits, and at last lets it be. */
  run(isBusy: () => boolean = () => false): Promise<void> {
    return this.due ? (this.#running = this.#run(isBusy)) : (this.#running ?? Promise.resolve());
  }

  async #run(isBusy: () => boolean): Promise<void> {
    const rehearsals: Rehearsal[] = [];
    let [took, left, looks] = [0, rounds, busyLooks];
    try {
      for (const scene of scenes) rehearsals.push(new Rehearsal(this.#load, scene));
      this.#kept = rehearsals.map(({ worker }) => worker);
      while (left > 0 && looks > 0 && took < mostMs && !this.#signal.aborted) {
        if (isBusy()) {
          looks--;
          await setTimeout(whileBusyMs);
          continue;
        }
        const from = performance.now();
        while (left > 0 && performance.now() - from < sliceMs) if (!rehearsals[left % rehearsals.length]!.turn()) left--;
        took += performance.now() - from;
        await setImmediate();
      }
      this.#log.info('warm', { requests: rehearsals.reduce((sum, { answered }) => sum + answered, 0), ms: Math.round(took) });
    } catch (error) {
      this.#log.warn('the process could not rehearse: its first requests will be slower', { error: errorText(error) });
    } finally {
      for (const rehearsal of rehearsals) rehearsal.close();
    }
  }
}

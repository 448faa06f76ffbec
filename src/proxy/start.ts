import { readFileSync } from 'node:fs';
import type { Logger } from '../std/log.ts';
import { defaultLimits, Loop } from './loop.ts';
import type { Place } from './place.ts';
import type { RecordLines } from './records.ts';
import type { Sets } from './sets.ts';
import { Worker } from './worker.ts';

const recordsEveryMs = 50;
const sweepEveryMs = 10_000;
/** Two descriptors a connection; a pipe while it is spliced; some for everything else. */
const descriptorsApart = 512;

/** A loop with its worker, running. */
export function startWorker(
  place: Pick<Place, 'maxConnections' | 'idleMs' | 'rows' | 'connect'>,
  dependencies: { readonly sets: Sets; readonly records: RecordLines; readonly log: Logger; readonly signal: AbortSignal },
): Worker {
  const { sets, records, log, signal } = dependencies;
  const loop = new Loop(defaultLimits);
  const maxConnections = Math.max(1, Math.min(place.maxConnections, Math.floor((descriptorLimit() - descriptorsApart) / 2)));
  const times = { connectMs: 5_000, attemptMs: 300, idleMs: place.idleMs, lingerMs: 2_000 };
  const worker = new Worker({ times, maxConnections }, { loop, rows: place.rows, sets, records, connect: about => place.connect(about), log });
  loop.run(signal);
  const flush = setInterval(() => records.flush(), recordsEveryMs);
  const sweep = setInterval(() => sets.sweep(worker.setsInUse()), sweepEveryMs);
  signal.addEventListener('abort', () => [flush, sweep].forEach(clearInterval), { once: true });
  records.flush();
  return worker;
}

/** RLIMIT_NOFILE, which Node has raised to its hard limit at its start. */
function descriptorLimit(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return limit ? Number(limit[1]) : 1024;
}

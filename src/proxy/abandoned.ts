import { connect } from 'node:net';
import type { Logger } from '../std/log.ts';
import type { Worker } from './worker.ts';

const lookEveryMs = 1_000;
/** Who starts in its place meanwhile has started by then. */
const mostLooks = 30;
const drainEveryMs = 2_000;
const answerMs = 500;
/** As for a process that hands over: what never ends is cut off then. */
const patienceMs = 30 * 60_000;
const farewellMs = 3_000;

export interface AbandonedParts {
  readonly socketPath: string;
  readonly worker: Worker;
  /** Listens at `socketPath` again. */
  readonly serve: () => Promise<unknown>;
  readonly log: Logger;
  /** Nothing is left here. */
  readonly done: () => void;
}

/**
 * A worker whose successor died after it had taken the control socket's place works on, but the next process would not find it. So it
 * takes the place again when it is free, and the next one takes over as usual; where somebody else works there already, it leaves
 * without handing over: connections end with an exchange whose client is told. Returns what stops the looking.
 */
export function watchPlace({ socketPath, worker, serve, log, done }: AbandonedParts): () => void {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  let looks = 0;
  const look = async () => {
    const pid = await pidAt(socketPath);
    if (isStopped) return;
    if (pid === undefined) await serve().catch(() => {});
    if (pid === undefined || pid === process.pid) {
      if (++looks < mostLooks) timer = setTimeout(() => void look(), lookEveryMs);
      return;
    }
    log.info('another process works in this one\'s place: it leaves', { pid, connections: worker.connections.length });
    leave(worker, done);
  };
  void look();
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

function leave(worker: Worker, done: () => void): void {
  const drain = (stage: 'end' | 'close') => [...worker.connections].forEach(connection => connection.drain(stage));
  worker.stopListening();
  worker.draining = true;
  worker.onIdle = () => {};
  worker.onGone = () => {
    if (worker.connections.length === 0) done();
  };
  setInterval(() => drain('end'), drainEveryMs);
  setTimeout(() => {
    drain('close');
    setTimeout(done, farewellMs);
  }, patienceMs);
  drain('end');
  if (worker.connections.length === 0) done();
}

/** Of the worker that answers at a control socket; undefined: none does. */
function pidAt(socketPath: string): Promise<number | undefined> {
  return new Promise(resolve => {
    const socket = connect(socketPath, () => socket.write('GET /v1/status HTTP/1.1\r\nhost: proxy\r\n\r\n'));
    let text = '';
    socket.setTimeout(answerMs, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('data', chunk => (text += chunk.toString('latin1')));
    socket.on('close', () => resolve(Number(/\r\n\r\n\{"pid":(\d+)/.exec(text)?.[1] ?? NaN) || undefined));
  });
}

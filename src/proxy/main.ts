import { parseArgs } from 'node:util';
import { CirriError, errorText, renderError } from '../std/errors.ts';
import { createLogger, type Logger } from '../std/log.ts';
import { giveMemoryBack, keepResidentBelow } from '../sys/footprint.ts';
import { takeShortTurns } from '../sys/scheduling.ts';
import { connectUnix } from '../sys/unix.ts';
import { watchPlace } from './abandoned.ts';
import { serveControl, statusOf } from './control.ts';
import { handOver, somebodyWorks, takeOver } from './handover.ts';
import { keptListeners } from './kept.ts';
import { nodePlace, type Place, standalonePlace } from './place.ts';
import { protocolLoader, type ProtocolLoader } from './protocols.ts';
import { RecordLines } from './records.ts';
import { Sets } from './sets.ts';
import { Spares, standBy } from './spare.ts';
import { startWorker } from './start.ts';
import { WarmUp } from './warm-up.ts';
import type { Worker } from './worker.ts';

const statusEveryMs = 1_000;
/** What starting took is given back when the first connections have been served. */
const settledMs = 2_000;
/** Resident: it is to stay below 60 MB at work. */
const smallBytes = 44 << 20;

/**
 * `node src/proxy/main.ts --node NODE [--worker N]`: one worker of a node's layer 7 proxy, inside the node's network namespace.
 *
 *     predecessor, or the agent ─► listening sockets, connections ─► worker ⇄ clients, servers
 *
 * With `--spare` it waits until the one that works has died, and goes on with its listening sockets at once.
 * With `--listen A:P --upstream A:P --socket PATH [--set FILE]…` in front of one server instead, without a datapath.
 */
async function main(): Promise<void> {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(new Error(`got ${name}`)));
  takeShortTurns();
  const { place, isSpare } = await readArguments(stop.signal);
  const log = createLogger({ component: 'proxy', node: place.name, worker: place.number });
  const load = protocolLoader(place);
  const warmUp = new WarmUp({ load, log, signal: stop.signal });
  const inherited = isSpare ? await waitForTurn(place, { load, warmUp, log, signal: stop.signal }) : [];
  if (!isSpare && await somebodyWorks(place.socketPath)) {
    loadProtocols(place, load, log);
    await warmUp.run();
  }
  const predecessor = inherited.length > 0 ? undefined : await takeOver(place.socketPath, log);
  const kept = inherited.length > 0 ? inherited : predecessor?.listeners ?? await keptListeners(place.l7Socket, place.number);
  const listeners = kept.length > 0 ? kept : place.listen();
  const records = new RecordLines({ hello: { hello: { pid: process.pid, worker: place.number, listeners } } }, { open: () => connectUnix(place.l7Socket), log });
  const sets = new Sets({ read: number => place.readSet(number), load, now: () => performance.now() });
  const worker = startWorker(place, { sets, records, log, signal: stop.signal });
  const finish = () => {
    records.close();
    process.exit(0);
  };
  for (const fd of listeners) worker.listen(fd);
  place.publish(listeners);
  const spares = new Spares();
  const parts = { number: place.number, worker, sets, records, spares, since: new Date().toISOString() };
  let stopLooking = () => {};
  const serve = () => serveControl(place.socketPath, {
    ...parts,
    onHandover: socket => handOver(socket, {
      worker, listeners, log, done: finish,
      begun: () => {
        stopLooking();
        spares.release();
      },
      abandoned: () => (stopLooking = watchPlace({ socketPath: place.socketPath, worker, serve, log, done: finish })),
    }),
    onSpare: (socket, pid) => spares.add(socket, { pid, listeners, protocols: [...load.loaded.keys()] }),
  });
  await serve();
  predecessor?.take(worker);
  const isBusy = activityOf(worker);
  let settled = false;
  const settle = () => {
    settled = true;
    void warmUp.run(isBusy).then(giveMemoryBack);
  };
  const telling = setInterval(() => {
    records.status(statusOf(parts));
    spares.tell([...load.loaded.keys()]);
    if (warmUp.due) settle();
  }, statusEveryMs);
  setTimeout(() => settled || settle(), settledMs).unref();
  keepResidentBelow(smallBytes, { signal: stop.signal, isBusy: activityOf(worker) });
  const origin = inherited.length > 0 ? 'of the one that died' : predecessor ? 'handed over' : kept.length > 0 ? 'kept by the agent' : 'new';
  log.info('ready', { pid: process.pid, listeners: origin, startedMs: Math.round(performance.now()) });
  setImmediate(() => loadProtocols(place, load, log));
  stop.signal.addEventListener('abort', () => {
    clearInterval(telling);
    worker.close();
    finish();
  }, { once: true });
}

/** Those of the sets that are there: the first connection need not wait for it. One that cannot be read is refused when it is asked for. */
function loadProtocols(place: Place, load: ProtocolLoader, log: Logger): void {
  try {
    for (const number of place.someSets()) load(place.readSet(number));
  } catch (error) {
    log.warn('a protocol could not be loaded beforehand', { error: errorText(error) });
  }
}

/** Asked now and then: whether anybody has been served since. */
function activityOf({ counts }: Worker): () => boolean {
  let before = 0;
  return () => {
    const now = counts.accepted + counts.requests;
    const isBusy = now !== before;
    before = now;
    return isBusy;
  };
}

/** Started, with the protocols that are in use, warm, and small again: until the one that works has ended. */
async function waitForTurn(place: Place, parts: { readonly load: ProtocolLoader; readonly warmUp: WarmUp; readonly log: Logger; readonly signal: AbortSignal }): Promise<readonly number[]> {
  const { load, warmUp, log, signal } = parts;
  loadProtocols(place, load, log);
  const settle = () => setTimeout(() => void warmUp.run().then(giveMemoryBack), settledMs);
  let settling = settle();
  log.info('stands by', { pid: process.pid });
  const listeners = await standBy(place.socketPath, {
    load: name => {
      if (load.loaded.has(name)) return;
      load.named(name);
      clearTimeout(settling);
      settling = settle();
    },
    signal,
  }).catch((error: unknown) => {
    if (signal.aborted) process.exit(0);
    throw error;
  });
  clearTimeout(settling);
  return listeners;
}

async function readArguments(signal: AbortSignal): Promise<{ readonly place: Place; readonly isSpare: boolean }> {
  const { values } = parseArgs({
    options: {
      node: { type: 'string' }, worker: { type: 'string', default: '0' }, spare: { type: 'boolean', default: false },
      listen: { type: 'string' }, upstream: { type: 'string' }, socket: { type: 'string' }, set: { type: 'string', multiple: true }, records: { type: 'string' },
    },
  });
  const { node, worker, spare: isSpare, listen, upstream, socket, set = [], records = '' } = values;
  if (node !== undefined) return { place: await nodePlace(node, Number(worker), signal), isSpare };
  if (listen === undefined || upstream === undefined || socket === undefined) throw new CirriError('ERR_USAGE', 'the proxy needs --node NODE, or --listen A:P --upstream A:P --socket PATH');
  return { place: standalonePlace({ listen, upstream, socket, sets: set, records }), isSpare };
}

main().catch((error: unknown) => {
  process.stderr.write(renderError(error) + '\n');
  if (!(error instanceof CirriError)) process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});

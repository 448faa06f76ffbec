import { parseArgs } from 'node:util';
import { CirriError, errorText, renderError } from '../std/errors.ts';
import { createLogger, type Logger } from '../std/log.ts';
import { giveMemoryBack } from '../sys/footprint.ts';
import { serveControl, statusOf } from './control.ts';
import { handOver, takeOver } from './handover.ts';
import { keptListeners } from './kept.ts';
import { nodePlace, type Place, standalonePlace } from './place.ts';
import { protocolLoader, type ProtocolLoader } from './protocols.ts';
import { RecordLines } from './records.ts';
import { Sets } from './sets.ts';
import { startWorker } from './start.ts';

const statusEveryMs = 1_000;
/** What starting took is given back when the first connections have been served. */
const settledMs = 2_000;

/**
 * `node src/proxy/main.ts --node NODE [--worker N]`: one worker of a node's layer 7 proxy, inside the node's network namespace.
 *
 *     predecessor, or the agent ─► listening sockets, connections ─► worker ⇄ clients, servers
 *
 * With `--listen A:P --upstream A:P --socket PATH [--set FILE]…` in front of one server instead, without a datapath.
 */
async function main(): Promise<void> {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(new Error(`got ${name}`)));
  const place = await readPlace(stop.signal);
  const log = createLogger({ component: 'proxy', node: place.name, worker: place.number });
  const predecessor = await takeOver(place.socketPath, log);
  const kept = predecessor?.listeners ?? await keptListeners(place.l7Socket, place.number);
  const listeners = kept.length > 0 ? kept : place.listen();
  const records = new RecordLines({ path: place.l7Socket, hello: { hello: { pid: process.pid, worker: place.number, listeners } } }, { log });
  const load = protocolLoader(place);
  const sets = new Sets({ read: number => place.readSet(number), load, now: () => performance.now() });
  const worker = startWorker(place, { sets, records, log, signal: stop.signal });
  const finish = () => {
    records.close();
    process.exit(0);
  };
  const parts = { number: place.number, worker, sets, records };
  await serveControl(place.socketPath, { ...parts, onHandover: socket => handOver(socket, { worker, listeners, log, done: finish }) });
  for (const fd of listeners) worker.listen(fd);
  place.publish(listeners);
  predecessor?.take(worker);
  const telling = setInterval(() => records.status(statusOf(parts)), statusEveryMs);
  setTimeout(giveMemoryBack, settledMs).unref();
  log.info('ready', { pid: process.pid, listeners: predecessor ? 'handed over' : kept.length > 0 ? 'kept by the agent' : 'new', startedMs: Math.round(performance.now()) });
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

function readPlace(signal: AbortSignal): Promise<Place> | Place {
  const { values } = parseArgs({
    options: {
      node: { type: 'string' }, worker: { type: 'string', default: '0' },
      listen: { type: 'string' }, upstream: { type: 'string' }, socket: { type: 'string' }, set: { type: 'string', multiple: true }, records: { type: 'string' },
    },
  });
  const { node, worker, listen, upstream, socket, set = [], records = '' } = values;
  if (node !== undefined) return nodePlace(node, Number(worker), signal);
  if (listen === undefined || upstream === undefined || socket === undefined) throw new CirriError('ERR_USAGE', 'the proxy needs --node NODE, or --listen A:P --upstream A:P --socket PATH');
  return standalonePlace({ listen, upstream, socket, sets: set, records });
}

main().catch((error: unknown) => {
  process.stderr.write(renderError(error) + '\n');
  if (!(error instanceof CirriError)) process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { instanceFromEnv, parseRecord } from '../model/cluster.ts';
import { CirriError, renderError } from '../std/errors.ts';
import { createLogger } from '../std/log.ts';
import { keepMemorySmall } from '../sys/footprint.ts';
import { allocatorOptions } from './allocator.ts';

/** `node src/history/main.ts --node NAME`: the flow history of one node. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { node: { type: 'string' } } });
  if (!values.node) throw new CirriError('ERR_USAGE', 'the history needs --node NAME');
  const { paths } = instanceFromEnv(process.env);
  const { settings, nodes } = parseRecord(readFileSync(paths.clusterJson, 'utf8'));
  const { historySocket, history } = paths.node(values.node);
  const log = createLogger({ component: 'history', node: values.node });
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(new Error(`got ${name}`)));
  keepMemorySmall({ signal: stop.signal });
  process.env['DUCKDB_JE_MALLOC_CONF'] = allocatorOptions;
  const [{ HistoryStore }, { serveHistory }] = await Promise.all([import('./store.ts'), import('./server.ts')]);
  const nodeNames = new Map(nodes.flatMap(({ name, underlay4, underlay6, routerIp4, routerIp6 }) => [underlay4, underlay6, routerIp4, routerIp6].map(ip => [ip, name] as const)));
  const { days, maxMegabytes } = settings.hubble.history;
  const store = await HistoryStore.open({ folder: history, node: values.node, days, maxMegabytes, nodeName: ip => nodeNames.get(ip) }, log);
  const server = await serveHistory(store, historySocket, { log, signal: stop.signal });
  log.info('recording', { folder: history, days, maxMegabytes });
  await new Promise<void>(resolve => stop.signal.addEventListener('abort', () => resolve(), { once: true }));
  await server.close();
  store.close();
}

main().then(() => process.exit(0), (error: unknown) => {
  process.stderr.write(renderError(error) + '\n');
  if (!(error instanceof CirriError)) process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});

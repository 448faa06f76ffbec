/** The web UI alone, beside a cluster whose relay does not serve it: `node src/relay/web/main.ts`. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KubeClient } from '../../kube/client.ts';
import { instanceFromEnv, parseRecord } from '../../model/cluster.ts';
import { createLogger } from '../../std/log.ts';
import { localSources } from './local-sources.ts';
import { startWebServer } from './server.ts';

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { instance, paths } = instanceFromEnv(process.env);
  const log = createLogger({ component: 'web', instance });
  const record = parseRecord(readFileSync(paths.clusterJson, 'utf8'));
  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-ui' });
  const server = await startWebServer({ instance, host: '127.0.0.1', port: 12_000, socketPath: paths.webSocket }, { sources: localSources({ record, paths, client }), log });
  process.stdout.write(`http://${server.host}:${server.port}/#token=${server.sessions.ticket({})}\n`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close().then(() => process.exit(0)));
}

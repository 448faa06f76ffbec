import { KubeClient } from '../../kube/client.ts';
import type { ClusterRecord, StatePaths } from '../../model/cluster.ts';
import type { Logger } from '../../std/log.ts';
import type { AccessTokens } from '../access.ts';
import { localSources } from './local-sources.ts';
import { pastOf } from './past.ts';
import { startWebServer, type WebServer } from './server.ts';

const loopback = '127.0.0.1';
const firstPort = 12_000;

/** The web UI of an instance. `port`: the one of last time, where it is free still. */
export async function startWeb(options: { readonly record: ClusterRecord; readonly paths: StatePaths; readonly port?: number; readonly hosts?: readonly string[] }, dependencies: { readonly tokens: AccessTokens; readonly log: Logger }): Promise<WebServer> {
  const { record, paths, port = firstPort, hosts = [] } = options;
  const { tokens, log } = dependencies;
  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-ui' });
  const { history } = record.settings.hubble;
  const past = history.enabled ? pastOf(record.nodes.map(node => paths.node(node.name).historySocket), { log }) : undefined;
  const server = await startWebServer({ instance: record.instance, host: loopback, port, socketPath: paths.webSocket, hosts }, {
    sources: localSources({ record, paths, client, ...(past && { history: past }) }), log,
    tokens: token => {
      const access = tokens.check(token);
      return access && (access.namespaces ? { namespaces: access.namespaces } : {});
    },
  });
  return {
    ...server,
    close: async () => {
      await server.close();
      client.close();
    },
  };
}

/**
 * The embedded Kubernetes API of a local cluster, as a process: reads `cluster.json`, serves until SIGTERM or SIGINT. Ready when
 * `/readyz` on the unix socket says so.
 */
import { readFileSync, rmSync } from 'node:fs';
import { KubeClient } from '../kube/client.ts';
import { instanceFromEnv, parseRecord } from '../model/cluster.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import { applyLocalRoutes } from '../operator/host-routes.ts';
import { startControllers } from '../operator/start.ts';
import { CirriError, errorText, renderError } from '../std/errors.ts';
import { createLogger } from '../std/log.ts';
import { processAddress } from './processes.ts';
import { writePrivate } from './secrets.ts';
import { startApiServer } from './server.ts';
import { clusterDefinitions } from './crds/definitions.ts';
import { validatePolicyObject } from './policy-admission.ts';

const log = createLogger({ process: 'apiserver' });

try {
  await main();
} catch (error) {
  log.error('the API server cannot start', { error: errorText(error) });
  process.stderr.write(`${renderError(error)}\n`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { paths } = instanceFromEnv(process.env);
  const record = readRecord(paths.clusterJson);
  const server = await startApiServer({ record, paths, definitions: clusterDefinitions }, { validate: (object, old) => validatePolicyObject(object, record.clusterName, old), log });
  const pidFile = `${paths.run}/apiserver.pid`;
  writePrivate(pidFile, `${process.pid} ${startTicks()}\n`);
  log.info('the API is served', { port: server.port, socket: paths.apiserverSocket });
  const stopping = new AbortController();
  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-controllers' });
  startControllers({ client, record, signal: stopping.signal, log, rootCa: server.ca, processes: process => processAddress(paths.hubbleDir, process), routes: routes => applyLocalRoutes(routes, record) }).catch((error: unknown) => {
    // Without controllers the API looks alive and does nothing: better that the supervisor starts it anew.
    log.error('the controllers have failed', { error: errorText(error) });
    process.exit(1);
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop());

  async function stop(): Promise<void> {
    stopping.abort(new Error('the API server stops'));
    client.close();
    await server.close();
    rmSync(pidFile, { force: true });
    process.exit(0);
  }
}

/** The clock tick at which this process began (proc(5), stat field 22): with it a pid cannot be mistaken for another's by who adopts it. */
function startTicks(): string {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  // The name may hold spaces and brackets; fields count from behind the last one.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function readRecord(path: string): ClusterRecord {
  try {
    return parseRecord(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new CirriError('ERR_RECORD', `reading the cluster record ${path}`, { cause, mend: 'make a cluster first: cirri up' });
  }
}

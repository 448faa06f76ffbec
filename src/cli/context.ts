import { existsSync, readFileSync } from 'node:fs';
import { KubeClient } from '../kube/client.ts';
import { instanceFromEnv, parseRecord, type ClusterRecord, type StatePaths } from '../model/cluster.ts';
import { CirriError } from '../std/errors.ts';

/** The cluster that a command speaks of. */
export interface Context {
  readonly instance: string;
  readonly paths: StatePaths;
  readonly record: ClusterRecord;
  readonly client: KubeClient;
}

export function ownInstance(): { readonly instance: string; readonly paths: StatePaths } {
  try {
    return instanceFromEnv(process.env);
  } catch (error) {
    throw new CirriError('ERR_INSTANCE', (error as Error).message);
  }
}

/** Throws when there is no cluster, or when this user may not look at it. */
export function openContext(): Context {
  const { instance, paths } = ownInstance();
  let text: string;
  try {
    text = readFileSync(paths.clusterJson, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') {
      throw new CirriError('ERR_NOT_ROOT', `cluster ${instance} belongs to root`, { mend: 'run the command with sudo' });
    }
    throw noCluster(instance);
  }
  if (!existsSync(paths.run)) throw noCluster(instance);
  return { instance, paths, record: parseRecord(text), client: new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri' }) };
}

function noCluster(instance: string): CirriError {
  return new CirriError('ERR_NO_CLUSTER', `no cluster ${instance} is up on this machine`, { mend: 'start one: sudo ./cirri up' });
}

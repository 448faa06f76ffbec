/**
 * Keeps the names of the cluster in a file that the DNS pods of this node read (a hostPath volume): they need no API, no
 * token and no policy to start or to go on, and a restarted one knows at once what the last one knew.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { delay } from '../std/async.ts';
import { Signal } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { reflect, type Reflector } from '../kube/reflector.ts';
import { resources } from '../kube/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { EndpointSlice, Service } from '../kube/types.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import { snapshotOf } from './dns/snapshot.ts';

export interface ZoneKeeperOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly cluster: Pick<ClusterRecord, 'clusterDomain' | 'dnsIp4' | 'dnsIp6'>;
  readonly file: string;
  readonly slices: Reflector<EndpointSlice>;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** A burst of changes is one write. */
const settleMs = 50;

/** Until the signal aborts. Before both lists are there nothing is written: an older file stays in force. */
export function keepZone(options: ZoneKeeperOptions): void {
  const { client, signal, log, file, cluster, slices } = options;
  const services = reflect<Service>({ client, resource: resources.services, signal, log });
  const changed = new Signal();
  services.table.watch(() => changed.mark());
  slices.table.watch(() => changed.mark());
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  void (async () => {
    await Promise.all([services.synced, slices.synced]);
    changed.mark();
    let written = existsSync(file) ? readFileSync(file, 'utf8') : '';
    while (!signal.aborted) {
      await changed.wait({ signal });
      await delay(settleMs, signal);
      const text = JSON.stringify(snapshotOf(cluster.clusterDomain, [...services.table.rows()], [...slices.table.rows()]));
      if (text === written) continue;
      writeFileSync(`${file}.new`, text, { mode: 0o644 });
      renameSync(`${file}.new`, file);
      written = text;
    }
  })().catch((error: unknown) => {
    if (!signal.aborted) log.error('the DNS zone is no longer kept', { error: errorText(error) });
  });
}

import { grouped, type ServerStatus } from '../../flows/print/status.ts';
import { readRelayRecord, type RelayRecord } from '../../relay/record.ts';
import { RpcClient } from '../../rpc/client.ts';
import type { FeatureStatus } from '../../model/status.ts';
import type { Context } from '../context.ts';
import { statusOf } from './status.ts';

/** What `cirri status` says of Hubble. */
export interface HubbleSummary {
  readonly relay: 'off' | 'serving' | 'silent';
  readonly at: RelayRecord;
  /** Undefined while the relay does not answer. */
  readonly server?: ServerStatus;
}

const patienceMs = 2_000;

/** Undefined where Hubble is off. Never throws. */
export async function hubbleSummary({ record, paths }: Pick<Context, 'record' | 'paths'>): Promise<HubbleSummary | undefined> {
  const { hubble } = record.settings;
  if (!hubble.enabled) return undefined;
  if (!hubble.relay.enabled) return { relay: 'off', at: {} };
  const at = readRelayRecord(paths.hubbleDir);
  const client = new RpcClient({ socketPath: paths.relaySocket }, { userAgent: 'cirri', connectTimeoutMs: patienceMs });
  try {
    return { relay: 'serving', at, server: await statusOf(client, { timeoutMs: patienceMs }) };
  } catch {
    return { relay: 'silent', at };
  } finally {
    client.close();
  }
}

/** Whether it is as it should be, and the line that says how it is; `histories` are what the agents say of theirs. */
export function hubbleLine({ relay, at, server }: HubbleSummary, histories: readonly FeatureStatus[]): { readonly ok: boolean; readonly text: string } {
  if (relay === 'off') return { ok: true, text: 'Hubble: no relay (hubble.relay.enabled is false)' };
  if (!server) return { ok: false, text: 'Hubble: the relay does not answer' };
  const { numConnectedNodes = 0, numUnavailableNodes = 0, unavailableNodes = [], flowsRate = 0, numFlows, maxFlows } = server;
  const missing = numUnavailableNodes > 0 ? ` (not ${unavailableNodes.join(', ')})` : '';
  const recording = histories.filter(({ state }) => state === 'on').length;
  const parts = [
    `relay ${at.grpc ? `${at.grpc.host}:${at.grpc.port}` : 'on its socket'}, ${numConnectedNodes}/${numConnectedNodes + numUnavailableNodes} nodes${missing}`,
    `${flowsRate.toFixed(1)} flows/s, ${grouped(numFlows)} of ${grouped(maxFlows)} in memory`,
    ...(histories.length > 0 ? [`history on ${recording} of ${histories.length}`] : []),
    ...(at.web ? [`UI http://${at.web.host}:${at.web.port} (cirri ui)`] : []),
  ];
  return { ok: numUnavailableNodes === 0 && recording === histories.filter(({ state }) => state !== 'off').length, text: `Hubble: ${parts.join(' · ')}` };
}

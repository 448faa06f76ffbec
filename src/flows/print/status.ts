import type { PrintFormat } from './printer.ts';
import { dictEntry } from './dict.ts';
import { grouped } from './numbers.ts';
import { safe, safeJson } from './safe.ts';
import { alignColumns } from './table.ts';

export { grouped } from './numbers.ts';

/** observer.ServerStatusResponse, numbers as numbers. */
export interface ServerStatus {
  readonly numFlows: number;
  readonly maxFlows: number;
  readonly seenFlows: number;
  readonly uptimeNs: number;
  readonly numConnectedNodes?: number;
  readonly numUnavailableNodes?: number;
  readonly unavailableNodes?: readonly string[];
  readonly version: string;
  /** Per second, over the last minute; absent or 0 where nobody counts. */
  readonly flowsRate?: number;
}

/** `hubble status` in Hubble's layouts; lines without the last line break. */
export function serverStatusText(status: ServerStatus, format: PrintFormat): string {
  switch (format) {
    case 'compact': return compactStatus(status);
    case 'json': case 'jsonpb': return safeJson(serverStatusJson(status));
    case 'dict': return dictEntry(statusColumns(status, ['NUM CONNECTED NODES', 'NUM UNAVAIL. NODES']), 19);
    case 'table': {
      const columns = statusColumns(status, ['NUM CONNECTED NODES', 'NUM UNAVAILABLE NODES']);
      return alignColumns([columns.map(([header]) => header), columns.map(([, value]) => value)]).join('\n');
    }
  }
}

/** proto3 JSON with the names of the .proto file. */
export function serverStatusJson(status: ServerStatus): Readonly<Record<string, unknown>> {
  const { numConnectedNodes, numUnavailableNodes, unavailableNodes = [], version, flowsRate = 0 } = status;
  const text = (name: string, count: number) => (count === 0 ? {} : { [name]: String(count) });
  return {
    ...text('num_flows', status.numFlows), ...text('max_flows', status.maxFlows), ...text('seen_flows', status.seenFlows), ...text('uptime_ns', status.uptimeNs),
    ...(numConnectedNodes !== undefined && { num_connected_nodes: numConnectedNodes }), ...(numUnavailableNodes !== undefined && { num_unavailable_nodes: numUnavailableNodes }),
    ...(unavailableNodes.length > 0 && { unavailable_nodes: unavailableNodes }), ...(version !== '' && { version }), ...(flowsRate !== 0 && { flows_rate: flowsRate }),
  };
}

function statusColumns(status: ServerStatus, [connected, unavailable]: readonly [string, string]): readonly (readonly [string, string])[] {
  const count = (value: number | undefined) => (value === undefined ? 'N/A' : String(value));
  return [
    ['NUM FLOWS', grouped(status.numFlows)],
    ['MAX FLOWS', grouped(status.maxFlows)],
    ['SEEN FLOWS', grouped(status.seenFlows)],
    ['FLOWS PER SECOND', rateText(status) ?? 'N/A'],
    ['UPTIME', durationText(status.uptimeNs)],
    [connected, count(status.numConnectedNodes)],
    [unavailable, count(status.numUnavailableNodes)],
    ['VERSION', safe(status.version)],
  ];
}

function compactStatus(status: ServerStatus): string {
  const { numFlows, maxFlows, seenFlows, uptimeNs, numConnectedNodes, numUnavailableNodes, unavailableNodes } = status;
  const ratio = maxFlows > 0 ? ` (${((numFlows / maxFlows) * 100).toFixed(2)}%)` : '';
  const rate = rateText(status) ?? (uptimeNs > 0 ? (seenFlows / (uptimeNs / 1e9)).toFixed(2) : 'N/A');
  const lines = [`Current/Max Flows: ${grouped(numFlows)}/${grouped(maxFlows)}${ratio}`, `Flows/s: ${rate}`];
  if (numConnectedNodes !== undefined) lines.push(`Connected Nodes: ${numConnectedNodes}${numUnavailableNodes === undefined ? '' : `/${numConnectedNodes + numUnavailableNodes}`}`);
  if (numUnavailableNodes !== undefined && numUnavailableNodes > 0) {
    lines.push(`Unavailable Nodes: ${numUnavailableNodes}`);
    const names = [...(unavailableNodes ?? [])].sort();
    lines.push(...names.map(name => `  - ${safe(name)}`));
    if (names.length > 0 && names.length < numUnavailableNodes) lines.push(`  - and ${numUnavailableNodes - names.length} more...`);
  }
  return lines.join('\n');
}

function rateText({ flowsRate }: ServerStatus): string | undefined {
  return flowsRate === undefined || flowsRate <= 0 ? undefined : flowsRate.toFixed(2);
}

/** As Go writes a duration: `5m1.515181665s`, `1h0m0s`, `1.5ms`. */
export function durationText(ns: number): string {
  if (ns === 0) return '0s';
  if (ns < 1e9) {
    const [unit, per] = ns < 1e3 ? ['ns', 1] : ns < 1e6 ? ['µs', 1e3] : ['ms', 1e6];
    return `${ns / (per as number)}${unit}`;
  }
  const seconds = Math.floor(ns / 1e9);
  const fraction = String(Math.round(ns % 1e9)).padStart(9, '0').replace(/0+$/, '');
  const rest = `${seconds % 60}${fraction === '' ? '' : `.${fraction}`}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? rest : minutes < 60 ? `${minutes}m${rest}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${rest}`;
}

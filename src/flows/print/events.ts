import type { Json } from '../jsonpb.ts';
import { dictEntry, dictSeparator } from './dict.ts';
import { timeFormatter } from './go-time.ts';
import type { PrintFormat } from './printer.ts';
import { safe, safeJson } from './safe.ts';
import { alignColumns } from './table.ts';

/** `hubble observe agent-events` and `debug-events`: responses in protobuf's JSON names, in Hubble's layouts. */
export interface EventPrinterOptions {
  readonly format: PrintFormat;
  readonly nodeNames?: boolean;
  readonly formatTime?: (time: string) => string;
}

export interface EventPrinter {
  /** observer.GetAgentEventsResponse or GetDebugEventsResponse. */
  event(response: Json): void;
  end(): void;
}

type Columns = readonly (readonly [header: string, value: string])[];

export function createEventPrinter(options: EventPrinterOptions, write: (line: string) => void): EventPrinter {
  const { format, nodeNames = false, formatTime = timeFormatter('StampMilli') } = options;
  const rows: string[][] = [];
  let entries = 0;
  const when = (response: Json) => formatTime(String(response['time'] ?? ''));
  const node = (response: Json) => safe(String(response['node_name'] ?? ''));
  const head = (response: Json): Columns => [['TIMESTAMP', when(response)], ...(nodeNames ? ([['NODE', node(response)]] as const) : [])];
  return {
    event: response => {
      const debug = response['debug_event'] === undefined ? undefined : object(response['debug_event']);
      const agent = object(response['agent_event']);
      switch (format) {
        case 'json': case 'jsonpb': return write(safeJson(response));
        case 'compact': return write(`${when(response)}${nodeNames ? ` [${node(response)}]` : ''}: ${debug ? debugLine(debug) : agentLine(agent, formatTime)}`);
        case 'dict':
          if (entries++ > 0) write(dictSeparator);
          return write(dictEntry([...head(response), ...(debug ? debugEntries(debug) : agentColumns(agent, formatTime))]));
        case 'table': {
          const columns = [...head(response), ...(debug ? debugColumns(debug) : agentColumns(agent, formatTime))];
          if (rows.length === 0) rows.push(columns.map(([header]) => header));
          return void rows.push(columns.map(([, value]) => value));
        }
      }
    },
    end: () => alignColumns(rows).forEach(write),
  };
}

// ---- debug events ----

function debugLine(event: Json): string {
  return `${endpointText(event['source'])} ${debugType(event)} MARK: ${hex(event['hash'])} CPU: ${cpu(event['cpu'])} (${safe(String(event['message'] ?? ''))})`;
}

/** After the sender stands an empty column, as in Hubble. */
function debugColumns(event: Json): Columns {
  return [
    ['FROM', endpointText(event['source'])], ['', ''], ['TYPE', debugType(event)], ['CPU/MARK', `${cpu(event['cpu'])} ${hex(event['hash'])}`], ['MESSAGE', safe(String(event['message'] ?? ''))],
  ];
}

function debugEntries(event: Json): Columns {
  return [['TYPE', debugType(event)], ['FROM', endpointText(event['source'])], ['MARK', hex(event['hash'])], ['CPU', cpu(event['cpu'])], ['MESSAGE', safe(String(event['message'] ?? ''))]];
}

const debugType = (event: Json) => safe(String(event['type'] ?? 'DBG_EVENT_UNKNOWN'));
const hex = (value: unknown) => (value === undefined ? 'N/A' : `0x${Number(value).toString(16)}`);
const cpu = (value: unknown) => (value === undefined ? 'N/A' : String(value).padStart(2, '0'));

function endpointText(value: unknown): string {
  if (value === undefined) return 'N/A';
  const end = object(value);
  const id = `ID: ${String(end['ID'] ?? 0)}`;
  const labels = (end['labels'] ?? []) as readonly string[];
  if (end['namespace'] && end['pod_name']) return safe(`${String(end['namespace'])}/${String(end['pod_name'])} (${id})`);
  return safe(labels.length === 1 && labels[0]!.startsWith('reserved:') ? `${labels[0]!} (${id})` : id);
}

// ---- agent events ----

function agentLine(event: Json, formatTime: (time: string) => string): string {
  return `${agentType(event)} (${agentDetails(event, formatTime)})`;
}

function agentColumns(event: Json, formatTime: (time: string) => string): Columns {
  return [['TYPE', agentType(event)], ['DETAILS', agentDetails(event, formatTime)]];
}

const agentType = (event: Json) => safe(String(event['type'] ?? 'AGENT_EVENT_UNKNOWN'));

/** What an agent event tells, in Hubble's words. */
export function agentDetails(event: Json, formatTime: (time: string) => string): string {
  const of = (field: string) => (event[field] === undefined ? undefined : object(event[field]));
  const list = (value: unknown) => ((value ?? []) as readonly string[]).join(',');
  const unknown = of('unknown');
  const start = of('agent_start');
  const policy = of('policy_update');
  const regenerated = of('endpoint_regenerate');
  const endpoint = of('endpoint_update');
  const address = of('ipcache_update');
  const service = of('service_upsert');
  const gone = of('service_delete');
  const text =
    unknown ? `type: ${String(unknown['type'] ?? '')}, notification: ${String(unknown['notification'] ?? '')}`
    : start ? `start time: ${formatTime(String(start['time'] ?? ''))}`
    : policy ? `labels: [${list(policy['labels'])}], revision: ${number(policy['revision'])}, count: ${number(policy['rule_count'])}`
    : regenerated ? joined([`id: ${number(regenerated['id'])}`, `labels: [${list(regenerated['labels'])}]`, given('error', regenerated['error'])])
    : endpoint ? joined([`id: ${number(endpoint['id'])}`, given('namespace', endpoint['namespace']), given('pod name', endpoint['pod_name'])])
    : address ? joined([
      `cidr: ${String(address['cidr'] ?? '')}`, `identity: ${number(address['identity'])}`, given('old identity', address['old_identity']), given('host ip', address['host_ip']),
      given('old host ip', address['old_host_ip']), `encrypt key: ${number(address['encrypt_key'])}`,
    ])
    : service ? joined([
      `id: ${number(service['id'])}`, given('frontend', addressText(service['frontend_address'])), given('backends', backends(service['backend_addresses'])), given('type', service['type']),
      given('traffic policy', service['traffic_policy']), given('namespace', service['namespace']), given('name', service['name']),
    ])
    : gone ? `id: ${number(gone['id'])}`
    : 'UNKNOWN';
  return safe(text);
}

const given = (name: string, value: unknown) => (value === undefined || value === '' ? undefined : `${name}: ${String(value)}`);
const joined = (parts: readonly (string | undefined)[]) => parts.filter(part => part !== undefined).join(', ');

function addressText(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const { ip = '', port = 0 } = object(value) as { readonly ip?: string; readonly port?: number };
  return `${ip.includes(':') ? `[${ip}]` : ip}:${port}`;
}

function backends(value: unknown): string | undefined {
  const list = ((value ?? []) as readonly unknown[]).map(addressText);
  return list.length === 0 ? undefined : `[${list.join(',')}]`;
}

function number(value: unknown): string {
  return value === undefined ? '0' : String(value);
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

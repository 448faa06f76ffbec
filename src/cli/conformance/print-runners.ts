import type { Json } from '../../flows/jsonpb.ts';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import { createEventPrinter } from '../../flows/print/events.ts';
import { hostTexts, policyNames, typeText } from '../../flows/print/fields.ts';
import { timeFormatter } from '../../flows/print/go-time.ts';
import { createPaint } from '../../flows/print/paint.ts';
import { createPrinter, type PrintFormat } from '../../flows/print/printer.ts';
import { serverStatusText } from '../../flows/print/status.ts';
import type { FlowPolicy } from '../../model/flow.ts';
import { outcome, type ConformanceCase, type Outcome } from '../../policy/conformance/case.ts';

/** Layouts: printer options and a flow, event or status → the exact text. */

interface PrintCase {
  readonly input: {
    readonly options: readonly { readonly option: string; readonly args: readonly string[] }[];
    readonly f?: Json;
    readonly merge?: Json;
    readonly le?: Json;
    readonly ss?: Json;
    readonly dbg?: Json;
    readonly agent?: Json;
    readonly ev?: Json;
    readonly node?: string;
    readonly ts?: unknown;
  };
  readonly expect: { readonly output: string };
}

export function runPrint(testCase: ConformanceCase): Outcome {
  const { input, expect } = testCase as unknown as PrintCase;
  const { f, le, ss, dbg } = input;
  const agent = input.agent ?? input.ev;
  if (!f && !le && !ss && !dbg && !agent) return outcome(0, [], ['prints something that this runner does not know']);
  const names = new Set(input.options.map(({ option }) => option));
  const format: PrintFormat = names.has('Compact') ? 'compact' : names.has('Dict') ? 'dict' : names.has('JSONPB') ? 'jsonpb' : names.has('JSONLegacy') ? 'json' : 'table';
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  if (ss) write(serverStatusText(statusFrom(ss), format));
  else if (dbg || agent) {
    const printer = createEventPrinter({ format, nodeNames: names.has('WithNodeName') }, write);
    printer.event({ ...(dbg ? { debug_event: plain(dbg) } : { agent_event: plain(agent) }), node_name: input.node, time: plain(input.ts) } as Json);
    printer.end();
  } else {
    const colours = input.options.find(({ option }) => option === 'WithColor')?.args[0] === 'always';
    const printer = createPrinter({
      format, colours, nodeNames: names.has('WithNodeName'), policyNames: names.has('WithPolicyNames'), names: names.has('WithIPTranslation'), legacyJson: format === 'json', ours: false,
    }, write);
    if (f) printer.flow(flowFromJson({ flow: { ...(plain(f) as Json), ...(plain(input.merge ?? {}) as Json) } }));
    else printer.lost(lostFrom(plain(le) as Json));
    printer.end();
  }
  // Upstream's test hands over a response without the node and time around the flow; our printer always knows them.
  const printed = format === 'jsonpb' && f ? JSON.stringify({ flow: (JSON.parse(lines.join('\n')) as Json)['flow'] }) : lines.join('\n');
  const bare = (text: string) => text.replace(/^\n|\n$/g, '');
  return bare(printed) === bare(expect.output) || (format === 'jsonpb' && f !== undefined && sameJson(printed, expect.output)) ? outcome(1) : outcome(0, [`expected\n${expect.output}\ngot\n${printed}`]);
}

export function runFlowType(testCase: ConformanceCase): Outcome {
  const { args } = testCase.input as { readonly args: { readonly f?: Json } };
  return same(typeText(flowFromJson(plain(args.f ?? {})), { ours: false }), (testCase.expect as { readonly want: string }).want);
}

export function runHostNames(testCase: ConformanceCase): Outcome {
  const { args, options } = testCase.input as { readonly args: { readonly f?: Json }; readonly options?: readonly { readonly option: string }[] };
  const [src, dst] = hostTexts(flowFromJson(plain(args.f ?? {})), {
    paint: createPaint(false), names: !(options ?? []).some(({ option }) => option === 'WithoutIPTranslation'), policyNames: false, nodeNames: false, formatTime: timeFormatter('StampMilli'), ids: 'none', ours: false,
  });
  const { want } = testCase.expect as { readonly want: { readonly src?: string; readonly dst?: string } };
  return same(JSON.stringify({ src, dst }), JSON.stringify({ src: want.src ?? '', dst: want.dst ?? '' }));
}

export function runPolicyNames(testCase: ConformanceCase): Outcome {
  const { policies } = testCase.input as { readonly policies: readonly FlowPolicy[] };
  return same(policyNames(policies), (testCase.expect as { readonly want: string }).want);
}

function same(actual: string, expected: string): Outcome {
  return actual === expected ? outcome(1) : outcome(0, [`expected ${expected}, got ${actual}`]);
}

function sameJson(actual: string, expected: string): boolean {
  return JSON.stringify(JSON.parse(actual)) === JSON.stringify(JSON.parse(expected));
}

/** Go's structs of timestamps and wrappers → protobuf's JSON. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const fields = value as Json;
  if ('seconds' in fields || 'nanos' in fields) {
    const whole = new Date(Number(fields['seconds'] ?? 0) * 1000).toISOString().slice(0, 19);
    return `${whole}.${String(fields['nanos'] ?? 0).padStart(9, '0')}Z`;
  }
  if ('Value' in fields) return fields['Value'];
  return Object.fromEntries(Object.entries(fields).map(([name, entry]) => [name, plain(entry)]));
}

function lostFrom(response: Json): Parameters<ReturnType<typeof createPrinter>['lost']>[0] {
  const lost = response['lost_events'] as { readonly source: string; readonly num_events_lost: number; readonly cpu?: number; readonly first?: string; readonly last?: string };
  const { num_events_lost: count, ...rest } = lost;
  return { ...rest, count, nodeName: (response['node_name'] ?? '') as string, time: response['time'] as string };
}

function statusFrom(value: Json): Parameters<typeof serverStatusText>[0] {
  const status = plain(value) as Readonly<Record<string, number>>;
  const optional = (name: string, field: string) => (status[field] === undefined ? {} : { [name]: status[field] });
  return {
    numFlows: status['num_flows'] ?? 0, maxFlows: status['max_flows'] ?? 0, seenFlows: status['seen_flows'] ?? 0, uptimeNs: status['uptime_ns'] ?? 0, version: String(status['version'] ?? ''),
    ...optional('flowsRate', 'flows_rate'), ...optional('numConnectedNodes', 'num_connected_nodes'), ...optional('numUnavailableNodes', 'num_unavailable_nodes'), ...optional('unavailableNodes', 'unavailable_nodes'),
  };
}

import type { Flow } from '../../model/flow.ts';
import { flowToJson, trimTime } from '../jsonpb.ts';
import { compactLine } from './compact.ts';
import { dictEntry, dictSeparator } from './dict.ts';
import type { FieldOptions, ShownIds } from './fields.ts';
import { timeFormatter } from './go-time.ts';
import { nodeStatusColumns, nodeStatusJson, nodeStatusLine } from './node-status.ts';
import { createPaint } from './paint.ts';
import type { LostEvents, NodeStatus } from './responses.ts';
import { safeJson } from './safe.ts';
import { alignColumns, flowColumns, lostColumns, lostPeriod } from './table.ts';

export const printFormats = ['compact', 'json', 'jsonpb', 'dict', 'table'] as const;
export type PrintFormat = (typeof printFormats)[number];

export interface PrinterOptions {
  readonly format: PrintFormat;
  readonly colours?: boolean;
  /** ` [node]` after the time. */
  readonly nodeNames?: boolean;
  readonly policyNames?: boolean;
  /** Names instead of addresses; default true. */
  readonly names?: boolean;
  /** Default `StampMilli`. */
  readonly formatTime?: (time: string) => string;
  /** Default none, which is Hubble's output. Tables and entries have room for all or none. */
  readonly ids?: ShownIds;
  /** Rules of drops and shadow verdicts in words, which Hubble does not have; default true. */
  readonly ours?: boolean;
  /** Node states of every kind, not of failures alone. */
  readonly debug?: boolean;
  /** `-o json` as the flow alone, without the response around it (HUBBLE_COMPAT=legacy-json-output). */
  readonly legacyJson?: boolean;
}

export interface FlowPrinter {
  flow(flow: Flow): void;
  lost(lost: LostEvents): void;
  /** Goes to the other output, so that it is in no one's way who reads flows. */
  nodeStatus(status: NodeStatus): void;
  /** Tables are printed here, when the widths are known. */
  end(): void;
}

/** Hubble's output layouts. `write` and `complain` get whole lines without the line break. */
export function createPrinter(options: PrinterOptions, write: (line: string) => void, complain: (line: string) => void = () => {}): FlowPrinter {
  const { format, names = true, policyNames = false, nodeNames = false, formatTime = timeFormatter('StampMilli'), ids = 'none', ours = true, debug = false, legacyJson = false } = options;
  const fields: FieldOptions = { paint: createPaint(options.colours === true && format !== 'table'), names, policyNames, nodeNames, formatTime, ids, ours };
  const rows: (readonly string[])[] = [];
  let entries = 0;
  const entry = (columns: readonly (readonly [string, string])[], out: (line: string) => void) => {
    if (entries++ > 0) out(dictSeparator);
    out(dictEntry(columns));
  };
  const row = (columns: readonly (readonly [string, string])[]) => {
    if (rows.length === 0) rows.push(columns.map(([header]) => header));
    rows.push(columns.map(([, value]) => value));
  };
  return {
    flow: flow => {
      switch (format) {
        case 'compact': return write(compactLine(flow, fields));
        case 'json': case 'jsonpb': return write(safeJson(format === 'json' && legacyJson ? flowToJson(flow).flow : flowToJson(flow)));
        case 'dict': return entry(flowColumns(flow, fields), write);
        case 'table': return row(flowColumns(flow, fields));
      }
    },
    lost: lost => {
      switch (format) {
        case 'compact': return write(lostLine(lost, fields));
        case 'json': case 'jsonpb': return write(safeJson(lostToJson(lost)));
        case 'dict': return entry(lostColumns(lost, fields).filter(([header]) => header !== 'DESTINATION'), write);
        case 'table': return row(lostColumns(lost, fields));
      }
    },
    nodeStatus: status => {
      if (!debug && status.state !== 'NODE_ERROR' && status.state !== 'NODE_UNAVAILABLE') return;
      switch (format) {
        case 'json': case 'jsonpb': return complain(safeJson(nodeStatusJson(status)));
        case 'dict': return entry(nodeStatusColumns(status, formatTime), complain);
        default: return complain(nodeStatusLine(status, formatTime));
      }
    },
    end: () => alignColumns(rows).forEach(write),
  };
}

function lostLine(lost: LostEvents, fields: FieldOptions): string {
  return `${fields.formatTime(lost.time)} EVENTS LOST: ${lost.source} CPU(${lost.cpu ?? 0}) ${lost.count}${lostPeriod(lost, fields)}`;
}

/** observer.GetFlowsResponse with its lost_events. */
export function lostToJson({ source, count, cpu, first, last, nodeName, time }: LostEvents): Readonly<Record<string, unknown>> {
  return {
    lost_events: { source, num_events_lost: String(count), ...(cpu !== undefined && { cpu }), ...(first !== undefined && { first: trimTime(first) }), ...(last !== undefined && { last: trimTime(last) }) },
    ...(nodeName !== '' && { node_name: nodeName }),
    time: trimTime(time),
  };
}

import type { Flow } from '../../model/flow.ts';
import { flowToJson } from '../jsonpb.ts';
import { compactLine } from './compact.ts';
import { dictEntry, dictSeparator } from './dict.ts';
import { safe, stampMilli, type FieldOptions, type ShownIds } from './fields.ts';
import { createPaint } from './paint.ts';
import { alignColumns, flowColumns } from './table.ts';

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
  readonly formatTime?: (time: string) => string;
  /** Default none, which is Hubble's output. Tables and entries have room for all or none. */
  readonly ids?: ShownIds;
}

export interface FlowPrinter {
  flow(flow: Flow): void;
  /** So many flows were lost on the way to this reader. */
  lost(node: string, count: number, time: string): void;
  /** Tables are printed here, when the widths are known. */
  end(): void;
}

/** Hubble's output layouts. `write` gets whole lines without the line break. */
export function createPrinter(options: PrinterOptions, write: (line: string) => void): FlowPrinter {
  const { format, colours = false, nodeNames = false, policyNames = false, names = true, formatTime = stampMilli, ids = 'none' } = options;
  const plain = format === 'table' || format === 'dict';
  const fields: FieldOptions & { nodeNames: boolean } = { paint: createPaint(colours && !plain), names, policyNames, formatTime, ids, nodeNames };
  const rows: (readonly string[])[] = [];
  let entries = 0;
  return {
    flow: flow => {
      switch (format) {
        case 'compact': return write(compactLine(flow, fields));
        case 'json': case 'jsonpb': return write(JSON.stringify(flowToJson(flow)));
        case 'dict':
          if (entries++ > 0) write(dictSeparator);
          return write(dictEntry(flow, fields));
        case 'table': {
          const columns = flowColumns(flow, fields);
          if (rows.length === 0) rows.push(columns.map(([header]) => header));
          return void rows.push(columns.map(([, value]) => value));
        }
      }
    },
    lost: (node, count, time) => {
      if (format === 'json' || format === 'jsonpb') {
        return write(JSON.stringify({ lost_events: { source: 'HUBBLE_RING_BUFFER', num_events_lost: String(count) }, node_name: node, time }));
      }
      write(`${formatTime(time)}${nodeNames ? ` [${safe(node)}]` : ''}: EVENTS LOST: HUBBLE_RING_BUFFER ${count}`);
    },
    end: () => alignColumns(rows).forEach(write),
  };
}

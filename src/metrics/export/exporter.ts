import type { FlowConsumer, FlowView, LostFlows } from '../../flows/consumer.ts';
import { compileFilters, type FlowFilter, type FlowPredicate } from '../../flows/filter.ts';
import { flowToJson } from '../../flows/jsonpb.ts';
import { FlowAggregate } from './aggregate.ts';
import { flowLine } from './flow-line.ts';
import { compileMask } from './mask.ts';
import { RotatingFile } from './rotating-file.ts';

export interface ExporterOptions {
  readonly name: string;
  /** `stdout`: the agent's log. */
  readonly filePath: string;
  readonly fileMaxSizeMb: number;
  readonly fileMaxBackups: number;
  readonly fileCompress: boolean;
  readonly include: readonly FlowFilter[];
  readonly exclude: readonly FlowFilter[];
  readonly fieldMask: readonly string[];
  /** Flows that are equal in these fields are told once in an interval, with their number. Empty: each by itself. */
  readonly fieldAggregate: readonly string[];
  readonly aggregationIntervalMs: number;
  /** Milliseconds since 1970: nothing is exported from then on. */
  readonly end?: number;
}

export interface ExporterDependencies {
  readonly nodeName: string;
  readonly now?: () => number;
}

interface Sink {
  readonly written: number;
  readonly lost: number;
  readonly trouble: string | undefined;
  add(line: string): void;
  flush(): void;
  close(): Promise<void>;
}

/**
 * Flows as lines of `observer.ExportEvent` in JSON:
 *
 *     flow ─► filters ─► mask ─► (counted by fieldAggregate) ─► line ─► file, rotated
 *
 * Throws CirriError in the constructor where a filter or mask is none.
 */
export class FlowExporter implements FlowConsumer {
  readonly options: ExporterOptions;
  readonly #nodeName: string;
  readonly #now: () => number;
  readonly #matches: FlowPredicate;
  readonly #mask: (flow: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
  readonly #aggregate: FlowAggregate | undefined;
  readonly #isWhole: boolean;
  readonly #sink: Sink;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(options: ExporterOptions, { nodeName, now = Date.now }: ExporterDependencies) {
    this.options = options;
    this.#nodeName = nodeName;
    this.#now = now;
    this.#matches = compileFilters(options.include, options.exclude);
    this.#mask = compileMask(options.fieldMask);
    this.#aggregate = options.fieldAggregate.length === 0 ? undefined : new FlowAggregate(compileMask(options.fieldAggregate));
    this.#isWhole = options.fieldMask.length === 0 && this.#aggregate === undefined;
    this.#sink = options.filePath === 'stdout' ? stdoutSink() : new RotatingFile({ path: options.filePath, maxBytes: options.fileMaxSizeMb * 1024 * 1024, maxBackups: options.fileMaxBackups, compress: options.fileCompress });
    if (this.#aggregate) this.#timer = setInterval(() => this.tellAggregates(), options.aggregationIntervalMs).unref();
  }

  /** False from its end on. */
  get active(): boolean {
    return this.options.end === undefined || this.#now() < this.options.end;
  }

  /** Lines. */
  get counts(): { readonly written: number; readonly lost: number } {
    return { written: this.#sink.written, lost: this.#sink.lost };
  }

  get trouble(): string | undefined {
    return this.#sink.trouble;
  }

  flow(flow: FlowView): void {
    if (!this.active || !this.#matches(flow)) return;
    if (this.#isWhole) {
      this.#sink.add(flowLine(flow));
      return;
    }
    const json = flowToJson(flow);
    if (this.#aggregate?.add(json.flow)) return;
    this.#sink.add(JSON.stringify({ ...json, flow: this.#mask(json.flow) }));
  }

  lost({ source, count }: LostFlows): void {
    if (this.active) this.#tell({ lost_events: { source, num_events_lost: String(count) } });
  }

  settle(): void {
    this.#sink.flush();
  }

  /** At the end of each interval. */
  tellAggregates(): void {
    for (const flow of this.#aggregate?.take() ?? []) this.#tell({ flow });
    this.#sink.flush();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.tellAggregates();
    await this.#sink.close();
  }

  #tell(event: object): void {
    this.#sink.add(JSON.stringify({ ...event, node_name: this.#nodeName, time: new Date(this.#now()).toISOString() }));
  }
}

function stdoutSink(): Sink {
  let lines: string[] = [];
  let written = 0;
  return {
    get written() { return written; },
    lost: 0,
    trouble: undefined,
    add: line => {
      lines.push(line);
    },
    flush: () => {
      if (lines.length === 0) return;
      process.stdout.write(`${lines.join('\n')}\n`);
      written += lines.length;
      lines = [];
    },
    close: () => Promise.resolve(),
  };
}

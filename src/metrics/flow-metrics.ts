import type { FlowConsumer, FlowView, LostFlows } from '../flows/consumer.ts';
import { compileFilters, type FlowFilter, type FlowPredicate } from '../flows/filter.ts';
import { LabelContext, plainNode } from './context.ts';
import { labelText, type MetricFamily } from './exposition.ts';
import { checkTogether, type MetricConfig } from './options.ts';
import { plugins } from './plugins/all.ts';
import type { FlowCounter } from './plugins/plugin.ts';
import { CounterFamily, HistogramFamily } from './series.ts';

/** A plugin with the flows that it counts; all without filters. */
export interface FilteredMetric extends MetricConfig {
  readonly include?: readonly FlowFilter[];
  readonly exclude?: readonly FlowFilter[];
}

export interface FlowMetricsOptions {
  /** Series of one metric, and combinations of a plugin's context labels; default 10,000. */
  readonly limit?: number;
}

interface Running {
  readonly config: FilteredMetric;
  readonly context: LabelContext;
  readonly families: readonly (CounterFamily | HistogramFamily)[];
  readonly count: FlowCounter;
  readonly takesPacketless: boolean;
  matches: FlowPredicate | undefined;
}

/** Series of a metric at most: each takes memory here, and more in Prometheus. */
export const defaultSeriesLimit = 10_000;

/**
 * Hubble's metrics: every flow goes to each plugin that is on.
 *
 *     flow ─► plugin ─► context labels (by ends) ─► series ─► +1          scrape ─► families()
 *
 * Shadow verdicts happened to no packet and are left out; so are, but for the plugin that asks for them, the ends of connections
 * that were told by age: the dashboards that read upstream's metrics know neither.
 */
export class FlowMetrics implements FlowConsumer {
  readonly #limit: number;
  readonly #lost: CounterFamily;
  #running: readonly Running[] = [];

  constructor(configs: readonly FilteredMetric[], options: FlowMetricsOptions = {}) {
    this.#limit = options.limit ?? defaultSeriesLimit;
    this.#lost = new CounterFamily({ name: 'hubble_lost_events_total', help: 'Number of lost events', labels: ['source'], contextNames: [], limit: this.#limit });
    this.configure(configs);
  }

  /**
   * Takes other plugins: one whose options are as before keeps its series, with other filters too; any other begins anew. Throws
   * CirriError, and then all is as before.
   */
  configure(configs: readonly FilteredMetric[]): void {
    checkTogether(configs);
    const contexts = new Map(this.#running.map(({ config, context }) => [contextKey(config), context] as const));
    const next = configs.map(config => {
      const matches = config.include?.length || config.exclude?.length ? compileFilters(config.include ?? [], config.exclude ?? []) : undefined;
      const before = this.#running.find(running => isSame(running.config, config));
      return { before, started: before ?? this.#start(config, contexts), config, matches };
    });
    const kept = new Set(next.map(({ before }) => before));
    // Nodes may be shared with plugins that stay: what is over must not hang on them.
    for (const gone of this.#running) if (!kept.has(gone)) for (const node of gone.context.nodes()) for (const family of gone.families) family.forget(node);
    this.#running = next.map(({ started, config, matches }) => ({ ...started, config, matches }));
  }

  /** Names of the plugins that are on. */
  get names(): readonly string[] {
    return this.#running.map(({ config }) => config.name);
  }

  get series(): number {
    return this.#running.reduce((sum, { families }) => sum + families.reduce((inner, family) => inner + family.size, 0), 0);
  }

  /** Events that were counted in an overflow series. */
  get overflowed(): number {
    return this.#running.reduce((sum, { families }) => sum + families.reduce((inner, family) => inner + family.overflowed, 0), 0);
  }

  flow(flow: FlowView): void {
    if (flow.shadow !== undefined) return;
    const { packetless } = flow;
    for (const { count, matches, takesPacketless } of this.#running) {
      if ((!packetless || takesPacketless) && (matches === undefined || matches(flow))) count(flow);
    }
  }

  lost({ source, count }: LostFlows): void {
    this.#lost.at1(plainNode, source.toLowerCase()).value += count;
  }

  /** Takes away the series that name a pod which is gone. Returns how many. */
  forgetPod(namespace: string, name: string): number {
    const before = this.series;
    for (const context of new Set(this.#running.map(running => running.context))) {
      for (const node of context.forgetPod(`${namespace}/${name}`)) {
        for (const running of this.#running) if (running.context === context) for (const family of running.families) family.forget(node);
      }
    }
    return before - this.series;
  }

  families(): MetricFamily[] {
    const own = this.#running.flatMap(({ families }) => families);
    return [...[...own, this.#lost].map(asFamily), overflowFamily(own)];
  }

  /** Plugins with the same context options share what is known of ends. */
  #start(config: FilteredMetric, contexts: Map<string, LabelContext>): Omit<Running, 'matches'> {
    const context = contexts.get(contextKey(config)) ?? new LabelContext(config.context, this.#limit);
    contexts.set(contextKey(config), context);
    const families: (CounterFamily | HistogramFamily)[] = [];
    const add = <F extends CounterFamily | HistogramFamily>(family: F): F => {
      families.push(family);
      return family;
    };
    const options = (name: string, help: string, labels: readonly string[]) => ({ name: `hubble_${name}`, help, labels, contextNames: context.names, limit: this.#limit });
    const plugin = plugins.get(config.name)!;
    const count = plugin.create({
      options: config.options, context,
      counter: (name, help, labels) => add(new CounterFamily(options(name, help, labels))),
      histogram: (name, help, labels) => add(new HistogramFamily(options(name, help, labels))),
    });
    return { config, context, families, count, takesPacketless: plugin.takesPacketless === true };
  }
}

function overflowFamily(families: readonly (CounterFamily | HistogramFamily)[]): MetricFamily {
  return {
    name: 'hubble_metrics_series_overflow_total', type: 'counter', help: 'Events counted in the series "overflow" of a metric, because it has as many series as it may have',
    series: families.filter(family => family.overflowed > 0).map(family => ({ labels: labelText({ metric: family.options.name }), value: family.overflowed })),
  };
}

export function asFamily(family: CounterFamily | HistogramFamily): MetricFamily {
  const { name, help } = family.options;
  return family.type === 'counter' ? { name, help, type: 'counter', series: family.series() } : { name, help, type: 'histogram', series: family.series() };
}

function isSame(a: MetricConfig, b: MetricConfig): boolean {
  return a.name === b.name && JSON.stringify([...a.options].sort()) === JSON.stringify([...b.options].sort()) && contextKey(a) === contextKey(b);
}

function contextKey({ context }: MetricConfig): string {
  return JSON.stringify(sorted(context));
}

function sorted(value: object): [string, unknown][] {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

import type { FlowView } from '../../flows/consumer.ts';
import type { LabelContext } from '../context.ts';
import type { CounterFamily, HistogramFamily } from '../series.ts';

/** What a plugin is made with. Names are without the prefix `hubble_`; the context's labels are added to its own. */
export interface PluginSetup {
  /** The plugin's own options as they were given, names in lower case; a flag's value is empty. */
  readonly options: ReadonlyMap<string, string>;
  readonly context: LabelContext;
  counter(name: string, help: string, labels: readonly string[]): CounterFamily;
  histogram(name: string, help: string, labels: readonly string[]): HistogramFamily;
}

/** Counts one flow. Must not throw, keep the flow, or make anything once its series exist. */
export type FlowCounter = (flow: FlowView) => void;

export interface MetricPlugin {
  readonly name: string;
  /** Own options with what they do; the value of one that takes a value is true or false. */
  readonly options: Readonly<Record<string, { readonly takes: 'nothing' | 'boolean'; readonly help: string }>>;
  /** A plugin with metrics of the same names. */
  readonly conflictsWith?: string;
  /** Flows without a packet are counted too: the ends of connections that were told by age. */
  readonly takesPacketless?: boolean;
  create(setup: PluginSetup): FlowCounter;
}

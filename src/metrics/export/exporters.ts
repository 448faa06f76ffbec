import { createHash } from 'node:crypto';
import type { FlowConsumer, FlowView, LostFlows } from '../../flows/consumer.ts';
import type { FeatureStatus } from '../../model/status.ts';
import type { Logger } from '../../std/log.ts';
import { errorText } from '../../std/errors.ts';
import { counter, gauge, type MetricFamily } from '../exposition.ts';
import { ownPath, readFlowLogs } from './config.ts';
import { FlowExporter, type ExporterDependencies, type ExporterOptions } from './exporter.ts';

export interface ExportersOptions {
  readonly fixed?: ExporterOptions;
  /** Several nodes of one machine share its files: then each has its own name in the path. */
  readonly sharedBy?: string;
}

/** All exporters of a node: the one in the settings, and those of the ConfigMap, which come and go without a restart. */
export class Exporters implements FlowConsumer {
  readonly #options: ExportersOptions;
  readonly #dependencies: ExporterDependencies & { readonly log: Logger };
  readonly #fixed: FlowExporter | undefined;
  #dynamic: readonly FlowExporter[] = [];
  #all: readonly FlowExporter[];
  readonly #reconfigurations = { add: 0, update: 0, remove: 0 };
  #hash = 0;
  #appliedAt = 0;

  constructor(options: ExportersOptions, dependencies: ExporterDependencies & { readonly log: Logger }) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#fixed = options.fixed && new FlowExporter(options.fixed, dependencies);
    this.#all = this.#fixed ? [this.#fixed] : [];
  }

  /** Takes the text of the ConfigMap; without one there are no exporters of it. Those whose options are as before go on. Throws CirriError, and then all is as before. */
  configure(text: string | undefined): void {
    const wanted = (text === undefined ? [] : readFlowLogs(text)).map(options => ({ ...options, filePath: this.#pathOf(options.filePath) }));
    const next = wanted.map(options => {
      const before = this.#dynamic.find(exporter => exporter.options.name === options.name);
      return { before, exporter: before && JSON.stringify(before.options) === JSON.stringify(options) ? before : new FlowExporter(options, this.#dependencies) };
    });
    const kept = new Set(next.map(({ exporter }) => exporter));
    const names = new Set(wanted.map(({ name }) => name));
    for (const { before, exporter } of next) if (before !== exporter) this.#reconfigurations[before ? 'update' : 'add']++;
    for (const exporter of this.#dynamic) {
      if (kept.has(exporter)) continue;
      if (!names.has(exporter.options.name)) this.#reconfigurations.remove++;
      void exporter.close().catch((error: unknown) => this.#dependencies.log.warn('an exporter of flows could not be closed', { name: exporter.options.name, error: errorText(error) }));
    }
    this.#dynamic = next.map(({ exporter }) => exporter);
    this.#all = [...(this.#fixed ? [this.#fixed] : []), ...this.#dynamic];
    this.#hash = text === undefined ? 0 : createHash('sha256').update(text).digest().readUIntBE(0, 6);
    this.#appliedAt = Date.now();
  }

  get size(): number {
    return this.#all.length;
  }

  flow(flow: FlowView): void {
    // What ended by age is no event of upstream's; the history has it.
    if (flow.packetless) return;
    for (const exporter of this.#all) exporter.flow(flow);
  }

  lost(lost: LostFlows): void {
    for (const exporter of this.#all) exporter.lost(lost);
  }

  settle(): void {
    for (const exporter of this.#all) exporter.settle();
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map(exporter => exporter.close()));
  }

  families(): MetricFamily[] {
    const active = this.#dynamic.filter(exporter => exporter.active).length;
    return [
      gauge('hubble_dynamic_exporter_exporters_total', 'Number of configured exporters', [[{ status: 'active' }, active], [{ status: 'inactive' }, this.#dynamic.length - active]]),
      gauge('hubble_dynamic_exporter_up', 'Status of exporter (1 - active, 0 - inactive)', this.#dynamic.map(exporter => [{ name: exporter.options.name }, exporter.active ? 1 : 0] as const)),
      counter('hubble_dynamic_exporter_reconfigurations_total', 'Number of dynamic exporters reconfigurations', Object.entries(this.#reconfigurations).map(([op, count]) => [{ op }, count] as const)),
      gauge('hubble_dynamic_exporter_config_hash', 'Hash of last applied config', this.#appliedAt === 0 ? [] : [[{}, this.#hash]]),
      gauge('hubble_dynamic_exporter_config_last_applied', 'Timestamp of last applied config', this.#appliedAt === 0 ? [] : [[{}, this.#appliedAt / 1000]]),
      counter('hubble_exporter_written_flows_total', 'Flows that an exporter has written', this.#all.map(exporter => [{ name: exporter.options.name }, exporter.counts.written] as const)),
      counter('hubble_exporter_lost_flows_total', 'Flows that an exporter could not write: the disk was full, too slow, or the file not to be had', this.#all.map(exporter => [{ name: exporter.options.name }, exporter.counts.lost] as const)),
    ];
  }

  status(trouble: string | undefined): FeatureStatus {
    const failing = this.#all.find(exporter => exporter.trouble !== undefined);
    const wrong = trouble ?? (failing && `${failing.options.name}: ${failing.trouble}; ${failing.counts.lost} flows lost`);
    if (wrong !== undefined) return { name: 'FlowExport', state: 'degraded', detail: wrong };
    if (this.#all.length === 0) return { name: 'FlowExport', state: 'off', detail: 'hubble.export.filePath names no file, ConfigMap cilium-flowlog-config no flow log' };
    return { name: 'FlowExport', state: 'on', detail: this.#all.map(({ options, active, counts }) => `${options.name} → ${options.filePath}${active ? '' : ' (ended)'}: ${counts.written} written${counts.lost > 0 ? `, ${counts.lost} lost` : ''}`).join('; ') };
  }

  #pathOf(path: string): string {
    return path === 'stdout' || this.#options.sharedBy === undefined ? path : ownPath(path, this.#options.sharedBy);
  }
}

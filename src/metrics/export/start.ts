import type { FlowConsumer } from '../../flows/consumer.ts';
import type { ConfigMap } from '../../kube/types.ts';
import type { Settings } from '../../model/settings.ts';
import type { FeatureStatus } from '../../model/status.ts';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import type { Table } from '../../table/table.ts';
import type { MetricFamily } from '../exposition.ts';
import { followConfigMap } from '../followed.ts';
import { OtlpSender } from '../otlp/sender.ts';
import { flowLogPlace, staticExporter } from './config.ts';
import { Exporters } from './exporters.ts';

export interface ExportOptions {
  readonly settings: Settings['hubble']['export'];
  readonly nodeName: string;
  readonly clusterName: string;
  readonly version: string;
  /** Other nodes use the files of this machine too. */
  readonly sharesFiles: boolean;
}

export interface ExportDependencies {
  readonly consume: (consumer: FlowConsumer) => () => void;
  readonly configMaps: Table<ConfigMap>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface FlowExport {
  families(): MetricFamily[];
  readonly features: readonly (() => FeatureStatus)[];
}

/**
 * What leaves the node: lines in files (`hubble.export`, and the ConfigMap cilium-flowlog-config, followed without a restart) and
 * OTLP. A setting that cannot be used is said in the status and stops nothing else. Flows cost nothing while nobody wants them.
 */
export function startFlowExport(options: ExportOptions, dependencies: ExportDependencies): FlowExport {
  const { settings, nodeName, sharesFiles } = options;
  const { consume, log, signal } = dependencies;
  const troubles = { file: undefined as string | undefined, otlp: undefined as string | undefined };
  const attempt = <T>(what: keyof typeof troubles, make: () => T): T | undefined => {
    try {
      return make();
    } catch (error) {
      troubles[what] = errorText(error);
      log.error('flows are not exported as the settings say', { error: errorText(error) });
      return undefined;
    }
  };
  const shared = sharesFiles ? { sharedBy: nodeName } : {};
  const withFixed = attempt('file', () => {
    const fixed = staticExporter(settings, { name: nodeName, shared: sharesFiles });
    return new Exporters({ ...shared, ...(fixed && { fixed }) }, { nodeName, log });
  });
  const exporters = withFixed ?? new Exporters(shared, { nodeName, log });
  // While there is no exporter no flow is handed to any.
  let stop: (() => void) | undefined;
  const attach = () => {
    if (exporters.size > 0) stop ??= consume(exporters);
    else {
      stop?.();
      stop = undefined;
    }
  };
  attach();
  const followed = followConfigMap({
    place: flowLogPlace,
    take: text => {
      exporters.configure(text);
      attach();
    },
  }, dependencies);
  const otlp = settings.otlpEndpoint === '' ? undefined : attempt('otlp', () => new OtlpSender({
    endpoint: settings.otlpEndpoint, version: options.version,
    resource: { 'service.name': 'hubble', 'service.version': options.version, 'k8s.cluster.name': options.clusterName, 'k8s.node.name': nodeName, 'host.name': nodeName },
  }));
  const stopOtlp = otlp && consume(otlp);
  if (otlp) void otlp.run(signal);
  signal.addEventListener('abort', () => {
    stop?.();
    stopOtlp?.();
    void exporters.close();
  }, { once: true });
  return {
    families: () => [...exporters.families(), ...(otlp?.families() ?? [])],
    features: [
      () => exporters.status(troubles.file ?? followed.trouble),
      ...(settings.otlpEndpoint === '' ? [] : [() => otlp?.status() ?? { name: 'FlowExportOTLP', state: 'degraded' as const, detail: troubles.otlp ?? 'not started' }]),
    ],
  };
}

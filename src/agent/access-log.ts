import type { FlowConsumer } from '../flows/consumer.ts';
import { ownPath } from '../metrics/export/config.ts';
import { FlowExporter } from '../metrics/export/exporter.ts';

/** Where Hubble's event types have requests and answers. */
const l7EventType = 129;

/**
 * `l7.accessLog`: what the layer 7 proxy has seen, as lines of `observer.ExportEvent` in JSON, in a file that is rotated at 10 MB, of
 * which five stay. DNS messages, which the kernel tells of, are not in it.
 */
export function startAccessLog(options: { readonly path: string; readonly nodeName: string; readonly sharesFiles: boolean }, dependencies: { readonly consume: (consumer: FlowConsumer) => () => void; readonly signal: AbortSignal }): void {
  const { path, nodeName, sharesFiles } = options;
  if (path === '') return;
  const exporter = new FlowExporter({
    name: 'access log', filePath: path === 'stdout' || !sharesFiles ? path : ownPath(path, nodeName), fileMaxSizeMb: 10, fileMaxBackups: 5, fileCompress: false,
    include: [{ event_type: [{ type: l7EventType }] }], exclude: [{ protocol: ['dns'] }], fieldMask: [], fieldAggregate: [], aggregationIntervalMs: 60_000,
  }, { nodeName });
  const stop = dependencies.consume(exporter);
  dependencies.signal.addEventListener('abort', () => {
    stop();
    void exporter.close();
  }, { once: true });
}

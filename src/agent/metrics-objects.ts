import type { KubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { resources, type Resource } from '../kube/resources.ts';
import type { KubeObject } from '../kube/types.ts';
import { hubbleMetricsPort } from '../metrics/start.ts';
import { backoffMs, delay } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { agentMetricsPort } from './agent-metrics.ts';

export interface MetricsObjectsOptions {
  readonly node: { readonly name: string; readonly underlay4: string };
  /** hubble.enabled. */
  readonly hubble: boolean;
  /** hubble.metrics.serviceMonitor.enabled. */
  readonly serviceMonitor: boolean;
}

interface Wanted {
  readonly resource: Resource;
  readonly object: KubeObject;
  /** False: it is to be gone. */
  readonly present: boolean;
}

const namespace = 'kube-system';
const managedBy = { 'app.kubernetes.io/part-of': 'cilium', 'app.kubernetes.io/managed-by': 'cirri' };

/** Upstream's services of metrics, with what there is of them here: the agents have no pods, so their nodes are the endpoints. */
const services = [
  { service: 'cilium-agent', monitor: 'cilium-agent', labels: { ...managedBy, 'k8s-app': 'cilium' }, portName: 'metrics', port: agentMetricsPort, isHubble: false },
  { service: 'hubble-metrics', monitor: 'hubble', labels: { ...managedBy, 'k8s-app': 'hubble' }, portName: 'hubble-metrics', port: hubbleMetricsPort, isHubble: true },
] as const;

/** Objects of metrics as this node wants them: the services, its own endpoint, and the ServiceMonitors. Pure. */
export function metricsObjects({ node, hubble, serviceMonitor }: MetricsObjectsOptions): Wanted[] {
  return services.flatMap(({ service, monitor, labels, portName, port, isHubble }) => {
    const present = hubble || !isHubble;
    // One family: with both, whoever discovers targets by endpoints would scrape each node twice.
    const slice: Wanted = {
      resource: resources.endpointSlices, present,
      object: {
        apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
        metadata: { name: `${service}-${node.name}`, namespace, labels: { ...labels, 'kubernetes.io/service-name': service, 'endpointslice.kubernetes.io/managed-by': 'cirri-agent' } },
        addressType: 'IPv4', ports: [{ name: portName, port, protocol: 'TCP' }],
        endpoints: [{ addresses: [node.underlay4], conditions: { ready: true }, nodeName: node.name, targetRef: { kind: 'Node', name: node.name } }],
      },
    };
    return [
      {
        resource: resources.services, present,
        object: {
          apiVersion: 'v1', kind: 'Service', metadata: { name: service, namespace, labels, annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': String(port) } },
          spec: { type: 'ClusterIP', clusterIP: 'None', ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv4'], ports: [{ name: portName, port, protocol: 'TCP', targetPort: port }] },
        },
      },
      slice,
      { resource: resources.serviceMonitors, present: present && serviceMonitor, object: serviceMonitorOf(monitor, labels, portName) },
    ];
  });
}

function serviceMonitorOf(name: string, labels: Readonly<Record<string, string>>, port: string): KubeObject {
  return {
    apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor', metadata: { name, namespace, labels },
    spec: {
      selector: { matchLabels: { 'k8s-app': labels['k8s-app'] } },
      namespaceSelector: { matchNames: [namespace] },
      endpoints: [{
        port, path: '/metrics', interval: '10s', honorLabels: true,
        relabelings: [{ action: 'replace', sourceLabels: ['__meta_kubernetes_endpointslice_endpoint_node_name'], targetLabel: 'node', replacement: '${1}' }],
      }],
    },
  };
}

/** Brings the objects there, as soon as the API takes them. Every agent writes the same services, and endpoints of its own. */
export async function publishMetricsObjects(options: MetricsObjectsOptions, dependencies: { readonly client: KubeClient; readonly log: Logger; readonly signal: AbortSignal }): Promise<void> {
  const { client, log, signal } = dependencies;
  const waiting = new Set(metricsObjects(options));
  for (let attempt = 0; waiting.size > 0 && !signal.aborted; attempt++) {
    for (const wanted of waiting) {
      try {
        await bring(client, wanted);
        waiting.delete(wanted);
      } catch (error) {
        // A cluster without prometheus-operator has no such kind; then nobody misses the object.
        if (wanted.resource === resources.serviceMonitors && error instanceof KubeError && error.status === 404) waiting.delete(wanted);
        else if (attempt === 0) log.warn('an object of metrics could not be written; tried again', { kind: wanted.object.kind, name: wanted.object.metadata.name, error: errorText(error) });
      }
    }
    if (waiting.size > 0) await delay(backoffMs(attempt, { baseMs: 1_000, maxMs: 60_000 }), signal).catch(() => {});
  }
}

async function bring(client: KubeClient, { resource, object, present }: Wanted): Promise<void> {
  const { name } = object.metadata;
  if (present) await client.patch(resource, name, namespace, object, { type: 'apply', fieldManager: 'cirri-agent', force: true });
  else await client.delete(resource, name, namespace);
}

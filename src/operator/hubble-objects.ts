import type { NewObject } from './collection.ts';
import type { Pod } from '../kube/types.ts';
import { serviceNameLabel } from './endpointslices.ts';
import type { ClusterRecord } from '../model/cluster.ts';

/** Where Hubble's objects are, as upstream has them. */
export const hubbleNamespace = 'kube-system';

/** The annotation that tells the API server which process of this machine stands behind a pod. */
export const processAnnotation = 'cirri.io/process';

/**
 * Processes of this machine that upstream runs as pods. Their pods here are mirrors: no kubelet runs them, no scheduler places
 * them, and their status is what is seen of the process.
 */
export const hostProcesses = [
  { name: 'hubble-relay', process: 'grpc', containerPort: 4245, portName: 'grpc', servicePort: 80, isOn: (record: ClusterRecord) => record.settings.hubble.enabled && record.settings.hubble.relay.enabled },
  { name: 'hubble-ui', process: 'web', containerPort: 8081, portName: 'http', servicePort: 80, isOn: (record: ClusterRecord) => record.settings.hubble.enabled && record.settings.hubble.relay.enabled && record.settings.hubble.ui.enabled },
] as const;

export type HostProcess = (typeof hostProcesses)[number];

const managed = { 'app.kubernetes.io/part-of': 'cilium', 'app.kubernetes.io/managed-by': 'cirri' };

export function processService({ name, servicePort, containerPort, portName }: HostProcess): NewObject {
  return {
    apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: hubbleNamespace, labels: { 'k8s-app': name, 'app.kubernetes.io/name': name, ...managed } },
    spec: { type: 'ClusterIP', selector: { 'k8s-app': name }, ports: [{ name: portName, port: servicePort, protocol: 'TCP', targetPort: containerPort }] },
  };
}

export function processPod({ name, process, containerPort, portName }: HostProcess): NewObject {
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      name, namespace: hubbleNamespace, labels: { 'k8s-app': name, 'app.kubernetes.io/name': name, ...managed },
      annotations: { 'kubernetes.io/config.mirror': name, 'kubernetes.io/config.source': 'host', [processAnnotation]: process },
    },
    spec: {
      hostNetwork: true, schedulerName: 'cirri-host', restartPolicy: 'Always',
      containers: [{ name, image: `cirri/${name}`, ports: [{ name: portName, containerPort, hostPort: containerPort, protocol: 'TCP' }] }],
    },
  };
}

/** The status of a mirror pod from what was seen of its process: Running and ready while it listens. Undefined when it says so already. */
export function processStatus(pod: Pod, seen: { readonly listens: boolean; readonly hostIP: string; readonly now: string }): object | undefined {
  const { listens, hostIP, now } = seen;
  const wanted = listens ? 'True' : 'False';
  const before = pod.status?.conditions?.find(condition => condition.type === 'Ready');
  if (before?.status === wanted && pod.status?.podIP === hostIP) return undefined;
  const { name, image } = pod.spec.containers[0]!;
  const why = listens ? {} : { reason: 'ContainersNotReady', message: 'the process does not listen' };
  const startTime = listens && before?.status !== 'True' ? now : pod.status?.startTime ?? now;
  return {
    phase: listens ? 'Running' : 'Pending', hostIP, hostIPs: [{ ip: hostIP }], podIP: hostIP, podIPs: [{ ip: hostIP }], startTime,
    conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map(type => {
      const isKnown = type === 'Ready' || type === 'ContainersReady';
      return { type, status: isKnown ? wanted : 'True', lastProbeTime: null, lastTransitionTime: now, ...(isKnown && why) };
    }),
    containerStatuses: [{
      name, image, imageID: '', ready: listens, started: listens, restartCount: 0,
      state: listens ? { running: { startedAt: startTime } } : { waiting: { reason: 'NotListening', message: 'the process does not listen' } },
    }],
  };
}

/** The nodes' Observers: no pods stand behind them, so the endpoints are written. */
export function peerService(): NewObject {
  return {
    apiVersion: 'v1', kind: 'Service', metadata: { name: 'hubble-peer', namespace: hubbleNamespace, labels: { 'k8s-app': 'cilium', 'app.kubernetes.io/name': 'hubble-peer', ...managed } },
    spec: { type: 'ClusterIP', internalTrafficPolicy: 'Local', ports: [{ name: 'peer-service', port: 443, protocol: 'TCP', targetPort: 4244 }] },
  };
}

export function peerSlice(record: ClusterRecord): NewObject {
  return {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
    metadata: { name: 'hubble-peer', namespace: hubbleNamespace, labels: { [serviceNameLabel]: 'hubble-peer', ...managed } },
    addressType: 'IPv4', ports: [{ name: 'peer-service', port: 4244, protocol: 'TCP' }],
    endpoints: record.nodes.map(node => ({ addresses: [node.underlay4], nodeName: node.name, conditions: { ready: true } })),
  };
}

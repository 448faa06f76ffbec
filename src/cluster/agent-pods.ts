import { realpathSync } from 'node:fs';
import type { ClusterRecord, StatePaths } from '../model/cluster.ts';
import { repositoryRoot, version } from './root.ts';

/**
 * DaemonSet kube-system/cilium: a pod on each node's own network in which the commands of the node's agent are at hand, so that
 * `kubectl -n kube-system exec ds/cilium -- cilium status` works as it is written everywhere. It only waits: the agent is a
 * process beside it and needs no pod, so nothing depends on this one.
 */
export function agentPods(record: ClusterRecord, paths: StatePaths): object {
  const labels = { 'k8s-app': 'cilium', 'app.kubernetes.io/name': 'cilium-agent', 'app.kubernetes.io/part-of': 'cilium' };
  const node = realpathSync(process.execPath);
  // The state of clusters and home folders are hidden from containers; these are shown again.
  const shown = [paths.state, repositoryRoot, node].map((path, i) => ({ name: ['state', 'sources', 'node'][i]!, path }));
  return {
    apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'cilium', namespace: 'kube-system', labels },
    spec: {
      selector: { matchLabels: { 'k8s-app': 'cilium' } },
      template: {
        metadata: { labels, annotations: { 'kubectl.kubernetes.io/default-container': 'cilium-agent' } },
        spec: {
          hostNetwork: true,
          terminationGracePeriodSeconds: 1,
          automountServiceAccountToken: false,
          tolerations: [{ operator: 'Exists' }],
          containers: [{
            name: 'cilium-agent',
            image: `cirri/agent:${version()}`,
            // It reads the kernel's maps.
            securityContext: { privileged: true },
            env: [
              { name: 'CIRRI_INSTANCE', value: record.instance },
              { name: 'CIRRI_STATE', value: paths.state },
              { name: 'CIRRI_NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
              { name: 'PATH', value: `${repositoryRoot}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin` },
            ],
            volumeMounts: shown.map(({ name, path }) => ({ name, mountPath: path, readOnly: name !== 'state' })),
          }],
          volumes: shown.map(({ name, path }) => ({ name, hostPath: { path } })),
        },
      },
    },
  };
}

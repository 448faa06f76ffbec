import { asObjects, asString, at } from '../object.ts';
import type { KubeObject } from '../object.ts';
import type { Column } from './column.ts';
import { ageColumn, column, nameColumn, none, unknown, wide } from './common.ts';

function nodeStatus(node: KubeObject): string {
  const ready = asObjects(at(node, 'status', 'conditions')).find(c => c['type'] === 'Ready');
  const words = [ready ? (ready['status'] === 'True' ? 'Ready' : 'NotReady') : 'Unknown'];
  if (at(node, 'spec', 'unschedulable') === true) words.push('SchedulingDisabled');
  return words.join(',');
}

const rolePrefix = 'node-role.kubernetes.io/';

function roles(node: KubeObject): string {
  const found = Object.entries(node.metadata.labels ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) return [key.slice(rolePrefix.length)];
    return key === 'kubernetes.io/role' && value !== '' ? [value] : [];
  });
  return found.length > 0 ? [...new Set(found)].sort().join(',') : none;
}

const address = (type: string) => (node: KubeObject) => asString(asObjects(at(node, 'status', 'addresses')).find(a => a['type'] === type)?.['address']) ?? none;
const info = (key: string) => (node: KubeObject) => asString(at(node, 'status', 'nodeInfo', key)) || unknown;

export const nodeColumns: readonly Column[] = [
  nameColumn,
  column('Status', 'Whether the node is ready for pods.', nodeStatus),
  column('Roles', 'Roles of the node.', roles),
  ageColumn,
  column('Version', 'Version of the kubelet.', o => asString(at(o, 'status', 'nodeInfo', 'kubeletVersion')) ?? ''),
  wide('Internal-IP', 'Address inside the cluster.', address('InternalIP')),
  wide('External-IP', 'Address outside the cluster.', address('ExternalIP')),
  wide('OS-Image', 'Name of the operating system.', info('osImage')),
  wide('Kernel-Version', 'Version of the kernel.', info('kernelVersion')),
  wide('Container-Runtime', 'Container runtime and version.', info('containerRuntimeVersion')),
];

import type { FlowEndpoint } from '../model/flow.ts';
import { identityScope, reserved, reservedName } from '../model/identity.ts';
import type { MapNode } from '../model/service-map.ts';

/** The map's node that an end belongs to. `nodeName` of an address: the cluster's node that has it. */
export function mapNodeOf(end: FlowEndpoint, nodeName: (ip: string) => string | undefined): MapNode {
  const { namespace, labels } = end;
  const workload = end.workloads?.[0];
  if (namespace !== undefined && workload) {
    return { id: `workload:${namespace}/${workload.kind}/${workload.name}`, kind: 'workload', name: workload.name, namespace, workloadKind: workload.kind, labels };
  }
  if (end.podName !== undefined) return { id: `pod:${namespace ?? ''}/${end.podName}`, kind: 'pod', name: end.podName, ...(namespace !== undefined && { namespace }), labels };
  const name = end.names?.[0]?.replace(/\.$/, '');
  if (name) return { id: `name:${name}`, kind: 'name', name, labels };
  return reservedNode(end, nodeName) ?? cidrNode(end) ?? { id: `reserved:${word(end.identity)}`, kind: 'reserved', name: word(end.identity), labels };
}

/** The world is one, whatever family its address is of. */
const word = (identity: number) => (identity === reserved.worldIPv4 || identity === reserved.worldIPv6 ? 'world' : reservedName(identity) ?? 'unknown');

function reservedNode(end: FlowEndpoint, nodeName: (ip: string) => string | undefined): MapNode | undefined {
  const { identity, labels } = end;
  const isNode = identity === reserved.host || identity === reserved.remoteNode || identity === reserved.kubeApiserver || identityScope(identity) === 'remote-node';
  const name = isNode ? nodeName(end.ip) : undefined;
  return name === undefined ? undefined : { id: `node:${name}`, kind: 'node', name, labels };
}

/** The narrowest prefix that policies name. */
function cidrNode({ identity, labels }: FlowEndpoint): MapNode | undefined {
  if (identityScope(identity) !== 'prefix') return undefined;
  let best: string | undefined;
  for (const label of labels) {
    const prefix = /^cidr:([^=]+)/.exec(label)?.[1];
    if (prefix !== undefined && (best === undefined || bits(prefix) > bits(best))) best = prefix;
  }
  if (best === undefined) return undefined;
  // Labels write the colons of an IPv6 prefix as dashes.
  const name = best.includes('.') ? best : best.replaceAll('-', ':');
  return { id: `cidr:${name}`, kind: 'cidr', name, labels };
}

function bits(prefix: string): number {
  return Number(prefix.slice(prefix.indexOf('/') + 1));
}

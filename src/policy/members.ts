/** What a cluster's parties are to the engine: labels of nodes, and the network that a pod's address lies in. */
import { cidrContains, labelKeys } from '../model/identity.ts';
import { LabelSet } from '../model/labels.ts';
import { formatPrefix, isAddr, parseAddr, parsePrefix } from '../std/ip.ts';
import type { Subject } from './compile.ts';

type Labels = Readonly<Record<string, string>>;

/** A node as a peer: the labels of its Node with the source `node`. */
export function nodeIdentityLabels(entity: 'host' | 'remote-node', labels: Labels, clusterName: string): LabelSet {
  return LabelSet.fromLabels([
    { source: 'reserved', key: entity, value: '' }, { source: 'k8s', key: labelKeys.cluster, value: clusterName },
    ...Object.entries(labels).map(([key, value]) => ({ source: 'node', key, value })),
  ]);
}

/** A node as the subject of host policies, whose nodeSelector names the labels of its Node as they are. */
export function hostSubject(labels: Labels, clusterName: string): Subject {
  const own = Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value }));
  return {
    labels: LabelSet.fromLabels([{ source: 'reserved', key: 'host', value: '' }, { source: 'k8s', key: labelKeys.cluster, value: clusterName }, ...own]),
    namedPorts: new Map(), isHost: true,
  };
}

/** The longest of the prefixes that contains an address; of several addresses the first that lies in one counts. */
export function longestNetwork(prefixes: readonly string[], addresses: readonly string[]): string | undefined {
  if (prefixes.length === 0) return undefined;
  for (const text of addresses) {
    if (!isAddr(text)) continue;
    const containing = prefixes.map(p => parsePrefix(p)).filter(p => cidrContains(p, { addr: parseAddr(text), bits: 128 }));
    const [longest] = containing.sort((a, b) => b.bits - a.bits);
    if (longest) return formatPrefix(longest);
  }
  return undefined;
}

/** Rules that are wider than they look, and the text that means opposite things in the two policy languages. */
import { isClusterPolicy } from '../parse-cluster.ts';
import type { Checked, Entry } from './finding.ts';
import { entriesOf, fieldsOf, listOf } from './finding.ts';

export function checkWidth(checked: Checked): void {
  const entries = entriesOf(checked);
  if (checked.policy.kind === 'NetworkPolicy') for (const entry of entries) checkKubernetesEntry(checked, entry);
  else if (!isClusterPolicy(checked.policy.kind)) for (const entry of entries) checkCiliumEntry(checked, entry, entries);
}

const nobodyWord = { ingress: 'from anywhere', egress: 'to anywhere' } as const;

function checkKubernetesEntry({ report }: Checked, { path, fields, direction }: Entry): void {
  const field = direction === 'ingress' ? 'from' : 'to';
  const peers = listOf(fields[field]);
  const ports = listOf(fields['ports']);
  if (peers.length === 0 && ports.length === 0) {
    report('allow-all', 'warning', path, `this entry allows everything at ${direction}: in a NetworkPolicy an empty rule is "anyone, any port" (in a CiliumNetworkPolicy the same text allows nothing)`, `to deny everything write ${direction}: [] with policyTypes: [${direction === 'ingress' ? 'Ingress' : 'Egress'}]; to allow everything on purpose, leave it`);
  } else if (peers.length === 0 && fields[field] !== undefined) {
    report('empty-means-any', 'error', `${path}.${field}`, `an empty list of peers is "anyone" in a NetworkPolicy, on these ports ${nobodyWord[direction]}`, 'name the peers, or remove the entry if nobody was meant');
  } else if (peers.length === 0) {
    report('any-peer', 'info', path, `no peers are named: these ports are open ${nobodyWord[direction]}, also outside the cluster`, `add ${field}: if only some were meant`);
  }
  for (const [i, peer] of peers.entries()) {
    const { podSelector, namespaceSelector, ipBlock } = fieldsOf(peer);
    if (isEmptySelector(namespaceSelector) && (podSelector === undefined || isEmptySelector(podSelector))) report('every-pod', 'warning', `${path}.${field}[${i}]`, 'this peer is every pod of every namespace', 'select namespaces or pods by their labels');
    if (['0.0.0.0/0', '::/0'].includes(String(fieldsOf(ipBlock)['cidr'])) && listOf(fieldsOf(ipBlock)['except']).length === 0) report('whole-internet', 'warning', `${path}.${field}[${i}].ipBlock.cidr`, 'this is every address outside the cluster, and no pod inside it', 'name the networks that are meant, or take the private ones out with except');
    const next = fieldsOf(peers[i + 1]);
    const split = (namespaceSelector !== undefined && podSelector === undefined && next['podSelector'] !== undefined && next['namespaceSelector'] === undefined)
      || (podSelector !== undefined && namespaceSelector === undefined && next['namespaceSelector'] !== undefined && next['podSelector'] === undefined);
    if (split) report('two-peers', 'warning', `${path}.${field}[${i + 1}]`, 'two entries are alternatives: every pod of the selected namespaces, and the selected pods of this policy\'s own namespace', 'if these pods of those namespaces were meant, remove the second dash so that podSelector and namespaceSelector stand in one entry');
  }
}

function isEmptySelector(value: unknown): boolean {
  const fields = fieldsOf(value);
  return value !== undefined && value !== null && Object.keys(fieldsOf(fields['matchLabels'])).length === 0 && listOf(fields['matchExpressions']).length === 0;
}

function checkCiliumEntry({ report, policy }: Checked, entry: Entry, entries: readonly Entry[]): void {
  const { path, fields, direction, deny } = entry;
  const prefix = direction === 'ingress' ? 'from' : 'to';
  const keys = Object.keys(fields).filter(key => fields[key] !== undefined && fields[key] !== null);
  const peerKeys = keys.filter(key => key.startsWith(prefix) && key !== 'toPorts');
  const hasPorts = listOf(fields['toPorts']).length > 0 || listOf(fields['icmps']).length > 0;
  if (keys.length === 0) {
    const alone = entries.filter(e => e.direction === direction).length === 1;
    report('empty-rule', alone ? 'info' : 'warning', path, `an empty rule ${deny ? 'denies' : 'allows'} nothing and puts the endpoints into default deny at ${direction}; in a NetworkPolicy the same text would allow everything`, alone ? 'if default deny was meant, leave it; to allow everything write fromEntities: [all]' : 'remove it: the other rules turn default deny on already');
    return;
  }
  for (const key of peerKeys) {
    if (!Array.isArray(fields[key]) || (fields[key] as unknown[]).length > 0 || /Requires/.test(key)) continue;
    if (/Services|Groups|FQDNs/.test(key)) report('empty-means-any', 'error', `${path}.${key}`, `an empty ${key} counts as absent: ${hasPorts ? `the rule is for any peer, ${nobodyWord[direction]}` : 'the rule has no peer'}`, 'name the peers, or remove the rule');
    else report('empty-list', 'warning', `${path}.${key}`, `an empty ${key} is nobody: the rule ${deny ? 'denies' : 'allows'} nothing`, 'name the peers, or remove the rule');
  }
  const entities = listOf(fields[`${prefix}Entities`]);
  if (!deny && entities.includes('all')) report('allow-all', 'warning', `${path}.${prefix}Entities`, `entity all is everyone, ${nobodyWord[direction]}${hasPorts ? ', on these ports' : ', on every port'}`, 'cluster is everything inside, world everything outside');
  if (!deny && entities.includes('world') && direction === 'ingress' && !hasPorts) report('any-port', 'warning', `${path}.${prefix}Entities`, 'the whole outside may reach every port of these endpoints', 'add toPorts');
  if (!deny && peerKeys.length === 0 && hasPorts) {
    // "- fromEndpoints: …" and "- toPorts: …" with a dash each are two rules: who on any port, and these ports from anyone.
    const other = entries.find(e => e !== entry && e.section === entry.section && e.spec === entry.spec && Object.keys(e.fields).some(k => k.startsWith(prefix) && k !== 'toPorts') && e.fields['toPorts'] === undefined);
    if (other) report('split-rule', 'error', path, `this rule has ports and no peer, and ${other.path} has peers and no ports: as two entries they are alternatives, so these ports are open ${nobodyWord[direction]} and those peers may use every port`, 'if one rule was meant, remove the dash before toPorts');
    else report('any-peer', 'info', path, `no peers are named: these ports are open ${nobodyWord[direction]}, also outside the cluster`, `add ${prefix}Endpoints or ${prefix}Entities if only some were meant`);
  }
  for (const [i, peer] of listOf(fields[`${prefix}Endpoints`]).entries()) {
    if (!deny && isEmptySelector(peer) && policy.namespace === undefined) report('every-pod', 'warning', `${path}.${prefix}Endpoints[${i}]`, 'in a cluster-wide policy {} is every pod of every namespace', 'select by labels, or by k8s:io.kubernetes.pod.namespace');
  }
  for (const key of [`${prefix}CIDR`, `${prefix}CIDRSet`]) {
    for (const [i, item] of listOf(fields[key]).entries()) {
      const cidr = typeof item === 'string' ? item : fieldsOf(item)['cidr'];
      if (!deny && (cidr === '0.0.0.0/0' || cidr === '::/0') && listOf(fieldsOf(item)['except']).length === 0 && !hasPorts) report('whole-internet', 'warning', `${path}.${key}[${i}]`, 'this is every address outside the cluster on every port, and no pod inside it', 'name the networks, add toPorts, or use entity world to say so');
    }
  }
}

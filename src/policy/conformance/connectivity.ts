/** Connectivity cases: a cluster's objects through the compiler, probes through the model of the kernel's lookup. */
import { cidrIdentityLabels, firstPrefixIdentity, firstRemoteNodeIdentity, identityLabels, networkIdentityLabels, reserved, reservedIdentities } from '../../model/identity.ts';
import { LabelSet } from '../../model/labels.ts';
import { PolicyEngine } from '../compile.ts';
import type { NamedPorts, RuleInfo, Subject } from '../compile.ts';
import { evaluate, lookup } from '../evaluate.ts';
import { namePattern, qualifyName } from '../fqdn.ts';
import { longestNetwork, nodeIdentityLabels } from '../members.ts';
import { parsePolicy, policyKinds } from '../parse.ts';
import type { Policy } from '../policy.ts';
import { requestPasses } from '../requests.ts';
import { kubernetesLabels } from '../scenario.ts';
import { isAddr, isIPv4, parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';
import { outcome } from './case.ts';
import type { Cluster, ClusterPod, ConformanceCase, End, KubernetesObject, Matrix, Outcome, Probe } from './case.ts';

const protocolNumbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1, ICMPv6: 58 };

export function runConnectivity(testCase: ConformanceCase): Outcome {
  const read = modelOf(testCase);
  if (!(read instanceof ClusterModel)) return read;
  let passed = 0;
  const failures: string[] = [];
  const skipped: string[] = [];
  for (const probe of probesOf(testCase)) {
    const result = runProbe(read, probe);
    if (result === 'pass') passed++;
    else if (result.startsWith('skip: ')) skipped.push(result.slice(6));
    else failures.push(result);
  }
  return outcome(passed, failures, skipped);
}

/** The case's cluster with its policies in the engine; or what keeps it from being asked. */
export function modelOf(testCase: ConformanceCase, carriedOut: CarriedOut = wholeLanguage): ClusterModel | Outcome {
  const objects = testCase.policies ?? [];
  const missing = objects.find(o => o.kind !== 'CiliumCIDRGroup' && !(policyKinds as readonly (string | undefined)[]).includes(o.kind));
  if (missing) return outcome(0, [], [`${missing.kind} is no kind of policy that is known here`]);
  const policies: Policy[] = [];
  for (const object of objects.filter(o => o.kind !== 'CiliumCIDRGroup')) {
    const result = parsePolicy(object, { nodeLabels: carriedOut.nodeLabels, clusterName: testCase.cluster!.name ?? 'default' });
    if (result.errors) return outcome(0, result.errors.map(e => `${object.metadata.name} ${e.path}: ${e.message}`));
    policies.push(result.policy);
  }
  return new ClusterModel(testCase.cluster!, policies, objects.filter(o => o.kind === 'CiliumCIDRGroup'), carriedOut);
}

/** Every probe of a case; `matrix_cilium` where it has one, for we claim that behaviour. */
export function probesOf(testCase: ConformanceCase): readonly Probe[] {
  return [...(testCase.probes ?? []), ...(testCase.matrix_cilium ?? testCase.matrix ?? []).flatMap(m => [...matrixProbes(m)])];
}

function* matrixProbes(matrix: Matrix): Generator<Probe> {
  const end = (e: string | { readonly ip: string }): End => (typeof e === 'string' ? { pod: e } : e);
  for (const [i, row] of matrix.rows.entries()) {
    for (const [j, letter] of [...row].entries()) {
      if (letter === '.') continue;
      yield { from: end(matrix.from[i]!), to: end(matrix.to[j]!), port: matrix.port, protocol: matrix.protocol, expect: letter === 'A' ? 'allow' : 'deny' };
    }
  }
}

/** `a/client → a/server 80/TCP` */
export function probeText(probe: Probe): string {
  return `${endText(probe.from)} → ${endText(probe.to)} ${probe.port ?? ''}/${probe.protocol}`;
}

/** `pass`, `skip: why`, or what differs. */
export function runProbe(model: ClusterModel, probe: Probe): string {
  const text = probeText(probe);
  const verdict = model.connect(probe);
  if (verdict.disagreement) return `${text}: ${verdict.disagreement}`;
  const expected = probe.expect === 'reject' ? 'deny' : probe.expect;
  if (verdict.verdict === expected) return 'pass';
  return `${text}: expected ${probe.expect}, got ${verdict.verdict} (${verdict.rules.map(r => r.because).join(' / ')})`;
}

function endText(end: End): string {
  return end.pod ?? end.ip ?? end.fqdn ?? `node ${end.node}`;
}

/** In one model of all nodes each is the host to its own pods: numbers that no agent uses. */
const firstHostIdentity = 3 << 24;
/** Of pods by the network that their address lies in, and of addresses by their names. */
const firstDestinationIdentity = 4 << 24;

interface Located { readonly identity: number; readonly pod?: ClusterPod; readonly addr: string; readonly name?: string }

/** What others than the engine do for policies; where they do not, it fails closed. */
export interface CarriedOut {
  readonly proxy: boolean;
  readonly authentication: boolean;
  /** Nodes have identities with their labels. */
  readonly nodeLabels: boolean;
  /** Addresses are known by the names that pods asked for. */
  readonly names: boolean;
}

/** What a case asks for, unless said otherwise. */
const wholeLanguage: CarriedOut = { proxy: true, authentication: true, nodeLabels: true, names: true };

/** A cluster as the agents together would see it. */
export class ClusterModel {
  readonly #cluster: Cluster;
  readonly #engine: PolicyEngine;
  readonly #carriedOut: CarriedOut;
  readonly #policies: readonly Policy[];
  readonly #identities = new Map<string, { id: number; labels: LabelSet; ports: Map<string, NamedPorts> }>();
  readonly #prefixes = new Map<string, number>();
  readonly #groups;
  readonly #destinations = new Map<string, number>();

  constructor(cluster: Cluster, policies: readonly Policy[], groups: readonly KubernetesObject[], carriedOut: CarriedOut) {
    this.#engine = new PolicyEngine({ provides: carriedOut });
    this.#carriedOut = carriedOut;
    this.#cluster = cluster;
    this.#policies = policies;
    this.#groups = groups.map(g => ({ name: g.metadata.name, labels: kubernetesLabels(g.metadata.labels ?? {}), cidrs: (g.spec?.['externalCIDRs'] ?? []) as string[] }));
    this.#engine.setCidrGroups(this.#groups);
    this.#engine.setPolicies(policies);
    for (const { id, labels } of reservedIdentities) this.#engine.upsertIdentity(id, labels);
    for (const pod of cluster.pods) this.#addPod(pod);
    for (const { id, labels, ports } of this.#identities.values()) this.#engine.upsertIdentity(id, labels, [...ports.values()]);
    for (const [i, node] of (cluster.nodes ?? []).entries()) {
      const labels = carriedOut.nodeLabels ? node.labels ?? {} : {};
      this.#engine.upsertIdentity(firstRemoteNodeIdentity + i, nodeIdentityLabels('remote-node', labels, cluster.name ?? 'default'));
      this.#engine.upsertIdentity(firstHostIdentity + i, nodeIdentityLabels('host', labels, cluster.name ?? 'default'));
    }
    const prefixes = this.#engine.cidrPrefixes();
    for (const [i, prefix] of prefixes.entries()) {
      this.#prefixes.set(prefix, firstPrefixIdentity + i);
      this.#engine.upsertIdentity(firstPrefixIdentity + i, cidrIdentityLabels(prefix, prefixes));
    }
  }

  /** What the policies ask for and will not get, in words. */
  get missing(): readonly string[] {
    return [...new Set(this.#policies.flatMap(p => p.conditions).filter(c => c.severity === 'degraded').map(c => c.message))];
  }

  /** Egress of the source, then ingress of the destination; both engines must agree. */
  connect(probe: Probe): { verdict: 'allow' | 'deny' | 'http-403'; rules: readonly RuleInfo[]; deniedBy?: RuleInfo; isRead?: boolean; disagreement?: string } {
    const source = this.#locate(probe.from, undefined);
    const protocol = protocolNumbers[probe.protocol]!;
    const rules: RuleInfo[] = [];
    let verdict: 'allow' | 'deny' | 'http-403' = 'allow';
    let deniedBy: RuleInfo | undefined;
    let isRead = false;
    for (const target of this.#targets(probe.to, source)) {
      // A node is the local host to its own pods and a remote node to others.
      const from = target.pod ? this.#locate(probe.from, target.pod) : source;
      const icmp = protocol === 1 ? (isIPv4(parseAddr(target.addr)) ? [1, 8] : [58, 128]) : [protocol, probe.port ?? 0];
      const judged = [
        ...(from.pod && !from.pod.host_network ? [this.#judge(probe, from.pod, 'egress', this.#destination(target), icmp[0]!, icmp[1]!)] : []),
        ...(target.pod && !target.pod.host_network ? [this.#judge(probe, target.pod, 'ingress', from.identity, icmp[0]!, icmp[1]!)] : []),
      ];
      for (const one of judged) {
        rules.push(one.rule);
        isRead ||= one.isRead;
        if (one.disagreement) return { verdict, rules, disagreement: one.disagreement };
        if (one.verdict === 'deny') deniedBy ??= one.rule;
        if (one.verdict === 'deny' || (one.verdict === 'http-403' && verdict === 'allow')) verdict = one.verdict;
      }
    }
    return { verdict, rules, isRead, ...(deniedBy && { deniedBy }) };
  }

  #judge(probe: Probe, pod: ClusterPod, direction: 'ingress' | 'egress', peer: number, protocol: number, port: number) {
    const subject: Subject = { labels: this.#labels(pod), namedPorts: podPorts(pod) };
    const set = this.#engine.compile(subject, direction);
    const row = lookup(set, peer, protocol, port)!;
    const rule = set.rules.get(row.rule)!;
    const world = { policies: this.#policies, cidrGroups: this.#groups, options: { provides: this.#carriedOut } };
    const view = this.#engine.identities.get(peer);
    const plain = evaluate(world, subject, direction, view, protocol, port);
    const agree = plain.verdict === row.verdict && plain.rule === rule.address;
    const passes = row.verdict !== 'redirect' || !probe.http || requestPasses(world, subject, direction, view, protocol, port, probe.http);
    return {
      verdict: row.verdict === 'deny' ? 'deny' as const : passes ? 'allow' as const : 'http-403' as const, rule, isRead: row.verdict === 'redirect',
      ...(!agree && { disagreement: `the compiler says ${row.verdict} by ${rule.address}, the evaluator ${plain.verdict} by ${plain.rule}` }),
    };
  }

  /** Who a destination is to egress policy: a pod also by its address, an address also by its names. */
  #destination(target: Located): number {
    const own = this.#engine.identities.get(target.identity)?.labels;
    if (!own || !isAddr(target.addr)) return target.identity;
    const network = target.pod && !target.pod.host_network ? longestNetwork(this.#engine.networkPrefixes(), [target.addr]) : undefined;
    const names = target.name === undefined || !this.#carriedOut.names ? [] : this.#engine.fqdnSelectors().filter(selector => namePattern(selector).test(qualifyName(target.name!)));
    if (network === undefined && names.length === 0) return target.identity;
    const labels = LabelSet.fromLabels([...(network === undefined ? own : networkIdentityLabels(own, network)).labels(), ...names.map(key => ({ source: 'fqdn', key, value: '' }))]);
    const key = labels.toString();
    const id = this.#destinations.get(key) ?? firstDestinationIdentity + this.#destinations.size;
    this.#destinations.set(key, id);
    this.#engine.upsertIdentity(id, labels, this.#engine.identities.get(target.identity)?.namedPorts);
    return id;
  }

  #targets(end: End, source: Located): readonly Located[] {
    if (end.fqdn) return (this.#cluster.dns?.[end.fqdn] ?? []).filter(a => isIPv4(parseAddr(a))).map(ip => ({ ...this.#locateAddr(ip, source.pod), name: end.fqdn! }));
    return [this.#locate(end, source.pod)];
  }

  /** `seenFrom` decides whether a node is the local host or a remote node. */
  #locate(end: End, seenFrom: ClusterPod | undefined): Located {
    if (end.pod) {
      const pod = this.#cluster.pods.find(p => `${p.namespace}/${p.name}` === end.pod);
      if (!pod) throw new Error(`no pod ${end.pod}`);
      if (pod.host_network) return { pod, addr: pod.ip ?? '192.0.2.1', identity: this.#nodeIdentity(pod.node, seenFrom) };
      return { pod, addr: pod.ip ?? '192.0.2.1', identity: this.#identities.get(this.#labels(pod).toString())!.id };
    }
    if (end.node) return { addr: this.#cluster.nodes!.find(n => n.name === end.node)!.ips[0]!, identity: this.#nodeIdentity(end.node, seenFrom) };
    return this.#locateAddr(end.ip!, seenFrom);
  }

  #locateAddr(ip: string, seenFrom: ClusterPod | undefined): Located {
    const pod = this.#cluster.pods.find(p => p.ip === ip && !p.host_network);
    if (pod) return this.#locate({ pod: `${pod.namespace}/${pod.name}` }, seenFrom);
    const node = this.#cluster.nodes?.find(n => n.ips.includes(ip));
    if (node) return { addr: ip, identity: this.#nodeIdentity(node.name, seenFrom) };
    if (!isAddr(ip)) throw new Error(`not an address: ${ip}`);
    const addr = parseAddr(ip);
    const containing = [...this.#prefixes].map(([text, id]) => ({ prefix: parsePrefix(text), id })).filter(p => prefixHas(p.prefix, addr) && (isIPv4(addr) || p.prefix.bits < 96 || !isIPv4(p.prefix.addr)));
    const longest = containing.sort((a, b) => b.prefix.bits - a.prefix.bits)[0];
    return { addr: ip, identity: longest?.id ?? (isIPv4(addr) ? reserved.worldIPv4 : reserved.worldIPv6) };
  }

  #nodeIdentity(name: string | undefined, seenFrom: ClusterPod | undefined): number {
    const index = (this.#cluster.nodes ?? []).findIndex(n => n.name === name);
    const local = seenFrom && seenFrom.node === name;
    if (index < 0) return local ? reserved.host : reserved.remoteNode;
    return index + (local ? firstHostIdentity : firstRemoteNodeIdentity);
  }

  #labels(pod: ClusterPod): LabelSet {
    const namespace = this.#cluster.namespaces.find(n => n.name === pod.namespace)?.labels ?? {};
    const own = { namespace: pod.namespace, labels: pod.labels ?? {}, ...(pod.service_account !== undefined && { serviceAccount: pod.service_account }) };
    return identityLabels(own, namespace, this.#cluster.name ?? 'default');
  }

  #addPod(pod: ClusterPod): void {
    if (pod.host_network) return;
    const labels = this.#labels(pod);
    const key = labels.toString();
    const known = this.#identities.get(key) ?? { id: 256 + this.#identities.size, labels, ports: new Map<string, NamedPorts>() };
    const ports = podPorts(pod);
    known.ports.set(JSON.stringify([...ports]), ports);
    this.#identities.set(key, known);
  }
}

function podPorts(pod: ClusterPod): NamedPorts {
  return new Map((pod.ports ?? []).flatMap(p => (p.name ? [[p.name, { protocol: p.protocol, port: p.port }] as const] : [])));
}

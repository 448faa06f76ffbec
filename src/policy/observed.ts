/**
 * A world of those who were seen: the pods, names and addresses of recorded connections as they were then, under the policies of a
 * scenario. Who talks to whom is not asked of the cluster but known; what the policies would say of it is.
 */
import { isWorld, labelKeys, reserved } from '../model/identity.ts';
import { LabelSet, parseLabel } from '../model/labels.ts';
import type { ObservedEnd, ObservedPair } from '../model/observed.ts';
import { leg } from './connection.ts';
import type { Step } from './connection.ts';
import { identityEnd } from './ends.ts';
import type { End } from './ends.ts';
import { namePattern, qualifyName } from './fqdn.ts';
import type { NamePattern } from './fqdn.ts';
import { protocols } from './policy.ts';
import type { Scenario, ScenarioPod } from './scenario.ts';
import { World } from './world.ts';

/** Numbers of what was looked up by name: more than any world has nodes, pods or prefixes. */
const firstNameIdentity = 5 << 24;

export class ObservedWorld {
  readonly world: World;
  readonly #ends = new Map<string, End>();

  /** Of the scenario only the policies, and what they refer to, are taken; its pods lend the names of their ports to those seen with the same labels. */
  constructor(scenario: Scenario, pairs: readonly ObservedPair[]) {
    const seen = new Map<string, ObservedEnd>();
    for (const { source, destination } of pairs) for (const end of [source, destination]) seen.set(keyOf(end), end);
    const pods = new Map<string, ScenarioPod>();
    for (const [key, end] of seen) if (end.namespace !== undefined) pods.set(key, observedPod(end, scenario));
    this.world = new World({ ...scenario, pods: [...pods.values()] });
    const patterns = new Map(this.world.engine.fqdnSelectors().map(pattern => [pattern, namePattern(pattern)] as const));
    let nextName = firstNameIdentity;
    for (const [key, end] of seen) {
      const pod = pods.get(key);
      if (pod) this.#ends.set(key, { type: 'pod', text: endText(end), pod });
      else this.#ends.set(key, this.#outside(end, patterns, () => nextName++));
    }
  }

  /** What the end that was asked would say; undefined when no policies are asked there. */
  judge(pair: ObservedPair): Step | undefined {
    const protocol = pair.protocol === 'ICMPv4' ? protocols.ICMP : pair.protocol === 'ICMPv6' ? protocols.ICMPV6 : protocols[pair.protocol as keyof typeof protocols];
    if (protocol === undefined) return undefined;
    const { steps } = leg(this.world, this.#ends.get(keyOf(pair.source))!, this.#ends.get(keyOf(pair.destination))!, protocol, pair.port);
    return steps.find(step => step.direction === (pair.direction === 'EGRESS' ? 'egress' : 'ingress'));
  }

  #outside(end: ObservedEnd, patterns: ReadonlyMap<string, NamePattern>, number: () => number): End {
    const labels = LabelSet.of(end.labels);
    const text = endText(end);
    if (labels.has('reserved', 'host')) return identityEnd(text, reserved.host);
    if (labels.has('reserved', 'kube-apiserver')) return identityEnd(text, reserved.kubeApiserver);
    if (labels.has('reserved', 'remote-node')) return identityEnd(text, reserved.remoteNode);
    if (end.ip === undefined || !(isWorld(labels) || end.labels.length === 0)) return identityEnd(text, end.identity);
    const names = (end.names ?? []).map(qualifyName);
    const called = [...patterns].filter(([, pattern]) => names.some(name => pattern.test(name))).map(([key]) => key);
    if (called.length === 0) return identityEnd(text, this.world.identityOfPrefix(end.ip), end.ip);
    // Its address's identity, and beside that the names that policies know it by.
    const address = this.world.labelsOf(this.world.identityOfPrefix(end.ip)) ?? LabelSet.of(['reserved:world']);
    const id = number();
    this.world.engine.upsertIdentity(id, LabelSet.fromLabels([...address.labels(), ...called.map(key => ({ source: 'fqdn', key, value: '' }))]));
    return identityEnd(text, id);
  }
}

/** As short as it can be said: `shop/web`, `api.example.com`, `192.0.2.7`, `host`. */
export function endText(end: ObservedEnd): string {
  if (end.namespace !== undefined) return `${end.namespace}/${end.workload?.name ?? end.podName ?? 'pod'}`;
  const entity = end.labels.map(text => parseLabel(text)).find(label => label.source === 'reserved' && !label.key.startsWith('world'));
  if (entity) return entity.key;
  return end.names?.[0]?.replace(/\.$/, '') ?? end.ip ?? 'world';
}

/** Ends that no policy could tell apart are one: of pods the labels count, of others address and names. */
function keyOf({ namespace, labels, identity, ip, names }: ObservedEnd): string {
  return namespace !== undefined ? `pod ${[...labels].sort().join(';')}` : JSON.stringify([identity, labels, ip, names]);
}

export function observedPod(end: ObservedEnd, scenario: Scenario): ScenarioPod {
  const labels = LabelSet.of(end.labels);
  const like = scenario.pods.find(pod => pod.labels.equals(labels));
  const isOwn = (key: string) => key !== labelKeys.namespace && !key.startsWith('io.cilium.k8s.');
  const ownLabels = Object.fromEntries([...labels.labels()].filter(({ source, key }) => source === 'k8s' && isOwn(key)).map(({ key, value }) => [key, value]));
  return {
    namespace: end.namespace!, name: end.podName ?? end.workload?.name ?? 'pod',
    workload: end.workload ?? { kind: 'Pod', name: end.podName ?? 'pod' },
    labels, ownLabels, ports: like?.ports ?? [], namedPorts: like?.namedPorts ?? new Map(), addresses: [], hostNetwork: false,
    place: () => '',
  };
}

/**
 * A second evaluator, naive on purpose: it reads the objects as the user wrote them and walks through them anew for every
 * question. It shares nothing with the engine but addresses (src/std/ip.ts). Who disagrees with it has to show the sentence
 * of the semantics on which they do (src/policy/README.md).
 */
import { allHold, namespaceKey, podLabels, requirements, reservedLabels } from './naive-labels.ts';
import { ciliumPeers, networkPolicyPeer, viewPeer } from './naive-peers.ts';
import type { PeerView } from './naive-peers.ts';
import { ciliumPorts, networkPolicyPorts } from './naive-ports.ts';
import { ofKind, podKey, policiesOf } from './objects.ts';
import type { CiliumEntry, CiliumPolicy, CiliumSpec, KubeObject, NetworkPolicy, Pod, Question, Settings } from './objects.ts';

/** What one rule, or a policy's default deny, says about the question. */
type Say = 'deny' | 'unauthenticated' | 'allow' | 'unproxied' | 'default-deny';

export function naive(objects: readonly KubeObject[], question: Question, settings: Settings): 'allow' | 'deny' {
  if (settings.mode === 'never') return 'allow';
  const asked = new Asked(objects, question);
  if (settings.allowLocalhost === 'always' && question.direction === 'ingress' && !asked.isNode && asked.peer.labels.some(l => l.source === 'reserved' && l.key === 'host')) return 'allow';
  const says = policiesOf(objects).flatMap(policy => (policy.kind === 'NetworkPolicy' ? networkPolicySays(policy, asked) : ciliumPolicySays(policy, asked)));
  if (says.includes('deny')) return 'deny';
  if (says.includes('unauthenticated')) return 'deny';
  if (says.includes('allow')) return 'allow';
  if (says.includes('unproxied')) return 'deny';
  return says.includes('default-deny') || settings.mode === 'always' ? 'deny' : 'allow';
}

/** The question with everything that does not depend on a policy looked up. */
export class Asked {
  readonly objects: readonly KubeObject[];
  readonly direction: Question['direction'];
  readonly protocol: number;
  readonly port: number;
  readonly isNode: boolean;
  readonly pod: Pod | undefined;
  readonly labels: ReturnType<typeof podLabels>;
  readonly peer: PeerView;

  constructor(objects: readonly KubeObject[], question: Question) {
    this.objects = objects;
    this.direction = question.direction;
    this.protocol = question.protocol;
    this.port = question.port;
    const { subject } = question;
    this.isNode = 'node' in subject;
    this.pod = 'pod' in subject ? ofKind(objects, 'Pod').find(p => podKey(p) === subject.pod)! : undefined;
    this.labels = 'node' in subject ? nodeLabels(objects, subject.node) : podLabels(objects, this.pod!);
    this.peer = viewPeer(objects, question.peer, 'node' in subject ? subject.node : this.pod!.spec.nodeName);
  }
}

function nodeLabels(objects: readonly KubeObject[], name: string): ReturnType<typeof podLabels> {
  const node = ofKind(objects, 'Node').find(n => n.metadata.name === name)!;
  return [...reservedLabels('host'), ...Object.entries(node.metadata.labels ?? {}).map(([key, value]) => ({ source: 'k8s', key, value }))];
}

// ---- NetworkPolicy ----

function networkPolicySays(policy: NetworkPolicy, asked: Asked): Say[] {
  const { spec } = policy;
  const namespace = policy.metadata.namespace!;
  if (asked.isNode || asked.pod!.metadata.namespace !== namespace || !allHold(requirements(spec.podSelector, 'k8s'), asked.labels)) return [];
  const types = spec.policyTypes ?? [];
  const rules = asked.direction === 'ingress'
    ? (spec.ingress ?? []).map(rule => ({ peers: rule.from ?? [], ports: rule.ports ?? [] }))
    : (spec.egress ?? []).map(rule => ({ peers: rule.to ?? [], ports: rule.ports ?? [] }));
  const isolates = asked.direction === 'ingress'
    ? types.includes('Ingress') || rules.length > 0 || !types.includes('Egress')
    : types.includes('Egress') || rules.length > 0;
  const allows = rules.some(rule => (rule.peers.length === 0 || rule.peers.some(peer => networkPolicyPeer(peer, namespace, asked.peer)))
    && (rule.ports.length === 0 || networkPolicyPorts(rule.ports, asked)));
  return [...(isolates ? ['default-deny' as const] : []), ...(allows ? ['allow' as const] : [])];
}

// ---- Cilium ----

function ciliumPolicySays(policy: CiliumPolicy, asked: Asked): Say[] {
  return [...(policy.spec ? [policy.spec] : []), ...(policy.specs ?? [])].flatMap(spec => {
    if (!selectsSubject(policy, spec, asked)) return [];
    const [allowing, denying] = asked.direction === 'ingress' ? [spec.ingress ?? [], spec.ingressDeny ?? []] : [spec.egress ?? [], spec.egressDeny ?? []];
    const defaultDeny = spec.enableDefaultDeny?.[asked.direction] ?? allowing.length + denying.length > 0;
    const subjectIsInit = requirements(spec.endpointSelector ?? {}).some(r => r.source === 'reserved' && r.key === 'init' && (r.operator === 'In' || r.operator === 'Exists'));
    return [
      ...(defaultDeny ? ['default-deny' as const] : []),
      ...denying.flatMap(entry => entrySays(policy, entry, true, subjectIsInit, asked)),
      ...allowing.flatMap(entry => entrySays(policy, entry, false, subjectIsInit, asked)),
    ];
  });
}

/** A namespaced policy is for pods of its namespace, whatever namespace its selector names. */
function selectsSubject(policy: CiliumPolicy, spec: CiliumSpec, asked: Asked): boolean {
  if (spec.nodeSelector) return asked.isNode && allHold(requirements(spec.nodeSelector), asked.labels);
  if (asked.isNode) return false;
  const wanted = requirements(spec.endpointSelector!);
  if (policy.kind === 'CiliumClusterwideNetworkPolicy') return allHold(wanted, asked.labels);
  const own = wanted.filter(r => !(r.key === namespaceKey && (r.source === 'k8s' || r.source === 'any') && r.operator === 'In'));
  return asked.pod!.metadata.namespace === policy.metadata.namespace && allHold(own, asked.labels);
}

function entrySays(policy: CiliumPolicy, entry: CiliumEntry, deny: boolean, subjectIsInit: boolean, asked: Asked): Say[] {
  const peers = ciliumPeers(asked.objects, policy, entry, deny, subjectIsInit, asked.peer);
  const hasPorts = (entry.toPorts ?? []).length > 0 || (entry.icmps ?? []).length > 0;
  if (peers === false || (peers === 'absent' && !hasPorts)) return [];
  const authenticates = (entry.authentication?.mode ?? 'disabled') !== 'disabled';
  if (!hasPorts) return [deny ? 'deny' : authenticates ? 'unauthenticated' : 'allow'];
  // All `toPorts` together when they only say which ports; one that wants a proxy stands for itself.
  return ciliumPorts(entry, !deny && !authenticates, asked).map(match => (deny ? 'deny' : authenticates ? 'unauthenticated' : match.needsProxy ? 'unproxied' : 'allow'));
}

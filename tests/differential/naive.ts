/**
 * A second evaluator, naive on purpose: it reads the objects as the user wrote them and walks through them anew for every
 * question. It shares nothing with the engine but addresses (src/std/ip.ts). Who disagrees with it has to show the sentence
 * of the semantics on which they do (src/policy/README.md).
 */
import { allHold, namespaceKey, podLabels, requirements, reservedLabels } from './naive-labels.ts';
import { ciliumPeers, clusterPeer, clusterPods, networkPolicyPeer, viewPeer } from './naive-peers.ts';
import type { PeerView } from './naive-peers.ts';
import { ciliumPorts, clusterPorts, networkPolicyPorts } from './naive-ports.ts';
import { readTogether, requests } from './naive-requests.ts';
import type { Reads } from './naive-requests.ts';
import { ofKind, podKey, policiesOf } from './objects.ts';
import type { Answer, CiliumEntry, CiliumPolicy, CiliumSpec, ClusterPolicy, KubeObject, NetworkPolicy, Pod, PolicyObject, Question, Settings } from './objects.ts';

/** What a rule that applies to the question, or a policy's default deny, says. */
type Word = 'deny' | 'unauthenticated' | 'allow' | 'unproxied' | 'pass' | 'default-deny';

interface Say { readonly word: Word; readonly reads?: Reads | undefined; readonly tier: 'admin' | 'normal' | 'baseline'; readonly priority: number; readonly mode: string; readonly keep: boolean; readonly reader: string }

type Saying = Pick<Say, 'word' | 'reads'>;

/** The verdict with the enforced policies; whether those in audit would deny it; whether those in shadow would change it. */
export function naive(objects: readonly KubeObject[], question: Question, settings: Settings): Answer {
  if (settings.mode === 'never') return { verdict: 'allow' };
  const asked = new Asked(objects, question, settings);
  const fromOwnNode = question.direction === 'ingress' && !asked.isNode && asked.peer.labels.some(l => l.source === 'reserved' && l.key === 'host');
  if (settings.allowLocalhost === 'always' && fromOwnNode) return { verdict: 'allow' };
  const says = policiesOf(objects).flatMap(policy => saysOf(policy, asked));
  const denies = ({ word }: Say) => ['deny', 'unauthenticated', 'default-deny', ...(settings.provides.proxy ? [] : ['unproxied'])].includes(word);
  // What is to be read for a policy in audit lets pass what nobody else would, and limits nobody.
  const isAdded = (s: Say) => settings.provides.proxy && s.mode === 'audit' && s.word === 'unproxied';
  const enforced = decide(says.filter(s => s.mode === 'enforce' || (s.mode === 'audit' && !denies(s) && !isAdded(s))), settings, says.filter(isAdded));
  const audited = decide(says.filter(s => s.mode !== 'shadow'), settings);
  const shadow = decide(says.filter(s => s.mode !== 'audit' || !denies(s)), settings);
  const shadows = (shadow.verdict === 'deny') !== (enforced.verdict === 'deny') ? { shadow: shadow.verdict === 'deny' ? 'deny' as const : 'allow' as const } : {};
  const read = readBy(enforced, asked, settings);
  if (read.verdict !== 'deny' && audited.verdict === 'deny') return { verdict: 'audit', ...shadows };
  return { ...read, ...shadows, ...keepOf(enforced) };
}

/** What passes of a redirect; where rules cannot hold together, nothing. Names are learned from TCP port 53 wherever the pod waits for some. */
function readBy(enforced: Decided, asked: Asked, settings: Settings): Pick<Answer, 'verdict' | 'passing' | 'reader'> {
  if (enforced.verdict === 'allow' && settings.provides.proxy && asked.direction === 'egress' && asked.protocol === 6 && asked.port === 53 && waitsForNames(asked)) return { verdict: 'redirect', passing: requests };
  if (enforced.verdict !== 'redirect') return { verdict: enforced.verdict };
  const passing = readTogether(enforced.by.map(say => say.reads!));
  if (!passing) return { verdict: 'deny' };
  if (!enforced.by.some(say => say.reads!.parser === 'http')) return { verdict: 'redirect', passing };
  // Requests to a pod, where nothing but requests is read and everyone who says something wants it.
  const wantsKernel = asked.direction === 'ingress' && enforced.by.every(say => say.reads!.parser === 'http' && say.reader === 'kernel');
  return { verdict: 'redirect', passing, reader: wantsKernel ? 'kernel' : 'proxy' };
}

function waitsForNames(asked: Asked): boolean {
  return !asked.isNode && policiesOf(asked.objects).some(policy => {
    switch (policy.kind) {
      case 'NetworkPolicy': return false;
      case 'CiliumNetworkPolicy': case 'CiliumClusterwideNetworkPolicy':
        return [...(policy.spec ? [policy.spec] : []), ...(policy.specs ?? [])].some(spec => selectsSubject(policy, spec, asked) && (spec.egress ?? []).some(entry => (entry.toFQDNs ?? []).length > 0));
      default: return clusterPods(policy.spec.subject, asked.labels) && (policy.spec.egress ?? []).some(rule => (rule.to ?? []).some(peer => 'domainNames' in peer));
    }
  });
}

/** A connection outlives a denial when the policy that denies says so; of default deny, all that cause it. */
function keepOf({ verdict, by }: Decided): Pick<Answer, 'keep'> {
  if (verdict !== 'deny') return {};
  const keeps = by.filter(say => say.keep).length;
  const isDefault = by.every(say => say.word === 'default-deny');
  // Of several rules that deny, which one is named is not this evaluator's business.
  return keeps === by.length && by.length > 0 ? { keep: true } : keeps === 0 || isDefault ? { keep: false } : {};
}

interface Decided { readonly verdict: 'allow' | 'deny' | 'redirect'; readonly by: readonly Say[] }

/** Tier by tier: admin, where the first rule decides or passes on; normal, where deny wins; baseline, as admin. `added` is read where all else denies by default. */
function decide(says: readonly Say[], settings: Settings, added: readonly Say[] = []): Decided {
  const first = inOrder(says, 'admin')[0];
  if (first?.word === 'allow' || first?.word === 'deny') return { verdict: first.word, by: [first] };
  for (const word of ['deny', 'unauthenticated', 'allow', 'unproxied'] as const) {
    const by = says.filter(s => s.tier === 'normal' && s.word === word);
    if (by.length === 0) continue;
    if (word !== 'unproxied' || !settings.provides.proxy) return { verdict: word === 'allow' ? 'allow' : 'deny', by };
    const parsers = new Set(by.map(say => say.reads!.parser));
    return { verdict: 'redirect', by: [...by, ...added.filter(say => parsers.size === 1 && parsers.has(say.reads!.parser))] };
  }
  const closing = says.filter(s => s.tier === 'normal' && s.word === 'default-deny');
  const last = inOrder(says, 'baseline')[0];
  const rest: Decided = closing.length > 0 || settings.mode === 'always' ? { verdict: 'deny', by: closing } : { verdict: last?.word === 'deny' ? 'deny' : 'allow', by: last ? [last] : [] };
  return rest.verdict === 'deny' && added.length > 0 ? { verdict: 'redirect', by: added } : rest;
}

/** Smaller priorities first; within a policy as written. */
function inOrder(says: readonly Say[], tier: Say['tier']): readonly Say[] {
  return says.filter(s => s.tier === tier).sort((a, b) => a.priority - b.priority);
}

function saysOf(policy: PolicyObject, asked: Asked): readonly Say[] {
  const { 'policy.cirri.io/mode': mode = 'enforce', 'policy.cirri.io/established': established, 'policy.cirri.io/l7-http': reader = asked.httpReader } = policy.metadata.annotations ?? {};
  const keep = established === 'keep';
  switch (policy.kind) {
    case 'NetworkPolicy': return networkPolicySays(policy, asked).map(word => ({ word, tier: 'normal', priority: 0, mode, keep, reader }));
    case 'CiliumNetworkPolicy': case 'CiliumClusterwideNetworkPolicy': return ciliumPolicySays(policy, asked).map(saying => ({ ...saying, tier: 'normal', priority: 0, mode, keep, reader }));
    default: {
      const tier = policy.kind === 'BaselineAdminNetworkPolicy' || policy.spec.tier === 'Baseline' ? 'baseline' : 'admin';
      return clusterPolicySays(policy, asked).map(word => ({ word, tier, priority: policy.spec.priority ?? 0, mode, keep, reader }));
    }
  }
}

/** The question with everything that does not depend on a policy looked up. */
export class Asked {
  readonly objects: readonly KubeObject[];
  readonly direction: Question['direction'];
  readonly protocol: number;
  readonly port: number;
  readonly isNode: boolean;
  /** Somebody reads what is said. */
  readonly proxy: boolean;
  /** Who carries out rules on HTTP of policies that do not say. */
  readonly httpReader: Settings['httpReader'];
  /** Nodes bear their labels. */
  readonly nodeLabels: boolean;
  readonly pod: Pod | undefined;
  readonly labels: ReturnType<typeof podLabels>;
  readonly peer: PeerView;

  constructor(objects: readonly KubeObject[], question: Question, { nodeLabels: nodesBearLabels, provides, httpReader }: Settings) {
    this.httpReader = httpReader;
    this.proxy = provides.proxy;
    this.nodeLabels = nodesBearLabels;
    this.objects = objects;
    this.direction = question.direction;
    this.protocol = question.protocol;
    this.port = question.port;
    const { subject } = question;
    this.isNode = 'node' in subject;
    this.pod = 'pod' in subject ? ofKind(objects, 'Pod').find(p => podKey(p) === subject.pod)! : undefined;
    this.labels = 'node' in subject ? nodeLabels(objects, subject.node) : podLabels(objects, this.pod!);
    this.peer = viewPeer(objects, question.peer, { subjectNode: 'node' in subject ? subject.node : this.pod!.spec.nodeName, v6: question.v6, nodeLabels: nodesBearLabels });
  }
}

function nodeLabels(objects: readonly KubeObject[], name: string): ReturnType<typeof podLabels> {
  const node = ofKind(objects, 'Node').find(n => n.metadata.name === name)!;
  return [...reservedLabels('host'), ...Object.entries(node.metadata.labels ?? {}).map(([key, value]) => ({ source: 'k8s', key, value }))];
}

// ---- NetworkPolicy ----

function networkPolicySays(policy: NetworkPolicy, asked: Asked): Word[] {
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

// ---- AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy ----

function clusterPolicySays(policy: ClusterPolicy, asked: Asked): Word[] {
  if (asked.isNode || !clusterPods(policy.spec.subject, asked.labels)) return [];
  const words = { Allow: 'allow', Accept: 'allow', Deny: 'deny', Pass: 'pass' } as const;
  return (policy.spec[asked.direction] ?? [])
    .filter(rule => (rule.from ?? rule.to ?? []).some(peer => clusterPeer(peer, rule.action === 'Deny', asked.nodeLabels, asked.peer)) && clusterPorts(rule, asked))
    .map(rule => words[rule.action]);
}

// ---- Cilium ----

function ciliumPolicySays(policy: CiliumPolicy, asked: Asked): Saying[] {
  return [...(policy.spec ? [policy.spec] : []), ...(policy.specs ?? [])].flatMap(spec => {
    if (!selectsSubject(policy, spec, asked)) return [];
    const [allowing, denying] = asked.direction === 'ingress' ? [spec.ingress ?? [], spec.ingressDeny ?? []] : [spec.egress ?? [], spec.egressDeny ?? []];
    const defaultDeny = spec.enableDefaultDeny?.[asked.direction] ?? allowing.length + denying.length > 0;
    const subjectIsInit = requirements(spec.endpointSelector ?? {}).some(r => r.source === 'reserved' && r.key === 'init' && (r.operator === 'In' || r.operator === 'Exists'));
    return [
      ...(defaultDeny ? [{ word: 'default-deny' as const }] : []),
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

function entrySays(policy: CiliumPolicy, entry: CiliumEntry, deny: boolean, subjectIsInit: boolean, asked: Asked): Saying[] {
  const peers = ciliumPeers(asked, policy, entry, deny, subjectIsInit);
  const hasPorts = (entry.toPorts ?? []).length > 0 || (entry.icmps ?? []).length > 0;
  if (peers === false || (peers === 'absent' && !hasPorts)) return [];
  const authenticates = (entry.authentication?.mode ?? 'disabled') !== 'disabled';
  if (!hasPorts) return [{ word: deny ? 'deny' : authenticates ? 'unauthenticated' : 'allow' }];
  // All `toPorts` together when they only say which ports; one that wants a proxy stands for itself.
  return ciliumPorts(entry, !deny && !authenticates, asked).map(({ reads }) => (deny ? { word: 'deny' } : authenticates ? { word: 'unauthenticated' } : reads ? { word: 'unproxied', reads } : { word: 'allow' }));
}

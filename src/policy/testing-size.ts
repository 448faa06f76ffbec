/**
 * A large cluster for benchmarks and for counting work: namespaces with ten pods and two policies each, and a few policies
 * for the whole cluster. Everything is a function of its number, so that two runs have the same cluster.
 */
import { cidrIdentityLabels, firstPrefixIdentity, identityLabels } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import type { PolicyEngine, Subject } from './compile.ts';

export const podsPerNamespace = 10;
export const policiesPerNamespace = 2;
export const teams = 20;

const tiers = ['front', 'back', 'data'];
const noPorts: Subject['namedPorts'] = new Map();

export interface PolicyObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: object;
}

export function namespaceName(i: number): string {
  return `team-${i % teams}-${Math.floor(i / teams)}`;
}

/** Pod `i` of a cluster with so many namespaces; no two are alike. */
export function clusterPodLabels(i: number, namespaces: number): LabelSet {
  const n = i % namespaces;
  const app = Math.floor(i / namespaces);
  const namespace = namespaceName(n);
  return identityLabels({ namespace, labels: { app: `app-${app}`, tier: tiers[app % tiers.length]! } }, { team: `team-${n % teams}`, env: n % 2 === 0 ? 'prod' : 'test' }, 'default');
}

export function clusterSubject(i: number, namespaces: number): Subject {
  return { labels: clusterPodLabels(i, namespaces), namedPorts: noPorts };
}

/** Policy `i`: of every hundred one for many namespaces, otherwise a default deny or an application's in one namespace. */
export function clusterPolicy(i: number, namespaces: number): PolicyObject {
  if (i % 100 === 99) return widePolicy(i);
  return i % policiesPerNamespace === 0 ? namespacePolicy(i, namespaces) : applicationPolicy(i, namespaces);
}

const home = (i: number, namespaces: number) => namespaceName(Math.floor(i / policiesPerNamespace) % namespaces);

function namespacePolicy(i: number, namespaces: number): PolicyObject {
  return {
    apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: `default-${i}`, namespace: home(i, namespaces) },
    spec: {
      podSelector: {}, policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [{ podSelector: { matchLabels: { tier: 'front' } } }], ports: [{ port: 8080, protocol: 'TCP' }] }],
      egress: [{ to: [{ podSelector: {} }] }, { to: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } } }], ports: [{ port: 53, protocol: 'UDP' }, { port: 53, protocol: 'TCP' }] }],
    },
  };
}

function applicationPolicy(i: number, namespaces: number): PolicyObject {
  const app = `app-${i % podsPerNamespace}`;
  const peer = `app-${(i + 3) % podsPerNamespace}`;
  return {
    apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: `app-${i}`, namespace: home(i, namespaces) },
    spec: {
      endpointSelector: { matchLabels: { app } },
      ingress: [
        { fromEndpoints: [{ matchLabels: { app: peer } }], toPorts: [{ ports: [{ port: String(8000 + (i % 50)), protocol: 'TCP' }, { port: '9000', endPort: 9000 + (i % 100), protocol: 'TCP' }] }] },
        { fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': namespaceName((i * 7) % namespaces), app: peer } }], toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] },
      ],
      egress: [
        { toEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': namespaceName((i * 11) % namespaces) } }], toPorts: [{ ports: [{ port: '5432', protocol: 'TCP' }] }] },
        ...(i % 5 === 1 ? [{ toCIDRSet: [{ cidr: `10.${i % 200}.0.0/16`, except: [`10.${i % 200}.4.0/24`] }] }] : []),
      ],
      ...(i % 3 === 0 && { egressDeny: [{ toCIDR: ['169.254.169.254/32'] }] }),
    },
  };
}

/** One team's namespaces: from the whole cluster for one team, from one other team for the rest. */
function widePolicy(i: number): PolicyObject {
  const team = Math.floor(i / 100) % teams;
  const own = { matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': `team-${team}` } };
  const ports = [{ ports: [{ port: String(9100 + (i % 7)), protocol: 'TCP' }] }];
  return {
    apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: `wide-${i}` },
    spec: {
      endpointSelector: own,
      ingress: [team === 7 ? { fromEntities: ['cluster'], toPorts: ports } : { fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': `team-${(team + 1) % teams}`, tier: 'back' } }], toPorts: ports }],
      enableDefaultDeny: { ingress: false, egress: false },
    },
  };
}

/** Gives every prefix that policies name its identity. */
export function addPrefixIdentities(engine: PolicyEngine): void {
  const prefixes = engine.cidrPrefixes();
  for (const [i, prefix] of prefixes.entries()) engine.upsertIdentity(firstPrefixIdentity + i, cidrIdentityLabels(prefix, prefixes));
}

import { formatPrefix, isIPv4, parsePrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';
import type { Closeness } from './endpoints.ts';
import type { FrontendType } from './rows.ts';

/** The parts of a Kubernetes Service that load balancing reads; `Service` of `src/kube` fits. */
export interface ServiceInput {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly labels?: Readonly<Record<string, string>> | undefined;
    readonly annotations?: Readonly<Record<string, string>> | undefined;
  };
  readonly spec: {
    readonly type?: string | undefined;
    readonly clusterIP?: string | undefined;
    readonly clusterIPs?: readonly string[] | undefined;
    readonly ipFamilies?: readonly string[] | undefined;
    readonly externalIPs?: readonly string[] | undefined;
    readonly ports?: readonly { readonly name?: string | undefined; readonly port: number; readonly protocol?: string | undefined; readonly nodePort?: number | undefined }[] | undefined;
    readonly sessionAffinity?: string | undefined;
    readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number | undefined } | undefined } | undefined;
    readonly internalTrafficPolicy?: string | undefined;
    readonly externalTrafficPolicy?: string | undefined;
    readonly trafficDistribution?: string | undefined;
    readonly loadBalancerSourceRanges?: readonly string[] | undefined;
  };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string | undefined; readonly ipMode?: string | undefined }[] | undefined } | undefined } | undefined;
}

/** What a Service says in labels, annotations and fields, read once for all its rows. */
export interface ServiceTraits {
  readonly affinityTimeout: number;
  readonly closeness: Closeness;
  /** What it says of the choice of backends and of the way back; undefined leaves it to the cluster's settings. */
  readonly algorithm: 'random' | 'maglev' | undefined;
  readonly forwarding: 'dsr' | 'snat' | undefined;
  /** Undefined where everybody may come. */
  readonly sources: SourceRanges | undefined;
  /** Undefined: all that the service's type gives. */
  readonly types: ReadonlySet<FrontendType> | undefined;
  /** What could not be read, for whoever wrote it. */
  readonly troubles: readonly string[];
}

export interface SourceRanges {
  readonly form: 'allow' | 'deny';
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

/** core/v1: three hours, when affinity is on and no time is given. */
const defaultAffinitySeconds = 10_800;

/** Another proxy serves it (`service-proxy-name`), or none shall (`headless`): kube-proxy's labels. */
const foreignLabels = ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless'];

const exposedTypes: Readonly<Record<string, FrontendType>> = { clusterip: 'ClusterIP', nodeport: 'NodePort', loadbalancer: 'LoadBalancer', externalip: 'ExternalIP', externalips: 'ExternalIP' };

/** False for a service that has no frontends by what it is, or that another proxy serves. */
export function isServed({ metadata, spec }: ServiceInput): boolean {
  const { labels } = metadata;
  const isHeadless = (spec.clusterIPs?.[0] ?? spec.clusterIP)?.toLowerCase() === 'none';
  return spec.type !== 'ExternalName' && !isHeadless && (labels === undefined || !foreignLabels.some(label => label in labels));
}

export function traitsOf({ metadata, spec }: ServiceInput): ServiceTraits {
  // Most services say nothing.
  if (metadata.annotations === undefined && spec.sessionAffinity !== 'ClientIP' && spec.trafficDistribution === undefined && !spec.loadBalancerSourceRanges?.length) return plain;
  const annotations = metadata.annotations ?? {};
  const troubles: string[] = [];
  const choice = <T extends string>(annotation: string, values: readonly T[]): T | undefined => {
    const text = annotations[annotation]?.trim().toLowerCase();
    if (text === undefined || (values as readonly string[]).includes(text)) return text as T | undefined;
    troubles.push(`annotation ${annotation} is "${annotations[annotation]}", not one of ${values.join(', ')}: it is left out`);
    return undefined;
  };
  return {
    affinityTimeout: spec.sessionAffinity === 'ClientIP' ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds) : 0,
    closeness: closenessOf(spec.trafficDistribution, annotations),
    algorithm: choice('service.cilium.io/lb-algorithm', ['random', 'maglev']),
    forwarding: choice('service.cilium.io/forwarding-mode', ['dsr', 'snat']),
    sources: sourcesOf(spec.loadBalancerSourceRanges, annotations, choice('service.cilium.io/src-ranges-policy', ['allow', 'deny']) ?? 'allow', troubles),
    types: typesOf(annotations['service.cilium.io/type'], troubles),
    troubles,
  };
}

const plain: ServiceTraits = { affinityTimeout: 0, closeness: undefined, algorithm: undefined, forwarding: undefined, sources: undefined, types: undefined, troubles: [] };

function closenessOf(distribution: string | undefined, annotations: Readonly<Record<string, string>>): Closeness {
  if (distribution === 'PreferSameNode') return 'node';
  if (distribution === 'PreferClose' || distribution === 'PreferSameZone') return 'zone';
  const mode = annotations['service.kubernetes.io/topology-mode'] ?? annotations['service.kubernetes.io/topology-aware-hints'];
  return mode?.toLowerCase() === 'auto' ? 'zone' : undefined;
}

/** A range that cannot be read must not open the service: it is left out of those who may; of those who may not, all are in. */
function sourcesOf(ranges: readonly string[] | undefined, annotations: Readonly<Record<string, string>>, form: SourceRanges['form'], troubles: string[]): SourceRanges | undefined {
  const annotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';
  const texts = ranges?.length ? ranges : (annotations[annotation]?.split(',').map(t => t.trim()).filter(t => t !== '') ?? []);
  if (texts.length === 0) return undefined;
  const prefixes = texts.flatMap(text => prefixOf(text.trim()) ?? []);
  if (prefixes.length < texts.length) {
    const bad = texts.filter(text => !prefixOf(text.trim()));
    troubles.push(`source ranges ${bad.map(t => `"${t}"`).join(', ')} are no prefixes: ${form === 'allow' ? 'they let nobody in' : 'until that is mended nobody outside is served'}`);
    if (form === 'deny') return { form: 'allow', ipv4: [], ipv6: [] };
  }
  const of = (v4: boolean) => [...new Set(prefixes.filter(p => (p.bits >= 96 && isIPv4(p.addr)) === v4).map(formatPrefix))].sort();
  return { form, ipv4: of(true), ipv6: of(false) };
}

function prefixOf(text: string): Prefix | undefined {
  try {
    return parsePrefix(text);
  } catch {
    return undefined;
  }
}

function typesOf(text: string | undefined, troubles: string[]): ReadonlySet<FrontendType> | undefined {
  if (text === undefined) return undefined;
  const names = text.split(',').map(t => t.trim()).filter(t => t !== '');
  const known = names.flatMap(name => exposedTypes[name.toLowerCase()] ?? []);
  if (names.length === known.length && known.length > 0) return new Set(known);
  troubles.push(`annotation service.cilium.io/type is "${text}": it takes ClusterIP, NodePort, LoadBalancer and ExternalIP, with commas between; it is left out`);
  return undefined;
}

/**
 * Whether this node is one of those on which the service is exposed: `service.cilium.io/node` names the value of the label of the
 * same name, `service.cilium.io/node-selector` is a label selector as kubectl takes it. What cannot be read exposes nowhere.
 */
export function isExposedOn({ metadata }: ServiceInput, labels: Readonly<Record<string, string>>): boolean {
  const annotations = metadata.annotations;
  if (!annotations) return true;
  const value = annotations['service.cilium.io/node'];
  if (value !== undefined && labels['service.cilium.io/node'] !== value) return false;
  const selector = annotations['service.cilium.io/node-selector'];
  return selector === undefined || selectorTerms(selector).every(term => termHolds(term, labels));
}

function selectorTerms(text: string): readonly string[] {
  return text.split(/,(?![^(]*\))/).map(t => t.trim()).filter(t => t !== '');
}

/** `a`, `!a`, `a=b`, `a==b`, `a!=b`, `a in (b, c)`, `a notin (b, c)`. */
function termHolds(term: string, labels: Readonly<Record<string, string>>): boolean {
  const set = /^([^\s!=()]+)\s+(in|notin)\s+\(([^()]*)\)$/.exec(term);
  if (set) {
    const isIn = set[3]!.split(',').map(v => v.trim()).includes(labels[set[1]!] ?? '') && set[1]! in labels;
    return set[2] === 'in' ? isIn : !isIn;
  }
  const equality = /^([^\s!=()]+)\s*(==|=|!=)\s*([^\s!=()]*)$/.exec(term);
  if (equality) return (labels[equality[1]!] === equality[3]!) === (equality[2] !== '!=');
  const existence = /^(!?)\s*([^\s!=()]+)$/.exec(term);
  return existence !== null && (existence[2]! in labels) === (existence[1] === '');
}

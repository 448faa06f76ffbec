/**
 * Objects → a *scenario*: what a cluster's policies would meet, read from manifests or from the API. Pods, and the pod
 * templates of workloads, with the labels of their identities; services, CIDR groups, nodes; policies with the places
 * where they were written. Nothing is fetched here and nothing decided: see world.ts.
 */
import { identityLabels } from '../model/identity.ts';
import type { HttpReader } from '../model/l7.ts';
import { LabelSet } from '../model/labels.ts';
import type { CidrGroup, NamedPorts, Service } from './compile.ts';
import { secretsOf } from './l7-rules.ts';
import type { SecretKey } from './l7-rules.ts';
import { isNamespaced, parsePolicy, policyKinds } from './parse.ts';
import type { PolicyObject } from './parse.ts';
import { policyAddress, policyAnnotations } from './policy.ts';
import type { Condition, Policy, PolicyError, PolicyKind } from './policy.ts';

/** A Kubernetes object as far as it is read here; the rest stays unknown. */
export interface ScenarioObject {
  readonly apiVersion?: unknown;
  readonly kind?: unknown;
  readonly metadata?: {
    readonly name?: unknown; readonly namespace?: unknown; readonly labels?: unknown;
    readonly ownerReferences?: unknown; readonly annotations?: unknown;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly [field: string]: unknown;
}

/** An object, and where it stands: `place('spec.ingress[0]')` is `policies/web.yaml:12`. */
export interface SourcedObject {
  readonly object: ScenarioObject;
  place(field: string): string;
}

export interface ContainerPort { readonly name?: string; readonly port: number; readonly protocol: string }

export interface ScenarioPod {
  readonly namespace: string;
  readonly name: string;
  /** `Deployment/web`; a pod without an owner is its own: `Pod/web`. */
  readonly workload: { readonly kind: string; readonly name: string };
  /** Of the identity. */
  readonly labels: LabelSet;
  readonly ownLabels: Readonly<Record<string, string>>;
  readonly ports: readonly ContainerPort[];
  readonly namedPorts: NamedPorts;
  readonly addresses: readonly string[];
  readonly node?: string;
  readonly hostNetwork: boolean;
  /** Whose annotation puts it into audit: what its policies deny passes, and is reported. */
  readonly audit?: 'pod' | 'namespace' | 'cluster';
  place(field: string): string;
}

export interface ServicePort { readonly name?: string; readonly port: number; readonly protocol: string; readonly targetPort: number | string }

export interface ScenarioService extends Service {
  readonly ports: readonly ServicePort[];
  readonly clusterIps: readonly string[];
  readonly externalName?: string;
}

export interface ScenarioNode { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly addresses: readonly string[] }

/** A policy as it was written; without `policy` it was refused, and `errors` say why. */
export interface ScenarioPolicy {
  readonly address: string;
  readonly object: ScenarioObject;
  readonly policy?: Policy;
  readonly errors: readonly PolicyError[];
  readonly conditions: readonly Condition[];
  place(field: string): string;
}

export interface Scenario {
  readonly clusterName: string;
  /** Labels by name. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly pods: readonly ScenarioPod[];
  readonly services: readonly ScenarioService[];
  readonly groups: readonly CidrGroup[];
  /** Secrets that were read, by `namespace/name`, their entries as text. */
  readonly secrets: ReadonlyMap<SecretKey, Readonly<Record<string, string>>>;
  readonly nodes: readonly ScenarioNode[];
  readonly policies: readonly ScenarioPolicy[];
  /** Policies of kinds that the engine does not know: verdicts are given without them, which has to be said. */
  readonly unknownPolicies: readonly SourcedObject[];
  readonly policyMode: 'default' | 'always' | 'never';
  readonly httpReader: HttpReader;
  /** Why the kernel carries out no rules on HTTP there at all. */
  readonly kernelUnable?: string;
}

export interface ScenarioOptions {
  /** Of objects that name none. */
  readonly namespace?: string;
  readonly clusterName?: string;
  /** As the cluster was made: `cirri up --policy-mode`, `--audit`, `--set l7.http`. */
  readonly policyMode?: 'default' | 'always' | 'never';
  readonly httpReader?: HttpReader;
  readonly kernelUnable?: string;
  readonly audit?: boolean;
}

/** API groups of which every object is a policy. */
const policyGroups = ['policy.networking.k8s.io/', 'crd.projectcalico.org/', 'projectcalico.org/'];

function isUnknownPolicy({ object }: SourcedObject): boolean {
  const kind = String(object.kind);
  return !policyKinds.includes(kind as PolicyKind) && kind.endsWith('Policy') && policyGroups.some(group => String(object.apiVersion).startsWith(group));
}

export function readScenario(sources: readonly SourcedObject[], options: ScenarioOptions = {}): Scenario {
  const fallback = options.namespace ?? 'default';
  const clusterName = options.clusterName ?? 'default';
  const ofKind = (...kinds: readonly string[]) => sources.filter(({ object }) => kinds.includes(String(object.kind)));
  const namespaces = new Map(ofKind('Namespace').map(({ object }) => [nameOf(object), stringsOf(object.metadata?.labels)] as const));
  const inAudit = new Set(ofKind('Namespace').filter(({ object }) => isInAudit(object.metadata)).map(({ object }) => nameOf(object)));
  const slices = ofKind('EndpointSlice').map(({ object }) => object);
  const pods = sources.flatMap(source => podsOf(source, { fallback, namespaces, inAudit, clusterName })).map(pod => (options.audit ? { ...pod, audit: 'cluster' as const } : pod));
  for (const { namespace } of pods) if (!namespaces.has(namespace)) namespaces.set(namespace, {});
  return {
    clusterName, namespaces, pods,
    services: ofKind('Service').map(({ object }) => serviceOf(object, fallback, slices)),
    groups: ofKind('CiliumCIDRGroup').map(({ object }) => ({
      name: nameOf(object), labels: kubernetesLabels(stringsOf(object.metadata?.labels)), cidrs: listOf(fieldsOf(object.spec)['externalCIDRs']).map(String),
    })),
    secrets: new Map(ofKind('Secret').map(({ object }) => [`${namespaceOf(object, fallback)}/${nameOf(object)}`, secretEntries(object)] as const)),
    nodes: ofKind('Node').map(({ object }) => ({
      name: nameOf(object), labels: stringsOf(object.metadata?.labels),
      addresses: listOf(fieldsOf(object.status)['addresses']).map(a => fieldsOf(a)).filter(a => String(a['type']).endsWith('IP')).map(a => String(a['address'])),
    })),
    policies: ofKind(...policyKinds).map(source => readPolicy(source, { namespace: fallback, clusterName })),
    unknownPolicies: sources.filter(isUnknownPolicy), policyMode: options.policyMode ?? 'default', httpReader: options.httpReader ?? 'proxy', ...(options.kernelUnable !== undefined && { kernelUnable: options.kernelUnable }),
  };
}

export function readPolicy({ object, place }: SourcedObject, options: Required<Pick<ScenarioOptions, 'namespace' | 'clusterName'>>): ScenarioPolicy {
  const namespace = isNamespaced(object.kind as PolicyKind) ? namespaceOf(object, options.namespace) : undefined;
  const whole = { ...object, metadata: { ...object.metadata, ...(namespace !== undefined && { namespace }) } };
  const result = parsePolicy(whole as PolicyObject, { clusterName: options.clusterName, nodeLabels: true });
  const address = policyAddress({ kind: String(object.kind), name: nameOf(object), ...(namespace !== undefined && { namespace }) });
  return { address, object: whole, ...(result.policy && { policy: result.policy }), errors: result.errors ?? [], conditions: result.conditions, place };
}

/** The same scenario with these policies in place of those of the same address. */
export function withPolicies(scenario: Scenario, changed: readonly ScenarioPolicy[]): Scenario {
  const byAddress = new Map([...scenario.policies, ...changed].map(p => [p.address, p] as const));
  return { ...scenario, policies: [...byAddress.values()] };
}

// ---- pods ----

const templatePaths: Readonly<Record<string, string>> = {
  Deployment: 'template', ReplicaSet: 'template', StatefulSet: 'template', DaemonSet: 'template', ReplicationController: 'template', Job: 'template',
  CronJob: 'jobTemplate.spec.template',
};

interface Surroundings {
  readonly fallback: string;
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** Namespaces in audit. */
  readonly inAudit: ReadonlySet<string>;
  readonly clusterName: string;
}

function podsOf(source: SourcedObject, { fallback, namespaces, inAudit, clusterName }: Surroundings): readonly ScenarioPod[] {
  const { object } = source;
  const kind = String(object.kind);
  const owner = ownerOf(object);
  const path = templatePaths[kind];
  // What another object made is counted where it was made, unless it is a pod: those are the real ones.
  if (kind !== 'Pod' && (path === undefined || owner !== undefined)) return [];
  if (kind === 'Pod' && ['Succeeded', 'Failed'].includes(String(fieldsOf(object.status)['phase']))) return [];
  const namespace = namespaceOf(object, fallback);
  const template = path === undefined ? fieldsOf(object) : path.split('.').reduce((at, step) => fieldsOf(at[step]), fieldsOf(object.spec));
  const prefix = path === undefined ? '' : `spec.${path}.`;
  const spec = fieldsOf(template['spec']);
  const ownLabels = stringsOf(fieldsOf(template['metadata'])['labels']);
  const serviceAccount = textOf(spec['serviceAccountName']);
  const ports = listOf(spec['containers']).concat(listOf(spec['initContainers'])).flatMap(containerPorts);
  const status = fieldsOf(object.status);
  const addresses = kind !== 'Pod' ? [] : [...listOf(status['podIPs']).map(ip => textOf(fieldsOf(ip)['ip'])), textOf(status['podIP'])].filter(a => a !== undefined);
  const node = kind === 'Pod' ? textOf(spec['nodeName']) : undefined;
  const audit = inAudit.has(namespace) ? 'namespace' : isInAudit(template['metadata']) ? 'pod' : undefined;
  return [{
    namespace, name: nameOf(object), workload: owner ?? { kind, name: nameOf(object) },
    labels: identityLabels({ namespace, labels: ownLabels, ...(serviceAccount !== undefined && { serviceAccount }) }, namespaces.get(namespace) ?? {}, clusterName),
    ownLabels, ports,
    namedPorts: new Map(ports.flatMap(p => (p.name === undefined ? [] : [[p.name, { protocol: p.protocol, port: p.port }] as const]))),
    addresses: [...new Set(addresses)], ...(node !== undefined && { node }), hostNetwork: spec['hostNetwork'] === true, ...(audit !== undefined && { audit }),
    place: field => source.place(prefix + field),
  }];
}

function isInAudit(metadata: unknown): boolean {
  return stringsOf(fieldsOf(metadata)['annotations'])[policyAnnotations.audit] === 'true';
}

/** A ReplicaSet's name is its Deployment's with the hash of the template; a Job of a CronJob ends with its time. */
function ownerOf(object: ScenarioObject): ScenarioPod['workload'] | undefined {
  const controller = listOf(object.metadata?.ownerReferences).map(fieldsOf).find(o => o['controller'] !== false);
  const [kind, name] = [textOf(controller?.['kind']), textOf(controller?.['name'])];
  if (kind === undefined || name === undefined || kind === 'Node') return undefined;
  const hash = stringsOf(object.metadata?.labels)['pod-template-hash'];
  if (kind === 'ReplicaSet' && hash !== undefined && name.endsWith(`-${hash}`)) return { kind: 'Deployment', name: name.slice(0, -hash.length - 1) };
  return { kind, name };
}

function containerPorts(container: unknown): readonly ContainerPort[] {
  return listOf(fieldsOf(container)['ports']).map(fieldsOf).flatMap(p => {
    const name = textOf(p['name']);
    return typeof p['containerPort'] !== 'number' ? [] : [{ port: p['containerPort'], protocol: textOf(p['protocol']) ?? 'TCP', ...(name !== undefined && { name }) }];
  });
}

// ---- services ----

function serviceOf(object: ScenarioObject, fallback: string, slices: readonly ScenarioObject[]): ScenarioService {
  const spec = fieldsOf(object.spec);
  const namespace = namespaceOf(object, fallback);
  const own = slices.filter(s => namespaceOf(s, fallback) === namespace && stringsOf(s.metadata?.labels)['kubernetes.io/service-name'] === nameOf(object));
  const ips = [spec['clusterIP'], ...listOf(spec['clusterIPs'])].map(textOf).filter(ip => ip !== undefined && ip !== 'None' && ip !== '');
  const externalName = textOf(spec['externalName']);
  return {
    namespace, name: nameOf(object), labels: kubernetesLabels(stringsOf(object.metadata?.labels)),
    ...(spec['selector'] !== undefined && spec['selector'] !== null && { selector: stringsOf(spec['selector']) }),
    addresses: own.flatMap(s => listOf(s['endpoints'])).flatMap(e => listOf(fieldsOf(e)['addresses']).map(String)),
    ports: listOf(spec['ports']).map(fieldsOf).filter(p => typeof p['port'] === 'number').map(p => {
      const name = textOf(p['name']);
      const target = p['targetPort'];
      return { port: p['port'] as number, protocol: textOf(p['protocol']) ?? 'TCP', targetPort: typeof target === 'string' || typeof target === 'number' ? target : p['port'] as number, ...(name !== undefined && { name }) };
    }),
    clusterIps: [...new Set(ips as string[])], ...(externalName !== undefined && { externalName }),
  };
}

// ---- Secrets ----

function secretEntries(object: ScenarioObject): Readonly<Record<string, string>> {
  const data = Object.entries(stringsOf(object['data'])).map(([name, value]) => [name, Buffer.from(value, 'base64').toString('utf8')] as const);
  return Object.fromEntries([...data, ...Object.entries(stringsOf(object['stringData']))]);
}

/** Secrets that the policies name. */
export function namedSecrets(policies: readonly ScenarioPolicy[]): readonly SecretKey[] {
  const rules = policies.flatMap(({ policy }) => policy?.specs ?? []).flatMap(spec => spec.rules);
  return [...new Set(rules.flatMap(rule => (rule.l7 ? secretsOf(rule.l7) : [])))].sort();
}

// ---- unknown values ----

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function stringsOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fieldsOf(value)).filter((e): e is [string, string] => typeof e[1] === 'string'));
}

function nameOf(object: ScenarioObject): string {
  return textOf(object.metadata?.name) ?? '';
}

function namespaceOf(object: ScenarioObject, fallback: string): string {
  return textOf(object.metadata?.namespace) ?? fallback;
}

export function kubernetesLabels(labels: Readonly<Record<string, string>>): LabelSet {
  return LabelSet.fromLabels(Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value })));
}

import { objectKey } from '../../kube/reflector.ts';
import { matchesSelector } from '../../kube/selector.ts';
import type { KubeObject, Node, Pod, Service } from '../../kube/types.ts';
import { backendPortFor, parseLocalRedirect, type LabelSelectorInput, type LocalRedirectPolicy } from '../../lb/local-redirect.ts';
import type { RedirectInput } from '../../lb/local-rows.ts';
import { formatAddr, isAddr, isIPv4, parseAddr, type Addr } from '../../std/ip.ts';
import { Table, type Changes } from '../../table/table.ts';

export interface LocalRedirectInputs {
  readonly policies: Table<KubeObject>;
  /** Pods of this node. */
  readonly pods: Table<Pod>;
  readonly services: Table<Service>;
  readonly nodes: Table<Node>;
}

/** One policy on this node, as `lrp list` shows it. */
export interface LocalRedirectRow {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  /** `address 169.254.169.254`, `service kube-system/kube-dns`. */
  readonly matches: string;
  /** Pods of this node that serve, by `namespace/name`. */
  readonly pods: readonly string[];
  readonly skipRedirectFromBackend: boolean;
  readonly frontends: readonly RedirectInput[];
  /** What is not redirected, and why. */
  readonly troubles: readonly string[];
}

/**
 * What CiliumLocalRedirectPolicies redirect on this node:
 *
 *     policies ─┐
 *     pods ─────┼─► local-redirects
 *     services ─┘       │
 *                       └─► redirects ─► frontends of the node
 *
 * Only to pods that are ready, on this node and in the policy's namespace; where there is none the policy has no frontend, and
 * the traffic goes where it would go without.
 */
export class LocalRedirectDerivation {
  readonly table = new Table<LocalRedirectRow>('local-redirects', row => row.key);
  readonly redirects = new Table<RedirectInput>('redirects', row => row.key);
  readonly inputs: LocalRedirectInputs;
  readonly #mayCatch: (addr: Addr) => string | undefined;
  readonly #changes: { readonly policies: Changes<KubeObject>; readonly pods: Changes<Pod>; readonly services: Changes<Service>; readonly nodes: Changes<Node> };
  readonly #producers: readonly { synced(): void }[];
  #matched = new Set<string>();

  /** `mayCatch` says why an addressMatcher may not name an address; undefined where it may. */
  constructor(mayCatch: (addr: Addr) => string | undefined, inputs: LocalRedirectInputs) {
    this.#mayCatch = mayCatch;
    this.inputs = inputs;
    const { policies, pods, services, nodes } = inputs;
    this.#changes = { policies: policies.changes(), pods: pods.changes(), services: services.changes(), nodes: nodes.changes() };
    this.#producers = [this.table, this.redirects].map(table => table.producer('local redirect policies, pods and services'));
  }

  /** Brings the rows up to date. Policies are few; where there is none, or nothing changed that concerns one, nothing is looked at. */
  step(): void {
    const { policies, pods, services, nodes } = this.inputs;
    const synced = policies.synced && pods.synced && services.synced && nodes.synced;
    const [forPolicies, forPods, forServices, forNodes] = [this.#changes.policies.take(), this.#changes.pods.take(), this.#changes.services.take(), this.#changes.nodes.take()];
    const some = (change: { readonly changed: readonly unknown[]; readonly deleted: readonly string[] }) => change.changed.length + change.deleted.length > 0;
    const concerned = [...forServices.changed.map(objectKey), ...forServices.deleted].some(key => this.#matched.has(key));
    if (some(forPolicies) || (policies.size > 0 && (some(forPods) || some(forNodes) || concerned))) this.#refresh();
    if (synced) for (const producer of this.#producers) producer.synced();
  }

  #refresh(): void {
    const parsed = [...this.inputs.policies.rows()].flatMap(object => parseLocalRedirect(object).policy ?? []).sort(oldestFirst);
    this.#matched = new Set(parsed.flatMap(({ namespace, frontend }) => (frontend.kind === 'service' ? [`${namespace}/${frontend.service}`] : [])));
    const taken = new Map<string, string>();
    const rows = parsed.map(policy => this.#row(policy, taken));
    this.table.replaceAll(rows);
    this.redirects.replaceAll(rows.flatMap(row => row.frontends));
  }

  #row(policy: LocalRedirectPolicy, taken: Map<string, string>): LocalRedirectRow {
    const { namespace, name, frontend } = policy;
    const troubles: string[] = [];
    const pods = [...this.inputs.pods.rows()].filter(pod => serves(policy, pod)).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    const places = frontend.kind === 'address' ? this.#address(frontend, troubles) : this.#service(policy, frontend, troubles);
    const frontends: RedirectInput[] = [];
    for (const place of places) {
      const port = backendPortFor(policy, { name: place.backendName, protocol: place.protocol });
      if (port === undefined) {
        troubles.push(`no port of the pods is meant for ${place.protocol} ${place.port}${place.backendName ? ` (${place.backendName})` : ''}`);
        continue;
      }
      const address = formatAddr(place.addr);
      const where = `${address} ${place.port}/${place.protocol}`;
      const other = taken.get(where);
      if (other !== undefined) {
        troubles.push(`${where} is redirected by the older policy ${other}`);
        continue;
      }
      taken.set(where, `${namespace}/${name}`);
      const backends = pods.flatMap(pod => podAddresses(pod).filter(addr => isIPv4(addr) === isIPv4(place.addr)).slice(0, 1)).map(addr => ({ address: formatAddr(addr), port }));
      // Nobody here: nothing is redirected, and a service's own backends serve.
      if (backends.length === 0) continue;
      frontends.push({ key: `${namespace}/${name} ${where}`, namespace, policy: name, portName: place.backendName, address, port: place.port, protocol: place.protocol, backends, skipRedirectFromBackend: policy.skipRedirectFromBackend });
    }
    const matches = frontend.kind === 'address' ? `address ${formatAddr(frontend.addr)}` : `service ${namespace}/${frontend.service}`;
    return { key: `${namespace}/${name}`, namespace, name, matches, pods: pods.map(objectKey), skipRedirectFromBackend: policy.skipRedirectFromBackend, frontends, troubles };
  }

  #address(frontend: Extract<LocalRedirectPolicy['frontend'], { kind: 'address' }>, troubles: string[]): Place[] {
    const refusal = this.#mayCatch(frontend.addr);
    if (refusal === undefined) return frontend.ports.map(({ port, protocol, name }) => ({ addr: frontend.addr, port, protocol, backendName: name }));
    troubles.push(refusal);
    return [];
  }

  #service({ namespace }: LocalRedirectPolicy, frontend: Extract<LocalRedirectPolicy['frontend'], { kind: 'service' }>, troubles: string[]): Place[] {
    const service = this.inputs.services.get(`${namespace}/${frontend.service}`);
    const addresses = (service?.spec.clusterIPs ?? (service?.spec.clusterIP ? [service.spec.clusterIP] : [])).filter(isAddr).map(parseAddr);
    if (!service) troubles.push(`service ${namespace}/${frontend.service} does not exist`);
    else if (addresses.length === 0) troubles.push(`service ${namespace}/${frontend.service} has no cluster address`);
    const own = (service?.spec.ports ?? []).map(({ port, protocol = 'TCP', name = '' }) => ({ port, protocol, name }));
    const wanted = frontend.ports.length === 0 ? own : frontend.ports.filter(port => {
      const known = own.some(other => other.port === port.port && other.protocol === port.protocol);
      if (service && !known) troubles.push(`service ${namespace}/${frontend.service} has no port ${port.port}/${port.protocol}`);
      return known;
    });
    return addresses.flatMap(addr => wanted.map(({ port, protocol, name }) => ({ addr, port, protocol, backendName: name.toLowerCase() })));
  }
}

interface Place { readonly addr: Addr; readonly port: number; readonly protocol: string; readonly backendName: string }

function serves({ namespace, selector }: LocalRedirectPolicy, pod: Pod): boolean {
  if (pod.metadata.namespace !== namespace || pod.metadata.deletionTimestamp !== undefined || pod.spec.hostNetwork === true) return false;
  const isReady = pod.status?.phase === 'Running' && pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  return isReady && matchesSelector(withoutSources(selector), { ...pod.metadata.labels, 'io.kubernetes.pod.namespace': namespace });
}

/** Cilium's selectors may name where a label comes from; pods have only labels of Kubernetes. */
function withoutSources(selector: LabelSelectorInput): LabelSelectorInput {
  const bare = (key: string) => key.replace(/^(k8s|any)[:.]/, '');
  return {
    matchLabels: Object.fromEntries(Object.entries(selector.matchLabels ?? {}).map(([key, value]) => [bare(key), value])),
    matchExpressions: (selector.matchExpressions ?? []).map(expression => ({ ...expression, key: bare(expression.key) })),
  };
}

function podAddresses(pod: Pod): Addr[] {
  const texts = pod.status?.podIPs?.map(({ ip }) => ip) ?? (pod.status?.podIP ? [pod.status.podIP] : []);
  return texts.filter(isAddr).map(parseAddr);
}

function oldestFirst(a: LocalRedirectPolicy, b: LocalRedirectPolicy): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return `${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1;
}

import type { KubernetesObject } from '../../policy/conformance/case.ts';
import { Discovery } from '../../cluster/discovery.ts';
import { KubeError } from '../../kube/errors.ts';
import { resources, type Resource } from '../../kube/resources.ts';
import type { KubeObject, StringMap } from '../../kube/types.ts';
import { identityLabels } from '../../model/identity.ts';
import { waitFor } from '../../std/async.ts';
import { CirriError } from '../../std/errors.ts';
import type { Context } from '../context.ts';
import { localPod, type LocalPod, type PodObject } from '../pods.ts';
import { followAddresses, type MovedAddress } from './addresses.ts';
import { waitUntilInForce, type Wanted, type WantedPolicy } from './in-force.ts';
import { podShape, type CasePlan, type PlannedPod } from './plan.ts';

/** The case as it stands in the rig; or why it cannot stand there. */
export type Arranged =
  | { readonly pods: ReadonlyMap<string, LocalPod> }
  /** The API does not take an object of it: `unknown` is a kind that it does not serve. */
  | { readonly refused: string; readonly unknown: boolean };

const podsReadyMs = 60_000;

interface Made {
  readonly resource: Resource;
  readonly name: string;
  readonly namespace?: string;
}

/**
 * Brings the rig's objects from the last case to the next: policies go, what pods share stays, what can be changed in place is
 * changed, and then the case's policies come, by the API's admission. Ends when every agent has all of it in force.
 */
export class Arranger {
  readonly #context: Context;
  readonly #discovery: Discovery;
  readonly #signal: AbortSignal;
  readonly #namespaces = new Map<string, StringMap>();
  readonly #accounts = new Set<string>();
  readonly #pods = new Map<string, { readonly shape: string; labels: StringMap; readonly local: LocalPod }>();
  readonly #nodeLabels = new Map<string, StringMap>();
  #policies: readonly Made[] = [];

  constructor(context: Context, signal: AbortSignal) {
    this.#context = context;
    this.#discovery = new Discovery(context.client);
    this.#signal = signal;
  }

  /** `onGone` is told of each pod before it goes. */
  async arrange(plan: CasePlan, onGone: (key: string) => void): Promise<Arranged> {
    await this.#removePolicies();
    await this.#removePods(plan.pods, onGone);
    try {
      await Promise.all(plan.namespaces.map(({ name, labels }) => this.#namespace(name, labels ?? {})));
      for (const [node, labels] of plan.nodeLabels) await this.#labelNode(node, labels);
      await this.#makePods(plan.pods);
    } catch (error) {
      if (isRefusal(error)) return { refused: error.message, unknown: false };
      throw error;
    }
    const pods = new Map([...this.#pods].map(([key, { local }]) => [key, local]));
    const { policies, impossible } = followAddresses(plan.policies, this.#moved(plan, pods));
    if (impossible !== undefined) return { refused: impossible, unknown: true };
    const made = await this.#makePolicies(policies);
    if ('refused' in made) return made;
    await waitUntilInForce(this.#context, { policies: made.policies, pods: this.#wantedPods(plan) }, this.#signal);
    return { pods };
  }

  async #removePolicies(): Promise<void> {
    await Promise.all(this.#policies.map(({ resource, name, namespace }) => this.#context.client.delete(resource, name, namespace)));
    this.#policies = [];
  }

  async #namespace(name: string, labels: StringMap): Promise<void> {
    const { client } = this.#context;
    const before = this.#namespaces.get(name);
    if (before && sameLabels(before, labels)) return;
    const present = before ?? (await client.get(resources.namespaces, name))?.metadata.labels;
    if (present) await client.patch(resources.namespaces, name, undefined, { metadata: { labels: labelChange(present, labels) } }, { type: 'merge' });
    else await client.create(resources.namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    this.#namespaces.set(name, labels);
  }

  async #labelNode(node: string, labels: StringMap): Promise<void> {
    const before = this.#nodeLabels.get(node) ?? {};
    if (sameLabels(before, labels)) return;
    // The name that the kubelet gives the node is its own; a case's word for it would be a lie.
    const { 'kubernetes.io/hostname': _, ...change } = labelChange(before, labels);
    await this.#context.client.patch(resources.nodes, node, undefined, { metadata: { labels: change } }, { type: 'merge' });
    this.#nodeLabels.set(node, labels);
  }

  async #removePods(wanted: readonly PlannedPod[], onGone: (key: string) => void): Promise<void> {
    const shapes = new Map(wanted.map(pod => [pod.key, podShape(pod)]));
    const going = [...this.#pods].filter(([key, pod]) => shapes.get(key) !== pod.shape);
    for (const [key] of going) {
      onGone(key);
      this.#pods.delete(key);
    }
    await this.#deletePods(going.map(([, { local }]) => local));
  }

  async #deletePods(pods: readonly { readonly namespace: string; readonly name: string }[]): Promise<void> {
    await Promise.all(pods.map(({ name, namespace }) => this.#context.client.delete(resources.pods, name, namespace, { gracePeriodSeconds: 1 })));
    const left = new Set<string>(pods.map(({ namespace, name }) => `${namespace}/${name}`));
    await waitFor(`${left.size} pods to end`, async () => {
      if (left.size === 0) return true;
      const { items } = await this.#context.client.list<PodObject>(resources.pods);
      return !items.some(pod => left.has(`${pod.metadata.namespace}/${pod.metadata.name}`));
    }, { timeoutMs: podsReadyMs, signal: this.#signal });
  }

  async #makePods(wanted: readonly PlannedPod[]): Promise<void> {
    const { client } = this.#context;
    const missing = wanted.filter(pod => !this.#pods.has(pod.key));
    for (const account of new Set(missing.filter(p => p.service_account !== undefined).map(p => `${p.namespace}/${p.service_account}`))) await this.#account(account);
    const creations = await Promise.allSettled(missing.map(pod => client.create(resources.pods, podObject(pod))));
    const failed = creations.find(result => result.status === 'rejected');
    if (failed) {
      await this.#deletePods(missing.filter((_, i) => creations[i]!.status === 'fulfilled'));
      throw failed.reason;
    }
    await Promise.all(wanted.filter(pod => !missing.includes(pod)).map(pod => this.#relabel(pod)));
    if (missing.length === 0) return;
    let waiting: readonly string[] = [];
    await waitFor('pods', async () => {
      const { items } = await client.list<PodObject>(resources.pods);
      const running = new Map<string, PodObject>(items.flatMap(pod => (pod.status?.phase === 'Running' && pod.status.podIPs?.length ? [[`${pod.metadata.namespace}/${pod.metadata.name}`, pod] as const] : [])));
      waiting = missing.filter(pod => !running.has(pod.key)).map(pod => pod.key);
      if (waiting.length > 0) return false;
      for (const pod of missing) this.#pods.set(pod.key, { shape: podShape(pod), labels: pod.labels ?? {}, local: localPod(this.#context, running.get(pod.key)!) });
      return true;
    }, { timeoutMs: podsReadyMs, signal: this.#signal }).catch((cause: unknown) => {
      if (this.#signal.aborted || waiting.length === 0) throw cause;
      throw new CirriError('ERR_RIG', `pods of the rig are not running after ${podsReadyMs / 1000} s: ${waiting.slice(0, 5).join(', ')}`, { cause, mend: `see ${this.#context.paths.logs} (--keep leaves the rig up)` });
    });
  }

  async #account(key: string): Promise<void> {
    const [namespace, name] = key.split('/') as [string, string];
    if (this.#accounts.has(key)) return;
    this.#accounts.add(key);
    if (await this.#context.client.get(resources.serviceAccounts, name, namespace)) return;
    await this.#context.client.create(resources.serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } });
  }

  async #relabel(pod: PlannedPod): Promise<void> {
    const present = this.#pods.get(pod.key)!;
    const labels = pod.labels ?? {};
    if (sameLabels(present.labels, labels)) return;
    await this.#context.client.patch(resources.pods, pod.name, pod.namespace, { metadata: { labels: labelChange(present.labels, labels) } }, { type: 'merge' });
    present.labels = labels;
  }

  /** What was made before a refusal goes with the next case. */
  async #makePolicies(policies: readonly KubernetesObject[]): Promise<{ readonly policies: Wanted['policies'] } | Extract<Arranged, { refused: string }>> {
    const wanted: WantedPolicy[] = [];
    for (const policy of policies as readonly (KubernetesObject & { readonly apiVersion?: string })[]) {
      const resource = await this.#discovery.forKind(policy.apiVersion ?? '', policy.kind ?? '');
      if (!resource) return { refused: `the API does not know ${policy.kind} (${policy.apiVersion})`, unknown: true };
      const namespace = resource.namespaced ? policy.metadata.namespace ?? 'default' : undefined;
      const { namespace: _, ...metadata } = policy.metadata;
      try {
        const object = await this.#context.client.create(resource, { ...policy, metadata: { ...metadata, ...(namespace !== undefined && { namespace }) } } as KubeObject);
        this.#policies = [...this.#policies, { resource, name: metadata.name, ...(namespace !== undefined && { namespace }) }];
        wanted.push({ kind: policy.kind ?? '', name: metadata.name, ...(namespace !== undefined && { namespace }), uid: object.metadata.uid ?? '', generation: object.metadata.generation ?? 0 });
      } catch (error) {
        if (isRefusal(error)) return { refused: error.message, unknown: false };
        throw error;
      }
    }
    return { policies: wanted };
  }

  #wantedPods(plan: CasePlan): Wanted['pods'] {
    const { clusterName } = this.#context.record;
    return plan.pods.map(pod => ({
      key: pod.key, node: pod.node,
      labels: identityLabels({ namespace: pod.namespace, labels: pod.labels ?? {}, ...(pod.service_account !== undefined && { serviceAccount: pod.service_account }) }, this.#namespaces.get(pod.namespace) ?? {}, clusterName).array,
    }));
  }

  #moved(plan: CasePlan, pods: ReadonlyMap<string, LocalPod>): readonly MovedAddress[] {
    return [...plan.addresses].flatMap(([from, place]): readonly MovedAddress[] => {
      if (place.kind === 'pod') return [{ from, to: pods.get(place.key)!.ips }];
      const node = place.kind === 'node' ? this.#context.record.nodes.find(n => n.name === place.name) : undefined;
      return node ? [{ from, to: [node.underlay4, node.underlay6] }] : [];
    });
  }
}

function podObject(pod: PlannedPod): KubeObject {
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name: pod.name, namespace: pod.namespace, labels: pod.labels ?? {} },
    spec: {
      nodeName: pod.node, terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, enableServiceLinks: false,
      ...(pod.service_account !== undefined && { serviceAccountName: pod.service_account }),
      containers: [{ name: 'main', image: 'cirri/client', ports: (pod.ports ?? []).map(({ name, port, protocol }) => ({ ...(name !== undefined && { name }), containerPort: port, protocol })) }],
    },
  };
}

function isRefusal(error: unknown): error is KubeError {
  return error instanceof KubeError && error.status >= 400 && error.status < 500;
}

function sameLabels(a: StringMap, b: StringMap): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key]);
}

/** A merge patch: what is gone is null. */
function labelChange(before: StringMap, after: StringMap): Record<string, string | null> {
  return { ...Object.fromEntries(Object.keys(before).filter(key => key !== 'kubernetes.io/metadata.name').map(key => [key, null])), ...after };
}

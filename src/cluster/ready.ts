import { readFileSync } from 'node:fs';
import { KubeClient } from '../kube/client.ts';
import { resources, type Resource } from '../kube/resources.ts';
import type { Condition, KubeObject } from '../kube/types.ts';
import type { ClusterRecord, StatePaths } from '../model/cluster.ts';
import { delay } from '../std/async.ts';
import { CirriError, errorText } from '../std/errors.ts';
import { agentPods } from './agent-pods.ts';
import { Discovery } from './discovery.ts';
import { agentTrouble } from './inspect.ts';
import { applyManifests, parseManifest } from './manifest.ts';
import type { Progress } from './progress.ts';

export interface ReadyOptions {
  readonly record: ClusterRecord;
  readonly paths: StatePaths;
  readonly demo: boolean;
  readonly timeoutMs: number;
}

export interface Readiness {
  /** Built-in objects that were not there or were different. */
  readonly applied: number;
}

/** Waits until a cluster serves its users, and says what it is waiting for. Throws ERR_NOT_READY naming what is missing. */
export async function waitUntilReady(options: ReadyOptions, progress: Progress): Promise<Readiness> {
  const { record, paths, demo } = options;
  const deadline = performance.now() + options.timeoutMs;
  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-up' });
  try {
    const api = progress.step('API server', () => until('the API server answers', deadline, () => apiAnswers(client, paths), paths, 'apiserver'));
    const agents = progress.step(
      'agents ready',
      () => Promise.all(record.nodes.map(node => until(`agent of ${node.name} is ready`, deadline, () => agentTrouble(paths, node.name), paths, `agent-${node.name}`))),
    );
    agents.catch(() => {});
    await api;
    const nodes = progress.step('nodes ready', () => until('nodes are ready', deadline, () => nodesTrouble(client, record), paths, 'kubelet-node1'));
    // Pods made while one node only is ready would all land there.
    await nodes;
    const applied = await applyMissing(client, builtIn(record, demo));
    const dns = progress.step('DNS', () => until('DNS is ready', deadline, () => deploymentTrouble(client, 'kube-system', 'kube-dns'), paths, 'kubelet-node1'));
    const app = demo
      ? progress.step('demo application', () => until('the demo application is ready', deadline, () => demoTrouble(client), paths, 'kubelet-node1'))
      : Promise.resolve();
    await settleAll([agents, nodes, dns, app]);
    // Last: nothing waits for these pods, and they are not to keep the others waiting.
    const more = await applyMissing(client, [[resources.daemonSets, 'cilium', 'kube-system', () => parseManifest('node agents', JSON.stringify(agentPods(record, paths)))]]);
    return { applied: applied + more };
  } finally {
    client.close();
  }
}

/** Waits for all, then throws the first failure: every step has said how it ended. */
async function settleAll(steps: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(steps)).find(result => result.status === 'rejected');
  if (failed) throw failed.reason;
}

/** Asks again until there is no trouble. `trouble` says in words what is still missing. */
async function until(what: string, deadline: number, trouble: () => Promise<string | undefined>, paths: StatePaths, log: string): Promise<void> {
  let last: string | undefined;
  for (;;) {
    try {
      last = await trouble();
    } catch (error) {
      last = errorText(error);
    }
    if (last === undefined) return;
    if (performance.now() > deadline) {
      throw new CirriError('ERR_NOT_READY', `waited in vain until ${what}: ${last}`, { mend: `see ${paths.logs}/${log}.log, or: cirri status` });
    }
    await delay(25);
  }
}

async function apiAnswers(client: KubeClient, paths: StatePaths): Promise<string | undefined> {
  const answer = await client.raw('GET', '/readyz').catch((error: unknown) => errorText(error));
  if (answer !== 'ok' && !(typeof answer === 'string' && answer.startsWith('ok'))) return String(answer);
  // kubectl reads the kubeconfig: it is part of a ready API.
  return exists(paths.kubeconfig) ? undefined : 'kubeconfig is not written yet';
}

async function nodesTrouble(client: KubeClient, record: ClusterRecord): Promise<string | undefined> {
  const { items } = await client.list(resources.nodes);
  const waiting = record.nodes.filter(node => {
    const status = items.find(item => item.metadata.name === node.name)?.status as { conditions?: readonly Condition[] } | undefined;
    return !status?.conditions?.some(condition => condition.type === 'Ready' && condition.status === 'True');
  });
  return waiting.length === 0 ? undefined : `${waiting.map(node => node.name).join(', ')} not ready`;
}

interface DeploymentState {
  readonly replicas?: number;
  readonly readyReplicas?: number;
  readonly updatedReplicas?: number;
  readonly observedGeneration?: number;
}

async function deploymentTrouble(client: KubeClient, namespace: string, name: string): Promise<string | undefined> {
  const object = await client.get(resources.deployments, name, namespace);
  if (!object) return `deployment ${namespace}/${name} does not exist`;
  return deploymentWaits(object);
}

function deploymentWaits(object: KubeObject): string | undefined {
  const wanted = (object.spec as { replicas?: number }).replicas ?? 1;
  const status = (object.status ?? {}) as DeploymentState;
  const current = (status.observedGeneration ?? 0) >= (object.metadata.generation ?? 0);
  const ready = current && (status.readyReplicas ?? 0) >= wanted && (status.updatedReplicas ?? 0) >= wanted;
  return ready ? undefined : `${object.metadata.namespace}/${object.metadata.name}: ${status.readyReplicas ?? 0} of ${wanted} pods ready`;
}

async function demoTrouble(client: KubeClient): Promise<string | undefined> {
  const { items } = await client.list(resources.deployments, { namespace: 'demo' });
  const trouble = items.map(deploymentWaits).filter(text => text !== undefined);
  if (trouble.length > 0) return trouble.join('; ');
  return items.length === 0 ? 'the demo has no deployments yet' : undefined;
}

type BuiltIn = readonly [resource: Resource, name: string, namespace: string | undefined, documents: () => ReturnType<typeof parseManifest>];

function builtIn(record: ClusterRecord, demo: boolean): readonly BuiltIn[] {
  const file = (name: string) => parseManifest(name, readFileSync(new URL(`./manifests/${name}`, import.meta.url), 'utf8'));
  return [
    [resources.ciliumLoadBalancerIpPools, 'default', undefined, () => parseManifest('default pool', JSON.stringify(defaultPool(record)))],
    [resources.deployments, 'kube-dns', 'kube-system', () => file('dns.yaml')],
    ...(demo ? ([[resources.namespaces, 'demo', undefined, () => file('demo.yaml')]] as const) : []),
  ];
}

/** Built-in objects are applied when they are missing; what a user has changed in them since is the user's. */
async function applyMissing(client: KubeClient, wanted: readonly BuiltIn[]): Promise<number> {
  const discovery = new Discovery(client);
  let applied = 0;
  for (const [resource, name, namespace, documents] of wanted) {
    if (await client.get(resource, name, namespace)) continue;
    const missing = documents();
    await applyManifests(missing, { fieldManager: 'cirri', namespace: 'default', skipValidation: true }, { client, discovery });
    applied += missing.length;
  }
  return applied;
}

/** So that a service of type LoadBalancer gets an address that the host can reach, with nothing more to set up. */
function defaultPool(record: ClusterRecord): object {
  return {
    apiVersion: 'cilium.io/v2', kind: 'CiliumLoadBalancerIPPool', metadata: { name: 'default' },
    // The first and last address stay free: some hosts and tools take them for a network and a broadcast.
    spec: { allowFirstLastIPs: 'No', blocks: [{ cidr: record.loadBalancerCidr4 }, { cidr: record.loadBalancerCidr6 }] },
  };
}

function exists(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * One pod or one policy more in a large cluster, until it is in force on its node: from the event in the table to rows that are
 * written and read back. Prints JSON.
 *
 *     changes.ts PODS NAMESPACES POLICIES LOCAL CHANGES
 */
import { clusterPodLabels, clusterPolicy, namespaceName, type PolicyObject } from '../../../src/policy/testing-size.ts';
import { benchPod, BenchNode } from './node.ts';
import { quantile } from './statistics.ts';

const [pods, namespaces, policies, local, changes] = process.argv.slice(2).map(Number) as [number, number, number, number, number];
const pod = (i: number) => benchPod(i, clusterPodLabels(i, namespaces), namespaceName(i % namespaces));

const node = new BenchNode();
const started = performance.now();
for (let i = 0; i < pods; i++) node.addIdentity(256 + i, clusterPodLabels(i, namespaces));
node.addPolicies(...Array.from({ length: policies }, (_, i) => clusterPolicy(i, namespaces)));
/** Spread over the cluster, as a scheduler would. */
const isLocal = (i: number) => i % Math.floor(pods / local) === 0;
for (let i = 0; i < pods; i++) {
  if (isLocal(i)) node.endpoints.upsert(pod(i));
  else node.addRemotePods(pod(i));
}
node.pass();
const fromNothingMs = performance.now() - started;

const times: Record<string, { readonly ms: number; readonly cpuMs: number }[]> = {};
/** Turns of the event loop as the agent takes them: events first, then one pass. */
async function measure(name: string, change: () => void, check: () => boolean): Promise<void> {
  const before = performance.now();
  const cpuBefore = process.cpuUsage();
  change();
  await new Promise(resolve => setImmediate(resolve));
  node.pass();
  const ms = performance.now() - before;
  const { user, system } = process.cpuUsage(cpuBefore);
  if (!check()) throw new Error(`${name}: not in force after its pass`);
  (times[name] ??= []).push({ ms, cpuMs: (user + system) / 1_000 });
}

const localNamespaces = [...new Set(Array.from({ length: pods }, (_, i) => i).filter(isLocal).map(i => i % namespaces))];
/** A policy of one namespace that has a pod here. */
const policyHere = (k: number): PolicyObject => {
  const n = localNamespaces[k % localNamespaces.length]!;
  const object = clusterPolicy(2 * n + (k % 2), namespaces);
  return object.metadata.namespace === undefined ? policyHere(k + 1) : { ...object, metadata: { ...object.metadata, name: `more-${k}` }, spec: k % 2 === 0 ? object.spec : { ...object.spec, endpointSelector: {} } };
};
for (let k = 0; k < changes; k++) {
  const id = pods + k;
  const labels = clusterPodLabels(id, namespaces);
  const one = benchPod(id, labels, namespaceName(id % namespaces));
  await measure('a pod elsewhere', () => {
    node.addIdentity(256 + id, labels);
    node.addRemotePods(one);
  }, () => node.regenerator.addresses.has(`${one.ipv4}/32`));
  await measure('a pod elsewhere goes', () => {
    node.removeRemotePod(one);
    node.identities.delete(String(256 + id));
  }, () => !node.regenerator.addresses.has(`${one.ipv4}/32`));
  await measure('a pod here', () => {
    node.addIdentity(256 + id, labels);
    node.endpoints.upsert(one);
  }, () => node.regenerator.endpointRows.get(one.ipv4!)?.ready === true);
  await measure('a pod here goes', () => {
    node.endpoints.delete(`${one.containerId}/${one.interfaceName}`);
    node.identities.delete(String(256 + id));
  }, () => node.regenerator.endpointRows.get(one.ipv4!) === undefined);
  const object = policyHere(k);
  await measure('a policy', () => node.addPolicies(object), () => node.isEnforced(object));
  const other = { ...object, spec: clusterPolicy(2 * ((k * 31) % namespaces) + (k % 2), namespaces).spec };
  await measure('a policy changes', () => node.addPolicies(other), () => node.isEnforced(other));
  await measure('a policy goes', () => node.removePolicy(object), () => !node.isEnforced(object));
}
const differences = node.regenerator.sets.verify();
if (differences.length > 0) throw new Error(`the kernel differs: ${differences.join('; ')}`);
process.stdout.write(JSON.stringify({
  fromNothingMs, rssMiB: process.memoryUsage.rss() / 2 ** 20, sets: node.regenerator.sets.size,
  classes: node.maps.policyClasses.count(), rows: node.maps.policyVerdicts.count(), ipcache: node.maps.ipcache.count(),
  changes: Object.fromEntries(Object.entries(times).map(([name, list]) => [name, { count: list.length, ...spread(list.map(one => one.ms)), processor: spread(list.map(one => one.cpuMs)) }])),
}));

function spread(list: readonly number[]): { readonly p50: number; readonly p99: number; readonly max: number } {
  return { p50: quantile(list, 0.5), p99: quantile(list, 0.99), max: Math.max(...list) };
}

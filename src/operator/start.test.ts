import test from 'node:test';
import assert from 'node:assert/strict';
import { reflect } from '../kube/reflector.ts';
import { resources } from '../kube/resources.ts';
import { TestApi } from '../kube/testapi.ts';
import type { Deployment, EndpointSlice, KubeObject, Pod, ReplicaSet, Service } from '../kube/types.ts';
import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import { defaultSettings } from '../model/settings.ts';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { startControllers } from './start.ts';

const record = {
  serviceCidr4: '10.96.0.0/16', serviceCidr6: 'fd00:10:96::/112', clusterCidr4: '10.244.0.0/16', clusterCidr6: 'fd00:10:244::/48', nodes: [] as readonly NodeRecord[],
  underlay: { bridge: 't0', prefix4: '172.30.7.0/24', prefix6: 'fdc1:7::/64', host4: '172.30.7.1', host6: 'fdc1:7::1' }, settings: defaultSettings,
} as ClusterRecord;

interface World extends AsyncDisposable {
  readonly api: TestApi;
  /** When false, the fake kubelets leave pods as they are. */
  kubeletsRun: boolean;
  pods(prefix?: string): Pod[];
}

/** Controllers, an API and, per node, something that runs pods: ready as soon as bound, gone as soon as told. */
async function world(options: { nodes?: number; now?: () => number } = {}): Promise<World> {
  const api = await TestApi.start();
  const abort = new AbortController();
  for (let n = 1; n <= (options.nodes ?? 3); n++) api.put('nodes', node(`n${n}`));
  for (const name of ['default', 'kube-system']) api.put('namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name }, status: { phase: 'Active' } });
  await startControllers({ client: api.client, record, signal: abort.signal, log: silentLogger, rootCa: 'PEM', ...(options.now ? { now: options.now } : {}) });
  const self: World = {
    api,
    kubeletsRun: true,
    pods: (prefix = '') => api.all<Pod>('pods').filter(p => p.metadata.name.startsWith(prefix)),
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await api[Symbol.asyncDispose]();
    },
  };
  let address = 0;
  const kubelet = reflect<Pod>({ client: api.client, resource: resources.pods, signal: abort.signal });
  kubelet.table.watch(() => {
    if (!self.kubeletsRun) return;
    for (const pod of api.all<Pod>('pods')) {
      const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
      if (pod.metadata.deletionTimestamp !== undefined) api.remove('pods', key);
      else if (pod.spec.nodeName && pod.status?.phase === undefined) api.put('pods', running(pod, `10.244.0.${++address}`));
    }
  });
  return self;
}

function node(name: string, more: object = {}): KubeObject {
  return {
    apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } }, spec: {},
    status: { allocatable: { pods: '500' }, conditions: [{ type: 'Ready', status: 'True' }] }, ...more,
  };
}

function running(pod: Pod, ip: string): KubeObject {
  const at = new Date().toISOString();
  return { ...pod, status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: at }] } };
}

function deployment(name: string, replicas: number, more: object = {}, image = 'v1'): KubeObject {
  return {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: 'default' },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: template(name, image), ...more },
  };
}

function template(name: string, image = 'v1'): object {
  return { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image, ports: [{ name: 'http', containerPort: 8080 }] }] } };
}

const available = (api: TestApi, key: string) => api.get<Deployment>('deployments', key)?.status?.availableReplicas ?? 0;

test('a deployment goes to 20, to 2 and to 20 again, spread over the nodes', async () => {
  await using w = await world();
  w.api.put('deployments', deployment('web', 20));
  await waitFor('20', () => available(w.api, 'default/web') === 20);
  const perNode = Map.groupBy(w.pods(), p => p.spec.nodeName);
  assert.deepEqual([...perNode.values()].map(p => p.length).sort(), [6, 7, 7]);
  for (const replicas of [2, 20]) {
    await w.api.client.patch(resources.deployments, 'web', 'default', { spec: { replicas } }, { type: 'merge' });
    await waitFor(`${replicas}`, () => available(w.api, 'default/web') === replicas && w.pods().length === replicas);
  }
  assert.equal(w.api.all('replicasets').length, 1);
  const status = w.api.get<Deployment>('deployments', 'default/web')!.status!;
  assert.deepEqual(status.conditions!.map(c => `${c.type} ${c.status} ${c.reason}`).sort(), ['Available True MinimumReplicasAvailable', 'Progressing True NewReplicaSetAvailable']);
  assert.match(w.pods()[0]!.metadata.name, /^web-[a-z0-9]{10}-/);
});

test('a rollout never has too many or too few pods, keeps its history and can be undone', async () => {
  await using w = await world();
  const rolling = { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 2, maxUnavailable: 1 } } };
  w.api.put('deployments', deployment('web', 10, rolling));
  await waitFor('10', () => available(w.api, 'default/web') === 10);
  const old = w.api.get<Deployment>('deployments', 'default/web')!;
  let most = 0;
  let least = 99;
  const watch = new AbortController();
  const view = reflect<Pod>({ client: w.api.client, resource: resources.pods, signal: watch.signal });
  await view.synced;
  view.table.watch(() => {
    const live = w.pods().filter(p => p.metadata.deletionTimestamp === undefined);
    most = Math.max(most, live.length);
    least = Math.min(least, live.filter(p => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')).length);
  });
  const image = (v: string) => w.api.client.patch(resources.deployments, 'web', 'default', { spec: { template: template('web', v) } }, { type: 'merge' });
  const rolled = (v: string) => waitFor(`all ${v}`, () => w.pods().length === 10 && w.pods().every(p => p.spec.containers[0]!.image === v) && available(w.api, 'default/web') === 10);
  await image('v2');
  await rolled('v2');
  assert.ok(most <= 12 && least >= 9, `between ${least} and ${most}`);
  assert.equal(w.api.all('replicasets').length, 2);
  await image('v1');
  await rolled('v1');
  assert.equal(w.api.all('replicasets').length, 2, 'the old replica set is used again');
  assert.equal(w.api.get('deployments', 'default/web')!.metadata.annotations!['deployment.kubernetes.io/revision'], '3');
  assert.deepEqual(w.api.get<Deployment>('deployments', 'default/web')!.spec.template, old.spec.template);
  watch.abort();
});

test('200 pods are made and placed within a second or two of one process doing everything', async t => {
  await using w = await world();
  w.kubeletsRun = false;
  const from = performance.now();
  w.api.put('deployments', deployment('big', 200));
  await waitFor('200 bound pods', () => w.pods().filter(p => p.spec.nodeName).length === 200);
  const ms = Math.round(performance.now() - from);
  t.diagnostic(`${ms} ms for 200 pods`);
  assert.ok(ms < 4_000);
  assert.equal(w.pods().length, 200);
});

test('what a deleted deployment owned goes with it', async () => {
  await using w = await world();
  w.api.put('deployments', deployment('web', 5));
  await waitFor('5', () => available(w.api, 'default/web') === 5);
  await w.api.client.delete(resources.deployments, 'web', 'default', { propagationPolicy: 'Background' });
  await waitFor('nothing', () => w.pods().length === 0 && w.api.all('replicasets').length === 0);
});

test('in the foreground the owner waits for its dependents; orphaned ones stay', async () => {
  await using w = await world();
  w.api.put('deployments', deployment('front', 3));
  w.api.put('deployments', deployment('left', 3));
  await waitFor('both', () => available(w.api, 'default/front') === 3 && available(w.api, 'default/left') === 3);
  w.kubeletsRun = false;
  await w.api.client.delete(resources.deployments, 'front', 'default', { propagationPolicy: 'Foreground' });
  await w.api.client.delete(resources.deployments, 'left', 'default', { propagationPolicy: 'Orphan' });
  await waitFor('pods told to go', () => w.pods('front').every(p => p.metadata.deletionTimestamp !== undefined));
  assert.ok(w.api.get('deployments', 'default/front'));
  w.kubeletsRun = true;
  w.api.put('nodes', w.api.get('nodes', 'n1')!);
  for (const p of w.pods('front')) w.api.remove('pods', `default/${p.metadata.name}`);
  await waitFor('front to go', () => !w.api.get('deployments', 'default/front') && w.pods('front').length === 0);
  await waitFor('left to go', () => !w.api.get('deployments', 'default/left'));
  const [set] = w.api.all<ReplicaSet>('replicasets');
  assert.deepEqual(set!.metadata.ownerReferences ?? [], []);
  assert.equal(w.pods('left').length, 3);
});

test('a service gets addresses, slices that follow its pods, and the older Endpoints', async () => {
  await using w = await world();
  w.api.put('services', {
    apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' },
    // Addresses are the API server's business, given when a service is made.
    spec: { selector: { app: 'web' }, clusterIP: '10.96.7.7', clusterIPs: ['10.96.7.7', 'fd00:10:96::707'], ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'PreferDualStack', ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  });
  w.api.put('deployments', deployment('web', 3));
  const slices = () => w.api.all<EndpointSlice>('endpointslices').filter(s => s.metadata.labels?.['kubernetes.io/service-name'] === 'web');
  await waitFor('three ready', () => slices().flatMap(s => s.endpoints ?? []).filter(e => e.conditions?.ready).length === 3);
  // Pods that come one by one may be spread over several slices of a family; every reader merges them.
  assert.deepEqual(new Set(slices().map(s => s.addressType)), new Set(['IPv4', 'IPv6']));
  assert.deepEqual(slices().find(s => s.addressType === 'IPv4' && s.endpoints!.length > 0)!.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
  await waitFor('Endpoints', () => (w.api.get('endpoints', 'default/web')?.['subsets'] as { addresses?: unknown[] }[] | undefined)?.[0]?.addresses?.length === 3);
  await w.api.client.delete(resources.services, 'web', 'default');
  await waitFor('nothing', () => slices().length === 0 && !w.api.get('endpoints', 'default/web'));
});

test('a pod that is older than its service leaves it with its label', async () => {
  await using w = await world();
  // Nobody's: the pod that a controller would make in its place would bring the service back to mind.
  const bare = (labels: Record<string, string>) => w.api.put('pods', {
    apiVersion: 'v1', kind: 'Pod', metadata: { name: 'bare', namespace: 'default', labels }, spec: { nodeName: 'n1', containers: [{ name: 'c' }] },
    status: { phase: 'Running', podIP: '10.244.1.77', podIPs: [{ ip: '10.244.1.77' }], conditions: [{ type: 'Ready', status: 'True' }] },
  });
  bare({ app: 'web' });
  await waitFor('accounts, so that the controllers have begun', () => w.api.get('serviceaccounts', 'default/default'));
  w.api.put('services', { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' }, spec: { selector: { app: 'web' }, clusterIP: '10.96.7.8', clusterIPs: ['10.96.7.8'], ipFamilies: ['IPv4'], ports: [{ port: 80 }] } });
  const serving = () => w.api.all<EndpointSlice>('endpointslices').filter(s => s.metadata.labels?.['kubernetes.io/service-name'] === 'web').flatMap(s => s.endpoints ?? []).map(e => e.targetRef?.name);
  await waitFor('it serves', () => serving().includes('bare'));
  await waitFor('the older form too, which comes last', () => (w.api.get('endpoints', 'default/web')?.['subsets'] as unknown[] | undefined)?.length === 1);
  bare({});
  await waitFor('it serves no more', () => !serving().includes('bare'));
});

test('the service kubernetes leads to the API, and every namespace has its account and CA', async () => {
  await using w = await world();
  await waitFor('kubernetes', () => w.api.get('endpointslices', 'default/kubernetes') && w.api.get('endpoints', 'default/kubernetes'));
  assert.equal(w.api.get<Service>('services', 'default/kubernetes')!.spec.clusterIP, '10.96.0.1');
  assert.deepEqual(w.api.get<EndpointSlice>('endpointslices', 'default/kubernetes')!.endpoints![0]!.addresses, ['172.30.7.1']);
  await waitFor('accounts', () => w.api.get('serviceaccounts', 'kube-system/default') && w.api.get('configmaps', 'kube-system/kube-root-ca.crt'));
  w.api.remove('serviceaccounts', 'kube-system/default');
  await waitFor('it again', () => w.api.get('serviceaccounts', 'kube-system/default'));
});

test('a stateful set is made in order, with stable names, and a lost pod comes back under its name', async () => {
  await using w = await world();
  const order: string[] = [];
  const watch = new AbortController();
  const view = reflect<Pod>({ client: w.api.client, resource: resources.pods, signal: watch.signal });
  view.table.watch(() => w.pods('db').forEach(p => order.includes(p.metadata.name) || order.push(p.metadata.name)));
  w.api.put('statefulsets', {
    apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'db', namespace: 'default' },
    spec: { replicas: 3, serviceName: 'db', selector: { matchLabels: { app: 'db' } }, template: template('db') },
  });
  await waitFor('three', () => (w.api.get('statefulsets', 'default/db')?.status as { readyReplicas?: number } | undefined)?.readyReplicas === 3);
  assert.deepEqual(order, ['db-0', 'db-1', 'db-2']);
  assert.equal(w.pods('db-1')[0]!.spec.hostname, 'db-1');
  assert.equal(w.pods('db-1')[0]!.spec.subdomain, 'db');
  const uid = w.pods('db-1')[0]!.metadata.uid;
  await w.api.client.delete(resources.pods, 'db-1', 'default');
  await waitFor('db-1 again', () => w.pods('db-1')[0] && w.pods('db-1')[0]!.metadata.uid !== uid);
  watch.abort();
});

test('a daemon runs on every node, on a new one too, and its pods of a lost node are collected', async () => {
  let skewMs = 0;
  await using w = await world({ nodes: 2, now: () => Date.now() + skewMs });
  w.api.put('daemonsets', {
    apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'agent', namespace: 'default' },
    spec: { selector: { matchLabels: { app: 'agent' } }, template: template('agent') },
  });
  await waitFor('two', () => w.pods('agent').length === 2);
  w.api.put('nodes', node('n3'));
  await waitFor('three', () => w.pods('agent').filter(p => p.spec.nodeName).length === 3);
  w.api.remove('nodes', 'n3');
  await waitFor('its status', () => (w.api.get('daemonsets', 'default/agent')?.status as { desiredNumberScheduled: number }).desiredNumberScheduled === 2);
  // Time passes, and whatever happens in the cluster is the occasion to look: the absence is counted from when it is first seen.
  let touched = 0;
  await waitFor('two', () => {
    skewMs += 60_000;
    const lost = w.pods('agent').find(p => p.spec.nodeName === 'n3');
    if (lost) w.api.put('pods', { ...lost, metadata: { ...lost.metadata, annotations: { touched: String(touched++) } } });
    return lost === undefined;
  });
});

test('a pod that fits nowhere says so and is placed as soon as a node fits', async () => {
  await using w = await world({ nodes: 1 });
  w.api.put('pods', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'default' }, spec: { nodeSelector: { disk: 'ssd' }, containers: [] } });
  await waitFor('the refusal', () => w.pods('p')[0]!.status?.conditions?.some(c => c.reason === 'Unschedulable'));
  assert.match(w.pods('p')[0]!.status!.conditions![0]!.message!, /^0\/1 nodes are available: 1 node\(s\) didn't match Pod's node affinity\/selector\.$/);
  w.api.put('nodes', node('fast', { metadata: { name: 'fast', labels: { disk: 'ssd' } } }));
  await waitFor('the node', () => w.pods('p')[0]!.spec.nodeName === 'fast');
});

test('a job runs to its number of completions', async () => {
  await using w = await world();
  w.kubeletsRun = false;
  w.api.put('jobs', { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'sum', namespace: 'default' }, spec: { completions: 3, parallelism: 2, template: template('sum') } });
  for (let done = 0; done < 3; done++) {
    const pod = await waitFor('a pod', () => w.pods('sum').find(p => p.status?.phase === undefined));
    w.api.put('pods', { ...pod, status: { phase: 'Succeeded' } });
  }
  await waitFor('completion', () => (w.api.get('jobs', 'default/sum')?.status as { conditions?: { type: string }[] } | undefined)?.conditions?.[0]?.type === 'Complete');
  assert.equal(w.pods('sum').length, 3);
});

test('a node that is silent for 40 s is unreachable, and its pods serve nobody until it is back', async () => {
  let skewMs = 0;
  await using w = await world({ nodes: 2, now: () => Date.now() + skewMs });
  w.api.put('deployments', deployment('web', 4));
  await waitFor('4', () => available(w.api, 'default/web') === 4);
  const touch = (name: string, by: string) => {
    const old = w.api.get('nodes', name)!;
    w.api.put('nodes', { ...old, metadata: { ...old.metadata, annotations: { touched: by } } });
  };
  skewMs = 41_000;
  w.api.put('leases', { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'n2', namespace: 'kube-node-lease' }, spec: { renewTime: 'now' } });
  touch('n1', 'the test');
  const ready = (name: string) => (w.api.get('nodes', name)!.status as { conditions: { type: string; status: string }[] }).conditions.find(c => c.type === 'Ready')!.status;
  await waitFor('n1 lost', () => ready('n1') === 'Unknown' && (w.api.get('nodes', 'n1')!.spec as { taints?: unknown[] }).taints?.length === 2);
  await waitFor('its pods', () => available(w.api, 'default/web') === 2);
  assert.equal(ready('n2'), 'True');
  const lost = w.api.get('nodes', 'n1')!;
  w.api.put('nodes', { ...lost, status: { ...(lost.status as object), conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: 'again' }] } });
  await waitFor('no taints', () => ((w.api.get('nodes', 'n1')!.spec as { taints?: unknown[] }).taints ?? []).length === 0);
});

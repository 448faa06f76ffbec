import test from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { clusterDefinitions } from '../apiserver/crds/definitions.ts';
import { startApiServer } from '../apiserver/server.ts';
import { KubeClient } from '../kube/client.ts';
import { reflect } from '../kube/reflector.ts';
import { resources } from '../kube/resources.ts';
import type { Deployment, EndpointSlice, KubeObject, Pod, Service } from '../kube/types.ts';
import { defaultSettings } from '../model/settings.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import { statePaths } from '../model/cluster.ts';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { startControllers } from './start.ts';

/**
 * The controllers on the real API server, driven by the real kubectl. Only the kubelets are small: they say what a kubelet
 * says, through the API, and run nothing.
 */
const kubectlPath = ['/usr/bin/kubectl', '/usr/local/bin/kubectl'].find(p => existsSync(p));
const needsKubectl = kubectlPath ? {} : { skip: 'no kubectl on this machine' };
const run = promisify(execFile);

async function cluster() {
  const folder = mkdtempSync(path.join(tmpdir(), 'kubectl-test-'));
  const paths = statePaths('optest', folder);
  const record = {
    instance: 'optest', version: 'test', nodes: [], serviceCidr4: '10.96.0.0/16', serviceCidr6: 'fd00:10:96::/112', loadBalancerCidr4: '198.51.100.0/24', loadBalancerCidr6: '2001:db8:1::/112', clusterCidr4: '10.244.0.0/16',
    clusterCidr6: 'fd00:10:244::/48', routing: 'tunnel', apiserver: { port: 0 }, dnsIp4: '10.96.0.10', dnsIp6: 'fd00:10:96::a', clusterDomain: 'cluster.local',
    clusterName: 'default', underlay: { bridge: 'optest0', prefix4: '172.30.99.0/24', prefix6: 'fdc1:99::/64', host4: '172.30.99.1', host6: 'fdc1:99::1' },
    policyMode: 'default', audit: false, settings: defaultSettings,
  } as ClusterRecord;
  const server = await startApiServer({ record, paths, definitions: clusterDefinitions }, { validate: () => ({ errors: [], warnings: [] }), log: silentLogger });
  const abort = new AbortController();
  const client = new KubeClient({ socketPath: paths.apiserverSocket });
  for (const n of [1, 2, 3]) await client.create(resources.nodes, node(`node${n}`));
  await startControllers({ client, record, signal: abort.signal, log: silentLogger, rootCa: server.ca });
  const pods = reflect<Pod>({ client, resource: resources.pods, signal: abort.signal });
  runKubelets(client, pods.table, abort.signal);
  const kubectl = async (...args: string[]) => (await run(kubectlPath!, ['--kubeconfig', paths.kubeconfig, ...args], { env: { ...process.env, HOME: folder } })).stdout;
  const apply = async (object: object) => {
    const file = path.join(folder, 'object.json');
    writeFileSync(file, JSON.stringify(object));
    await kubectl('apply', '--validate=false', '-f', file);
  };
  return {
    client, kubectl, apply, pods: pods.table,
    get: <T extends KubeObject>(resource: Parameters<KubeClient['get']>[0], name: string) => client.get<T>(resource, name, 'default'),
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      client.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function node(name: string): KubeObject {
  return {
    apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name } }, spec: {},
    status: { allocatable: { pods: '500' }, conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: '' }] },
  };
}

function deployment(name: string, replicas: number, namespace = 'default'): object {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace, labels },
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'one', ports: [{ containerPort: 8080 }] }] } } },
  };
}

function runKubelets(client: KubeClient, table: { watch(mark: () => void): unknown; rows(): Iterable<Pod> }, signal: AbortSignal): void {
  const done = new Set<string>();
  let address = 0;
  const once = (id: string, task: () => Promise<unknown>) => {
    if (done.has(id)) return;
    done.add(id);
    // The test ends while some of these are under way.
    task().catch((error: unknown) => { if (!signal.aborted) throw error; });
  };
  table.watch(() => {
    for (const { metadata: { name, namespace, uid, deletionTimestamp }, spec, status } of table.rows()) {
      if (deletionTimestamp !== undefined) once(`${uid} end`, () => client.delete(resources.pods, name, namespace, { gracePeriodSeconds: 0 }));
      else if (spec.nodeName && status?.phase !== 'Running') {
        const n = ++address;
        const at = new Date().toISOString().replace(/\.\d+Z/, 'Z');
        const podIPs = [{ ip: `10.244.${n >> 8}.${n & 255}` }, { ip: `fd00:10:244::${n.toString(16)}` }];
        const change = { status: { phase: 'Running', podIP: podIPs[0]!.ip, podIPs, conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: at }] } };
        once(`${uid} start`, () => client.patch(resources.pods, name, namespace, change, { type: 'merge', subresource: 'status' }));
      }
    }
  });
}

test('kubectl: create, roll out, undo, scale, expose, delete', needsKubectl, async t => {
  await using c = await cluster();
  const available = async () => (await c.get<Deployment>(resources.deployments, 'web'))?.status?.availableReplicas ?? 0;
  await c.apply(deployment('web', 20));
  assert.match(await c.kubectl('rollout', 'status', 'deployment/web', '--timeout=20s'), /successfully rolled out/);
  assert.equal(await available(), 20);

  await c.kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080');
  const slices = async () => (await c.client.list<EndpointSlice>(resources.endpointSlices, { namespace: 'default', labelSelector: 'kubernetes.io/service-name=web' })).items;
  await waitFor('20 endpoints', async () => (await slices()).flatMap(s => s.endpoints ?? []).filter(e => e.conditions?.ready).length === 20);
  const service = (await c.get<Service>(resources.services, 'web'))!;
  assert.match(service.spec.clusterIP!, /^10\.96\./);
  assert.match(await c.kubectl('get', 'endpointslices', '-o', 'jsonpath={.items[*].ports[*].port}'), /8080/);

  for (const n of [2, 20]) {
    const from = performance.now();
    await c.kubectl('scale', 'deployment/web', `--replicas=${n}`);
    await waitFor(`${n} pods`, async () => (await available()) === n && [...c.pods.rows()].length === n);
    t.diagnostic(`to ${n}: ${Math.round(performance.now() - from)} ms, kubectl included`);
  }

  await c.kubectl('set', 'image', 'deployment/web', '*=two');
  await c.kubectl('rollout', 'status', 'deployment/web', '--timeout=20s');
  assert.ok([...c.pods.rows()].filter(p => p.metadata.deletionTimestamp === undefined).every(p => p.spec.containers[0]!.image === 'two'));
  assert.match(await c.kubectl('rollout', 'history', 'deployment/web'), /1[^\n]*\n2/);
  await c.kubectl('rollout', 'undo', 'deployment/web');
  await c.kubectl('rollout', 'status', 'deployment/web', '--timeout=20s');
  assert.ok([...c.pods.rows()].filter(p => p.metadata.deletionTimestamp === undefined).every(p => p.spec.containers[0]!.image === 'one'));
  assert.match(await c.kubectl('describe', 'deployment', 'web'), /ScalingReplicaSet/);

  await c.kubectl('delete', 'deployment', 'web', '--cascade=foreground', '--timeout=20s');
  await waitFor('no pods', () => [...c.pods.rows()].length === 0);
  await waitFor('empty slices', async () => (await slices()).every(s => (s.endpoints ?? []).length === 0));
  await c.kubectl('delete', 'service', 'web');
  await waitFor('no slices', async () => (await slices()).length === 0);
});

test('kubectl: 200 pods', needsKubectl, async t => {
  await using c = await cluster();
  const from = performance.now();
  await c.apply(deployment('big', 200));
  await waitFor('200 bound', () => [...c.pods.rows()].filter(p => p.spec.nodeName).length === 200, { timeoutMs: 30_000 });
  t.diagnostic(`200 pods bound after ${Math.round(performance.now() - from)} ms, API server, kubelets and kubectl included`);
  await c.kubectl('rollout', 'status', 'deployment/big', '--timeout=30s');
  const perNode = [...Map.groupBy(c.pods.rows(), p => p.spec.nodeName).values()].map(p => p.length).sort();
  assert.deepEqual(perNode, [66, 67, 67]);
});

test('kubectl: stateful set, daemon set, job, namespace', needsKubectl, async () => {
  await using c = await cluster();
  const template = (name: string) => ({ metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'one' }] } });
  const selector = (name: string) => ({ matchLabels: { app: name } });
  await c.client.create(resources.statefulSets, { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'db', namespace: 'default' }, spec: { replicas: 3, serviceName: 'db', selector: selector('db'), template: template('db') } });
  await c.client.create(resources.daemonSets, { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'log', namespace: 'default' }, spec: { selector: selector('log'), template: template('log') } });
  await c.kubectl('rollout', 'status', 'statefulset/db', '--timeout=20s');
  await c.kubectl('rollout', 'status', 'daemonset/log', '--timeout=20s');
  assert.deepEqual([...c.pods.rows()].map(p => p.metadata.name).filter(n => n.startsWith('db')).sort(), ['db-0', 'db-1', 'db-2']);
  await c.kubectl('set', 'image', 'daemonset/log', 'c=two');
  await c.kubectl('rollout', 'status', 'daemonset/log', '--timeout=20s');
  await c.kubectl('set', 'image', 'statefulset/db', 'c=two');
  await c.kubectl('rollout', 'status', 'statefulset/db', '--timeout=20s');
  await c.apply({ apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'sum', namespace: 'default' }, spec: { template: { spec: { ...template('sum').spec, restartPolicy: 'Never' } } } });
  const pod = await waitFor('its pod', () => [...c.pods.rows()].find(p => p.metadata.name.startsWith('sum-') && p.status?.phase === 'Running'));
  await c.client.patch(resources.pods, pod.metadata.name, 'default', { status: { phase: 'Succeeded' } }, { type: 'merge', subresource: 'status' });
  await c.kubectl('wait', '--for=condition=complete', 'job/sum', '--timeout=10s');
  await c.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'extra' } });
  await waitFor('its account', async () => (await c.client.get(resources.serviceAccounts, 'default', 'extra')) && (await c.client.get(resources.configMaps, 'kube-root-ca.crt', 'extra')));
  await c.apply(deployment('x', 1, 'extra'));
  await c.kubectl('rollout', 'status', 'deployment/x', '-n', 'extra', '--timeout=20s');
  await c.kubectl('delete', 'namespace', 'extra', '--timeout=20s');
  assert.equal(await c.kubectl('get', 'svc', 'kubernetes', '-o', 'jsonpath={.spec.clusterIP}'), '10.96.0.1');
});

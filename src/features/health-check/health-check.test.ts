import test from 'node:test';
import assert from 'node:assert/strict';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { EndpointSlice, KubeObject, Service } from '../../kube/types.ts';
import { waitFor } from '../../std/async.ts';
import { silentLogger } from '../../std/log.ts';
import { freePort } from '../../std/testing-port.ts';
import { Table } from '../../table/table.ts';
import { HealthCheckDerivation } from './derive.ts';
import { HealthCheckServers } from './server.ts';

const key = (o: KubeObject) => `${o.metadata.namespace}/${o.metadata.name}`;

const service = (port: number, spec: object = {}): Service => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'n' }, spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: port, ...spec } });
const slice = (name: string, addressType: string, ...endpoints: readonly [address: string, node: string, ready: boolean][]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'n', labels: { 'kubernetes.io/service-name': 'web' } }, addressType,
  endpoints: endpoints.map(([address, nodeName, ready]) => ({ addresses: [address], nodeName, conditions: { ready } })),
});

function world(onFailed: (message: string) => void = () => {}) {
  const services = new Table<Service>('services', key);
  const slices = new Table<EndpointSlice>('slices', key);
  const derivation = new HealthCheckDerivation('node1', services, slices);
  const abort = new AbortController();
  const state = { healthy: true };
  const servers = new HealthCheckServers({ rows: derivation.table, isHealthy: () => state.healthy, onFailed: (_, message) => onFailed(message), log: silentLogger, signal: abort.signal });
  const step = () => {
    derivation.step();
    servers.sync();
  };
  return { services, slices, derivation, step, state, [Symbol.dispose]: () => abort.abort() };
}

const ask = (port: number, host = '127.0.0.1') => new Promise<{ code: number; body: unknown; weight: unknown }>((resolve, reject) => {
  get({ port, host }, response => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('end', () => resolve({ code: response.statusCode!, body: JSON.parse(text), weight: response.headers['x-load-balancing-endpoint-weight'] }));
  }).on('error', reject);
});

test('a load balancer hears 200 where a ready endpoint is on the node, 503 where none is, in kube-proxy\'s words, over both families', async () => {
  using w = world();
  const port = await freePort();
  w.services.upsert(service(port));
  w.slices.upsert(slice('a', 'IPv4', ['10.0.0.1', 'node1', true], ['10.0.0.2', 'node1', false], ['10.0.0.3', 'node2', true]), slice('b', 'IPv6', ['fd00::1', 'node1', true]));
  w.step();
  await waitFor('the port', () => ask(port).then(() => true, () => false));
  const expected = { service: { namespace: 'n', name: 'web' }, localEndpoints: 1, serviceProxyHealthy: true };
  assert.deepEqual(await ask(port), { code: 200, body: expected, weight: '1' });
  assert.deepEqual(await ask(port, '::1'), { code: 200, body: expected, weight: '1' });
  w.slices.upsert(slice('a', 'IPv4', ['10.0.0.3', 'node2', true]));
  w.slices.delete('n/b');
  w.step();
  assert.deepEqual(await ask(port), { code: 503, body: { ...expected, localEndpoints: 0 }, weight: '0' });
  w.slices.upsert(slice('a', 'IPv4', ['10.0.0.1', 'node1', true]));
  w.state.healthy = false;
  w.step();
  assert.deepEqual(await ask(port), { code: 503, body: { ...expected, serviceProxyHealthy: false }, weight: '1' });
});

test('the port follows the service, and goes with it; another policy has none', async () => {
  using w = world();
  const [first, second] = [await freePort(), await freePort()];
  w.services.upsert(service(first));
  w.step();
  const answers = (port: number) => ask(port).then(() => true, () => false);
  await waitFor('the first', () => answers(first));
  w.services.upsert(service(second));
  w.step();
  await waitFor('the second', async () => (await answers(second)) && !(await answers(first)));
  w.services.upsert(service(second, { externalTrafficPolicy: 'Cluster' }));
  w.step();
  await waitFor('none', async () => !(await answers(second)));
});

test('a port that somebody has is said, and is opened when he leaves', async () => {
  const said: string[] = [];
  using w = world(message => said.push(message));
  const other = createServer();
  await new Promise<void>(resolve => other.listen(0, '::', resolve));
  const { port } = other.address() as AddressInfo;
  w.services.upsert(service(port));
  w.step();
  await waitFor('the words', () => said.length > 0);
  assert.match(said[0]!, new RegExp(`health check port ${port}: .*EADDRINUSE`));
  await new Promise(resolve => other.close(resolve));
  w.step();
  await waitFor('the port', () => ask(port).then(({ code }) => code === 503, () => false));
});

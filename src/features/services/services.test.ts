import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { EndpointSlice, Node, Service } from '../../kube/types.ts';
import { objectKey } from '../../kube/reflector.ts';
import { frontends } from '../../lb/frontends.ts';
import { hostPortRow, redirectRow } from '../../lb/local-rows.ts';
import type { HostPortInput, RedirectInput } from '../../lb/local-rows.ts';
import { frontendOf, rowFlag } from '../../lb/rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';
import { defaultSettings } from '../../model/settings.ts';
import { waitFor } from '../../std/async.ts';
import { silentLogger } from '../../std/log.ts';
import { Table } from '../../table/table.ts';
import { ServiceDerivation } from './desired.ts';
import { nodeContext } from './context.ts';
import { FakeMaglevTables, fakeServiceMaps } from './fakemaps.ts';
import { ranked } from './precedence.ts';
import { startServices } from './start.ts';

const service = (name: string, ip: string): Service => ({
  apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'n' }, spec: { clusterIPs: [ip], ports: [{ port: 80 }] },
});
const slice = (name: string, of: string, ips: readonly string[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'n', labels: { 'kubernetes.io/service-name': of } },
  addressType: 'IPv4', ports: [{ name: '', port: 8080, protocol: 'TCP' }], endpoints: ips.map(ip => ({ addresses: [ip] })),
});

function tables() {
  return {
    services: new Table<Service>('services', objectKey), slices: new Table<EndpointSlice>('endpointslices', objectKey),
    hostPorts: new Table<HostPortInput>('hostports', h => h.key), redirects: new Table<RedirectInput>('redirects', r => r.key),
    external: new Table<{ readonly key: string }>('external', r => r.key),
  };
}

const context = nodeContext({ nodeName: 'n1', addresses: ['10.96.0.2'], settings: defaultSettings, mayServe: () => undefined }).current;

/** All rows from all objects, the plain way. */
function plainly({ services, slices, hostPorts, redirects }: ReturnType<typeof tables>): ServiceRow[] {
  const asked = [...services.rows()].flatMap(s => frontends(s, [...slices.rows()].filter(x => x.metadata.labels!['kubernetes.io/service-name'] === s.metadata.name), context).rows.map(row => ({ asker: objectKey(s), row })));
  const local = [
    ...[...hostPorts.rows()].flatMap(h => hostPortRow(h, context).map(row => ({ asker: `h ${h.key}`, row }))),
    ...[...redirects.rows()].flatMap(r => redirectRow(r).map(row => ({ asker: `r ${r.key}`, row }))),
  ];
  const all = [...asked, ...local];
  const rows: ServiceRow[] = [];
  for (const frontend of new Set(all.map(e => frontendOf(e.row.key)))) {
    const [first, second] = ranked(all.filter(e => e.row.key === frontend));
    const of = (asker: string | undefined) => all.filter(e => e.asker === asker && frontendOf(e.row.key) === frontend).map(e => e.row);
    rows.push(...of(first));
    const behind = (of(first)[0]!.flags & rowFlag.redirectExempt) !== 0 ? of(second).at(-1) : undefined;
    if (behind) rows.push({ ...behind, scope: 2, key: `${frontend}/o`, flags: behind.flags & ~rowFlag.twoScopes });
  }
  return rows.sort(byKey);
}

const byKey = (a: ServiceRow, b: ServiceRow) => (a.key < b.key ? -1 : 1);

test('the rows depend on the objects alone, never on the order in which they came', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const ip = fc.constantFrom('10.96.0.1', '10.96.0.2');
  const spec = fc.constantFrom({}, { externalIPs: ['10.96.0.2'], externalTrafficPolicy: 'Local' }, { externalIPs: ['10.96.0.1'] });
  const change = fc.oneof(
    fc.record({ put: fc.tuple(name, ip, spec).map(([n, i, more]) => ({ ...service(n, i), spec: { ...service(n, i).spec, ...more } })) }),
    fc.record({ drop: name }),
    fc.record({ slice: fc.tuple(fc.constantFrom('s1', 's2', 's3'), name, fc.subarray(['10.0.0.1', '10.0.0.2'])).map(([s, of, ips]) => slice(s, of, ips)) }),
    fc.record({ dropSlice: fc.constantFrom('s1', 's2', 's3') }),
    fc.record({ port: name.map((n): HostPortInput => ({ key: n, namespace: 'n', pod: n, podIPs: ['10.0.0.3'], hostIP: '', hostPort: 80, containerPort: 8080, protocol: 'TCP' })) }),
    fc.record({ dropPort: name }),
    fc.record({ redirect: fc.tuple(name, ip, fc.subarray([{ address: '10.0.0.4', port: 8080 }]), fc.boolean()).map(([n, address, backends, skipRedirectFromBackend]): RedirectInput => ({ key: n, namespace: 'n', policy: n, portName: '', address, port: 80, protocol: 'TCP', backends, skipRedirectFromBackend })) }),
    fc.record({ dropRedirect: name }),
    fc.constant({ step: true }), fc.constant({ all: true }),
  );
  fc.assert(fc.property(fc.array(change, { maxLength: 30 }), changes => {
    const inputs = tables();
    const derivation = new ServiceDerivation(inputs, () => context);
    for (const c of changes) {
      if ('put' in c) inputs.services.upsert(c.put);
      else if ('drop' in c) inputs.services.delete(`n/${c.drop}`);
      else if ('slice' in c) inputs.slices.upsert(c.slice);
      else if ('dropSlice' in c) inputs.slices.delete(`n/${c.dropSlice}`);
      else if ('port' in c) inputs.hostPorts.upsert(c.port);
      else if ('dropPort' in c) inputs.hostPorts.delete(c.dropPort);
      else if ('redirect' in c) inputs.redirects.upsert(c.redirect);
      else if ('dropRedirect' in c) inputs.redirects.delete(c.dropRedirect);
      else if ('all' in c) derivation.refreshAll();
      else derivation.step();
    }
    derivation.step();
    assert.deepEqual([...derivation.table.rows()].sort(byKey), plainly(inputs));
  }), { numRuns: 500 });
});

test('the rows are synced only when all inputs are', () => {
  const inputs = tables();
  const producers = Object.values(inputs).map(table => table.producer('list'));
  const derivation = new ServiceDerivation(inputs, () => context);
  for (const producer of producers) {
    derivation.step();
    assert.equal(derivation.table.synced, false);
    producer.synced();
  }
  derivation.step();
  assert.equal(derivation.table.synced, true);
});

test('from objects to maps, and names for addresses', async () => {
  const { services, slices } = tables();
  const abort = new AbortController();
  const maps = fakeServiceMaps();
  services.upsert(service('web', '10.96.0.9'));
  slices.upsert(slice('web-1', 'web', ['10.0.0.1', '10.0.0.2']));
  const running = startServices({ services, slices, maps, maglev: new FakeMaglevTables(), nodeName: 'n1', log: silentLogger, signal: abort.signal });
  assert.equal(maps.serviceSlots.size, 2);
  assert.deepEqual(running.byAddress('10.96.0.9', 80, 'TCP'), { namespace: 'n', name: 'web' });
  assert.equal(running.byAddress('10.96.0.9', 80, 'UDP'), undefined);
  assert.equal(running.byAddress('nonsense', 80, 'TCP'), undefined);
  slices.upsert(slice('web-1', 'web', ['10.0.0.2']));
  await waitFor('the change', () => maps.services.entries()[0]![1].count === 1);
  assert.deepEqual(running.list().map(s => [s.frontend, s.name, s.backends.map(b => b.address)]), [['10.96.0.9:80/TCP', 'web', ['10.0.0.2:8080/TCP']]]);
  services.delete('n/web');
  await waitFor('nothing', () => maps.services.size === 0);
  abort.abort();
});

test('a change of the node\'s labels, or of what may be served, reaches the services that depend on it', async () => {
  const { services, slices, external } = tables();
  const nodes = new Table<Node>('nodes', objectKey);
  const abort = new AbortController();
  const troubles: string[] = [];
  let refusal: string | undefined = 'not from a pool';
  const node = (zone: string): Node => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1', labels: { 'topology.kubernetes.io/zone': zone } }, spec: {} });
  const hinted = (ip: string, zone: string) => ({ addresses: [ip], hints: { forZones: [{ name: zone }] } });
  nodes.upsert(node('z1'));
  services.upsert({ ...service('web', '10.96.0.9'), spec: { ...service('web', '10.96.0.9').spec, trafficDistribution: 'PreferClose', externalIPs: ['198.51.100.7'] } });
  slices.upsert({ ...slice('web-1', 'web', []), endpoints: [hinted('10.0.0.1', 'z1'), hinted('10.0.0.2', 'z2')] });
  const running = startServices({
    services, slices, nodes, maps: fakeServiceMaps(), maglev: new FakeMaglevTables(), nodeName: 'n1', log: silentLogger, signal: abort.signal,
    external: { table: external, refusalOf: () => refusal }, onTroubles: (key, texts) => troubles.push(`${key}: ${texts.join()}`),
  });
  const served = () => running.list().map(s => `${s.frontend} ${s.backends.map(b => b.address)}`);
  assert.deepEqual(served(), ['10.96.0.9:80/TCP 10.0.0.1:8080/TCP']);
  nodes.upsert(node('z2'));
  await waitFor('the other zone', () => served()[0] === '10.96.0.9:80/TCP 10.0.0.2:8080/TCP');
  assert.deepEqual(troubles, [], 'who refuses says so');
  refusal = undefined;
  external.upsert({ key: 'n/web' });
  await waitFor('the address', () => served().length === 2);
  services.upsert({ ...services.get('n/web')!, metadata: { ...services.get('n/web')!.metadata, annotations: { 'service.cilium.io/lb-algorithm': 'best' } } });
  await waitFor('the event', () => troubles.length > 0);
  assert.match(troubles.join(), /^n\/web: annotation service.cilium.io\/lb-algorithm is "best", not one of random, maglev/);
  abort.abort();
});

test('until everything has been listed there are no rows: a service without its slices yet would be written without backends', () => {
  const inputs = tables();
  const producers = Object.values(inputs).map(table => (table as Table<unknown>).producer('test'));
  const derivation = new ServiceDerivation(inputs, () => context);
  inputs.services.upsert(service('a', '10.96.0.9'));
  for (const producer of producers) {
    derivation.step();
    assert.equal(derivation.table.size, 0);
    assert.equal(derivation.table.synced, false);
    producer.synced();
  }
  inputs.slices.upsert(slice('a1', 'a', ['10.0.0.1']));
  derivation.step();
  assert.deepEqual([...derivation.table.rows()].map(row => row.backends.length), [1]);
  assert.ok(derivation.table.synced);
});

test('flows name the service of an address: behind a redirect the one that it stands in for, and none at a pod\'s host port', () => {
  const inputs = tables();
  const derivation = new ServiceDerivation(inputs, () => context);
  const redirect = (address: string): RedirectInput => ({ key: address, namespace: 'n', policy: 'near', portName: '', address, port: 80, protocol: 'TCP', backends: [{ address: '10.0.0.4', port: 8080 }], skipRedirectFromBackend: false });
  inputs.services.upsert(service('web', '10.96.0.9'), service('api', '10.96.0.10'));
  inputs.redirects.upsert(redirect('10.96.0.9'), redirect('169.254.0.9'));
  inputs.hostPorts.upsert({ key: 'p', namespace: 'n', pod: 'p', podIPs: ['10.0.0.3'], hostIP: '', hostPort: 81, containerPort: 80, protocol: 'TCP' });
  derivation.step();
  const nameAt = (frontend: string) => derivation.serviceAt(frontend)?.name;
  assert.deepEqual(['10.96.0.9:80/TCP', '10.96.0.10:80/TCP', '169.254.0.9:80/TCP', '127.0.0.1:81/TCP', '10.96.0.11:80/TCP'].map(nameAt), ['web', 'api', undefined, undefined, undefined]);
});

test('an object that cannot be read is told of, and the other services go on', () => {
  const junk = fc.oneof(fc.constant(null), fc.constant(undefined), fc.string(), fc.integer(), fc.array(fc.anything({ maxDepth: 1 }), { maxLength: 2 }));
  const path = fc.constantFrom('ports', 'clusterIPs', 'externalIPs', 'ipFamilies', 'loadBalancerSourceRanges', 'sessionAffinityConfig', 'type');
  fc.assert(fc.property(path, junk, junk, junk, (field, value, endpoints, ports) => {
    const inputs = tables();
    const troubles: string[] = [];
    const derivation = new ServiceDerivation(inputs, () => context, key => void troubles.push(key));
    const bad = service('bad', '10.96.0.8');
    inputs.services.upsert(service('good', '10.96.0.9'), { ...bad, spec: { ...bad.spec, [field]: value } } as Service);
    inputs.slices.upsert({ ...slice('bad-1', 'bad', ['10.0.0.1']), endpoints, ports } as unknown as EndpointSlice);
    derivation.step();
    assert.ok(derivation.table.get('10.96.0.9:80/TCP'));
    assert.ok(derivation.table.synced);
    assert.ok(troubles.every(key => key === 'n/bad'));
  }), { numRuns: 500 });
});

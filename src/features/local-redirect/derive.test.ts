import test from 'node:test';
import assert from 'node:assert/strict';
import type { KubeObject, Node, Pod, Service } from '../../kube/types.ts';
import { parseLocalRedirect, redirectChangeErrors } from '../../lb/local-redirect.ts';
import { parseAddr, parsePrefix } from '../../std/ip.ts';
import { Table } from '../../table/table.ts';
import { LocalRedirectDerivation } from './derive.ts';
import { catchRefusal } from './may-catch.ts';

const key = (o: KubeObject) => (o.metadata.namespace ? `${o.metadata.namespace}/${o.metadata.name}` : o.metadata.name);
const dnsService = {
  apiVersion: 'v1', kind: 'Service', metadata: { name: 'dns', namespace: 'n' },
  spec: { clusterIP: '10.96.0.10', clusterIPs: ['10.96.0.10', 'fd00:10:96::a'], ports: [{ name: 'dns', port: 53, protocol: 'UDP' }, { name: 'dns-tcp', port: 53, protocol: 'TCP' }, { name: 'metrics', port: 9153 }] },
} as unknown as Service;

function pod(name: string, more: { ready?: boolean; namespace?: string; labels?: Record<string, string>; ips?: string[] } = {}): Pod {
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: more.namespace ?? 'n', labels: more.labels ?? { app: 'cache' } }, spec: { containers: [] },
    status: { phase: 'Running', podIPs: (more.ips ?? ['10.244.1.5', 'fd00:10:244:1::5']).map(ip => ({ ip })), conditions: [{ type: 'Ready', status: more.ready === false ? 'False' : 'True' }] },
  };
}

const backend = (...ports: readonly [port: string, protocol: string, name?: string][]) => ({ localEndpointSelector: { matchLabels: { 'k8s:app': 'cache' } }, toPorts: ports.map(([port, protocol, name]) => ({ port, protocol, ...(name ? { name } : {}) })) });
function policy(name: string, spec: object, metadata: object = {}): KubeObject {
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumLocalRedirectPolicy', metadata: { name, namespace: 'n', creationTimestamp: '2026-01-01T00:00:00Z', ...metadata }, spec };
}
const toService = (ports: object[] = [], more: object = {}) => ({ serviceMatcher: { serviceName: 'dns', namespace: 'n', ...(ports.length > 0 ? { toPorts: ports } : {}), ...more } });
const toAddress = (ip: string, ...ports: object[]) => ({ addressMatcher: { ip, toPorts: ports } });

function world(mayCatch: (address: Uint8Array) => string | undefined = () => undefined) {
  const tables = { policies: new Table<KubeObject>('policies', key), pods: new Table<Pod>('pods', key), services: new Table<Service>('services', key), nodes: new Table<Node>('nodes', key) };
  const derivation = new LocalRedirectDerivation(mayCatch, tables);
  tables.services.upsert(dnsService);
  tables.pods.upsert(pod('cache'));
  const redirects = () => {
    derivation.step();
    return [...derivation.redirects.rows()].map(r => `${r.address} ${r.port}/${r.protocol} -> ${r.backends.map(b => `${b.address} ${b.port}`).join()}`).sort();
  };
  return { ...tables, derivation, redirects };
}

test('a service\'s ports go to the ready pods of this node, of both families; without one its own backends serve', () => {
  const w = world();
  w.policies.upsert(policy('p', { redirectFrontend: toService(), redirectBackend: backend(['5353', 'UDP', 'dns'], ['5354', 'TCP', 'dns-tcp']) }));
  const all = ['10.96.0.10 53/TCP -> 10.244.1.5 5354', '10.96.0.10 53/UDP -> 10.244.1.5 5353', 'fd00:10:96::a 53/TCP -> fd00:10:244:1::5 5354', 'fd00:10:96::a 53/UDP -> fd00:10:244:1::5 5353'];
  assert.deepEqual(w.redirects(), all, 'by name; the port that has none stays as it is');
  w.pods.upsert(pod('cache', { ready: false }), pod('other', { labels: { app: 'web' } }), pod('foreign', { namespace: 'm' }));
  assert.deepEqual(w.redirects(), []);
  w.pods.upsert(pod('cache'));
  assert.deepEqual(w.redirects(), all);
  w.services.delete('n/dns');
  assert.deepEqual(w.redirects(), []);
  assert.match(w.derivation.table.get('n/p')!.troubles[0]!, /n\/dns does not exist/);
});

test('only the ports that are named are caught, and one port of the pods takes what comes', () => {
  const w = world();
  w.policies.upsert(policy('p', { redirectFrontend: toService([{ port: '53', protocol: 'UDP', name: 'dns' }]), redirectBackend: backend(['5353', 'UDP']) }));
  assert.deepEqual(w.redirects(), ['10.96.0.10 53/UDP -> 10.244.1.5 5353', 'fd00:10:96::a 53/UDP -> fd00:10:244:1::5 5353']);
});

test('an address is caught where it may be; the pods of one family serve only that', () => {
  const w = world(addr => (addr[15] === 254 ? undefined : 'not that one'));
  w.pods.upsert(pod('cache', { ips: ['10.244.1.5'] }), pod('cache2', { ips: ['10.244.1.6'] }));
  w.policies.upsert(policy('p', { redirectFrontend: toAddress('169.254.169.254', { port: '80', protocol: 'TCP' }), redirectBackend: backend(['8080', 'TCP']), skipRedirectFromBackend: true }));
  assert.deepEqual(w.redirects(), ['169.254.169.254 80/TCP -> 10.244.1.5 8080,10.244.1.6 8080']);
  assert.equal([...w.derivation.redirects.rows()][0]!.skipRedirectFromBackend, true);
  w.policies.upsert(policy('p', { redirectFrontend: toAddress('10.96.0.1', { port: '443', protocol: 'TCP' }), redirectBackend: backend(['8080', 'TCP']) }));
  assert.deepEqual(w.redirects(), []);
  assert.deepEqual(w.derivation.table.get('n/p')!.troubles, ['not that one']);
});

test('of two policies for one frontend the older one counts', () => {
  const w = world();
  const spec = (port: string) => ({ redirectFrontend: toAddress('169.254.1.1', { port: '80', protocol: 'TCP' }), redirectBackend: backend([port, 'TCP']) });
  w.policies.upsert(policy('young', spec('1'), { creationTimestamp: '2026-02-01T00:00:00Z' }), policy('old', spec('2')));
  assert.deepEqual(w.redirects(), ['169.254.1.1 80/TCP -> 10.244.1.5 2']);
  assert.match(w.derivation.table.get('n/young')!.troubles[0]!, /older policy n\/old/);
  w.policies.delete('n/old');
  assert.deepEqual(w.redirects(), ['169.254.1.1 80/TCP -> 10.244.1.5 1']);
});

test('what cannot be read is refused with its field', () => {
  const errors = (spec: object) => parseLocalRedirect(policy('p', spec)).errors.map(e => `${e.path}: ${e.message}`);
  const good = { redirectFrontend: toService(), redirectBackend: backend(['53', 'UDP']) };
  assert.deepEqual(errors(good), []);
  assert.match(errors({ ...good, redirectFrontend: {} }).join(), /spec.redirectFrontend: one of addressMatcher and serviceMatcher/);
  assert.match(errors({ ...good, redirectFrontend: { ...toService(), ...toAddress('1.1.1.1') } }).join(), /not both/);
  assert.match(errors({ ...good, redirectFrontend: toService([], { namespace: 'kube-system' }) }).join(), /serviceMatcher.namespace: a policy of namespace n cannot redirect a service of namespace kube-system/);
  assert.match(errors({ ...good, redirectFrontend: toAddress('nonsense', { port: '1', protocol: 'TCP' }) }).join(), /addressMatcher.ip: "nonsense"/);
  assert.match(errors({ ...good, redirectFrontend: toAddress('1.1.1.1', { port: '0', protocol: 'TCP' }) }).join(), /toPorts\[0\].port: "0" is not a port/);
  assert.match(errors({ ...good, redirectFrontend: toAddress('1.1.1.1', { port: '1', protocol: 'TCP' }) }).join(), /redirectBackend.toPorts: no TCP port/);
  assert.match(errors({ ...good, redirectBackend: backend(['1', 'UDP'], ['2', 'UDP']) }).join(), /toPorts\[0\].name: several ports need names/);
  assert.match(errors({ ...good, redirectBackend: backend(['1', 'UDP', 'a'], ['2', 'UDP', 'a']) }).join(), /given twice/);
  assert.match(errors({ ...good, redirectBackend: { localEndpointSelector: {}, toPorts: [] } }).join(), /no port is given/);
  const changed = redirectChangeErrors(policy('p', good), policy('p', { ...good, redirectBackend: backend(['54', 'UDP']) }));
  assert.deepEqual(changed.map(e => e.path), ['spec.redirectBackend']);
  assert.deepEqual(redirectChangeErrors(policy('p', { redirectBackend: good.redirectBackend, redirectFrontend: good.redirectFrontend }), policy('p', good)), []);
});

test('addresses that are somebody\'s are not to be caught, whatever the cluster\'s operator allows', () => {
  const base = {
    grounds: { clusterRanges: [{ what: 'the service range', prefix: parsePrefix('10.96.0.0/16') }, { what: 'the pods\' addresses', prefix: parsePrefix('10.244.0.0/16') }], allowed: [] },
    owners: [['172.30.1.11', 'node node1'], ['172.30.1.1', 'the API server']] as const,
    pools: [{ name: 'default', createdAt: '', disabled: false, errors: [], selects: () => true, ranges: [{ text: '172.31.1.0/24', family: 'IPv4' as const, first: BigInt('0xffffac1f0100'), last: BigInt('0xffffac1f01ff') }] }],
  };
  const refused = (address: string, allowed: readonly string[]) => catchRefusal(parseAddr(address), { ...base, allowed }) !== undefined;
  for (const address of ['169.254.169.254', '169.254.20.10', 'fe80::1']) assert.equal(refused(address, ['169.254.0.0/16', 'fe80::/10']), false, address);
  assert.equal(refused('8.8.8.8', ['169.254.0.0/16']), true);
  for (const address of ['10.96.0.1', '10.244.1.5', '172.30.1.11', '172.30.1.1', '172.31.1.7', '127.0.0.1', '::1', '0.0.0.0', '224.0.0.1', '::ffff:10.96.0.1']) {
    assert.equal(refused(address, ['0.0.0.0/0', '::/0']), true, address);
  }
  assert.equal(refused('8.8.8.8', ['0.0.0.0/0']), false);
});

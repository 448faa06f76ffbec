import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maps as specs } from '../datapath/generated/maps.ts';
import { BpfMap } from '../ebpf/map.ts';
import { endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import { nameIdentityLabels } from '../features/names/names.ts';
import { plainPut } from '../features/names/testing.ts';
import { NameCache } from '../flows/name-cache.ts';
import { buildNameAutomaton } from '../policy/name-automaton.ts';
import { parsePolicy } from '../policy/parse.ts';
import { parseAddr } from '../std/ip.ts';
import { Table } from '../table/table.ts';
import { nameCacheRows, nameSelectorRows, namesWithoutRoom } from './fqdn-routes.ts';

const endpoints = new Table<Endpoint>('endpoints', endpointKey);
endpoints.upsert({ id: 3, namespace: 'shop', podName: 'web', ipv4: '10.0.0.3', ipv6: 'fd00::3' } as unknown as Endpoint);

const selectors = ['*.stripe.com', 'a b', 'api.stripe.com'];
const automaton = buildNameAutomaton(selectors);
const names = {
  automaton, walk: (name: string) => automaton.walk(name),
  patterns: (id: number) => (id === 70 ? ['*.stripe.com', 'api.stripe.com'] : undefined),
  *entries() { yield [70, nameIdentityLabels(['*.stripe.com', 'api.stripe.com'])] as const; },
  engine: { nameSelectors: () => selectors, fqdnSelectors: () => ['*.stripe.com', 'api.stripe.com'] },
};

const { policy } = parsePolicy({
  kind: 'CiliumNetworkPolicy', metadata: { name: 'checkout', namespace: 'shop' }, spec: { endpointSelector: {}, egress: [
    { toFQDNs: [{ matchName: 'API.stripe.com' }] }, { toEndpoints: [{}], toPorts: [{ ports: [{ port: '53', protocol: 'ANY' }], rules: { dns: [{ matchPattern: '*.stripe.com' }] } }] },
  ] },
}, { clusterName: 'default', nodeLabels: true });

test('an address is shown under the names it was given, with its identities and the connections that use it', () => {
  using addresses = BpfMap.create({ ...specs.nameAddresses, maxEntries: 16 });
  const cache = new NameCache();
  cache.learn(3, 'api.stripe.com.', ['54.1.1.1'], 30, 1_000e9);
  cache.learn(3, 'old.example.com.', ['54.1.1.2', '54.1.1.3'], 5, 900e9);
  for (const [ip, expiresS] of [['54.1.1.1', 1_060], ['fd00:54::1', 1_040]] as const) plainPut(addresses, () => 1_000)({ key: { endpoint: 3, addr: parseAddr(ip) }, identity: 70, expiresS, replaces: [] });
  const connection = (destination: string) => ({ source: '10.0.0.3', destination });
  const rows = nameCacheRows({ names, cache, addresses, endpoints }, [connection('54.1.1.1'), connection('54.1.1.1'), connection('54.1.1.2')], 1_000, 0);
  const pod = { endpoint: 3, namespace: 'shop', pod: 'web' };
  assert.deepEqual(rows, [
    { ...pod, name: 'api.stripe.com.', ip: '54.1.1.1', source: 'lookup', ttlSeconds: 60, expires: '1970-01-01T00:01:00.000Z', identities: [70], selectors: ['*.stripe.com', 'api.stripe.com'], connections: 2 },
    { ...pod, name: 'old.example.com.', ip: '54.1.1.2', source: 'connection', ttlSeconds: 0, expires: '1969-12-31T23:58:25.000Z', identities: [], selectors: [], connections: 1 },
    { ...pod, ip: 'fd00:54::1', source: 'lookup', ttlSeconds: 40, expires: '1970-01-01T00:00:40.000Z', identities: [70], selectors: ['*.stripe.com', 'api.stripe.com'], connections: 0 },
  ]);
});

test('a selector tells who uses it, which names match it and what there was no room for', () => {
  using addresses = BpfMap.create({ ...specs.nameAddresses, maxEntries: 16 });
  const cache = new NameCache();
  cache.learn(3, 'api.stripe.com.', ['54.1.1.2', '54.1.1.1'], 30, 1e9);
  const rows = nameSelectorRows({ names, cache, addresses, endpoints, policies: { versions: () => [{ policy: policy!, revision: 1 }] } });
  const seen = [{ name: 'api.stripe.com.', ips: ['54.1.1.1', '54.1.1.2'] }];
  assert.deepEqual(rows, [
    { selector: '*.stripe.com', use: ['toFQDNs', 'rules.dns'], policies: ['CiliumNetworkPolicy shop/checkout'], names: seen, identities: [70] },
    { selector: 'a b', use: [], policies: [], names: [], identities: [], leftOut: true },
    { selector: 'api.stripe.com', use: ['toFQDNs'], policies: ['CiliumNetworkPolicy shop/checkout'], names: seen, identities: [70] },
  ]);
});

test('a policy whose names have no room is not enforced, and says which', () => {
  assert.equal(namesWithoutRoom(policy!, undefined), undefined);
  assert.equal(namesWithoutRoom(policy!, ['other.com']), undefined);
  assert.match(namesWithoutRoom(policy!, ['*.stripe.com', 'x.com'])!.error!, /no room for \*\.stripe\.com beside/);
});

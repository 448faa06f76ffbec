import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Table } from '../../table/table.ts';
import { AddressBook, ranks, type AddressRow, type ClaimInput } from './book.ts';
import { AddressSources, type PodAddresses } from './sources.ts';

const claim = fc.record({
  address: fc.constantFrom('10.244.1.2', '10.244.1.3/32', '10.244.0.0/16', 'fd00::1', '0.0.0.0/0'),
  identity: fc.integer({ min: 0, max: 4 }), rank: fc.constantFrom(...Object.values(ranks)), since: fc.constantFrom('', '2026-01-01', '2026-01-02'),
  cluster: fc.constant(true), node: fc.constant(false),
});
const changes = fc.array(fc.record({ source: fc.constantFrom('a', 'b', 'c'), claims: fc.array(claim, { maxLength: 4 }), take: fc.boolean() }), { maxLength: 20 });

/** The plain reading: all claims of all sources as they are at the end, the strongest of each prefix. */
function oracle(steps: readonly { source: string; claims: readonly ClaimInput[] }[]): Map<string, number> {
  const last = new Map(steps.map(step => [step.source, step.claims] as const));
  // Within one source a later claim to a prefix replaces an earlier one.
  const all = [...last.values()].flatMap(claims => [...new Map(claims.map(c => [canonical(c.address), c] as const))]);
  all.sort(([, a], [, b]) => a.rank - b.rank || (a.since ?? '').localeCompare(b.since ?? '') || a.identity - b.identity);
  return new Map(all.map(([prefix, c]) => [prefix, c.identity]));
}
const canonical = (address: string) => (address.includes('/') ? address : `${address}/${address.includes(':') ? 128 : 32}`);

test('a reader that applies every delta holds the strongest claim of each prefix, whatever the order and whenever it takes', () => {
  fc.assert(fc.property(changes, steps => {
    const book = new AddressBook();
    const held = new Map<string, AddressRow>();
    const take = () => {
      const { rows, gone } = book.take();
      for (const prefix of gone) held.delete(prefix);
      for (const row of rows) held.set(row.prefix, row);
    };
    for (const step of steps) {
      book.set(step.source, step.claims);
      if (step.take) take();
    }
    take();
    assert.deepEqual(new Map([...held].map(([prefix, row]) => [prefix, row.identity] as const).sort()), new Map([...oracle(steps)].sort()));
    assert.deepEqual(book.rows().map(row => row.prefix).sort(), [...held.keys()].sort());
  }), { numRuns: 1000 });
});

interface Pod extends PodAddresses { readonly name: string }
function sources() {
  const local = new Table<Pod>('local', pod => pod.name);
  const remote = new Table<Pod>('remote', pod => pod.name);
  const identities = new Table<{ readonly id: number }>('identities', i => String(i.id));
  const prefixes = { revision: 0, list: [] as [string, number][], entries() { return this.list; } };
  const book = new AddressSources({
    clusterPrefixes: ['10.244.0.0/16', 'fd00:10:244::/48'], apiServers: ['172.30.0.1'], dualStack: true,
    nodes: [
      { name: 'node1', local: true, underlay: ['172.30.0.11'], routers: ['10.244.1.1'] },
      { name: 'node2', local: false, underlay: ['172.30.0.12'], routers: ['10.244.2.1'], tunnel: '172.30.0.12' },
    ],
  }, { local, localPod: pod => pod, remote, remotePod: pod => pod, isKnown: id => id < 256 || identities.has(String(id)), identities, prefixes });
  const held = new Map<string, AddressRow>();
  return {
    local, remote, identities, prefixes, held,
    take() {
      const { rows, gone } = book.take();
      for (const prefix of gone) held.delete(prefix);
      for (const row of rows) held.set(row.prefix, row);
      return { rows, gone };
    },
  };
}
const pod = (name: string, address: string, identity: number, since = ''): Pod => ({ name, addresses: [address], identity, since });

test('world by family, unknown cluster addresses are not world, nodes are host or remote-node', () => {
  const s = sources();
  s.take();
  assert.equal(s.held.get('0.0.0.0/0')?.identity, 9);
  assert.equal(s.held.get('::/0')?.identity, 10);
  assert.deepEqual(s.held.get('10.244.0.0/16'), { prefix: '10.244.0.0/16', identity: 0, cluster: true, node: false });
  assert.equal(s.held.get('172.30.0.11/32')?.identity, 1);
  assert.deepEqual(s.held.get('10.244.2.1/32'), { prefix: '10.244.2.1/32', identity: 6, cluster: true, node: true, tunnel: '172.30.0.12' });
  assert.equal(s.held.get('172.30.0.1/32')?.identity, 7);
});

test('V5: an address that changes hands belongs to its newest owner, and to a pod of this node before any claim from elsewhere', () => {
  const s = sources();
  s.identities.upsert({ id: 300 }, { id: 400 }, { id: 500 });
  s.remote.upsert(pod('new', '10.244.1.9', 400, '2026-01-02'), pod('old', '10.244.1.9', 300, '2026-01-01'));
  s.take();
  assert.equal(s.held.get('10.244.1.9/32')?.identity, 400);
  s.local.upsert(pod('here', '10.244.1.9', 500));
  s.take();
  assert.equal(s.held.get('10.244.1.9/32')?.identity, 500);
  s.local.delete('here');
  s.remote.delete('new', 'old');
  assert.deepEqual(s.take(), { rows: [], gone: ['10.244.1.9/32'] });
});

test('V6: a policy cannot rename the cluster range, a node or a pod by naming its prefix', () => {
  const s = sources();
  s.identities.upsert({ id: 300 });
  s.remote.upsert(pod('p', '10.244.2.7', 300));
  s.prefixes.list = [['10.244.0.0/16', 16777216], ['172.30.0.12/32', 16777217], ['10.244.2.7/32', 16777218], ['192.0.2.0/24', 16777219]];
  s.prefixes.revision++;
  s.take();
  assert.equal(s.held.get('10.244.0.0/16')?.identity, 0);
  assert.equal(s.held.get('172.30.0.12/32')?.identity, 6);
  assert.equal(s.held.get('10.244.2.7/32')?.identity, 300);
  assert.equal(s.held.get('192.0.2.0/24')?.identity, 16777219);
});

test('a pod whose identity policies do not know yet waits for it', () => {
  const s = sources();
  s.remote.upsert(pod('p', '10.244.2.7', 300));
  s.take();
  assert.equal(s.held.has('10.244.2.7/32'), false);
  s.identities.upsert({ id: 300 });
  assert.deepEqual(s.take().rows.map(row => row.prefix), ['10.244.2.7/32']);
});

test('one pod more costs one row, however many there are', () => {
  const s = sources();
  s.remote.upsert(...Array.from({ length: 2000 }, (_, i) => pod(`p${i}`, `10.244.${3 + (i >> 8)}.${i & 255}`, 6)));
  s.take();
  s.remote.upsert(pod('more', '10.244.200.1', 6));
  assert.equal(s.take().rows.length, 1);
  assert.deepEqual(s.take(), { rows: [], gone: [] });
});

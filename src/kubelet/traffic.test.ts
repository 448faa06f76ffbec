import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice } from '../kube/types.ts';
import { Table } from '../table/table.ts';
import { watchTraffic } from './traffic.ts';

const slice = (ready: boolean | undefined, ...addresses: string[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 's', namespace: 'd' }, addressType: 'IPv4', ports: [],
  endpoints: addresses.map(address => ({ addresses: [address], conditions: ready === undefined ? {} : { ready } })),
}) as EndpointSlice;

function setUp() {
  const slices = new Table<EndpointSlice>('slices', s => s.metadata.name);
  return { slices, traffic: watchTraffic(slices) };
}

test('a pod behind no service is not waited for', async () => {
  const { slices, traffic } = setUp();
  slices.upsert(slice(true, '10.244.1.9'));
  const startedAt = performance.now();
  await traffic.gone(['10.244.1.2'], 60_000);
  assert.ok(performance.now() - startedAt < 30_000);
});

test('it waits until no slice offers the address, then a moment for the agents', async () => {
  const { slices, traffic } = setUp();
  slices.upsert(slice(true, '10.244.1.2'));
  let done = false;
  const waiting = traffic.gone(['10.244.1.2'], 60_000).then(() => { done = true; });
  await new Promise(resolve => setImmediate(resolve));
  assert.equal(done, false);
  slices.upsert(slice(false, '10.244.1.2'));
  await waiting;
});

test('it never waits longer than asked', async () => {
  const { slices, traffic } = setUp();
  slices.upsert(slice(undefined, '10.244.1.2'));
  const startedAt = performance.now();
  await traffic.gone(['10.244.1.2'], 50);
  assert.ok(performance.now() - startedAt >= 45, 'an endpoint without conditions is ready: it was waited for');
});

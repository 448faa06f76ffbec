import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Flow, FlowEndpoint } from '../model/flow.ts';
import { latencyBucket, type MapEdge } from '../model/service-map.ts';
import { EdgeCounter } from './edges.ts';
import { emptyLookups, type FlowLookups } from './enrich.ts';
import { EventType } from './event.ts';
import { mapNodeOf } from './map-nodes.ts';
import { createFlowPipeline } from './pipeline.ts';
import { eventRecord, MemoryRing, type RecordFields } from './testing.ts';
import { createServiceMap } from './watch-map.ts';

const pods: Readonly<Record<string, { readonly name: string; readonly workload?: string }>> = {
  '10.0.0.1': { name: 'web-1', workload: 'web' }, '10.0.0.2': { name: 'web-2', workload: 'web' }, '10.0.0.3': { name: 'lone' }, '10.0.1.1': { name: 'db-0', workload: 'db' },
};
const endpointIds: Readonly<Record<string, number>> = { '10.0.0.1': 1, '10.0.0.2': 2, '10.0.0.3': 3 };
const identities: Readonly<Record<string, number>> = { '10.0.0.1': 300, '10.0.0.2': 300, '10.0.0.3': 301, '10.0.1.1': 302, '192.0.2.1': 2, '192.0.2.9': 6 };
const addresses = Object.keys(identities);

const lookups: Partial<FlowLookups> = {
  podByAddr: ip => pods[ip] && { namespace: 'shop', name: pods[ip].name, ...(pods[ip].workload && { workloads: [{ kind: 'Deployment', name: pods[ip].workload }] }) },
  serviceByAddr: ip => (ip === '10.96.0.7' ? { namespace: 'shop', name: 'web' } : undefined),
  namesOf: ip => (ip === '192.0.2.1' ? ['api.example.com.'] : undefined),
};
const nodeName = (ip: string) => (ip === '192.0.2.9' ? 'node2' : undefined);

function counted(options: ConstructorParameters<typeof EdgeCounter>[0] = {}) {
  const rings = { drops: new MemoryRing(), flows: new MemoryRing() };
  const pipeline = createFlowPipeline({ rings, lookups: { ...emptyLookups, ...lookups }, nodeName: 'node1' });
  const counter = new EdgeCounter({ nodeName, ...options });
  pipeline.consume(counter);
  return { rings, pipeline, counter };
}

/** Ends that fit together, as the kernel fills them in. */
function fields(source: string, destination: string, more: Partial<RecordFields>): RecordFields {
  return {
    type: EventType.policyVerdict, timeNs: 1, source, destination, sourcePort: 40_000, destinationPort: 80, sourceIdentity: identities[source]!, destinationIdentity: identities[destination]!,
    sourceEndpoint: endpointIds[source] ?? 0, destinationEndpoint: endpointIds[destination] ?? 0, ...more,
  };
}

const totals = fc.record({ packetsOut: fc.nat(50), bytesOut: fc.nat(5000), packetsBack: fc.nat(50), bytesBack: fc.nat(5000), durationNs: fc.nat(1e9) });
const address = fc.constantFrom(...addresses);
const record = fc.tuple(address, address, fc.record({
  kind: fc.constantFrom('verdict', 'drop', 'latency', 'end', 'shadow', 'trace'), direction: fc.constantFrom(1, 2), verdict: fc.constantFrom(1, 1, 2, 3, 4), reply: fc.boolean(), protocol: fc.constantFrom(6, 17, 1),
  port: fc.constantFrom(80, 443), reason: fc.constantFrom(133, 181), latencyUs: fc.integer({ min: 1, max: 1e6 }), totals, end: fc.constantFrom(1, 2, 3), service: fc.boolean(),
})).map(([source, destination, { kind, reply, port, ...r }]): RecordFields => {
  const common = { direction: r.direction, protocol: r.protocol, ...(reply ? { sourcePort: port, destinationPort: 40_000, flags: 1 } : { destinationPort: port }), ...(r.service && { service: '10.96.0.7' }) };
  switch (kind) {
    case 'verdict': return fields(source, destination, { ...common, verdict: r.verdict });
    case 'shadow': return fields(source, destination, { ...common, flags: 16, verdict: 2 });
    case 'drop': return fields(source, destination, { ...common, type: EventType.drop, reason: r.reason });
    case 'latency': return fields(source, destination, { ...common, type: EventType.trace, latencyUs: r.latencyUs });
    case 'end': return fields(source, destination, { ...common, type: EventType.trace, flags: 32 | (reply ? 1 : 0), totals: r.totals, end: r.end });
    default: return fields(source, destination, { ...common, type: EventType.trace });
  }
});

/** The same by other means: over plain flows, one look at a time. */
function naive(flows: readonly Flow[]): Map<string, Record<string, unknown>> {
  const edges = new Map<string, Record<string, unknown>>();
  for (const flow of flows) {
    if (flow.verdict === 'TRACED') continue;
    const [client, server] = flow.isReply ? [flow.destination, flow.source] : [flow.source, flow.destination];
    const port = flow.protocol.startsWith('ICMP') ? 0 : flow.isReply ? flow.sourcePort! : flow.destinationPort!;
    const atServer = server.podName !== undefined || (client.podName === undefined && [0, 2].includes(client.identity));
    const here = (end: FlowEndpoint) => end.id !== 0;
    const key = [mapNodeOf(client, nodeName).id, mapNodeOf(server, nodeName).id, flow.protocol, port].join(' ');
    const zero = { forwarded: 0, dropped: 0, audited: 0, errors: 0, bytesOut: 0, bytesBack: 0, packetsOut: 0, packetsBack: 0, latencies: [] as number[], reasons: {} as Record<string, number>, lastDrop: '' };
    const edge = (edges.get(key) ?? zero) as typeof zero;
    const before = JSON.stringify(edge);
    let counts = false;
    if (flow.type === 'drop') {
      counts = true;
      edge.dropped++;
      edge.reasons[flow.dropReason!] = (edge.reasons[flow.dropReason!] ?? 0) + 1;
      edge.lastDrop = flow.id;
    } else if (flow.type === 'policy-verdict' && flow.verdict !== 'DROPPED' && flow.direction === (atServer ? 'INGRESS' : 'EGRESS')) {
      counts = true;
      if (flow.verdict === 'AUDIT') edge.audited++;
      else edge.forwarded++;
    } else if (flow.type === 'trace' && here(atServer ? server : client)) {
      if (flow.connectLatencyNs !== undefined) edge.latencies.push(latencyBucket(flow.connectLatencyNs));
      if (flow.connection) {
        edge.bytesOut += flow.connection.bytesOut;
        edge.bytesBack += flow.connection.bytesBack;
        edge.packetsOut += flow.connection.packetsOut;
        edge.packetsBack += flow.connection.packetsBack;
        if (flow.connection.end === 'reset') edge.errors++;
      }
      counts = flow.connection !== undefined || flow.connectLatencyNs !== undefined;
    }
    if (counts || before !== JSON.stringify(edge)) edges.set(key, edge);
  }
  return edges;
}

const edgeKey = (edge: MapEdge) => [edge.source, edge.destination, edge.protocol, edge.port].join(' ');

test('edges count what a look at each flow counts, in whatever intervals', () => {
  fc.assert(fc.property(fc.array(fc.array(record, { maxLength: 30 }), { maxLength: 4 }), intervals => {
    const { rings, pipeline, counter } = counted();
    let told = 0;
    for (const records of intervals) {
      for (const one of records) (one.type === EventType.drop ? rings.drops : rings.flows).queued.push(eventRecord(one));
      const all = pipeline.query({});
      const expected = naive(all.slice(told));
      told = all.length;
      const { edges, nodes, overflow } = counter.take();
      assert.equal(overflow, 0);
      assert.deepEqual(edges.map(edgeKey).sort(), [...expected.keys()].sort());
      for (const edge of edges) {
        const { latencies, reasons, lastDrop, ...numbers } = expected.get(edgeKey(edge)) as { latencies: number[]; reasons: Record<string, number>; lastDrop: string };
        const { source, destination, protocol: _, port: __, latency, dropReasons, lastDrop: last, requests, ...own } = edge;
        assert.deepEqual(own, numbers);
        assert.deepEqual([dropReasons ?? {}, last ?? '', requests], [reasons, lastDrop, 0]);
        assert.deepEqual((latency ?? []).flatMap((count, bucket) => new Array<number>(count).fill(bucket)), [...latencies].sort((a, b) => a - b));
        assert.ok([source, destination].every(id => nodes.some(({ node }) => node.id === id)));
      }
    }
  }), { numRuns: 200 });
});

test('nodes of the map: workloads, lone pods, names, nodes, prefixes, the rest of the world', () => {
  const end = (more: Partial<FlowEndpoint>): FlowEndpoint => ({ ip: '192.0.2.5', identity: 2, id: 0, labels: [], ...more });
  const id = (more: Partial<FlowEndpoint>) => mapNodeOf(end(more), nodeName).id;
  assert.equal(id({ namespace: 'shop', podName: 'web-1', workloads: [{ kind: 'Deployment', name: 'web' }] }), 'workload:shop/Deployment/web');
  assert.equal(id({ namespace: 'shop', podName: 'lone' }), 'pod:shop/lone');
  assert.equal(id({ names: ['api.example.com.', 'other.example.'] }), 'name:api.example.com');
  assert.equal(id({ identity: 6, ip: '192.0.2.9' }), 'node:node2');
  assert.equal(id({ identity: 6 }), 'reserved:remote-node');
  assert.equal(id({ identity: 1 << 24, labels: ['cidr:10.0.0.0/8', 'cidr:10.1.0.0/16', 'reserved:world'] }), 'cidr:10.1.0.0/16');
  assert.equal(id({ identity: 1 << 24, labels: ['cidr:fd00--0/8'] }), 'cidr:fd00::0/8');
  assert.deepEqual([id({}), id({ identity: 9 }), id({ identity: 10 }), id({ identity: 0 })], ['reserved:world', 'reserved:world', 'reserved:world', 'reserved:unknown']);
});

test('edges beyond the bound are counted, and the ones that are there go on', () => {
  const { rings, pipeline, counter } = counted({ maxEdges: 3 });
  for (let round = 0; round < 2; round++) {
    for (let port = 1; port <= 10; port++) rings.flows.queued.push(eventRecord(fields('10.0.1.1', '10.0.0.1', { destinationPort: port })));
  }
  pipeline.drain();
  const { edges, overflow } = counter.take();
  assert.deepEqual([edges.map(edge => edge.forwarded), overflow], [[2, 2, 2], 14]);
});

test('L7: requests, failures and their latency; what leads to a node by a service is named', () => {
  const { pipeline, counter } = counted();
  const ends = { source: { ip: '10.0.1.1', port: 40_000, identity: 302, endpoint: 0 }, destination: { ip: '10.0.0.1', port: 80, identity: 300, endpoint: 1 } };
  const http = { timeNs: 1n, protocol: 'TCP', direction: 'INGRESS', verdict: 'FORWARDED', rule: 0, service: { ip: '10.96.0.7', port: 80 } } as const;
  const request = { method: 'GET', url: '/', protocol: 'HTTP/1.1' };
  for (const code of [200, 503]) {
    pipeline.l7({ ...http, ...ends, l7: { type: 'REQUEST', http: request } });
    pipeline.l7({ ...http, source: ends.destination, destination: ends.source, l7: { type: 'RESPONSE', latencyNs: 1e6, http: { ...request, code } } });
  }
  pipeline.drain();
  const { edges, nodes } = counter.take();
  assert.deepEqual(edges.map(({ source, destination, l7, requests, errors, latency }) => [source, destination, l7, requests, errors, latency?.[latencyBucket(1e6)]]), [['workload:shop/Deployment/db', 'workload:shop/Deployment/web', 'HTTP', 2, 1, 2]]);
  assert.deepEqual(nodes.map(({ node, services }) => [node.name, ...services]).sort(), [['db'], ['web', 'shop/web']]);
});

test('a map is counted while somebody watches; each who does hears of a node once', async () => {
  const { rings, pipeline } = counted();
  let consumers = 0;
  const map = createServiceMap({
    consume: consumer => {
      consumers++;
      const leave = pipeline.consume(consumer);
      return () => {
        consumers--;
        leave();
      };
    },
  }, { intervalMs: 1, nodeName });
  const leaving = new AbortController();
  const seen: string[][] = [];
  const offer = () => {
    rings.flows.queued.push(eventRecord(fields('10.0.1.1', '10.0.0.1', {})));
    pipeline.drain();
  };
  for await (const { nodes, edges } of map.watch(leaving.signal)) {
    assert.equal(consumers, 1);
    if (edges.length > 0) seen.push(nodes.map(node => node.name));
    if (seen.length === 2) leaving.abort();
    else offer();
  }
  assert.deepEqual(seen, [['db', 'web'], []]);
  assert.equal(consumers, 0);
});

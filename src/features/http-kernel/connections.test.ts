import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpPhase } from '../../datapath/generated/enums.ts';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { httpConnectionCodec, type HttpConnection, type ProxyConnectionKey } from '../../datapath/generated/structs.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { parseAddr } from '../../std/ip.ts';
import { httpConnections, mostListed } from './connections.ts';

const second = 1_000_000_000n;
const nowNs = 1_000n * second;
const nothing = httpConnectionCodec.decode(new Uint8Array(httpConnectionCodec.size));
const keyOf = (client: string, clientPort: number, server: string): ProxyConnectionKey => ({ client: parseAddr(client), server: parseAddr(server), clientPort, serverPort: 8080 });
const listed = (httpConnectionsMap: BpfMap<ProxyConnectionKey, HttpConnection>) => httpConnections({ maps: { httpConnections: httpConnectionsMap as never }, monotonicNs: () => nowNs });

test('each row is told with its ends, its set, what it is at, and since when its client is silent', async () => {
  using map = BpfMap.create(specs.httpConnections);
  const idle = { ...nothing, established: 1, set: 77, sourceIdentity: 14440, destinationIdentity: 20615, seenNs: nowNs - 3n * second, asked: 4, answered: 4 };
  const rows: readonly [name: string, row: Partial<HttpConnection>][] = [
    ['idle', {}],
    ['busy', { asked: 5 }], ['busy', { inHead: 1 }], ['busy', { phase: HttpPhase.Swallowing }], ['busy', { established: 0 }],
    ['passing', { set: 0 }], ['passing', { opened: 1, asked: 5 }], ['passing', { phase: HttpPhase.Blind }],
    ['ended', { phase: HttpPhase.Over }], ['ended', { phase: HttpPhase.Reset, set: 0 }], ['ended', { refused: 1, opened: 1 }], ['ended', { requestFin: 1, answerFin: 1 }], ['idle', { requestFin: 1 }],
  ];
  for (const [i, [, row]] of rows.entries()) {
    const key = keyOf('10.244.1.5', 40_000 + i, '10.244.1.9');
    map.update(key, { ...idle, ...row, key });
  }
  const { connections, total } = await listed(map);
  assert.equal(total, rows.length);
  const found = new Map(connections.map(connection => [connection.client, connection]));
  for (const [i, [state]] of rows.entries()) assert.equal(found.get(`10.244.1.5:${40_000 + i}`)?.state, state, `row ${i}`);
  assert.deepEqual(found.get('10.244.1.5:40000'), { client: '10.244.1.5:40000', server: '10.244.1.9:8080', sourceIdentity: 14440, destinationIdentity: 20615, egressSet: 0, ingressSet: 77, state: 'idle', idleMs: 3000 });
});

test('IPv6 ends stand in brackets, and a clock that is ahead by a tick is no time at all', async () => {
  using map = BpfMap.create(specs.httpConnections);
  const key = keyOf('fd00:10:244:1::5', 40_000, 'fd00:10:244:1::9');
  map.update(key, { ...nothing, key, seenNs: nowNs + 4_000_000n });
  const { connections } = await listed(map);
  assert.deepEqual(connections.map(({ client, server, idleMs }) => [client, server, idleMs]), [['[fd00:10:244:1::5]:40000', '[fd00:10:244:1::9]:8080', 0]]);
});

test('of many rows so many are listed, all are counted, and others have their turn meanwhile', async () => {
  using map = BpfMap.create(specs.httpConnections);
  for (let port = 1; port <= mostListed + 500; port++) {
    const key = keyOf('10.244.1.5', port, '10.244.1.9');
    map.update(key, { ...nothing, key });
  }
  let turns = 0;
  let reading = true;
  const count = (): void => {
    turns++;
    if (reading) setImmediate(count);
  };
  setImmediate(count);
  const { connections, total } = await listed(map);
  reading = false;
  assert.deepEqual([connections.length, new Set(connections.map(({ client }) => client)).size, total], [mostListed, mostListed, mostListed + 500]);
  assert.ok(turns > 5, `${turns} turns`);
});

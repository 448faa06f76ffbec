import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { ConntrackFlag } from '../../src/datapath/generated/enums.ts';
import { conntrackEntryCodec, httpConnectionCodec, type ConntrackKey, type ProxyConnectionKey } from '../../src/datapath/generated/structs.ts';
import { HttpSweep } from '../../src/features/http-kernel/sweep.ts';
import { silentLogger } from '../../src/std/log.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { Datapath } from './harness.ts';

/** Rows of HTTP connections that are over, by the real program. */
const datapath = new Datapath();
after(() => datapath.close());
const { conntrack, httpConnections } = datapath.maps;
beforeEach(() => {
  datapath.reset();
  for (const [key] of [...httpConnections.entries()]) httpConnections.delete(key);
});

const [client, server] = [parseAddr('10.244.1.5'), parseAddr('10.244.1.9')];
const keyOf = (clientPort: number): ProxyConnectionKey => ({ client, server, clientPort, serverPort: 8080 });
const conntrackKeyOf = (clientPort: number): ConntrackKey => ({ low: client, high: server, lowPort: clientPort, highPort: 8080, protocol: 6, kind: 0 });
const emptyRow = httpConnectionCodec.decode(new Uint8Array(httpConnectionCodec.size));
const emptyEntry = conntrackEntryCodec.decode(new Uint8Array(conntrackEntryCodec.size));
const now = () => process.hrtime.bigint();
const later = 1_000_000_000_000n;

function row(clientPort: number, more: { readonly seenNs?: bigint; readonly requestBusy?: number } = {}): void {
  httpConnections.update(keyOf(clientPort), { ...emptyRow, key: keyOf(clientPort), seenNs: 1n, destinationEndpoint: clientPort % 10, ...more });
}

function entry(clientPort: number, flags: number, expiresNs = now() + later): void {
  conntrack.update(conntrackKeyOf(clientPort), { ...emptyEntry, flags, expiresNs });
}

/** One round whose agent has the clock far ahead: it is the kernel's look that decides. */
function sweep(): { readonly left: number[]; readonly endpoints: number[]; readonly removed: number } {
  let endpoints: number[] | undefined;
  const round = new HttpSweep({ maps: datapath.maps, program: () => datapath.program('sweep_http'), log: silentLogger, monotonicNs: () => Number(now()) + 1e15, onRound: found => { endpoints = [...found].sort(); } });
  while (endpoints === undefined) round.step();
  return { left: [...httpConnections.entries()].map(([key]) => key.clientPort).sort((a, b) => a - b), endpoints, removed: round.last.removed };
}

test('a row stays while conntrack has its connection, and goes with it', () => {
  for (const port of [1001, 1002, 1003, 1004]) row(port);
  entry(1001, ConntrackFlag.Http);
  entry(1002, ConntrackFlag.Http, 1n);
  entry(1003, 0);
  assert.deepEqual(sweep(), { left: [1001], endpoints: [1, 2, 3, 4], removed: 3 });
});

test('what policy has ended, and what has said its end, goes too', () => {
  for (const port of [1001, 1002, 1003]) row(port);
  entry(1001, ConntrackFlag.Http | ConntrackFlag.Revoked);
  entry(1002, ConntrackFlag.Http | ConntrackFlag.Ended);
  entry(1003, ConntrackFlag.Http);
  assert.deepEqual(sweep().left, [1003]);
});

test('who has spoken within ten seconds is left alone, and so is a row that a packet is at', () => {
  row(1001, { seenNs: now() });
  row(1002, { requestBusy: 1 });
  row(1003);
  assert.deepEqual(sweep().left, [1001, 1002]);
});

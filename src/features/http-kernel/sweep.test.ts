import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { httpConnectionCodec, sweepCodec, type ProxyConnectionKey } from '../../datapath/generated/structs.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { silentLogger } from '../../std/log.ts';
import { parseAddr } from '../../std/ip.ts';
import { HttpSweep, rowOffsets } from './sweep.ts';

const nothing = httpConnectionCodec.decode(new Uint8Array(httpConnectionCodec.size));
const keyOf = (clientPort: number): ProxyConnectionKey => ({ client: parseAddr('10.244.1.5'), server: parseAddr('10.244.1.9'), clientPort, serverPort: 8080 });
const second = 1_000_000_000n;

test('the offsets are those of the generated layout', () => {
  const bytes = new Uint8Array(httpConnectionCodec.size);
  httpConnectionCodec.encode({ ...nothing, seenNs: 0x1122334455667788n, destinationEndpoint: 77 }, bytes);
  const view = new DataView(bytes.buffer);
  assert.equal(view.getBigUint64(rowOffsets.seenNs, true), 0x1122334455667788n);
  assert.equal(view.getUint32(rowOffsets.destinationEndpoint, true), 77);
});

test('silent rows are named to the program, in handfuls; the endpoints of all are told', () => {
  using httpConnections = BpfMap.create(specs.httpConnections);
  using sweepRequests = BpfMap.create(specs.sweepRequests);
  const now = 1_000n * second;
  for (let i = 0; i < 3000; i++) httpConnections.update(keyOf(i + 1), { ...nothing, key: keyOf(i + 1), seenNs: i < 1500 ? now - 11n * second : now - 9n * second, destinationEndpoint: i < 1500 ? 7 : 8 });
  let named = 0;
  let largest = 0;
  // As the kernel's: takes away half of what it is asked about.
  const program = { call: (context: Uint8Array) => {
    const { count } = sweepCodec.decode(context);
    largest = Math.max(largest, count);
    for (let i = 0; i < count; i++) {
      const key = sweepRequests.lookup(i)!;
      assert.ok(key.clientPort <= 1500, 'who has spoken is not asked about');
      named++;
      if (key.clientPort % 2 === 0) httpConnections.delete(key);
    }
    sweepCodec.encode({ count, removed: Math.floor(count / 2) }, context);
    return 0;
  } };
  const rounds: number[][] = [];
  const sweep = new HttpSweep({ maps: { httpConnections, sweepRequests }, program: () => program as never, log: silentLogger, monotonicNs: () => Number(now), onRound: found => rounds.push([...found].sort()) });
  let steps = 0;
  while (rounds.length === 0) {
    sweep.step();
    assert.ok(++steps < 1000);
  }
  assert.ok(steps > 2, 'not all at once');
  assert.equal(named, 1500);
  assert.ok(largest <= 1024);
  assert.deepEqual(rounds, [[7, 8]]);
  assert.deepEqual([httpConnections.count(), sweep.last.removed > 700, sweep.last.connections === 3000 - sweep.last.removed], [2250, true, true]);
});

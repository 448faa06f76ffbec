import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { mapType } from './bpf.ts';
import { emptyCodec } from './codec.ts';
import { compileBpf } from '../btf/fixture.ts';
import { BpfMap } from './map.ts';
import { BpfObject } from './object.ts';
import { RingBuffer } from './ring.ts';

const SIZE = 1 << 16;
const fixture = compileBpf(`
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, ${SIZE}); } ring SEC(".maps");
struct record { __u64 number; __u8 filler[24]; };
static volatile __u64 next;
SEC("tc") int produce(struct __sk_buff *skb) {
	struct record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) return 1;
	record->number = next++;
	if (skb->mark == 1) bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	else bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}
SEC("tc") int produce_odd(struct __sk_buff *skb) {
	char bytes[13] = "hello, world";
	return bpf_ringbuf_output(&ring, bytes, sizeof(bytes), BPF_RB_NO_WAKEUP) != 0;
}
`);
const object = BpfObject.load({ path: fixture.path });
const ring = RingBuffer.open({ fd: object.mapFd('ring')!, maxEntries: SIZE });
after(() => {
  ring.close();
  object.close();
  fixture.remove();
});

const data = new Uint8Array(64);
const produce = (repeat: number, mark = 0) => {
  const context = new Uint8Array(192);
  new DataView(context.buffer).setUint32(8, mark, true);
  // One run a call: runs that a signal interrupts are begun again, and would leave more records than asked for.
  let last = object.program('produce').testRun({ data, context });
  for (let i = 1; i < repeat; i++) last = object.program('produce').testRun({ data, context });
  return last;
};
const take = (limit?: number) => {
  const numbers: number[] = [];
  ring.drain((bytes, offset, length) => {
    assert.equal(length, 32);
    numbers.push(Number(bytes.getBigUint64(offset, true)));
  }, limit);
  return numbers;
};

test('an empty ring has nothing', () => {
  assert.equal(ring.pending(), 0);
  assert.deepEqual(take(), []);
});

test('records come whole and in order, also in portions', () => {
  produce(5);
  assert.equal(ring.pending(), 5 * 40);
  assert.deepEqual(take(2), [0, 1]);
  assert.deepEqual(take(), [2, 3, 4]);
  assert.equal(ring.pending(), 0);
});

test('discarded records are passed over', () => {
  produce(1);
  produce(3, 1);
  produce(1);
  assert.deepEqual(take(), [5, 9]);
});

test('lengths that are no multiple of eight', () => {
  for (let i = 0; i < 2; i++) object.program('produce_odd').testRun({ data });
  const texts: string[] = [];
  ring.drain((bytes, offset, length) => texts.push(Buffer.from(bytes.buffer as ArrayBuffer, offset, length).toString('latin1')));
  assert.deepEqual(texts, ['hello, world\0', 'hello, world\0']);
});

test('a full ring refuses, and takes again when it was read; records across the end are whole', () => {
  let expected = 10;
  for (let round = 0; round < 10; round++) {
    produce(1200);
    const numbers = take();
    assert.deepEqual(numbers, Array.from({ length: 1200 }, (_, i) => expected + i));
    expected += 1200;
  }
  assert.equal(produce(5000).returnValue, 1);
  const kept = take();
  assert.equal(kept.length, Math.floor((SIZE - 1) / 40));
  assert.equal(produce(1).returnValue, 0);
  assert.equal(take().length, 1);
});

test('a callback that throws has had its record, the next come after', () => {
  produce(3);
  assert.throws(() => ring.drain(() => { throw new Error('stop'); }), /stop/);
  assert.equal(take().length, 2);
});

test('a second reader goes on where the first stopped', () => {
  produce(4);
  take(1);
  using other = RingBuffer.open({ fd: object.mapFd('ring')!, maxEntries: SIZE });
  assert.equal(other.drain(() => {}), 3);
});

test('a closed ring is empty', () => {
  using map = BpfMap.create({ name: 'ring', type: mapType.ringbuf, maxEntries: 4096, flags: 0, key: emptyCodec, value: emptyCodec, perCpu: false, layoutHash: '' });
  const closed = RingBuffer.open({ fd: map.fd, maxEntries: 4096 });
  closed.close();
  closed.close();
  assert.equal(closed.pending(), 0);
  assert.equal(closed.drain(() => assert.fail()), 0);
  assert.throws(() => RingBuffer.open({ fd: map.fd, maxEntries: 8192 }), /mapping ring buffer data/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FakeWire } from '../testing.ts';
import type { Struct } from './codec.ts';
import { heldBytes } from './held.ts';
import { kafka } from './kafka.ts';
import { readableMessage } from './messages.ts';
import type { KafkaRules } from './rules.ts';
import { naiveTopics } from './testing-naive.ts';
import { requestBytes } from './testing.ts';

const runs = process.env['CIRRI_LONG'] ? 500_000 : 3_000;

/** Keys that the naive reader knows, with the versions that go by name. */
const versions: Readonly<Record<number, number>> = { 0: 12, 1: 12, 2: 9, 3: 9, 8: 9, 20: 5 };
const allowed = ['ok', 'ok.too'];

interface Asked {
  readonly key: number;
  readonly version: number;
  readonly topics: readonly string[];
  readonly payload: number;
}

const asked: fc.Arbitrary<Asked> = fc.constantFrom(...Object.keys(versions).map(Number)).chain(key => fc.record({
  key: fc.constant(key), version: fc.nat(versions[key]!), topics: fc.array(fc.constantFrom('ok', 'ok.too', 'no', 'o', 'ok.to'), { maxLength: 3 }), payload: fc.constantFrom(0, 1, 5, 130),
}));

/** Places are fractions of the bytes. */
const change = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), at: fc.nat(999), value: fc.nat(255) }),
  fc.record({ kind: fc.constant('add' as const), at: fc.nat(60), value: fc.constantFrom(1, -1, 2, 128, -128) }),
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(999), value: fc.constantFrom(0, 1, 2, 3, 255) }),
  fc.record({ kind: fc.constant('remove' as const), at: fc.nat(999), value: fc.nat(3) }),
);

function bodyOf({ key, topics, payload }: Asked): Struct {
  if (key === 20) return { names: topics };
  const partitions = [{ index: 0, records: Buffer.alloc(payload, 2), committedMetadata: 'm' }];
  return { acks: 1, sessionEpoch: -1, groupId: 'g', memberId: 'm', topics: topics.map(name => ({ name, partitions })) };
}

function mutate(bytes: Buffer, changes: readonly (typeof change extends fc.Arbitrary<infer T> ? T : never)[], fixSize: boolean): Buffer {
  let out = Buffer.from(bytes);
  for (const { kind, at, value } of changes) {
    const place = kind === 'add' ? Math.min(at, out.length - 1) : Math.floor(at / 1000 * out.length);
    if (kind === 'set') out[place] = value;
    else if (kind === 'add') out[place] = (out[place]! + value) & 255;
    else if (kind === 'insert') out = Buffer.concat([out.subarray(0, place), Buffer.from([value]), out.subarray(place)]);
    else out = Buffer.concat([out.subarray(0, place), out.subarray(place + 1 + value)]);
  }
  if (fixSize && out.length >= 4) out.writeInt32BE(out.length - 4, 0);
  return out;
}

function open(): FakeWire<KafkaRules> {
  const wire = new FakeWire<KafkaRules>({ ingress: kafka.compile({ protocol: 'kafka', rules: allowed.map((topic, i) => ({ rule: i + 1, topic })) }) });
  wire.open(kafka.open(wire));
  return wire;
}

/** Whole requests that the server got; what is left is one that has not come whole. */
function framesOf(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readInt32BE(at);
    if (end > bytes.length) break;
    frames.push(bytes.subarray(at, end));
    at = end;
  }
  return frames;
}

let passed = 0;

test('whatever the bytes, the server gets no request with a topic that is not allowed, and nothing is left behind', () => {
  fc.assert(fc.property(fc.array(fc.tuple(asked, fc.array(change, { maxLength: 3 }), fc.boolean()), { minLength: 1, maxLength: 3 }), fc.constantFrom(Infinity, 1, 7, 64), (requests, pieces) => {
    const wire = open();
    const bytes = Buffer.concat(requests.map(([one, changes, fixSize], i) => mutate(requestBytes(one.key, one.version, bodyOf(one), { correlationId: i }), changes, fixSize)));
    wire.from('client', bytes, pieces);
    for (const frame of framesOf(wire.sent('server'))) {
      const topics = naiveTopics(frame);
      if (topics) passed++;
      for (const topic of topics ?? []) assert.ok(allowed.includes(topic), `${JSON.stringify(topic)} in ${frame.toString('hex')}`);
    }
    wire.session.closed();
    assert.equal(heldBytes(), 0);
  }), { numRuns: runs });
  assert.ok(passed > runs / 10, `only ${passed} requests got through: the test says little`);
});

test('requests that nobody has changed pass exactly when all their topics are allowed', () => {
  fc.assert(fc.property(asked, one => {
    const bytes = requestBytes(one.key, one.version, bodyOf(one));
    const topics = naiveTopics(bytes);
    assert.deepEqual(topics, [...one.topics], 'the naive reader reads what was written');
    const wire = open();
    wire.from('client', bytes);
    // Metadata is asked for the part that is allowed.
    const expected = one.key === 3 ? true : one.topics.every(topic => allowed.includes(topic));
    assert.equal(wire.sent('server').length > 0, expected);
    if (!expected) assert.equal(wire.sent('client').readInt32BE(4), 7);
  }), { numRuns: Math.min(runs, 20_000) });
});

test('responses of any bytes never make a session throw, and a client never gets more than was asked for', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), fc.constantFrom(3, 18), (random, fixSize, key) => {
    const wire = open();
    const version = 3;
    assert.ok(readableMessage(key, version));
    wire.from('client', requestBytes(key, version, { topics: null, clientSoftwareName: 'a', clientSoftwareVersion: '1' }, { correlationId: 1 }));
    const bytes = Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]), random]);
    if (fixSize) bytes.writeInt32BE(bytes.length - 4, 0);
    wire.from('server', bytes);
    assert.ok(wire.closed !== undefined || wire.session.idle || wire.sent('client').length === 0);
  }), { numRuns: Math.min(runs, 20_000) });
});

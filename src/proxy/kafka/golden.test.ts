import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cursor, KafkaFault, readMessage } from './codec.ts';
import type { Struct } from './codec.ts';
import { denial } from './deny.ts';
import { messageOf } from './messages.ts';
import { adminMessages } from './messages-admin.ts';
import { otherMessages } from './messages-other.ts';
import { topicMessages } from './messages-topics.ts';
import { readBody, readHeader, topicsOf } from './request.ts';
import { bytesOf, requestBytes } from './testing.ts';

/** Request bytes, written out by hand from the protocol guide, what is read of them, and the refusal after its size, byte for byte. */
interface Golden {
  readonly title: string;
  readonly request: string;
  readonly topics: ReturnType<typeof topicsOf>;
  readonly refusal: string;
}

const goldens: readonly Golden[] = [
  {
    title: 'Produce v2: classic, header v1',
    request: `00 00 00 02 00 00 00 07 00 02 'me'       # key 0, version 2, correlation 7, client id
      ff ff 00 00 05 dc                             # acks -1, 1500 ms
      00 00 00 01 00 01 'a' 00 00 00 02             # one topic of two partitions
      00 00 00 00 00 00 00 03 'xyz' 00 00 00 05 ff ff ff ff`,
    topics: { kind: 'named', names: ['a'] },
    refusal: `00 00 00 07
      00 00 00 01 00 01 'a' 00 00 00 02
      00 00 00 00 00 1d ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff
      00 00 00 05 00 1d ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff
      00 00 00 00`,
  },
  {
    title: 'Produce v9: flexible, header v2 with a tagged field, response header v1',
    request: `00 00 00 09 00 00 00 08 00 02 'me' 01 05 02 ff ff   # tag 5 of two bytes
      00 00 01 00 00 05 dc                          # no transaction, acks 1
      02 07 'orders' 02 00 00 00 03 04 'xyz' 00 00 00`,
    topics: { kind: 'named', names: ['orders'] },
    refusal: `00 00 00 08 00
      02 07 'orders' 02 00 00 00 03 00 1d ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff
      01 00 00 00                                   # no record errors, no message, tags of partition and topic
      00 00 00 00 00                                # throttle, tags`,
  },
  {
    title: 'Fetch v4',
    request: `00 01 00 04 00 00 00 09 ff ff ff ff ff ff     # null client id; replica -1
      00 00 01 f4 00 00 00 01 00 10 00 00 01        # 500 ms, 1 byte, 1 MiB, read committed
      00 00 00 01 00 01 'b' 00 00 00 01 00 00 00 02 00 00 00 00 00 00 00 2a 00 00 10 00`,
    topics: { kind: 'named', names: ['b'] },
    refusal: `00 00 00 09 00 00 00 00
      00 00 00 01 00 01 'b' 00 00 00 01
      00 00 00 02 00 1d ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff 00 00 00 00`,
  },
  {
    title: 'Fetch v13: topics by id, which nobody can see',
    request: `00 01 00 0d 00 00 00 0a 00 01 'c' 00 ff ff ff ff 00 00 01 f4 00 00 00 01 00 10 00 00 00
      00 00 00 00 ff ff ff ff                       # no session
      02 '0123456789abcdef' 02 00 00 00 00 ff ff ff ff 00 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff ff ff ff ff 00 10 00 00 00 00
      01 01 00                                      # nothing forgotten, no rack`,
    topics: { kind: 'hidden' },
    refusal: `00 00 00 0a 00 00 00 00 00 00 00 00 00 00 00
      02 '0123456789abcdef' 02 00 00 00 00 00 1d
      ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff
      00 ff ff ff ff 01 00 00 00`,
  },
  {
    title: 'Metadata v1 with one topic',
    request: `00 03 00 01 00 00 00 01 00 00 00 00 00 01 00 02 't1'`,
    topics: { kind: 'named', names: ['t1'] },
    refusal: `00 00 00 01 00 00 00 00 ff ff ff ff 00 00 00 01 00 1d 00 02 't1' 00 00 00 00 00`,
  },
  { title: 'Metadata v0 of the empty list is for all topics', request: `00 03 00 00 00 00 00 01 00 00 00 00 00 00`, topics: { kind: 'all' }, refusal: `00 00 00 01 00 00 00 00 00 00 00 00` },
  { title: 'Metadata v1 of null is for all topics', request: `00 03 00 01 00 00 00 01 00 00 ff ff ff ff`, topics: { kind: 'all' }, refusal: `00 00 00 01 00 00 00 00 ff ff ff ff 00 00 00 00` },
  {
    title: 'OffsetCommit v2',
    request: `00 08 00 02 00 00 00 02 00 00 00 01 'g' 00 00 00 05 00 01 'm' ff ff ff ff ff ff ff ff
      00 00 00 01 00 01 'x' 00 00 00 01 00 00 00 00 00 00 00 00 00 00 00 07 ff ff`,
    topics: { kind: 'named', names: ['x'] },
    refusal: `00 00 00 02 00 00 00 01 00 01 'x' 00 00 00 01 00 00 00 00 00 1d`,
  },
  {
    title: 'OffsetFetch v8: topics in groups, one for all of them',
    request: `00 09 00 08 00 00 00 03 00 00 00 03 02 'g' 02 02 'x' 02 00 00 00 01 00 00 02 'h' 00 00 00 00`,
    topics: { kind: 'all' },
    refusal: `00 00 00 03 00 00 00 00 00 03
      02 'g' 02 02 'x' 02 00 00 00 01 ff ff ff ff ff ff ff ff ff ff ff ff 01 00 1d 00 00 00 1d 00
      02 'h' 01 00 1d 00 00`,
  },
  {
    title: 'DeleteTopics v1',
    request: `00 14 00 01 00 00 00 04 00 00 00 00 00 02 00 01 'p' 00 01 'q' 00 00 00 64`,
    topics: { kind: 'named', names: ['p', 'q'] },
    refusal: `00 00 00 04 00 00 00 00 00 00 00 02 00 01 'p' 00 1d 00 01 'q' 00 1d`,
  },
  { title: 'FindCoordinator v0 has no topics: the group is what is refused', request: `00 0a 00 00 00 00 00 05 00 00 00 01 'g'`, topics: { kind: 'none' }, refusal: `00 00 00 05 00 1e ff ff ff ff 00 00 ff ff ff ff` },
  { title: 'InitProducerId v1', request: `00 16 00 01 00 00 00 06 00 00 ff ff 00 00 ea 60`, topics: { kind: 'none' }, refusal: `00 00 00 06 00 00 00 00 00 35 ff ff ff ff ff ff ff ff ff ff` },
  { title: 'ApiVersions v3: the response keeps the old header', request: `00 12 00 03 00 00 00 07 00 00 00 02 'n' 02 'v' 00`, topics: { kind: 'none' }, refusal: `00 00 00 07 00 1f 01 00 00 00 00 00` },
];

for (const { title, request, topics, refusal } of goldens) {
  test(title, () => {
    const bytes = bytesOf(request);
    const header = readHeader(bytes, 0, bytes.length);
    const body = readBody(header.message!, header.apiVersion, bytes, header.body, bytes.length);
    assert.deepEqual(topicsOf(header.apiKey, header.apiVersion, body), topics);
    const { bytes: answer } = denial(header.message!, header, body);
    assert.equal(answer.subarray(4).toString('hex'), bytesOf(refusal).toString('hex'));
    assert.equal(answer.readInt32BE(0), answer.length - 4);
  });
}

test('every message and version: what is written from defaults is read again, and its refusal is a response of that version', () => {
  for (const message of [...topicMessages, ...adminMessages, ...otherMessages]) {
    for (let version = 0; version <= message.maxVersion; version++) {
      const bytes = requestBytes(message.key, version, {});
      const header = readHeader(bytes, 4, bytes.length);
      assert.equal(header.clientId, 'rdkafka');
      const body = readBody(header.message!, version, bytes, header.body, bytes.length);
      const { bytes: answer } = denial(message, header, body);
      assert.equal(answer.readInt32BE(0), answer.length - 4);
      assert.equal(answer.readInt32BE(4), 7);
      readMessage(message.response, version, new Cursor(answer, 8 + (version >= message.response.flexibleFrom && message.key !== 18 ? 1 : 0), answer.length));
    }
  }
});

test('bytes after the message, a null name and a length beyond the end are faults, never a shorter list', () => {
  const metadata = messageOf(3)!;
  const read = (hex: string): Struct => readMessage(metadata.request, 1, new Cursor(bytesOf(hex), 0, bytesOf(hex).length));
  assert.throws(() => read(`00 00 00 01 00 01 'a' 00`), KafkaFault);
  assert.throws(() => read('00 00 00 01 ff ff'), KafkaFault);
  assert.throws(() => read(`00 00 00 02 00 01 'a'`), KafkaFault);
  assert.throws(() => read(`ff ff ff fe`), KafkaFault);
  assert.throws(() => read(`7f ff ff ff 00 01 'a'`), KafkaFault);
});

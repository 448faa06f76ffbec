import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KafkaL7Rule } from '../../model/l7.ts';
import { FakeWire } from '../testing.ts';
import { Cursor, readMessage } from './codec.ts';
import type { Struct } from './codec.ts';
import { writeResponse } from './deny.ts';
import { heldBytes } from './held.ts';
import { kafka } from './kafka.ts';
import { messageOf } from './messages.ts';
import { list } from './request.ts';
import type { KafkaRules } from './rules.ts';
import { ordersRules, requestBytes } from './testing.ts';

function open(ingress: readonly KafkaL7Rule[] = ordersRules, egress?: readonly KafkaL7Rule[]): FakeWire<KafkaRules> {
  const compile = (rules: readonly KafkaL7Rule[]) => kafka.compile({ protocol: 'kafka', rules });
  const wire = new FakeWire<KafkaRules>({ ingress: compile(ingress), ...(egress && { egress: compile(egress) }) });
  wire.open(kafka.open(wire));
  return wire;
}

const produce = (topics: readonly string[], { version = 7, correlationId = 1, acks = -1, records = Buffer.from('records') } = {}): Buffer =>
  requestBytes(0, version, { acks, timeoutMs: 1000, topics: topics.map(name => ({ name, partitions: [{ index: 0, records }] })) }, { correlationId });

const response = (key: number, version: number, correlationId: number, body: Struct): Buffer => Buffer.from(writeResponse(messageOf(key)!, version, correlationId, body));

/** Responses that the client got, as correlation id and body. */
function answers(wire: FakeWire<KafkaRules>, kinds: readonly (readonly [key: number, version: number])[]): { readonly correlationId: number; readonly body: Struct }[] {
  const bytes = wire.sent('client');
  let at = 0;
  const found = kinds.map(([key, version]) => {
    const message = messageOf(key)!;
    const end = at + 4 + bytes.readInt32BE(at);
    const body = at + 8 + (version >= message.response.flexibleFrom && key !== 18 ? 1 : 0);
    const answer = { correlationId: bytes.readInt32BE(at + 4), body: readMessage(message.response, version, new Cursor(bytes, body, end)) };
    at = end;
    return answer;
  });
  assert.equal(at, bytes.length, 'no other bytes');
  return found;
}

test('what is allowed passes unchanged, what is not is answered with error 29, and the connection goes on', () => {
  const wire = open();
  const allowed = produce(['orders.processed'], { correlationId: 1 });
  wire.from('client', allowed).from('client', produce(['orders.created'], { correlationId: 2 }));
  assert.deepEqual(wire.sent('server'), allowed);
  assert.equal(wire.sent('client').length, 0, 'the refusal waits for the response before it');
  const ok = response(0, 7, 1, { topics: [{ name: 'orders.processed', partitions: [{ index: 0, baseOffset: 5n }] }] });
  wire.from('server', ok);
  const [first, second] = answers(wire, [[0, 7], [0, 7]]);
  assert.equal(first!.correlationId, 1);
  assert.equal(second!.correlationId, 2);
  assert.deepEqual(list(second!.body, 'topics')[0], { name: 'orders.created', partitions: [{ index: 0, errorCode: 29, baseOffset: -1n, logAppendTimeMs: -1n, logStartOffset: -1n }] });
  assert.equal(wire.closed, undefined);
  assert.ok(wire.session.idle);
  assert.deepEqual(wire.records.map(({ verdict, direction, rule, l7 }) => [verdict, direction, rule, l7.type, l7.kafka?.apiKey, l7.kafka?.topic, l7.kafka?.errorCode]), [
    ['FORWARDED', 'INGRESS', 12, 'REQUEST', 'produce', 'orders.processed', undefined],
    ['DROPPED', 'INGRESS', 0, 'REQUEST', 'produce', 'orders.created', 29],
    ['FORWARDED', 'INGRESS', 12, 'RESPONSE', 'produce', 'orders.processed', 0],
  ]);
});

test('a topic beside an allowed one refuses the whole request', () => {
  const wire = open().from('client', produce(['orders.processed', 'orders.created']));
  assert.equal(wire.sent('server').length, 0);
  const topics = list(answers(wire, [[0, 7]])[0]!.body, 'topics');
  assert.deepEqual(topics.map(topic => [topic['name'], list(topic, 'partitions')[0]!['errorCode']]), [['orders.processed', 29], ['orders.created', 29]]);
});

test('a Produce without acknowledgement has no answer, refused or not', () => {
  const wire = open().from('client', produce(['orders.created'], { acks: 0 })).from('client', produce(['orders.processed'], { acks: 0 }));
  assert.equal(wire.sent('client').length, 0);
  assert.ok(wire.session.idle);
  const heartbeat = requestBytes(12, 3, { groupId: 'g', memberId: 'm' }, { correlationId: 9 });
  const answer = response(12, 3, 9, {});
  wire.from('client', heartbeat).from('server', answer);
  assert.deepEqual(wire.sent('client'), answer);
});

test('both ends must agree', () => {
  const wire = open([{ rule: 1 }], [{ rule: 2, topic: 'a' }]);
  wire.from('client', produce(['b']));
  assert.deepEqual(wire.records.map(record => [record.verdict, record.direction]), [['DROPPED', 'EGRESS']]);
  wire.from('client', produce(['a']));
  assert.deepEqual(wire.records.slice(1).map(record => [record.verdict, record.direction, record.rule]), [['FORWARDED', 'EGRESS', 2], ['FORWARDED', 'INGRESS', 1]]);
});

test('client ids, keys and versions are compared exactly', () => {
  const passes = (rule: Omit<KafkaL7Rule, 'rule'>) => open([{ rule: 1, ...rule }]).from('client', produce(['a'])).sent('server').length > 0;
  assert.equal(passes({ clientId: 'rdkafka' }), true);
  assert.equal(passes({ clientId: 'rdkafka2' }), false);
  assert.equal(passes({ apiKeys: [0] }), true);
  assert.equal(passes({ apiKeys: [1] }), false);
  assert.equal(passes({ apiVersion: 7 }), true);
  assert.equal(passes({ apiVersion: 8 }), false);
  assert.equal(open([]).from('client', produce(['a'])).sent('server').length, 0, 'no rules: nothing');
});

test('clients are told of versions with names only, and of no key that cannot be read', () => {
  const wire = open().from('client', requestBytes(18, 3, { clientSoftwareName: 'x', clientSoftwareVersion: '1' }, { correlationId: 4 }));
  const range = (apiKey: number, minVersion: number, maxVersion: number) => ({ apiKey, minVersion, maxVersion });
  wire.from('server', response(18, 3, 4, { apiKeys: [range(0, 0, 13), range(1, 4, 17), range(3, 0, 13), range(17, 0, 1), range(18, 0, 4), range(68, 0, 1), range(75, 0, 0)] }));
  assert.deepEqual(list(answers(wire, [[18, 3]])[0]!.body, 'apiKeys'), [range(0, 0, 12), range(1, 4, 12), range(3, 0, 9), range(17, 1, 1), range(18, 0, 4)]);
});

test('a client that uses topic ids all the same is refused in its own version', () => {
  const id = '0123456789abcdef';
  const wire = open().from('client', requestBytes(1, 13, { sessionEpoch: -1, topics: [{ topicId: id, partitions: [{ index: 3 }] }] }));
  assert.equal(wire.sent('server').length, 0);
  assert.deepEqual(list(answers(wire, [[1, 13]])[0]!.body, 'topics').map(topic => [topic['topicId'], list(topic, 'partitions')[0]!['errorCode']]), [[id, 29]]);
});

test('a newer ApiVersions is answered as KIP-511 says', () => {
  const wire = open();
  const bytes = requestBytes(18, 4, { clientSoftwareName: 'x', clientSoftwareVersion: '1' });
  bytes.writeInt16BE(9, 6);
  wire.from('client', bytes);
  assert.deepEqual(answers(wire, [[18, 0]])[0]!.body, { errorCode: 35, apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }] });
});

test('unknown keys pass by key alone where no rule asks for topics, else the connection ends', () => {
  const unknown = requestBytes(12, 3, { groupId: 'g', memberId: 'm' });
  unknown.writeInt16BE(999, 4);
  assert.equal(open([{ rule: 1 }]).from('client', unknown).sent('server').length, unknown.length);
  const refused = open().from('client', unknown);
  assert.equal(refused.sent('server').length, 0);
  assert.equal(refused.closed, 'written');
});

const metadataOf = (names: readonly string[]) => ({ brokers: [{ nodeId: 1, host: 'b', port: 9092 }], topics: names.map(name => ({ name, partitions: [{ index: 0 }] })) });

test('Metadata for all topics tells of the allowed ones, in every version', () => {
  for (let version = 0; version <= 9; version++) {
    const wire = open().from('client', requestBytes(3, version, { topics: version === 0 ? [] : null }));
    assert.ok(wire.sent('server').length > 0);
    wire.from('server', response(3, version, 7, metadataOf(['secrets', 'orders.created', '__consumer_offsets', 'orders.processed'])));
    const { body } = answers(wire, [[3, version]])[0]!;
    assert.deepEqual(list(body, 'topics').map(topic => topic['name']), ['orders.created', 'orders.processed']);
    assert.equal(list(body, 'brokers').length, 1);
  }
});

test('Metadata for allowed and other topics: the server never sees the others, the client has an error for them', () => {
  const wire = open().from('client', requestBytes(3, 4, { topics: [{ name: 'secrets' }, { name: 'orders.created' }], allowAutoTopicCreation: true }));
  assert.deepEqual(wire.sent('server'), requestBytes(3, 4, { topics: [{ name: 'orders.created' }], allowAutoTopicCreation: true }));
  wire.from('server', response(3, 4, 7, metadataOf(['orders.created'])));
  assert.deepEqual(list(answers(wire, [[3, 4]])[0]!.body, 'topics').map(topic => [topic['name'], topic['errorCode']]), [['orders.created', 0], ['secrets', 29]]);
  assert.deepEqual(wire.records.slice(0, 2).map(record => [record.verdict, record.l7.kafka?.topic]), [['DROPPED', 'secrets'], ['FORWARDED', 'orders.created']]);
});

test('OffsetFetch of all topics tells of the allowed ones', () => {
  const offsets = ['secrets', 'orders.created'].map(name => ({ name, partitions: [{ index: 0, committedOffset: 4n }] }));
  const wire = open().from('client', requestBytes(9, 8, { groups: [{ groupId: 'g', topics: null }] }));
  wire.from('server', response(9, 8, 7, { groups: [{ groupId: 'g', topics: offsets }] }));
  assert.deepEqual(list(list(answers(wire, [[9, 8]])[0]!.body, 'groups')[0]!, 'topics').map(topic => topic['name']), ['orders.created']);
});

test('a Fetch gets no session, and one that has a session must begin anew', () => {
  const fetch = (sessionId: number, sessionEpoch: number) => requestBytes(1, 11, { replicaId: -1, sessionId, sessionEpoch, topics: [{ name: 'orders.created', partitions: [{ index: 0 }] }] });
  const wire = open().from('client', fetch(0, 0));
  assert.deepEqual(wire.sent('server'), fetch(0, -1));
  wire.from('server', response(1, 11, 7, {}));
  wire.take('client');
  wire.from('client', fetch(77, 3));
  assert.equal(answers(wire, [[1, 11]])[0]!.body['errorCode'], 70);
  const all = open([{ rule: 1 }]).from('client', fetch(77, 3));
  assert.deepEqual(all.sent('server'), fetch(77, 3), 'where all topics are allowed sessions are too');
});

test('a long Produce of one topic passes from its beginning on without being kept; the answers stay in order', () => {
  const wire = open();
  const long = produce(['orders.processed'], { correlationId: 1, records: Buffer.alloc(3_000_000, 'x'), version: 9 });
  wire.from('client', Buffer.concat([long, produce(['orders.created'], { correlationId: 2 })]), 65_536);
  assert.deepEqual(wire.sent('server'), long);
  assert.ok(wire.acts.some(act => act.act === 'pass' && act.bytes > 2_900_000));
  wire.from('server', response(0, 9, 1, {}));
  assert.deepEqual(answers(wire, [[0, 9], [0, 7]]).map(answer => answer.correlationId), [1, 2]);
});

test('a long response passes unread, and a refusal comes after its last byte', () => {
  const wire = open();
  wire.from('client', requestBytes(1, 4, { replicaId: -1, topics: [{ name: 'orders.created', partitions: [{ index: 0 }] }] }, { correlationId: 1 }));
  wire.from('client', produce(['orders.created'], { correlationId: 2 }));
  const long = response(1, 4, 1, { topics: [{ name: 'orders.created', partitions: [{ index: 0, records: Buffer.alloc(1_000_000, 'y') }] }] });
  wire.from('server', long.subarray(0, -1), 65_536);
  assert.ok(wire.acts.some(act => act.act === 'pass'));
  assert.deepEqual(wire.sent('client'), long.subarray(0, -1));
  wire.from('server', long.subarray(-1));
  assert.deepEqual(wire.sent('client').subarray(0, long.length), long);
  assert.equal(wire.sent('client').readInt32BE(long.length + 4), 2);
});

test('long requests that must be seen whole are kept up to a bound, those beyond it end the connection', () => {
  const records = Buffer.alloc(2_000_000, 'x');
  const two = open().from('client', produce(['orders.processed', 'orders.created'], { records }), 65_536);
  assert.equal(two.sent('server').length, 0);
  assert.equal(answers(two, [[0, 7]])[0]!.correlationId, 7 - 6);
  assert.equal(heldBytes(), 0);
  const beyond = open().from('client', produce(['orders.processed', 'orders.created'], { records: Buffer.alloc(9_000_000, 'x') }), 65_536);
  assert.equal(beyond.closed, 'written');
  assert.equal(beyond.sent('server').length, 0);
  beyond.session.closed();
  assert.equal(heldBytes(), 0);
});

test('what is no request, and a response that nobody asked for, end the connection', () => {
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x00\x00\x00\x02ab', '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03']) {
    const wire = open().from('client', bytes);
    assert.equal(wire.closed, 'written');
    assert.equal(wire.sent('server').length, 0);
    assert.equal(wire.records[0]?.verdict, 'ERROR');
  }
  assert.equal(open().from('server', response(0, 7, 1, {})).closed, 'written');
});

test('SaslHandshake 0, after which bytes come without requests around them, is refused', () => {
  const wire = open().from('client', requestBytes(17, 0, { mechanism: 'PLAIN' }));
  assert.equal(wire.sent('server').length, 0);
  assert.deepEqual(answers(wire, [[17, 0]])[0]!.body, { errorCode: 35, mechanisms: [] });
});

test('where policy asks for nothing any more all passes, and answers are still in order', () => {
  const wire = open();
  wire.current = {};
  const bytes = produce(['anything']);
  wire.from('client', bytes).from('server', response(0, 7, 1, {}));
  assert.deepEqual(wire.sent('server'), bytes);
  assert.ok(wire.session.idle);
  assert.equal(wire.records.length, 0);
});

test('a client with a thousand requests in flight is not read until some are answered', () => {
  const wire = open();
  const heartbeat = (correlationId: number) => requestBytes(12, 0, { groupId: 'g', memberId: 'm' }, { correlationId });
  wire.from('client', Buffer.concat(Array.from({ length: 1024 }, (_, i) => heartbeat(i))));
  assert.equal(wire.paused.client, true);
  for (let i = 0; i < 600; i++) wire.from('server', response(12, 0, i, {}));
  assert.equal(wire.paused.client, false);
});

test('a session does the same wherever the bytes are cut', () => {
  const conversation = Buffer.concat([
    requestBytes(18, 3, { clientSoftwareName: 'x', clientSoftwareVersion: '1' }, { correlationId: 1 }),
    requestBytes(3, 9, { topics: [{ name: 'orders.created' }, { name: 'nothing' }] }, { correlationId: 2 }),
    produce(['orders.processed'], { correlationId: 3, version: 9, records: Buffer.alloc(70_000, 'x') }),
    produce(['orders.created'], { correlationId: 4 }),
    produce(['orders.processed', 'orders.created'], { correlationId: 5, records: Buffer.alloc(33_000, 'x') }),
  ]);
  const whole = open().from('client', conversation);
  for (const size of [1, 7, 64, 1000, 65_536, 66_000]) {
    const wire = open().from('client', conversation, size);
    assert.deepEqual(wire.sent('server'), whole.sent('server'), `pieces of ${size}`);
    assert.equal(heldBytes(), 0);
    const responses = Buffer.concat([response(18, 3, 1, { apiKeys: [{ apiKey: 0, minVersion: 0, maxVersion: 13 }] }), response(3, 9, 2, metadataOf(['orders.created'])), response(0, 9, 3, {})]);
    wire.from('server', responses, size);
    assert.deepEqual(answers(wire, [[18, 3], [3, 9], [0, 9], [0, 7], [0, 7]]).map(answer => answer.correlationId), [1, 2, 3, 4, 5]);
    assert.ok(wire.session.idle);
  }
});

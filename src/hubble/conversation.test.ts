/**
 * A conversation byte by byte: HTTP/2 frames written and read by hand (RFC 9113), gRPC's prefix, and protobuf worked out from
 * the field numbers of flow.proto, observer.proto and health.proto. Nothing of our own encoders is asked what is right.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventRecord } from '../flows/testing.ts';
import { startHubbleServer } from './server.ts';
import { testParts } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-conversation-'));
const socketPath = join(folder, 'hubble.sock');
const wallNs = 1_764_339_000_123_456_789n;
const parts = testParts({
  podByAddr: ip => (ip === '10.244.1.5' ? { namespace: 'payments', name: 'web-1' } : undefined),
  identityLabels: identity => (identity === 1234 ? ['k8s:app=web'] : undefined),
}, { monotonicNs: 5_000_000_000n, wallNs });
const server = await startHubbleServer(
  { nodeName: 'n1', clusterName: 'default', version: '1.2.3', startedAtMs: Number(wallNs / 1_000_000n) - 1000, socketPath, tcp: { host: '127.0.0.1', port: 0 }, certificates: undefined },
  parts,
);
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const ascii = (text: string) => Buffer.from(text, 'latin1');
/** A tag, the length of what follows in one byte or two, and what follows. */
const sized = (tag: string, ...inner: readonly Buffer[]) => {
  const body = Buffer.concat(inner);
  const length = body.length < 0x80 ? Buffer.from([body.length]) : Buffer.from([(body.length & 0x7f) | 0x80, body.length >> 7]);
  return Buffer.concat([hex(tag), length, body]);
};

const frame = (type: number, flags: number, stream: number, payload: Buffer) =>
  Buffer.concat([Buffer.from([payload.length >> 16, payload.length >> 8, payload.length, type, flags, 0, 0, 0, stream]), payload]);
/** HPACK: each header a literal with a new name, neither indexed nor compressed (RFC 7541, section 6.2.2). */
const headers = (entries: Readonly<Record<string, string>>) =>
  Buffer.concat(Object.entries(entries).map(([name, value]) => Buffer.concat([Buffer.from([0, name.length]), ascii(name), Buffer.from([value.length]), ascii(value)])));

/** Asks on a connection of its own and returns the bytes of all DATA frames, when the server has ended the stream with trailers. */
function converse(path: string, message: Buffer): Promise<Buffer> {
  const data: Buffer[] = [];
  let pending = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the server closed the connection')));
    socket.write(Buffer.concat([
      ascii('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0)),
      frame(1, 4, 1, headers({ ':method': 'POST', ':scheme': 'http', ':path': path, ':authority': 'localhost', 'content-type': 'application/grpc', te: 'trailers' })),
      frame(0, 1, 1, Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message])),
    ]));
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
        const length = pending.readUIntBE(0, 3);
        const [type, flags, stream] = [pending[3]!, pending[4]!, pending.readUInt32BE(5)];
        if (type === 0 && stream === 1) data.push(pending.subarray(9, 9 + length));
        if (type === 1 && stream === 1 && (flags & 1) !== 0) {
          socket.removeAllListeners('close');
          socket.destroy();
          resolve(Buffer.concat(data));
        }
        pending = pending.subarray(9 + length);
      }
    });
  });
}

const framed = (message: Buffer) => Buffer.concat([Buffer.from([0, 0, 0, message.length >> 8, message.length]), message]);
const same = (found: Buffer, expected: Buffer) => assert.equal(found.toString('hex'), expected.toString('hex'));

test('Health.Check of observer.Observer', async () => {
  // HealthCheckRequest.service = 1; HealthCheckResponse.status = 1, SERVING = 1.
  same(await converse('/grpc.health.v1.Health/Check', sized('0a', ascii('observer.Observer'))), hex('00 00000002 08 01'));
});

// 1,764,339,000 s, and 123,456,789 ns less the nanosecond by which the record is older than the clock.
const time = hex('08 b8 da a6 c9 06 10 94 9a ef 3a');

function flowBytes(sequence: string): Buffer {
  return Buffer.concat([
    sized('0a', time), // time = 1
    hex('10 01'), // verdict = 2: FORWARDED
    sized('2a', sized('0a', ascii('10.244.1.5')), sized('12', ascii('10.244.2.9')), hex('18 01')), // IP = 5: source 1, destination 2, ipVersion 3: IPv4
    sized('32', sized('0a', hex('08 a8 c0 02'), hex('10 90 3f'), sized('1a', hex('10 01')))), // l4 = 6: TCP 1: ports 41000 and 8080, flags 3: SYN 2
    sized('42', hex('10 d2 09'), sized('1a', ascii('payments')), sized('22', ascii('k8s:app=web')), sized('2a', ascii('web-1'))), // source = 8: identity 2: 1234, namespace 3, labels 4, pod_name 5
    sized('4a', hex('10 ae 2c')), // destination = 9: identity 2: 5678
    hex('50 01'), // Type = 10: L3_L4
    sized('5a', ascii('n1')), // node_name = 11
    sized('9a 01', hex('08 04')), // event_type = 19: type 1: 4 (trace); sub_type 0 is to-endpoint
    hex('b0 01 01'), // traffic_direction = 22: INGRESS
    hex('c0 01 65'), // trace_observation_point = 24: TO_ENDPOINT, 101
    sized('d2 01'), // is_reply = 26: BoolValue, false
    sized('92 02', ascii(`n1-${(wallNs - 1n).toString(36)}-${sequence}`)), // uuid = 34
    hex('a0 02 01'), // trace_reason = 36: NEW
    sized('82 ea 30', ascii('TCP Flags: SYN')), // Summary = 100000
  ]);
}

const responseBytes = (flow: Buffer) => Buffer.concat([
  sized('0a', flow), // flow = 1
  sized('c2 3e', ascii('n1')), // node_name = 1000
  sized('ca 3e', time), // time = 1001
]);

test('GetFlows of one flow, and of it through a mask', async () => {
  parts.flows.push(eventRecord({ type: 4, timeNs: 4_999_999_999n, ctState: 0, verdict: 0, match: 0 }));
  // GetFlowsRequest: number = 1: 1.
  same(await converse('/observer.Observer/GetFlows', hex('08 01')), framed(responseBytes(flowBytes('0'))));
  // A whitelist (6) of a filter with source_port (13) "41000", and a blacklist (5) with verdict (5) DROPPED, packed.
  const filters = Buffer.concat([sized('2a', sized('2a', hex('02'))), sized('32', sized('6a', ascii('41000')))]);
  same(await converse('/observer.Observer/GetFlows', filters), framed(responseBytes(flowBytes('0'))));
  // One that lets nothing through: no message, only trailers.
  same(await converse('/observer.Observer/GetFlows', sized('32', sized('6a', ascii('41001')))), Buffer.alloc(0));
  // field_mask = 10: paths 1: verdict and source.pod_name.
  const masked = Buffer.concat([hex('10 01'), sized('42', sized('2a', ascii('web-1')))]);
  same(await converse('/observer.Observer/GetFlows', sized('52', sized('0a', ascii('verdict')), sized('0a', ascii('source.pod_name')))), framed(responseBytes(masked)));
});

test('ServerStatus', async () => {
  const { capacity } = parts.pipeline.stats;
  const found = await converse('/observer.Observer/ServerStatus', Buffer.alloc(0));
  assert.equal(found.readUIntBE(1, 4), found.length - 5);
  const counts = Buffer.concat([
    hex('08 01'), // num_flows = 1
    hex('10'), Buffer.from([(capacity & 0x7f) | 0x80, capacity >> 7]), // max_flows = 2
    hex('18 01'), // seen_flows = 3
  ]);
  same(found.subarray(5, 5 + counts.length), counts);
  // uptime_ns = 4: five bytes of seven bits each, the lowest first. A second and 456,789 ns, as exact as a double is.
  const uptime = found.subarray(5 + counts.length, 11 + counts.length);
  assert.equal(uptime[0], 0x20);
  const ns = uptime.subarray(1).reduce((sum, byte, i) => sum + (byte & 0x7f) * 2 ** (7 * i), 0);
  assert.ok(Math.abs(ns - 1_000_456_789) < 1000, String(ns));
  same(found.subarray(11 + counts.length), sized('42', ascii('1.2.3'))); // version = 8; flows_rate = 9 is 0
});

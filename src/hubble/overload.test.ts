import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as http2Connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { eventRecord } from '../flows/testing.ts';
import { RpcClient } from '../rpc/client.ts';
import { MessageParser } from '../rpc/frames.ts';
import { RpcError, RpcStatus, type Call } from '../rpc/types.ts';
import { waitFor } from '../std/async.ts';
import { EncodedHistory, heldHistoryBytes } from './encoded-history.ts';
import { GetFlowsResponseSchema } from './generated/observer_pb.js';
import { heldBytes } from './outbox.ts';
import { startHubbleServer } from './server.ts';
import { testParts } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-overload-'));
const socketPath = join(folder, 'hubble.sock');
const parts = testParts();
const server = await startHubbleServer({ nodeName: 'n1', clusterName: 'default', version: '1', startedAtMs: Date.now(), socketPath, tcp: { host: '127.0.0.1', port: 0 }, certificates: undefined }, parts);
const sessions: ClientHttp2Session[] = [];
after(async () => {
  sessions.forEach(session => session.destroy());
  await server.close();
  rmSync(folder, { recursive: true });
});

const follow = Buffer.from([0, 0, 0, 0, 2, 0x18, 1]);

/** Statuses of those that were turned away at once. */
const refused: string[] = [];

/** A client that asks and does not read, until it is told to. */
async function deafClient(request = follow): Promise<ClientHttp2Stream> {
  const session = http2Connect('http://localhost', { createConnection: () => connect(socketPath) });
  session.on('error', () => {});
  sessions.push(session);
  const stream = session.request({ ':method': 'POST', ':path': '/observer.Observer/GetFlows', 'content-type': 'application/grpc', te: 'trailers' });
  stream.on('error', () => {});
  stream.end(request);
  await new Promise<void>(resolve => stream.once('response', headers => {
    if (headers['grpc-status'] !== undefined) refused.push(`${String(headers['grpc-status'])} ${String(headers['grpc-message'])}`);
    resolve();
  }));
  stream.pause();
  return stream;
}

let pushed = 0;

async function pushFlows(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1000) {
    const timeNs = process.hrtime.bigint();
    parts.flows.push(...Array.from({ length: 1000 }, (_, i) => eventRecord({ type: 4, timeNs, sourcePort: i + 1 })));
    parts.pipeline.drain();
    pushed += 1000;
    await new Promise(resolve => setImmediate(resolve));
  }
}

test('a client that does not read costs a bounded queue; what it lost is told to a flow when it reads again', async () => {
  const stream = await deafClient();
  pushed = 0;
  await pushFlows(60_000);
  assert.ok(heldBytes() > 1_000_000 && heldBytes() <= 2 * 1024 * 1024, `${heldBytes()} bytes are held`);
  const parser = new MessageParser(1 << 20, undefined);
  const seen = { flows: 0, lost: 0, tells: 0 };
  let last = '';
  stream.on('data', (chunk: Buffer) => {
    for (const message of parser.push(chunk)) {
      const { responseTypes } = fromBinary(GetFlowsResponseSchema, message);
      if (responseTypes.case === 'flow') seen.flows++;
      if (responseTypes.case === 'lostEvents') {
        seen.lost += Number(responseTypes.value.numEventsLost);
        seen.tells++;
        assert.ok(responseTypes.value.first && responseTypes.value.last && responseTypes.value.source === 3);
      }
      last = responseTypes.case ?? '';
    }
  });
  stream.resume();
  await waitFor('every flow to be told or counted', () => seen.flows + seen.lost === pushed);
  assert.ok(seen.lost > 10_000 && seen.tells === 1, JSON.stringify(seen));
  await pushFlows(1000);
  await waitFor('new flows to come again', () => seen.flows + seen.lost === pushed);
  assert.equal(last, 'flow');
  assert.equal(heldBytes(), 0);
  stream.close();
});

test('as many of them as there may be hold no more than the process allows; the next is refused', async () => {
  const streams = await Promise.all(Array.from({ length: 64 }, () => deafClient()));
  const client = new RpcClient({ socketPath });
  try {
    const next = client.stream('/observer.Observer/GetFlows', follow.subarray(5));
    await assert.rejects(next.next(), error => error instanceof RpcError && error.code === RpcStatus.resourceExhausted && /64 clients follow/.test(error.message));
    await pushFlows(8_000);
    assert.ok(heldBytes() > 16 * 1024 * 1024 && heldBytes() <= 32 * 1024 * 1024, `${heldBytes()} bytes are held`);
    assert.equal((await client.unary('/observer.Observer/ServerStatus', new Uint8Array(0))).length > 5, true, 'others are served');
    for (const stream of streams) stream.close();
    for (const session of sessions) session.destroy();
    await waitFor('what was held to be free again', () => heldBytes() === 0);
  } finally {
    client.close();
  }
});

test('answers from the history are bounded over all clients, and given up when nobody takes them', async () => {
  await pushFlows(6_000);
  const everything = Buffer.from([0, 0, 0, 0, 0]);
  const streams: ClientHttp2Stream[] = [];
  while (refused.length < 3 && streams.length < 250) streams.push(await deafClient(everything));
  await waitFor('them to be asked for', () => heldHistoryBytes() > 32 * 1024 * 1024);
  assert.ok(heldHistoryBytes() <= 64 * 1024 * 1024, `${heldHistoryBytes()} bytes are held`);
  const client = new RpcClient({ socketPath });
  try {
    assert.ok(refused.length === 3 && refused.every(status => /^8 too many clients are reading the history/.test(status)), `${refused.length} refused: ${refused[0]}; ${heldHistoryBytes()} held`);
    let last = 0;
    for await (const _ of client.stream('/observer.Observer/GetFlows', Buffer.from([8, 20]))) last++;
    assert.equal(last, 20, 'a small question still is answered');
    for (const session of sessions) session.destroy();
    await waitFor('what was held to be free again', () => heldHistoryBytes() === 0);
  } finally {
    client.close();
  }
  const history = new EncodedHistory({ patienceMs: 20 });
  history.push(new Uint8Array(100));
  const never = { signal: new AbortController().signal, writeFramed: () => new Promise<void>(() => {}) } as unknown as Call;
  await assert.rejects(history.send(never), error => error instanceof RpcError && error.code === RpcStatus.resourceExhausted && /took nothing for 0.02 seconds/.test(error.message));
  history.close();
  assert.equal(heldHistoryBytes(), 0);
});

test('no bytes that a client sends are the server’s failure', async () => {
  const client = new RpcClient({ socketPath });
  const paths = ['observer.Observer/GetFlows', 'observer.Observer/GetAgentEvents', 'observer.Observer/ServerStatus', 'observer.Observer/GetNodes', 'grpc.health.v1.Health/Check', 'grpc.reflection.v1.ServerReflection/ServerReflectionInfo'];
  // Bytes at random hardly ever are a message: half of them are fields of the right form with what nobody expects.
  const field = fc.tuple(fc.constantFrom(1, 5, 6, 7, 8, 10, 999, 150_000), fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.constant(Uint8Array.from([8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]))))
    .map(([number, value]) => Buffer.concat([varint(number * 8 + 2), varint(value.length), value]));
  try {
    await fc.assert(fc.asyncProperty(fc.constantFrom(...paths), fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.array(field, { maxLength: 3 }).map(fields => Uint8Array.from(Buffer.concat(fields)))), async (path, bytes) => {
      try {
        for await (const _ of client.stream(`/${path}`, bytes, { timeoutMs: 300 })) break;
      } catch (error) {
        assert.ok(error instanceof RpcError);
        assert.ok([RpcStatus.invalidArgument, RpcStatus.internal, RpcStatus.notFound, RpcStatus.deadlineExceeded, RpcStatus.resourceExhausted].includes(error.code as 3), `${path} ${Buffer.from(bytes).toString('hex')}: ${error.code} ${error.message}`);
      }
    }), { numRuns: 300 });
  } finally {
    client.close();
  }
});

const varint = (value: number): Buffer => (value < 128 ? Buffer.from([value]) : Buffer.concat([Buffer.from([(value & 127) | 128]), varint(value >>> 7)]));

test('a message that announces four gigabytes is refused before any of it is kept', async () => {
  const session = http2Connect('http://localhost', { createConnection: () => connect(socketPath) });
  sessions.push(session);
  session.on('error', () => {});
  const stream = session.request({ ':method': 'POST', ':path': '/observer.Observer/GetFlows', 'content-type': 'application/grpc' });
  stream.on('error', () => {});
  stream.resume();
  const status = new Promise<string>(resolve => {
    stream.on('response', headers => headers['grpc-status'] !== undefined && resolve(String(headers['grpc-status'])));
    stream.on('trailers', headers => resolve(String(headers['grpc-status'])));
  });
  const before = process.memoryUsage().arrayBuffers;
  stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
  assert.equal(await status, String(RpcStatus.resourceExhausted));
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024);
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect as http2Connect, type ClientHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import fc from 'fast-check';
import { silentLogger } from '../std/log.ts';
import { waitFor } from '../std/async.ts';
import { RpcClient } from './client.ts';
import { decodeMessage, encodeMessage, formatTimeout, frameMessages, MessageParser, parseTimeout } from './frames.ts';
import { startRpcServer, type RpcLimits, type RpcServer } from './server.ts';
import { RpcError, RpcStatus, type Call, type Method } from './types.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-rpc-'));
const cleanups: (() => unknown)[] = [];
after(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  rmSync(folder, { recursive: true });
});

let sockets = 0;
const bytes = (text: string) => Buffer.from(text);
const text = (message: Uint8Array | undefined) => Buffer.from(message ?? []).toString();

interface Seen { calls: Call[]; aborted: number }

function methodsOf(seen: Seen): Method[] {
  const noted = (kind: Method['kind'], name: string, handle: (call: Call) => Promise<void>): Method => ({
    kind, path: `/test.Test/${name}`, handle: call => {
      seen.calls.push(call);
      call.signal.addEventListener('abort', () => { seen.aborted++; });
      return handle(call);
    },
  });
  return [
    noted('unary', 'Echo', async call => { await call.write((await call.read())!); }),
    noted('unary', 'Fail', async call => { throw new RpcError(RpcStatus.notFound, `kein „${text(await call.read())}“, 100 %\n`); }),
    noted('unary', 'Crash', async () => { throw new Error('a plain error'); }),
    noted('server-stream', 'Count', async call => {
      const count = Number(text(await call.read()));
      for (let i = 0; i < count; i += 100) await call.write(...Array.from({ length: Math.min(100, count - i) }, (_, j) => bytes(String(i + j))));
    }),
    noted('server-stream', 'HalfWay', async call => {
      await call.write(bytes('one'));
      throw new RpcError(RpcStatus.resourceExhausted, 'no more');
    }),
    noted('server-stream', 'Never', async call => {
      await call.read();
      if (!call.signal.aborted) await new Promise<void>(resolve => call.signal.addEventListener('abort', () => resolve()));
    }),
    noted('server-stream', 'Flood', async call => {
      const chunk = Buffer.alloc(64 * 1024);
      while (!call.signal.aborted) await call.write(chunk);
    }),
    noted('bidi', 'Chat', async call => {
      for (let message = await call.read(); message; message = await call.read()) await call.write(bytes(`<${text(message)}>`));
    }),
  ];
}

async function startServer(limits: Partial<RpcLimits> = {}, tcp = false): Promise<{ server: RpcServer; target: { socketPath: string }; seen: Seen }> {
  const seen: Seen = { calls: [], aborted: 0 };
  const target = { socketPath: join(folder, `${++sockets}.sock`) };
  const server = await startRpcServer({ listen: tcp ? { host: '127.0.0.1', port: 0 } : target, methods: methodsOf(seen), headers: { 'hubble-server-version': 'test' }, limits }, { log: silentLogger });
  cleanups.push(() => server.close());
  return { server, target, seen };
}

function newClient(target: { socketPath: string }): RpcClient {
  const client = new RpcClient(target);
  cleanups.push(() => client.close());
  return client;
}

const raw = { requestSerialize: (value: Buffer) => value, requestDeserialize: (value: Buffer) => value, responseSerialize: (value: Buffer) => value, responseDeserialize: (value: Buffer) => value };

function grpcClient(address: string): grpc.Client {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  cleanups.push(() => client.close());
  return client;
}

const rejectsWith = (code: number, message?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RpcError, String(error));
  assert.equal(error.code, code, error.message);
  if (message) assert.match(error.message, message);
  return true;
};

test('our client and our server: unary, streams in batches, both ways, headers', async () => {
  const { target } = await startServer();
  assert.equal(statSync(target.socketPath).mode & 0o777, 0o600);
  const client = newClient(target);
  assert.equal(text(await client.unary('/test.Test/Echo', bytes('hello'))), 'hello');
  assert.equal(client.headers.get('hubble-server-version'), 'test');
  assert.equal((await client.unary('/test.Test/Echo', Buffer.alloc(3_000_000, 7))).length, 3_000_000);
  let next = 0;
  for await (const message of client.stream('/test.Test/Count', bytes('25000'))) assert.equal(text(message), String(next++));
  assert.equal(next, 25_000);
  const answers: string[] = [];
  for await (const message of client.stream('/test.Test/Chat', [bytes('a'), bytes(''), bytes('c')])) answers.push(text(message));
  assert.deepEqual(answers, ['<a>', '<>', '<c>']);
});

test('errors: before the first message, after it, of unknown methods, of plain exceptions', async () => {
  const { target } = await startServer();
  const client = newClient(target);
  await assert.rejects(client.unary('/test.Test/Fail', bytes('Schiff')), rejectsWith(RpcStatus.notFound, /^kein „Schiff“, 100 %\n$/));
  await assert.rejects(client.unary('/test.Test/Crash', bytes('')), rejectsWith(RpcStatus.unknown, /a plain error/));
  await assert.rejects(client.unary('/test.Test/Nothing', bytes('')), rejectsWith(RpcStatus.unimplemented, /^unknown method Nothing for service test.Test$/));
  await assert.rejects(client.unary('/other.Test/Nothing', bytes('')), rejectsWith(RpcStatus.unimplemented, /^unknown service other.Test$/));
  const seen: string[] = [];
  await assert.rejects(async () => { for await (const message of client.stream('/test.Test/HalfWay', bytes(''))) seen.push(text(message)); }, rejectsWith(RpcStatus.resourceExhausted, /no more/));
  assert.deepEqual(seen, ['one']);
  await assert.rejects(new RpcClient({ socketPath: join(folder, 'nobody.sock') }).unary('/test.Test/Echo', bytes('')), rejectsWith(RpcStatus.unavailable, /ENOENT/));
});

test('deadlines hold on both sides, and leaving cancels', async () => {
  const { target, seen } = await startServer();
  const client = newClient(target);
  // A call that ends before its connection is there never reaches the server.
  await client.unary('/test.Test/Echo', bytes('connected'));
  await assert.rejects(client.unary('/test.Test/Never', bytes(''), { timeoutMs: 200 }), rejectsWith(RpcStatus.deadlineExceeded));
  await waitFor('the server to see the deadline', () => seen.aborted === 2);
  const abort = new AbortController();
  const ended = assert.rejects(client.unary('/test.Test/Never', bytes(''), { signal: abort.signal }), rejectsWith(RpcStatus.cancelled));
  await waitFor('the call to arrive', () => seen.calls.length === 3);
  abort.abort();
  await ended;
  await waitFor('the server to see the cancellation', () => seen.aborted === 3);
  for await (const _ of client.stream('/test.Test/Flood', bytes(''))) break;
  await waitFor('the server to see that the reader left', () => seen.aborted === 4);
});

test('a server that stops ends calls with UNAVAILABLE, and the client connects again', async () => {
  const { target, server, seen } = await startServer();
  const client = newClient(target);
  const ended = assert.rejects(client.unary('/test.Test/Never', bytes('')), rejectsWith(RpcStatus.unavailable, /stopping/));
  await waitFor('the call to arrive', () => seen.calls.length === 1);
  await server.close();
  await ended;
  const again = await startRpcServer({ listen: target, methods: methodsOf({ calls: [], aborted: 0 }) }, { log: silentLogger });
  cleanups.push(() => again.close());
  assert.equal(text(await client.unary('/test.Test/Echo', bytes('again'))), 'again');
});

test('grpc-js as the client of our server', async () => {
  const { target, seen } = await startServer();
  const client = grpcClient(`unix:${target.socketPath}`);
  const unary = (name: string, message: Buffer, options: grpc.CallOptions = {}) => new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest(`/test.Test/${name}`, raw.requestSerialize, raw.responseDeserialize, message, new grpc.Metadata(), options, (error, value) => (error ? reject(error) : resolve(value!)));
  });
  assert.equal(text(await unary('Echo', bytes('hello'))), 'hello');
  await assert.rejects(unary('Fail', bytes('Schiff')), { code: grpc.status.NOT_FOUND, details: 'kein „Schiff“, 100 %\n' });
  await assert.rejects(unary('Never', bytes(''), { deadline: Date.now() + 50 }), { code: grpc.status.DEADLINE_EXCEEDED });
  await assert.rejects(unary('Nothing', bytes('')), { code: grpc.status.UNIMPLEMENTED });
  const counted = client.makeServerStreamRequest('/test.Test/Count', raw.requestSerialize, raw.responseDeserialize, bytes('3000'));
  let next = 0;
  for await (const message of counted as AsyncIterable<Buffer>) assert.equal(text(message), String(next++));
  assert.equal(next, 3000);
  const chat = client.makeBidiStreamRequest('/test.Test/Chat', raw.requestSerialize, raw.responseDeserialize);
  chat.write(bytes('a'));
  assert.equal(text((await once(chat, 'data'))[0] as Buffer), '<a>');
  chat.write(bytes('b'));
  assert.equal(text((await once(chat, 'data'))[0] as Buffer), '<b>');
  chat.end();
  chat.resume();
  assert.equal(((await once(chat, 'status'))[0] as grpc.StatusObject).code, grpc.status.OK);
  const gone = client.makeServerStreamRequest('/test.Test/Never', raw.requestSerialize, raw.responseDeserialize, bytes(''));
  gone.on('error', () => {});
  assert.equal(((await once(gone, 'metadata'))[0] as grpc.Metadata).get('hubble-server-version')[0], 'test', 'headers come without a message');
  const before = seen.aborted;
  gone.cancel();
  await waitFor('the cancellation', () => seen.aborted > before);
});

test('compressed requests are answered with UNIMPLEMENTED and what is understood', async () => {
  const { target } = await startServer();
  const client = grpcClient(`unix:${target.socketPath}`);
  const compressed = new grpc.Client(`unix:${target.socketPath}`, grpc.credentials.createInsecure(), { 'grpc.default_compression_algorithm': 2 });
  cleanups.push(() => compressed.close());
  const error = await new Promise<grpc.ServiceError>(resolve => {
    compressed.makeUnaryRequest('/test.Test/Echo', raw.requestSerialize, raw.responseDeserialize, Buffer.alloc(5000, 'a'), caught => resolve(caught!));
  });
  assert.equal(error.code, grpc.status.UNIMPLEMENTED);
  assert.match(error.details, /gzip/);
  assert.ok(client);
});

test('grpc-js as the server of our client', async () => {
  const server = new grpc.Server();
  const definition = (path: string, requestStream: boolean, responseStream: boolean) => ({ path, requestStream, responseStream, ...raw });
  server.addService({ Echo: definition('/test.Test/Echo', false, false), Fail: definition('/test.Test/Fail', false, false), Count: definition('/test.Test/Count', false, true), Never: definition('/test.Test/Never', false, true) }, {
    Echo: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => done(null, Buffer.from(`${call.metadata.get('x-ask')[0]}:${text(call.request)}`)),
    Fail: (_: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => done({ code: grpc.status.FAILED_PRECONDITION, details: 'größer' }),
    Count: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      for (let i = 0; i < Number(text(call.request)); i++) call.write(bytes(String(i)));
      call.end();
    },
    Never: () => {},
  });
  const port = await new Promise<number>((resolve, reject) => server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))));
  cleanups.push(() => server.forceShutdown());
  const client = new RpcClient({ host: '127.0.0.1', port });
  cleanups.push(() => client.close());
  assert.equal(text(await client.unary('/test.Test/Echo', bytes('hello'), { metadata: { 'x-ask': 'me' } })), 'me:hello');
  await assert.rejects(client.unary('/test.Test/Fail', bytes('')), rejectsWith(RpcStatus.failedPrecondition, /^größer$/));
  await assert.rejects(client.unary('/test.Test/Never', bytes(''), { timeoutMs: 40 }), rejectsWith(RpcStatus.deadlineExceeded));
  let next = 0;
  for await (const message of client.stream('/test.Test/Count', bytes('5000'))) assert.equal(text(message), String(next++));
  assert.equal(next, 5000);
});

test('messages however they are cut', () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 70 })), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (messages, cuts) => {
    const parser = new MessageParser(70, undefined);
    const whole = frameMessages(messages);
    const found: Uint8Array[] = [];
    for (let at = 0, i = 0; at < whole.length; i++) {
      const chunk = Uint8Array.from(whole.subarray(at, at + cuts[i % cuts.length]!));
      found.push(...parser.push(chunk).map(message => Uint8Array.from(message)));
      at += chunk.length;
    }
    assert.deepEqual(found.map(m => [...m]), messages.map(m => [...m]));
    assert.ok(parser.isWhole);
  }));
});

test('status messages and timeouts', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), value => {
    const encoded = encodeMessage(value);
    assert.match(encoded, /^[\x20-\x7e]*$/);
    assert.equal(decodeMessage(encoded), value);
  }));
  assert.equal(decodeMessage('100% of %zz'), '100% of %zz');
  assert.deepEqual(['1H', '2M', '3S', '40m', '5000u', '99n'].map(parseTimeout), [3_600_000, 120_000, 3000, 40, 5, 1]);
  assert.equal(parseTimeout('99999999H'), 2 ** 31 - 1);
  for (const wrong of ['', '1', 'S', '123456789S', '-1S', '1s']) assert.throws(() => parseTimeout(wrong), rejectsWith(RpcStatus.internal));
  assert.equal(parseTimeout(formatTimeout(12_000)), 12_000);
  assert.equal(parseTimeout(formatTimeout(5e8)), 5e8);
});

test('a reader that does not read holds its stream up and nothing else', async () => {
  const { target, seen } = await startServer();
  const session = http2Connect('http://localhost', { createConnection: () => connect(target.socketPath) });
  cleanups.push(() => session.destroy());
  const stream = session.request({ ':method': 'POST', ':path': '/test.Test/Flood', 'content-type': 'application/grpc' });
  stream.on('error', () => {});
  stream.end(frameMessages([bytes('')]));
  stream.pause();
  await once(stream, 'response');
  const call = await waitFor('the call', () => seen.calls[0]);
  await waitFor('the queue to fill', () => call.pendingBytes > 0);
  const client = newClient(target);
  for (let i = 0; i < 20; i++) assert.equal(text(await client.unary('/test.Test/Echo', bytes(`${i}`))), `${i}`);
  assert.ok(call.pendingBytes <= 256 * 1024, `${call.pendingBytes} bytes wait`);
});

test('limits: message size, half-open streams, requests that never end', async () => {
  const { target, seen } = await startServer({ maxMessageBytes: 1000, maxStreamsPerConnection: 50, requestTimeoutMs: 100 });
  const client = newClient(target);
  await assert.rejects(client.unary('/test.Test/Echo', Buffer.alloc(1001)), rejectsWith(RpcStatus.resourceExhausted, /1001 vs. 1000/));
  const statuses = new Map<string, number>();
  /** Opens so many streams that never end their request; resolves when all are over. */
  const halfOpen = async (count: number, politely: boolean) => {
    const session = http2Connect('http://localhost', { createConnection: () => connect(target.socketPath) });
    session.on('error', () => {});
    cleanups.push(() => session.destroy());
    if (politely) await once(session, 'remoteSettings');
    let closed = 0;
    for (let i = 0; i < count; i++) {
      const stream: ClientHttp2Stream = session.request({ ':method': 'POST', ':path': '/test.Test/Echo', 'content-type': 'application/grpc' });
      stream.on('error', () => {});
      stream.on('response', headers => statuses.set(String(headers['grpc-status']), (statuses.get(String(headers['grpc-status'])) ?? 0) + 1));
      stream.on('close', () => closed++);
      stream.resume();
      stream.write(Buffer.from([0, 0, 0, 1]));
    }
    await waitFor('all half-open streams to be ended', () => closed === count || session.destroyed, { timeoutMs: 20_000 });
  };
  await halfOpen(150, true);
  assert.deepEqual([...statuses], [[String(RpcStatus.deadlineExceeded), 150]]);
  await halfOpen(1000, false);
  await waitFor('the calls to be over', () => seen.calls.every(call => call.signal.aborted));
  assert.ok(seen.calls.length < 1000, 'most of them were not even heard');
  assert.equal(text(await client.unary('/test.Test/Echo', bytes('still'))), 'still');
});

test('bytes that are no HTTP/2, and frames without order, end their connection only', async () => {
  const { server } = await startServer({ maxConnections: 20 }, true);
  assert.ok('port' in server.address);
  const { port } = server.address;
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
  const open = async (payload: Uint8Array): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    await once(socket, 'connect');
    socket.end(payload);
    return socket;
  };
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (junk, withPreface) => {
    const socket = await open(withPreface ? Buffer.concat([preface, junk]) : junk);
    if (!socket.closed) await once(socket, 'close');
  }), { numRuns: 40 });
  const client = new RpcClient(server.address);
  cleanups.push(() => client.close());
  assert.equal(text(await client.unary('/test.Test/Echo', bytes('alive'))), 'alive');
});

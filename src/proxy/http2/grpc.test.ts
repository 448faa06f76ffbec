import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { type ProxyRig, startProxyRig } from '../testing-rig.ts';

const bytes = { requestSerialize: (value: Buffer) => value, requestDeserialize: (value: Buffer) => value, responseSerialize: (value: Buffer) => value, responseDeserialize: (value: Buffer) => value };
const method = (service: string, name: string, requestStream: boolean, responseStream: boolean) => ({ path: `/${service}/${name}`, requestStream, responseStream, ...bytes });
const service = {
  unary: method('shop.Cart', 'Unary', false, false),
  serverStream: method('shop.Cart', 'ServerStream', false, true),
  clientStream: method('shop.Cart', 'ClientStream', true, false),
  bidi: method('shop.Cart', 'Bidi', true, true),
  deniedUnary: method('shop.Admin', 'Unary', false, false),
  deniedServerStream: method('shop.Admin', 'ServerStream', false, true),
  deniedClientStream: method('shop.Admin', 'ClientStream', true, false),
  deniedBidi: method('shop.Admin', 'Bidi', true, true),
  fails: method('shop.Cart', 'Fails', false, false),
};

type Unary = grpc.ServerUnaryCall<Buffer, Buffer>;
type Done = grpc.sendUnaryData<Buffer>;

let server: grpc.Server;
let proxy: ProxyRig;
let client: grpc.Client;
const called: string[] = [];

before(async () => {
  server = new grpc.Server();
  const unary = (call: Unary, done: Done) => {
    called.push(call.getPath());
    done(null, call.request);
  };
  const serverStream = (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
    called.push(call.getPath());
    for (let i = 0; i < 50; i++) call.write(Buffer.alloc(10_000, i));
    call.end();
  };
  const clientStream = (call: grpc.ServerReadableStream<Buffer, Buffer>, done: Done) => {
    called.push(call.getPath());
    let total = 0;
    call.on('data', (message: Buffer) => { total += message.length; });
    call.on('end', () => done(null, Buffer.from(String(total))));
  };
  const bidi = (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
    called.push(call.getPath());
    call.on('data', (message: Buffer) => call.write(message));
    call.on('end', () => call.end());
  };
  server.addService(service, {
    unary, serverStream, clientStream, bidi, deniedUnary: unary, deniedServerStream: serverStream, deniedClientStream: clientStream, deniedBidi: bidi,
    fails: (_: Unary, done: Done) => done({ code: grpc.status.NOT_FOUND, details: 'no such cart' }),
  });
  const port = await new Promise<number>((resolve, reject) => server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))));
  proxy = startProxyRig({ protocol: 'http', rules: [{ rule: 7, method: 'POST', path: '/shop[.]Cart/.*', headers: [] }] }, port);
  client = new grpc.Client(`127.0.0.1:${proxy.port}`, grpc.credentials.createInsecure());
});

after(async () => {
  client.close();
  server.forceShutdown();
  proxy[Symbol.dispose]();
});

interface Outcome {
  readonly code: number;
  readonly details: string;
  readonly messages: readonly Buffer[];
}

function call(name: keyof typeof service, messages: readonly Buffer[]): Promise<Outcome> {
  const { path, requestStream, responseStream, requestSerialize, responseDeserialize } = service[name];
  return new Promise(resolve => {
    const received: Buffer[] = [];
    const finish = ({ code, details }: grpc.StatusObject) => resolve({ code, details, messages: received });
    const one = (_: grpc.ServiceError | null, message?: Buffer) => { if (message) received.push(message); };
    if (responseStream) {
      const stream = requestStream ? client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize) : client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, messages[0]!);
      stream.on('data', (message: Buffer) => received.push(message));
      stream.on('error', () => undefined);
      stream.on('status', finish);
      if (stream instanceof Object && 'write' in stream) write(stream as grpc.ClientDuplexStream<Buffer, Buffer>, messages);
    } else if (requestStream) {
      const stream = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, one);
      stream.on('status', finish);
      stream.on('error', () => undefined);
      write(stream, messages);
    } else {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, messages[0]!, one).on('status', finish);
    }
  });
}

function write(stream: { write(message: Buffer): unknown; end(): unknown }, messages: readonly Buffer[]): void {
  for (const message of messages) stream.write(message);
  stream.end();
}

const small = [Buffer.from('one'), Buffer.from('two'), Buffer.from('three')];

test('the four kinds of calls pass where policy lets them', async () => {
  assert.deepEqual(await call('unary', small), { code: 0, details: 'OK', messages: [small[0]] });
  assert.equal((await call('serverStream', small)).messages.length, 50);
  assert.equal((await call('clientStream', [Buffer.alloc(300_000), Buffer.alloc(200_000)])).messages.toString(), '500000');
  assert.deepEqual((await call('bidi', small)).messages, small);
});

test('denied calls of the four kinds get PERMISSION_DENIED, and the server never hears of them', async () => {
  for (const name of ['deniedUnary', 'deniedServerStream', 'deniedClientStream', 'deniedBidi'] as const) {
    assert.deepEqual(await call(name, small), { code: grpc.status.PERMISSION_DENIED, details: 'Access denied', messages: [] }, name);
  }
  assert.deepEqual(called.filter(path => path.startsWith('/shop.Admin')), []);
});

test('allowed and denied calls at once on one channel, with much that is sent for nothing', async () => {
  const large = [Buffer.alloc(100_000, 1), Buffer.alloc(100_000, 2)];
  const names = ['unary', 'deniedUnary', 'bidi', 'deniedBidi', 'clientStream', 'deniedClientStream', 'serverStream', 'deniedServerStream'] as const;
  const outcomes = await Promise.all(Array.from({ length: 200 }, (_, i) => call(names[i % names.length]!, large)));
  outcomes.forEach(({ code, messages }, i) => {
    const name = names[i % names.length]!;
    assert.equal(code, name.startsWith('denied') ? 7 : 0, name);
    if (name === 'bidi') assert.deepEqual(messages, large);
    if (name === 'serverStream') assert.equal(messages.length, 50);
  });
});

test('the status of the server arrives as it was', async () => {
  assert.deepEqual(await call('fails', small), { code: grpc.status.NOT_FOUND, details: 'no such cart', messages: [] });
});

test('a cancelled call ends at the server, and its channel lives on', async () => {
  const { path, requestSerialize, responseDeserialize } = service.bidi;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  const status = new Promise<grpc.StatusObject>(resolve => stream.on('status', resolve));
  stream.on('error', () => undefined);
  stream.on('data', () => stream.cancel());
  stream.write(Buffer.from('x'));
  assert.equal((await status).code, grpc.status.CANCELLED);
  assert.equal((await call('unary', small)).code, 0);
});

test('requests and answers are told, with the code of HTTP', () => {
  const told = proxy.records.map(({ verdict, l7 }) => `${verdict} ${l7.type} ${l7.http!.method} ${new URL(l7.http!.url).pathname} ${l7.http!.protocol} ${l7.http!.code ?? ''}`.trim());
  assert.ok(told.includes('FORWARDED REQUEST POST /shop.Cart/Unary HTTP/2'));
  assert.ok(told.includes('FORWARDED RESPONSE POST /shop.Cart/Unary HTTP/2 200'));
  assert.ok(told.includes('DROPPED REQUEST POST /shop.Admin/Bidi HTTP/2'));
  assert.ok(told.includes('FORWARDED RESPONSE POST /shop.Admin/Bidi HTTP/2 403'));
});

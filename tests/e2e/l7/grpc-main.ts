/**
 * gRPC in pods, with the library that people use. `server PORT` serves shop.Cart and shop.Admin; `client ADDRESS:PORT` calls their
 * methods on one channel, all at once, and prints what came of each as JSON; `hold ADDRESS:PORT` keeps one stream going and prints
 * a line when it has begun and one when it ends; `many ADDRESS:PORT SECONDS` calls shop.Cart/Unary eight at a time for so long, and
 * prints how often each status came.
 */
import { Writable } from 'node:stream';
import * as grpc from '@grpc/grpc-js';

const bytes = { requestSerialize: (value: Buffer) => value, requestDeserialize: (value: Buffer) => value, responseSerialize: (value: Buffer) => value, responseDeserialize: (value: Buffer) => value };
const methods = ['Unary', 'ServerStream', 'ClientStream', 'Bidi'] as const;
type Method = (typeof methods)[number];

const definitionOf = (service: string, method: Method) => ({ path: `/${service}/${method}`, requestStream: method === 'ClientStream' || method === 'Bidi', responseStream: method === 'ServerStream' || method === 'Bidi', ...bytes });

function serve(port: string): void {
  const server = new grpc.Server();
  const said = (call: { getPath(): string; getPeer(): string }) => console.log(call.getPath(), call.getPeer());
  for (const service of ['shop.Cart', 'shop.Admin']) {
    server.addService(Object.fromEntries(methods.map(method => [method, definitionOf(service, method)])), {
      Unary(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
        said(call);
        done(null, call.request);
      },
      ServerStream(call: grpc.ServerWritableStream<Buffer, Buffer>) {
        said(call);
        for (let i = 0; i < 10; i++) call.write(Buffer.alloc(20_000, i));
        call.end();
      },
      ClientStream(call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
        said(call);
        let total = 0;
        call.on('data', (message: Buffer) => { total += message.length; });
        call.on('end', () => done(null, Buffer.from(String(total))));
      },
      Bidi(call: grpc.ServerDuplexStream<Buffer, Buffer>) {
        said(call);
        call.on('data', (message: Buffer) => call.write(message));
        call.on('end', () => call.end());
      },
    });
  }
  server.bindAsync(`0.0.0.0:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => console.log(error ? String(error) : `serving on ${bound}`));
}

/** "0 3": the status, and the octets or messages that came back. */
function call(client: grpc.Client, service: string, method: Method): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = definitionOf(service, method);
  const messages = [Buffer.alloc(30_000, 1), Buffer.alloc(30_000, 2), Buffer.alloc(30_000, 3)];
  const options = { deadline: Date.now() + 10_000 };
  const metadata = new grpc.Metadata();
  return new Promise(resolve => {
    let octets = 0;
    const one = (_: unknown, message?: Buffer) => { octets += message?.length ?? 0; };
    const started = method === 'Unary' ? client.makeUnaryRequest(path, requestSerialize, responseDeserialize, messages[0]!, metadata, options, one)
      : method === 'ClientStream' ? client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, metadata, options, one)
      : method === 'ServerStream' ? client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, messages[0]!, metadata, options)
      : client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options);
    started.on('data', (message: Buffer) => one(undefined, message));
    started.on('error', () => undefined);
    started.on('status', ({ code, details }: grpc.StatusObject) => resolve(`${code} ${code === 0 ? octets : details}`));
    if (!(started instanceof Writable)) return;
    for (const message of messages) started.write(message);
    started.end();
  });
}

async function callAll(address: string): Promise<void> {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const outcomes = await Promise.all(['shop.Cart', 'shop.Admin'].flatMap(service => methods.map(async method => [`${service}/${method}`, await call(client, service, method)] as const)));
  console.log(JSON.stringify(Object.fromEntries(outcomes)));
  client.close();
}

function hold(address: string): void {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = definitionOf('shop.Cart', 'Bidi');
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  const timer = setInterval(() => stream.write(Buffer.from('tick')), 100);
  stream.once('data', () => console.log('begun'));
  stream.on('error', () => undefined);
  stream.on('status', ({ code, details }: grpc.StatusObject) => {
    clearInterval(timer);
    console.log(`ended ${code} ${details}`);
    client.close();
  });
}

async function callMany(address: string, seconds: number): Promise<void> {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const counts: Record<string, number> = {};
  const end = performance.now() + seconds * 1000;
  const caller = async () => {
    while (performance.now() < end) {
      const outcome = await call(client, 'shop.Cart', 'Unary');
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: 8 }, caller));
  console.log(JSON.stringify(counts));
  client.close();
}

const [role, argument = '', seconds = '1'] = process.argv.slice(2);
if (role === 'server') serve(argument);
else if (role === 'client') await callAll(argument);
else if (role === 'many') await callMany(argument, Number(seconds));
else hold(argument);

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import type { L7Set } from '../model/l7.ts';
import type { ProxyConnection } from '../datapath/generated/structs.ts';
import { parseAddr } from '../std/ip.ts';
import { silentLogger } from '../std/log.ts';
import { recv, send } from '../sys/native.ts';
import { accept, closeSocket, ownAddress } from '../sys/net.ts';
import { connectTo, listenOn } from '../sys/streams.ts';
import { defaultLimits, Loop } from './loop.ts';
import type { SessionRecord, Wire } from './protocol.ts';
import type { AnyProtocol } from './protocols.ts';
import { Sets } from './sets.ts';
import { RecordList } from './testing.ts';
import { Worker, type Rows } from './worker.ts';

const row: ProxyConnection = {
  generation: 1, flags: 0, sourceIdentity: 5, destinationIdentity: 6, sourceEndpoint: 1, destinationEndpoint: 2, egressL7: 7, ingressL7: 0, egressRule: 9, ingressRule: 0, service: 0,
};
const set: L7Set = { protocol: 'http', rules: [] };

/** Hands on what comes, as it comes. */
const relay: AnyProtocol = {
  compile: value => value,
  open: wire => ({
    data: (from, data, start, end) => wire.send(from === 'client' ? 'server' : 'client', data, start, end),
    ended: from => wire.end(from === 'client' ? 'server' : 'client'),
    serverFailed: code => {
      const text = Buffer.from(`failed ${code}`);
      wire.send('client', text, 0, text.length);
      wire.close('written');
    },
    timeout: () => {},
    closed: () => {},
    idle: true,
  }),
};

interface Rig {
  readonly port: number;
  readonly worker: Worker;
  readonly rows: { row: ProxyConnection | undefined; generation: number };
  readonly records: SessionRecord[];
}

const undo: (() => void)[] = [];
after(() => undo.reverse().forEach(run => run()));

function startRig(serverPort: number, protocol: AnyProtocol, options: { maxConnections?: number; limits?: Partial<typeof defaultLimits>; idleMs?: number; connectMs?: number; byHand?: boolean } = {}): Rig {
  const stop = new AbortController();
  const loop = new Loop({ ...defaultLimits, ...options.limits });
  const state: Rig['rows'] = { row, generation: 1 };
  const rows: Rows = { generation: () => state.generation, lookup: () => state.row, delete: () => {} };
  const records = new RecordList();
  const sets = new Sets({ read: () => set, load: () => protocol, now: () => 0 });
  const worker = new Worker({ times: { connectMs: options.connectMs ?? 1000, attemptMs: 300, idleMs: options.idleMs ?? 60_000, lingerMs: 1000 }, maxConnections: options.maxConnections ?? 5000 }, {
    loop, rows, sets, log: silentLogger,
    records,
    connect: () => connectTo({ addr: parseAddr('127.0.0.1'), port: serverPort }),
  });
  const listener = listenOn({ addr: parseAddr('127.0.0.1'), port: 0 });
  worker.listen(listener);
  if (!options.byHand) loop.run(stop.signal);
  undo.push(() => {
    worker.close();
    stop.abort();
    closeSocket(listener);
    loop.close();
  });
  return { port: ownAddress(listener)!.port, worker, rows: state, records: records.list };
}

async function startServer(onSocket: (socket: Socket) => void, allowHalfOpen = true): Promise<{ port: number; server: Server }> {
  const server = createServer({ allowHalfOpen }, socket => {
    socket.on('error', () => {});
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  undo.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, server };
}

async function collect(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on('data', part => void parts.push(part as Buffer));
  await once(socket, 'end');
  return Buffer.concat(parts);
}

const echo = (socket: Socket) => void socket.pipe(socket);

/** Bytes of which each place is known. */
function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed + (i >> 8)) & 0xff;
  return bytes;
}

async function until(what: () => boolean, name: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!what()) {
    assert.ok(performance.now() < deadline, name);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

test('bytes and ends pass both ways: a half-closed client still gets its answer', async () => {
  const { port: server } = await startServer(async socket => socket.end(await collect(socket)));
  const { port, worker } = startRig(server, relay);
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.end('hello');
  assert.equal(String(await collect(client)), 'hello');
  await until(() => worker.connections.length === 0, 'the connection ends');
});

test('8 MB each way arrive whole and in order, read by a slow reader too, and what waits is bounded', async () => {
  const { port: server } = await startServer(echo);
  const { port, worker } = startRig(server, relay);
  const sent = pattern(8 << 20, 3);
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.end(sent);
  let most = 0;
  const parts: Buffer[] = [];
  for await (const part of client) {
    parts.push(part as Buffer);
    most = Math.max(most, worker.loop.queuedBytes);
    if (parts.length % 64 === 0) await new Promise(resolve => setTimeout(resolve, 5));
  }
  assert.ok(Buffer.concat(parts).equals(sent));
  assert.ok(most <= 2 * (defaultLimits.queueBytes + defaultLimits.readBytes), `${most} bytes waited`);
  assert.equal(worker.loop.queuedBytes, 0);
});

for (const [name, readBytes, protocol] of [
  ['read in small pieces', 2048, relay],
  ['read whole', defaultLimits.readBytes, relay],
  ['spliced', defaultLimits.readBytes, { ...relay, open: wire => (wire.passAll(), relay.open(wire)) } satisfies AnyProtocol],
] as const) {
  test(`no byte and no end is overlooked, ${name}: 60 connections with bursts, pauses, and ends behind the last byte`, async () => {
    const { port: server } = await startServer(echo);
    const { port, worker } = startRig(server, protocol, { limits: { readBytes } });
    await Promise.all(Array.from({ length: 60 }, async (_, seed) => {
      // A sequence of its own for each: sizes around that of a read, and larger than what a socket holds.
      let state = seed + 1;
      const next = (most: number) => (state = (state * 48_271) % 0x7fff_ffff) % most;
      const sizes = Array.from({ length: 1 + next(12) }, () => [1, 2047, 2048, 2049, 4096, 65_536, 65_537, next(200_000)][next(8)]!);
      const sent = pattern(sizes.reduce((sum, size) => sum + size, 0), seed);
      const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      const received = collect(client);
      let at = 0;
      for (const [i, size] of sizes.entries()) {
        const part = sent.subarray(at, (at += size));
        if (i === sizes.length - 1) client.end(part);
        else client.write(part);
        if (next(3) > 0) await new Promise(resolve => setImmediate(resolve));
        if (next(6) === 0) client.pause();
        if (next(2) === 0) client.resume();
      }
      client.resume();
      assert.ok((await received).equals(sent), `connection ${seed}`);
    }));
    await until(() => worker.connections.length === 0, 'all end');
    assert.equal(worker.loop.queuedBytes, 0);
  });
}

test('passAll: bulk is spliced, whole and in order, with a FIN behind it', async () => {
  const { port: server } = await startServer(echo);
  const passing: AnyProtocol = { ...relay, open: wire => {
    wire.passAll();
    return relay.open(wire);
  } };
  const { port, worker } = startRig(server, passing);
  const sent = pattern(16 << 20, 5);
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.end(sent);
  assert.ok((await collect(client)).equals(sent));
  await until(() => worker.connections.length === 0, 'the connection ends');
});

test('pass: as many bytes as were named pass unseen, the next ones are the session\'s', async () => {
  const body = pattern(300_000, 7);
  const { port: server } = await startServer(socket => void socket.once('data', () => socket.write(Buffer.concat([Buffer.from('HEAD'), body, Buffer.from('TAIL')]))));
  const seen: string[] = [];
  const counting: AnyProtocol = { ...relay, open: wire => ({ ...relay.open(wire), data: (from, data, start, end) => {
    if (from === 'server') {
      seen.push(data.toString('latin1', start, Math.min(end, start + 4)));
      if (seen.length > 1) {
        wire.send('client', data, start, end);
        return wire.close('written');
      }
      const rest = end - start - 4;
      wire.send('client', data, start, end);
      return wire.pass('server', body.length - rest);
    }
    wire.send('server', data, start, end);
  } }) };
  const { port } = startRig(server, counting);
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.write('go');
  const got = await collect(client);
  assert.deepEqual(seen, ['HEAD', 'TAIL']);
  assert.ok(got.subarray(4, -4).equals(body));
  client.destroy();
});

test('a server that nobody listens on: the session is told, and its answer reaches the client', async () => {
  const { port } = startRig(1, relay);
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.write('x');
  assert.equal(String(await collect(client)), 'failed ECONNREFUSED');
  client.destroy();
});

test('close(written): the answer arrives though the client had sent more than was read', async () => {
  const { port: server } = await startServer(echo);
  const denying: AnyProtocol = { ...relay, open: wire => ({ ...relay.open(wire), data: () => {
    const text = Buffer.from('denied');
    wire.send('client', text, 0, text.length);
    wire.close('written');
  } }) };
  const { port, worker } = startRig(server, denying);
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  client.on('error', () => {});
  client.end(pattern(1 << 20, 1));
  assert.equal(String(await collect(client)), 'denied');
  await until(() => worker.connections.length === 0, 'the connection ends');
});

test('a connection whose row says revoked is reset, an idle one too, without a word from it', async () => {
  const { port: server } = await startServer(echo);
  const { port, worker, rows } = startRig(server, relay);
  const client = connect({ port, host: '127.0.0.1' });
  client.write('x');
  await once(client, 'data');
  rows.row = { ...row, generation: 2, flags: 1 };
  rows.generation = 2;
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(worker.counts.refused.revoked, 1);
});

test('what passes after a decision goes on under other rules of its protocol; under none before, or revoked, it ends', async () => {
  const { port: server } = await startServer(echo);
  const passing: AnyProtocol = { ...relay, open: wire => {
    wire.passAll();
    return relay.open(wire);
  } };
  const { port, rows } = startRig(server, passing);
  const client = connect({ port, host: '127.0.0.1' });
  const says = async (text: string) => {
    client.write(text);
    assert.equal(String((await once(client, 'data'))[0]), text);
  };
  await says('a');
  rows.row = { ...row, generation: 2, egressL7: 8 };
  rows.generation = 2;
  await says('b');
  const unasked = { ...row, generation: 3, egressL7: 0 };
  rows.row = unasked;
  rows.generation = 3;
  const other = connect({ port, host: '127.0.0.1' });
  other.write('x');
  await once(other, 'data');
  // It may end before the first has its answer.
  const ended = once(other, 'error');
  rows.row = { ...row, generation: 4, egressL7: 8 };
  rows.generation = 4;
  await says('c');
  assert.equal(((await ended) as [NodeJS.ErrnoException])[0].code, 'ECONNRESET');
  rows.row = { ...row, generation: 5, egressL7: 8, flags: 1 };
  rows.generation = 5;
  assert.equal(((await once(client, 'error')) as [NodeJS.ErrnoException])[0].code, 'ECONNRESET');
});

test('what the kernel does not know, and sets that cannot be loaded, are refused and told', async () => {
  const { port: server } = await startServer(echo);
  const { port, worker, rows, records } = startRig(server, { ...relay, compile: () => {
    throw new Error('no such set');
  } });
  const attempt = async () => {
    const client = connect({ port, host: '127.0.0.1' });
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    return error.code;
  };
  assert.equal(await attempt(), 'ECONNRESET');
  rows.row = undefined;
  assert.equal(await attempt(), 'ECONNRESET');
  assert.deepEqual([worker.counts.refused.set, worker.counts.refused.unknown], [1, 1]);
  assert.deepEqual(records.map(record => [record.verdict, record.direction, record.rule]), [['ERROR', 'EGRESS', 9]]);
});

test('connections over the limit are reset and counted; those within go on', async () => {
  const { port: server } = await startServer(echo);
  const { port, worker } = startRig(server, relay, { maxConnections: 2 });
  const clients = [1, 2].map(() => connect({ port, host: '127.0.0.1' }));
  for (const client of clients) {
    client.write('a');
    await once(client, 'data');
  }
  const third = connect({ port, host: '127.0.0.1' });
  const [error] = (await once(third, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(worker.counts.refused.limit, 1);
  clients[0]!.write('b');
  assert.equal(String((await once(clients[0]!, 'data'))[0]), 'b');
  clients.forEach(client => client.destroy());
});

test('an idle connection is closed after its time, and a session that throws costs its own connection alone', async () => {
  const { port: server } = await startServer(echo);
  const idle = connect({ port: startRig(server, relay, { idleMs: 300 }).port, host: '127.0.0.1' });
  idle.resume().write('ok');
  assert.equal(((await once(idle, 'error')) as [NodeJS.ErrnoException])[0].code, 'ECONNRESET');
  const { port, worker } = startRig(server, { ...relay, open: (wire: Wire<unknown>) => ({ ...relay.open(wire), data: (from, data, start, end) => {
    if (data.toString('latin1', start, end) === 'bad') throw new Error('cannot read this');
    wire.send(from === 'client' ? 'server' : 'client', data, start, end);
  } }) });
  const [bad, good] = [connect({ port, host: '127.0.0.1' }), connect({ port, host: '127.0.0.1' })];
  good.write('ok');
  await once(good, 'data');
  bad.write('bad');
  const [error] = (await once(bad, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  good.write('still');
  assert.equal(String((await once(good, 'data'))[0]), 'still');
  good.destroy();
  assert.equal(worker.counts.refused.session, 1);
});

test('where the server is on this machine, the first bytes go with the call that connects: nothing is kept, and nobody is waited for', async () => {
  const { port: serverPort } = await startServer(socket => socket.pipe(socket));
  const { port, worker } = startRig(serverPort, relay, { byHand: true });
  const client = connectTo({ addr: parseAddr('127.0.0.1'), port });
  undo.push(() => closeSocket(client));
  send(client, Buffer.from('hello'), 5, 0);
  // One turn takes the connection, the next reads from it.
  for (let i = 0; i < 2; i++) worker.loop.turn(1000);
  const server = worker.connections[0]?.server;
  assert.deepEqual([server?.connecting, server?.queuedBytes, server?.reading], [false, 0, true]);
});

test('a server that cannot be reached at once has the bytes when it can', async () => {
  const listener = listenOn({ addr: parseAddr('127.0.0.1'), port: 0 }, { backlog: 0 });
  const at = ownAddress(listener)!;
  // Nobody accepts, and two fill its queue: the kernel leaves a SYN unanswered, and answers the next one, a second later.
  const open = [listener, connectTo(at), connectTo(at)];
  undo.push(() => open.forEach(closeSocket));
  const { port, worker } = startRig(at.port, relay, { byHand: true, connectMs: 30_000 });
  const client = connectTo({ addr: parseAddr('127.0.0.1'), port });
  open.push(client);
  for (const part of ['hel', 'lo']) {
    send(client, Buffer.from(part), part.length, 0);
    for (let i = 0; i < 2; i++) worker.loop.turn(part === 'hel' ? 1000 : 0);
  }
  const { server } = worker.connections[0]!;
  assert.deepEqual([server?.connecting, server?.queuedBytes], [true, 3]);
  const got = Buffer.alloc(8);
  let length = -1;
  await until(() => {
    const fd = accept(listener);
    if (fd >= 0) open.push(fd);
    worker.loop.turn(0);
    return open.slice(4).some(each => (length = recv(each, got, got.length, 0)) > 0);
  }, 'the server to have the bytes');
  assert.equal(got.toString('latin1', 0, length), 'hello'.slice(0, length));
  assert.equal(server?.connecting, false);
});

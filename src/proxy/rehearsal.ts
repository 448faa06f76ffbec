import { type ProxyConnection, proxyConnectionCodec } from '../datapath/generated/structs.ts';
import { frameVersion } from '../model/l7-frame.ts';
import type { KeptListeners } from '../model/l7-proxy.ts';
import type { L7Set } from '../model/l7.ts';
import { CirriError } from '../std/errors.ts';
import { parseAddr } from '../std/ip.ts';
import { silentLogger } from '../std/log.ts';
import { type Stable, stable } from '../sys/memory.ts';
import { recvAt, sendAt } from '../sys/native.ts';
import { accept, closeByReset, closeSocket, ownAddress, type SocketAddress } from '../sys/net.ts';
import { type ConnectOptions, connectTo, listenOn } from '../sys/streams.ts';
import { defaultLimits, Loop } from './loop.ts';
import type { ProtocolLoader } from './protocols.ts';
import { RecordLines } from './records.ts';
import { Sets } from './sets.ts';
import { type Rows, Worker } from './worker.ts';

const clients = 16;
/** Connections come and go too: each carries so many requests. */
const requestsEach = 12;
/** Clients whose answers do not come are given up. */
const mostMs = 2_000;

/** What policy asks of a connection at its two ends. */
export interface Scene {
  readonly egress?: L7Set;
  readonly ingress?: L7Set;
}

const head = 'User-Agent: rehearsal/1.0\r\nAccept: */*\r\n';
const requests = [
  `GET /api/v1/products/7 HTTP/1.1\r\nHost: shop\r\n${head}\r\n`,
  `GET /api/v1/products/7 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n${head}Accept-Encoding: gzip, deflate\r\n\r\n`,
  `GET /api/v1/products?page=2 HTTP/1.1\r\nHost: shop.example:8080\r\nX-Token: abc\r\n${head}\r\n`,
  `POST /api/v1/orders HTTP/1.1\r\nHost: shop.example\r\n${head}Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{"count":1}`,
  `GET /api/v1/products/8 HTTP/1.1\r\nHost: [::1]:8080\r\n${head}traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n`,
  `DELETE /api/v1/orders HTTP/1.1\r\nhost: shop.default.svc.cluster.local\r\n${head}\r\n`,
].map(inMemory);
const answers = [
  'HTTP/1.1 200 OK\r\nServer: rehearsal\r\nContent-Type: application/json\r\nContent-Length: 11\r\nConnection: keep-alive\r\n\r\n{"count":1}',
  'HTTP/1.1 200 OK\r\nServer: rehearsal\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'HTTP/1.1 404 Not Found\r\nServer: rehearsal\r\nContent-Length: 0\r\n\r\n',
].map(inMemory);

/** How clients leave. Code that has seen only one way is thrown away when the first real client takes another. */
const leavings = ['content', 'asking', 'as it is answered', 'by a reset', 'after its server'] as const;

interface Client {
  readonly fd: number;
  sent: number;
  waits: boolean;
}

/**
 * A worker of its own between clients and servers of its own, over the loopback device, and an agent that is told.
 *
 *     clients ⇄ worker ⇄ servers
 *                  └─ records ─▶ thrown away
 */
export class Rehearsal {
  readonly worker: Worker;
  answered = 0;
  readonly #loop = new Loop(defaultLimits);
  readonly #memory = stable(64 << 10);
  readonly #open = new Set<number>();
  readonly #serverListener: number;
  readonly #at: SocketAddress;
  readonly #records: RecordLines;
  readonly #agent: number;
  #clients: Client[] = [];
  #servers: number[] = [];
  #until = 0;
  #left = 0;

  constructor(load: ProtocolLoader, { egress, ingress }: Scene) {
    const listener = this.#listen();
    this.#at = ownAddress(listener)!;
    this.#serverListener = this.#listen();
    const server = ownAddress(this.#serverListener)!;
    const agentListener = this.#listen();
    const agent = ownAddress(agentListener)!;
    this.#records = new RecordLines({ hello: { hello: { pid: process.pid, worker: 0, listeners: [] } } }, { open: () => connectTo(agent), log: silentLogger });
    this.#records.flush();
    this.#agent = this.#acceptFrom(agentListener);
    this.#send(this.#agent, inMemory(`${JSON.stringify({ pid: process.pid, listeners: {}, frames: frameVersion } satisfies KeptListeners)}\n`));
    this.#records.flush();
    const row: ProxyConnection = { ...emptyRow, egressL7: egress ? 1 : 0, ingressL7: ingress ? 2 : 0 };
    this.worker = new Worker({ times: { connectMs: 1_000, attemptMs: 300, idleMs: 60_000, lingerMs: 1_000 }, maxConnections: 2 * clients }, {
      loop: this.#loop,
      rows: egress ? sameRow(row) : writtenRow(row),
      sets: new Sets({ read: number => (number === 1 ? egress : ingress)!, load, now: () => 0 }),
      records: this.#records,
      connect: egress ? () => connectTo(server, asClient) : () => connectTo(server),
      log: silentLogger,
    });
    this.worker.listen(listener);
  }

  /** Each client asks, the worker carries it on, servers answer, and clients have it. False when these connections are over. */
  turn(): boolean {
    if (this.#clients.length === 0) this.#begin();
    for (const client of this.#clients) {
      if (client.waits || client.sent >= requestsEach) continue;
      client.waits = this.#send(client.fd, requests[client.sent % requests.length]!);
      if (client.waits) client.sent++;
    }
    this.#turnLoop();
    for (let fd = accept(this.#serverListener); fd >= 0; fd = accept(this.#serverListener)) this.#servers.push(this.#keep(fd));
    this.#serve();
    this.#turnLoop();
    for (const client of this.#clients) {
      if (this.#receive(client.fd) <= 0) continue;
      client.waits = false;
      this.answered++;
    }
    // Batches that time ends, and mostly those that are full.
    if (this.#left % 8 === 0) this.#records.flush();
    while (this.#receive(this.#agent) > 0);
    if (performance.now() < this.#until && this.#clients.some(client => client.waits || client.sent < requestsEach)) return true;
    this.#end();
    return false;
  }

  close(): void {
    this.worker.close();
    this.#records.close();
    for (const fd of this.#open) closeSocket(fd);
    this.#loop.close();
  }

  #begin(): void {
    this.#clients = Array.from({ length: clients }, () => ({ fd: this.#keep(connectTo(this.#at)), sent: 0, waits: false }));
    this.#until = performance.now() + mostMs;
  }

  #end(): void {
    const leaving = leavings[this.#left++ % leavings.length]!;
    if (leaving !== 'content') {
      for (const { fd } of this.#clients) this.#send(fd, requests[0]!);
      this.#turnLoop();
    }
    if (leaving === 'as it is answered') this.#serve();
    if (leaving === 'after its server') this.#dropServers();
    for (const { fd } of this.#clients.splice(0)) this.#drop(fd, leaving === 'by a reset' ? closeByReset : closeSocket);
    this.#turnLoop();
    this.#serve();
    this.#dropServers();
  }

  #serve(): void {
    for (const fd of this.#servers) if (this.#receive(fd) > 0) this.#send(fd, answers[this.answered % answers.length]!);
  }

  #dropServers(): void {
    for (const fd of this.#servers.splice(0)) this.#drop(fd);
    this.#turnLoop();
  }

  #turnLoop(): void {
    this.#loop.stay(0);
  }

  #send(fd: number, { address, bytes }: Stable): boolean {
    return sendAt(fd, address, bytes.length, 0) === bytes.length;
  }

  #receive(fd: number): number {
    return recvAt(fd, this.#memory.address, this.#memory.bytes.length, 0);
  }

  /** Who has begun to connect here has mostly done so; on a busy machine, in a moment. */
  #acceptFrom(listener: number): number {
    const until = performance.now() + mostMs;
    let fd = accept(listener);
    while (fd < 0 && performance.now() < until) fd = accept(listener);
    if (fd < 0) throw new CirriError('ERR_L7_REHEARSAL', 'nobody connects on the loopback device');
    return this.#keep(fd);
  }

  #listen(): number {
    return this.#keep(listenOn({ addr: parseAddr('127.0.0.1'), port: 0 }));
  }

  #keep(fd: number): number {
    this.#open.add(fd);
    return fd;
  }

  #drop(fd: number, close = closeSocket): void {
    this.#open.delete(fd);
    close(fd);
  }
}

const emptyRow: ProxyConnection = {
  generation: 0, flags: 0, sourceIdentity: 0, destinationIdentity: 0, sourceEndpoint: 1, destinationEndpoint: 1, egressL7: 0, ingressL7: 0, egressRule: 0, ingressRule: 1, service: 0,
};

/** Two ways to know rows and to connect: what is compiled for one way alone is thrown away at the first connection that goes another. */
function sameRow(row: ProxyConnection): Rows {
  return { generation: () => 0, lookup: () => row, delete: () => {} };
}

/** As the kernel's maps hold it. */
function writtenRow(row: ProxyConnection): Rows {
  const view = new DataView(new ArrayBuffer(proxyConnectionCodec.size));
  const words = new Int32Array(2);
  proxyConnectionCodec.write(view, 0, row);
  return { generation: () => Atomics.load(words, 0) >>> 0, lookup: () => proxyConnectionCodec.read(view, 0), delete: () => words.fill(0) };
}

/** As behind the datapath, with the client's address and a port of a range. */
const asClient: ConnectOptions = { from: parseAddr('127.0.0.1'), ports: [16_384, 29_999] };

function inMemory(text: string): Stable {
  const memory = stable(text.length);
  memory.bytes.set(Buffer.from(text, 'latin1'));
  return memory;
}

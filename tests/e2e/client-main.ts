/**
 * A client in somebody's network namespace and group (client.ts starts it): orders are JSON lines on standard input, answers are
 * JSON lines with the order's id. It ends with its input.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import { createInterface } from 'node:readline';
import type { Answer, Datagrams, Order, Outcome, Report, Request, Served } from './client.ts';

const connections = new Map<number, Connection>();
const sockets = new Map<number, UdpEnd>();

/** A connection that asks, one question at a time, and says what comes back. */
class Connection {
  readonly #socket: net.Socket;
  #received = Buffer.alloc(0);
  #head = '';
  #bytes = 0;
  #settle: ((answer: Answer) => void) | undefined;
  #broken: Outcome | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(request: Request) {
    const { to, port, from, ownPort } = request;
    this.#socket = net.connect({ host: to, port, ...(from !== undefined && { localAddress: from }), ...(ownPort !== undefined && { localPort: ownPort }) });
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#break(outcomeOf(error.code)));
    this.#socket.on('close', () => this.#break('closed'));
  }

  ask(path: string, timeoutMs: number): Promise<Answer> {
    return new Promise(resolve => {
      const startedAt = performance.now();
      this.#settle = answer => {
        clearTimeout(this.#timer);
        this.#settle = undefined;
        resolve({ ...answer, ms: performance.now() - startedAt });
      };
      if (this.#broken) return this.#settle({ outcome: this.#broken });
      this.#timer = setTimeout(() => this.#settle?.({ outcome: 'silent', bytes: this.#bytes }), timeoutMs);
      this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: cirri\r\n\r\n`);
    });
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    // Not a reset: what the far end sees of an ordinary client is a FIN.
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 1_000).unref();
  }

  #take(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#received = Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return;
    this.#head = this.#received.toString('latin1', 0, end);
    const length = Number(/content-length: (\d+)/i.exec(this.#head)?.[1] ?? 0);
    if (this.#received.length < end + 4 + length) return;
    const body = this.#received.toString('utf8', end + 4, end + 4 + length);
    this.#received = this.#received.subarray(end + 4 + length);
    this.#settle?.({ outcome: 'answered', status: Number(/^HTTP\/1\.\d (\d+)/.exec(this.#head)?.[1] ?? 0), bytes: length, remote: this.#socket.remoteAddress?.replace(/^::ffff:/, '') ?? '', ownPort: this.#socket.localPort ?? 0, ...servedOf(body) });
  }

  #break(outcome: Outcome): void {
    this.#broken ??= outcome;
    this.#settle?.({ outcome: this.#broken, bytes: this.#bytes });
  }
}

/** A UDP socket, connected or not, that sends until something comes back: a queue may overflow. */
class UdpEnd {
  readonly #socket: dgram.Socket;
  readonly #order: Datagrams;
  /** What connect(2) said: the socket hooks refuse there. */
  readonly #ready: Promise<Outcome | undefined>;
  #settle: ((answer: Answer) => void) | undefined;

  constructor(order: Datagrams) {
    this.#order = order;
    this.#socket = dgram.createSocket(order.to.includes(':') ? 'udp6' : 'udp4');
    this.#socket.on('message', (bytes, peer) => {
      const line = bytes.subarray(0, Math.max(0, bytes.indexOf('\n'))).toString('utf8');
      this.#settle?.({ outcome: 'answered', bytes: bytes.length - line.length - 1, remote: peer.address, remotePort: peer.port, ownPort: this.#socket.address().port, ...servedOf(line) });
    });
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#settle?.({ outcome: outcomeOf(error.code) }));
    this.#ready = new Promise(resolve => {
      const { from, ownPort, connected, to, port } = order;
      const bound = () => (connected ? this.#socket.connect(port, to, (error?: Error) => resolve(error && outcomeOf((error as NodeJS.ErrnoException).code))) : resolve(undefined));
      this.#socket.bind({ ...(from !== undefined && { address: from }), port: ownPort ?? 0 }, bound);
    });
  }

  async exchange(timeoutMs: number): Promise<Answer> {
    const refused = await this.#ready;
    if (refused !== undefined) return { outcome: refused, ms: 0 };
    const { to, port, connected, bytes = 16 } = this.#order;
    const payload = Buffer.alloc(bytes, 'c');
    return new Promise(resolve => {
      const startedAt = performance.now();
      const onSent = (error: Error | null) => error && this.#settle?.({ outcome: outcomeOf((error as NodeJS.ErrnoException).code) });
      const send = () => void (connected ? this.#socket.send(payload, onSent) : this.#socket.send(payload, port, to, onSent));
      const again = setInterval(send, 250);
      const timer = setTimeout(() => this.#settle?.({ outcome: 'silent' }), timeoutMs);
      this.#settle = answer => {
        clearInterval(again);
        clearTimeout(timer);
        this.#settle = undefined;
        resolve({ ...answer, ms: performance.now() - startedAt });
      };
      send();
    });
  }

  close(): void {
    this.#socket.close();
  }
}

/** The echo server's own object; what others answer is none. */
function servedOf(text: string): { served?: Served } {
  return text.startsWith('{"pod"') ? { served: JSON.parse(text) as Served } : {};
}

function outcomeOf(code: string | undefined): Outcome {
  switch (code) {
    case 'ECONNREFUSED': return 'refused';
    case 'ECONNRESET': case 'EPIPE': return 'reset';
    case 'ECONNABORTED': return 'aborted';
    case 'ETIMEDOUT': return 'silent';
    case 'EMSGSIZE': return 'too-big';
    default: return 'unreachable';
  }
}

async function once(request: Request): Promise<Answer> {
  const connection = new Connection(request);
  const answer = await connection.ask(request.path ?? '/', request.timeoutMs);
  connection.close();
  return answer;
}

/** So many connections, some at a time: how many each backend took, and how the others ended. */
async function many(request: Request, count: number, concurrency: number): Promise<Report> {
  const served: Record<string, number> = {};
  const failed: Record<string, number> = {};
  let left = count;
  await Promise.all(Array.from({ length: concurrency }, async () => {
    while (left-- > 0) {
      const answer = request.protocol === 'UDP' ? await exchangeOnce({ ...request, connected: false }) : await once(request);
      const pod = answer.served?.pod;
      if (pod === undefined) failed[answer.outcome] = (failed[answer.outcome] ?? 0) + 1;
      else served[pod] = (served[pod] ?? 0) + 1;
    }
  }));
  return { served, failed };
}

async function exchangeOnce(order: Datagrams): Promise<Answer> {
  const end = new UdpEnd(order);
  const answer = await end.exchange(order.timeoutMs);
  end.close();
  return answer;
}

async function carryOut(order: Order): Promise<object> {
  switch (order.op) {
    case 'request': return once(order);
    case 'many': return many(order, order.count, order.concurrency);
    case 'exchange': return exchangeOnce(order);
    case 'open': {
      const connection = new Connection(order);
      connections.set(order.id, connection);
      return connection.ask(order.path ?? '/', order.timeoutMs);
    }
    case 'bind': {
      const end = new UdpEnd(order);
      sockets.set(order.id, end);
      return end.exchange(order.timeoutMs);
    }
    case 'ask': return connections.get(order.of)?.ask(order.path ?? '/', order.timeoutMs) ?? sockets.get(order.of)!.exchange(order.timeoutMs);
    case 'close': {
      connections.get(order.of)?.close();
      sockets.get(order.of)?.close();
      connections.delete(order.of);
      sockets.delete(order.of);
      return {};
    }
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', text => {
  const order = JSON.parse(text) as Order;
  carryOut(order).then(
    answer => process.stdout.write(`${JSON.stringify({ id: order.id, answer })}\n`),
    (error: unknown) => process.stdout.write(`${JSON.stringify({ id: order.id, error: String(error) })}\n`),
  );
});
lines.on('close', () => process.exit(0));

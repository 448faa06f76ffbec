/**
 * Asks the node's own resolvers. One that does not answer is left alone for a while, so that a machine without a way out says
 * SERVFAIL at once instead of keeping everybody waiting. Never asks ourselves.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import { randomInt } from 'node:crypto';

export interface Upstream {
  readonly address: string;
  readonly port: number;
}

export interface ForwarderOptions {
  readonly upstreams: readonly Upstream[];
  readonly timeoutMs?: number;
  /** How long a silent upstream is not asked. */
  readonly restMs?: number;
  readonly maxInFlight?: number;
}

/** Undefined: nobody answered. */
export type Forward = (query: Uint8Array, overTcp: boolean) => Promise<Uint8Array | undefined>;

export function createForwarder(options: ForwarderOptions): Forward {
  const { upstreams, timeoutMs = 1_500, restMs = 5_000, maxInFlight = 1_000 } = options;
  const restingUntil = new Map<Upstream, number>();
  let inFlight = 0;
  return async (query, overTcp) => {
    if (inFlight >= maxInFlight) return undefined;
    inFlight++;
    try {
      for (const upstream of upstreams) {
        if ((restingUntil.get(upstream) ?? 0) > performance.now()) continue;
        const answer = await (overTcp ? askTcp : askUdp)(query, upstream, timeoutMs).catch(() => undefined);
        if (answer) return answer;
        restingUntil.set(upstream, performance.now() + restMs);
      }
      return undefined;
    } finally {
      inFlight--;
    }
  };
}

/**
 * Upstreams of a resolv.conf without loopback addresses (in a pod they are the pod) and without `own`: asking those would be
 * asking ourselves.
 */
export function usableUpstreams(servers: readonly string[], own: readonly string[]): Upstream[] {
  return servers.filter(s => !s.startsWith('127.') && s !== '::1' && !own.includes(s)).map(address => ({ address, port: 53 }));
}

/** A new id and a new port per question: answers cannot be guessed. */
function askUdp(query: Uint8Array, upstream: Upstream, timeoutMs: number): Promise<Uint8Array | undefined> {
  const id = randomInt(65_536);
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket(upstream.address.includes(':') ? 'udp6' : 'udp4');
    const finish = (answer: Uint8Array | undefined, error?: Error) => {
      clearTimeout(timer);
      socket.close();
      if (error) reject(error);
      else resolve(answer);
    };
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    socket.on('error', error => finish(undefined, error));
    socket.on('message', message => {
      if (message.length >= 12 && message.readUInt16BE(0) === id && sameQuestion(query, message)) finish(withId(message, query));
    });
    // Connected: an ICMP "port unreachable" comes back as an error at once, and strangers are not heard.
    socket.connect(upstream.port, upstream.address, () => {
      const asked = Uint8Array.from(query);
      new DataView(asked.buffer).setUint16(0, id);
      socket.send(asked);
    });
  });
}

function askTcp(query: Uint8Array, upstream: Upstream, timeoutMs: number): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: upstream.address, port: upstream.port });
    let held: Buffer = Buffer.alloc(0);
    const finish = (answer: Uint8Array | undefined, error?: Error) => {
      clearTimeout(timer);
      socket.destroy();
      if (error) reject(error);
      else resolve(answer);
    };
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    socket.on('error', error => finish(undefined, error));
    socket.on('close', () => finish(undefined));
    socket.on('connect', () => socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query])));
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      if (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) finish(held.subarray(2, 2 + held.readUInt16BE(0)));
    });
  });
}

function withId(message: Buffer, query: Uint8Array): Uint8Array {
  const out = Uint8Array.from(message);
  out[0] = query[0]!;
  out[1] = query[1]!;
  return out;
}

/** The question stands in both right after the header; case may differ only if the upstream is broken. */
function sameQuestion(query: Uint8Array, answer: Uint8Array): boolean {
  let end = 12;
  while (end < query.length && query[end] !== 0) end += query[end]! + 1;
  end += 5;
  if (answer.length < end) return false;
  for (let i = 12; i < end; i++) if (query[i] !== answer[i]) return false;
  return true;
}

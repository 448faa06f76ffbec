/**
 * The helper of `cirri probe`: runs in a pod's network namespace and cgroup with the host's files, takes orders on standard
 * input, makes one real connection or datagram for each, and ends with its input.
 */
import { createSocket } from 'node:dgram';
import { promises as dns } from 'node:dns';
import { connect, isIP, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { End, OrderLine, PodResult, ProbeOrder, ReportLine } from './protocol.ts';

const running = new Map<number, () => void>();

function say(line: ReportLine): void {
  process.stdout.write(JSON.stringify(line) + '\n');
}

const input = createInterface({ input: process.stdin });
input.on('line', text => {
  const line = JSON.parse(text) as OrderLine;
  if ('cancel' in line) running.get(line.cancel)?.();
  else void carryOut(line.order);
});
input.on('close', () => process.exit(0));
say({ ready: true });

async function carryOut(order: ProbeOrder): Promise<void> {
  const startedAt = performance.now();
  let resolved: { address: string } | { error: string };
  try {
    resolved = isIP(order.host) ? { address: order.host } : await lookUp(order);
  } catch (error) {
    resolved = { error: (error as Error).message };
  }
  if ('error' in resolved) return finish(order.id, { ...nothing, outcome: 'unreachable', latencyMs: performance.now() - startedAt, error: resolved.error });
  const ping = order.protocol === 'ICMP' ? await import('./ping.ts') : undefined;
  const left = order.timeoutMs - (performance.now() - startedAt);
  const attempt = { order, address: resolved.address, timeoutMs: Math.max(1, left), startedAt: performance.now() };
  if (order.protocol === 'TCP') tryTcp(attempt);
  else if (order.protocol === 'UDP') tryUdp(attempt);
  else ping!.tryPing({ ...attempt, family: isIP(resolved.address) as 4 | 6 }, hooksOf(attempt));
}

interface Attempt {
  readonly order: ProbeOrder;
  readonly address: string;
  readonly timeoutMs: number;
  readonly startedAt: number;
}

const nothing: Omit<PodResult, 'outcome' | 'latencyMs'> = { httpStatus: null, source: null, peer: null, error: null };

/** One end for every attempt: the first of answer, error, timeout and cancellation wins. */
export interface Hooks {
  source(end: End): void;
  done(result: Partial<PodResult> & Pick<PodResult, 'outcome'>): void;
  onCancel(cancel: () => void): void;
}

function hooksOf({ order, timeoutMs, startedAt }: Attempt): Hooks {
  let source: End | null = null;
  let over = false;
  let cleanUp = () => {};
  const done: Hooks['done'] = result => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    running.delete(order.id);
    finish(order.id, { ...nothing, source, latencyMs: performance.now() - startedAt, ...result });
    cleanUp();
  };
  const timer = setTimeout(() => done({ outcome: 'timed-out' }), timeoutMs);
  running.set(order.id, () => done({ outcome: 'timed-out', error: 'cancelled' }));
  return {
    source: end => {
      source = end;
      say({ id: order.id, source: end });
    },
    done,
    onCancel: cancel => {
      cleanUp = cancel;
      if (over) cancel();
    },
  };
}

function finish(id: number, result: PodResult): void {
  say({ id, done: { ...result, latencyMs: Math.round(result.latencyMs * 1000) / 1000 } });
}

const outcomeOfErrno: Readonly<Record<string, PodResult['outcome']>> = {
  ECONNREFUSED: 'refused', ECONNRESET: 'refused', EPERM: 'refused', ETIMEDOUT: 'timed-out',
  EHOSTUNREACH: 'unreachable', ENETUNREACH: 'unreachable', EADDRNOTAVAIL: 'unreachable', EACCES: 'unreachable',
};

function outcomeOf(error: Error): Pick<PodResult, 'outcome' | 'error'> {
  return { outcome: outcomeOfErrno[(error as NodeJS.ErrnoException).code ?? ''] ?? 'unreachable', error: error.message };
}

function tryTcp(attempt: Attempt): void {
  const { order, address } = attempt;
  const hooks = hooksOf(attempt);
  const socket = connect({ host: address, port: order.port, autoSelectFamily: false });
  hooks.onCancel(() => socket.destroy());
  // connect(2) was called by the time of the next turn: the kernel has chosen the port.
  setImmediate(() => {
    const source = ownEnd(socket);
    if (source) hooks.source(source);
  });
  const peer = () => ({ ip: plain(socket.remoteAddress ?? address), port: socket.remotePort ?? order.port });
  socket.on('error', error => hooks.done(outcomeOf(error)));
  socket.on('connect', () => {
    const connectedMs = performance.now() - attempt.startedAt;
    if (!order.http) return hooks.done({ outcome: 'allowed', peer: peer(), latencyMs: connectedMs });
    sendHttp(socket, order.http);
    let head = '';
    const end = peer();
    socket.on('data', (chunk: Buffer) => {
      head += chunk.toString('latin1');
      const status = /^HTTP\/\d\.\d (\d{3})/.exec(head);
      if (status) hooks.done({ outcome: 'allowed', httpStatus: Number(status[1]), peer: end });
      else if (head.length > 64) hooks.done({ outcome: 'allowed', peer: end, error: 'the answer is not HTTP' });
    });
    socket.on('end', () => hooks.done({ outcome: 'refused', peer: end, error: 'closed without an answer' }));
  });
}

function sendHttp(socket: Socket, http: NonNullable<ProbeOrder['http']>): void {
  const names = new Set(http.headers.map(([name]) => name.toLowerCase()));
  const headers = [...(names.has('host') ? [] : [['Host', http.host] as const]), ...http.headers, ...(names.has('connection') ? [] : [['Connection', 'close'] as const])];
  const body = /^(POST|PUT|PATCH)$/.test(http.method) && !names.has('content-length') ? 'Content-Length: 0\r\n' : '';
  socket.write(`${http.method} ${http.path} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}${body}\r\n`);
}

function tryUdp(attempt: Attempt): void {
  const { order, address } = attempt;
  const hooks = hooksOf(attempt);
  const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4');
  hooks.onCancel(() => socket.close());
  socket.on('error', error => hooks.done(outcomeOf(error)));
  // Connected, so that a port unreachable comes back as an error.
  socket.connect(order.port, address, () => {
    const own = socket.address();
    hooks.source({ ip: plain(own.address), port: own.port });
    socket.send(`cirri probe ${order.id}\n`, error => error && hooks.done(outcomeOf(error)));
  });
  socket.on('message', (_, from) => hooks.done({ outcome: 'allowed', peer: { ip: plain(from.address), port: from.port } }));
}

function ownEnd(socket: Socket): End | undefined {
  return socket.localAddress !== undefined && socket.localPort !== undefined ? { ip: plain(socket.localAddress), port: socket.localPort } : undefined;
}

/** Search list and ndots:5 as the pod's resolv.conf has them; IPv4 first unless IPv6 is asked for. */
async function lookUp(order: ProbeOrder): Promise<{ address: string } | { error: string }> {
  const resolver = new dns.Resolver({ timeout: Math.min(1000, order.timeoutMs), tries: 1 });
  resolver.setServers([order.dns.server]);
  const absolute = order.host.endsWith('.');
  const bare = order.host.replace(/\.$/, '');
  const searched = order.dns.search.map(domain => `${bare}.${domain}`);
  const candidates = absolute ? [bare] : bare.split('.').length > 5 ? [bare, ...searched] : [...searched, bare];
  let last = 'not found';
  for (const name of candidates) {
    for (const family of order.family === 6 ? [6] : order.family === 4 ? [4] : [4, 6]) {
      try {
        const [address] = family === 6 ? await resolver.resolve6(name) : await resolver.resolve4(name);
        if (address !== undefined) return { address };
      } catch (error) {
        const { code = '' } = error as { code?: string };
        if (['ETIMEOUT', 'ECONNREFUSED', 'ESERVFAIL', 'EREFUSED'].includes(code)) return { error: `DNS ${order.dns.server} did not answer for ${name}: ${code}` };
        last = code;
      }
    }
  }
  return { error: `the cluster's DNS knows no ${order.host} (${last})` };
}

function plain(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

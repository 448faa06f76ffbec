/**
 * Looks names up and connects to what it is told, in somebody's namespace: `node client.ts '{"server","names","port","family","pause"}'`.
 * Prints what came of it as JSON, and ends.
 */
import dgram from 'node:dgram';
import { promises as dns } from 'node:dns';
import net from 'node:net';
import { dnsMessage } from '../../../src/flows/testing-dns.ts';
import { parseDns } from '../../../src/model/dns.ts';
import type { LookUps, LookUpWish } from './wish.ts';

const wish = JSON.parse(process.argv[2]!) as LookUpWish;
const resolver = new dns.Resolver({ timeout: 3_000, tries: 1 });
resolver.setServers([wish.server]);
const result: { -readonly [K in keyof LookUps]: LookUps[K] } = { lookups: 0, failed: {}, connected: 0, refused: {}, addresses: 0 };
const addresses = new Set<string>();

for (const name of wish.names) {
  let told: string[];
  try {
    told = await (wish.large ? askForLarge(name) : wish.family === 6 ? resolver.resolve6(name) : resolver.resolve4(name));
    result.lookups++;
  } catch (error) {
    count(result.failed, (error as { code?: string }).code ?? String(error));
    continue;
  }
  for (const address of told) addresses.add(address);
  if (wish.port === undefined) continue;
  // The one that was told last: had only the first got into the kernel, this would fail.
  const outcome = await connect(told.at(-1)!, wish.port);
  if (outcome === 'connected') result.connected++;
  else count(result.refused, outcome);
}
result.addresses = addresses.size;
process.stdout.write(JSON.stringify(result));

/** With EDNS (RFC 6891): one datagram of up to 4,096 bytes, nothing over TCP. */
async function askForLarge(name: string): Promise<string[]> {
  const socket = dgram.createSocket(wish.server.includes(':') ? 'udp6' : 'udp4');
  const question = dnsMessage({ id: 1 + Math.floor(Math.random() * 65_000), questions: [{ name, type: wish.family === 6 ? 28 : 1 }], additional: [{ name: '', type: 41, ttl: 0, data: new Uint8Array() }] });
  // The class of an OPT record, whose data is empty, is the size.
  question.set([4096 >> 8, 0], question.length - 8);
  const answered = new Promise<Uint8Array>((resolve, reject) => {
    socket.once('message', resolve);
    setTimeout(() => reject(Object.assign(new Error('no answer'), { code: 'ETIMEOUT' })), 3_000).unref();
  });
  socket.send(question, 53, wish.server);
  try {
    const { answers, isTruncated } = parseDns(await answered)!;
    if (isTruncated) throw Object.assign(new Error('does not fit'), { code: 'ETRUNCATED' });
    return answers.flatMap(answer => answer.ip ?? []);
  } finally {
    socket.close();
  }
}

function connect(host: string, port: number): Promise<string> {
  return new Promise(resolve => {
    const socket = net.connect({ host, port });
    const timer = setTimeout(() => end('silent'), wish.timeoutMs ?? 1_000);
    const end = (outcome: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    socket.on('connect', () => end('connected'));
    socket.on('error', (error: { code?: string }) => end(error.code ?? 'error'));
  });
}

function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

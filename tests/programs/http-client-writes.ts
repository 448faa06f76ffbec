/** What a client writes over one connection: requests, each as one write or several, out of a seed. */
import { hostile as attacks } from '../differential/http1-hostile.ts';
import type { Random } from '../differential/random.ts';

export interface ClientHabits {
  /** Share of connections that end with what no reader should take. */
  readonly hostile: number;
  readonly upgrades?: number;
}

export function clientWrites(random: Random, habits: ClientHabits): Buffer[] {
  const writes = random.list(1, 8, i => request(random, i, habits)).flat();
  if (random.chance(habits.hostile)) writes.push(random.pick(attacks).bytes);
  return writes;
}

function request(random: Random, number: number, { upgrades = 0 }: ClientHabits): Buffer[] {
  const path = random.pick([`/public/${number}`, `/public/${number}`, `/public/${number}?q=${'x'.repeat(random.integer(0, 300))}`, `/no/${number}`, '/post/12', '/post/x', '/']);
  const method = random.pick(['GET', 'GET', 'POST', 'HEAD', 'PUT', 'DELETE']);
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: a'];
  if (random.chance(0.3)) lines.push(`X-Token: ${random.pick(['a', 'b', 'a'])}`);
  if (random.chance(0.2)) lines.push(`X-Long: ${'y'.repeat(random.integer(0, 2500))}`);
  if (random.chance(0.1)) lines.push('Cookie: a=b; c=d', 'Accept: */*');
  if (random.chance(upgrades)) return [text([...lines, 'Connection: Upgrade', 'Upgrade: websocket'])];
  const kind = method === 'POST' || method === 'PUT' ? random.pick(['length', 'chunked', 'none', 'expect']) : 'none';
  const body = random.pick(['abc', 'GET /no/body HTTP/1.1\r\nHost: a\r\n\r\n', 'z'.repeat(random.integer(1, 4000))]);
  const inPieces = random.chance(0.3);
  const whole = (head: Buffer, rest: Buffer): Buffer[] => (inPieces ? [head, rest] : [Buffer.concat([head, rest])]);
  if (kind === 'length') return whole(text([...lines, `Content-Length: ${body.length}`]), Buffer.from(body));
  // Who waits for a word before its body sends it by itself.
  if (kind === 'expect') return [text([...lines, 'Expect: 100-continue', `Content-Length: ${body.length}`]), Buffer.from(body)];
  if (kind === 'chunked') {
    const cut = random.integer(0, body.length);
    const chunks = [body.slice(0, cut), body.slice(cut)].filter(part => part !== '').map(part => `${part.length.toString(16)}${random.pick(['', '', ';a=b'])}\r\n${part}\r\n`);
    return whole(text([...lines, 'Transfer-Encoding: chunked']), Buffer.from(`${chunks.join('')}0\r\n${random.pick(['', '', 'X-Sum: 1\r\n'])}\r\n`));
  }
  return [text(lines)];
}

function text(lines: readonly string[]): Buffer {
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

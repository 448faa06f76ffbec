/** Requests by the hundred thousand, each in a stream of its own: sound ones, such in which something is damaged, and known attacks in other words. */
import { hostile } from './http1-hostile.ts';
import type { Random } from './random.ts';

export const replayKinds = ['sound', 'damaged', 'hostile'] as const;
export type ReplayKind = (typeof replayKinds)[number];

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~';
/** Bytes that end, begin or split something. */
const signs = [0, 1, 9, 10, 11, 13, 32, 34, 35, 37, 44, 46, 47, 48, 58, 59, 61, 63, 65, 92, 127, 128, 133, 160, 255];
const methods = ['GET', 'GET', 'GET', 'POST', 'POST', 'HEAD', 'PUT', 'OPTIONS', 'DELETE', 'get', 'M-SEARCH'];
const hosts = ['a', 'a', 'A', 'a:80', 'web.shop.svc', 'webXshop', '[::1]:80', ''];
const names = ['X-Token', 'x-token', 'X-TOKEN', 'x-user', 'Cookie', 'x', 'Content-Type', 'Accept', 'User-Agent', 'Connection', 'Traceparent', 'Expect', 'Upgrade'];
const values = ['a', 'b', 'a,b', 'a,a', '', 'secret', 'a b', 'close', 'keep-alive', 'tok=1; b=2', '100-continue', 'h2c', 'websocket', '\u00e9'];

/** So many letters at random. */
function word(random: Random, least: number, most: number): string {
  let text = '';
  for (let left = random.integer(least, most); left > 0; left--) text += letters[random.integer(0, letters.length - 1)];
  return text;
}

function path(random: Random): string {
  const own = word(random, 1, 12);
  switch (random.integer(0, 13)) {
    case 0: case 1: case 2: return `/public/${own}`;
    case 3: return `/public/${random.integer(0, 999_999)}`;
    case 4: return `/public?${own}=${word(random, 0, 8)}`;
    case 5: return `/api/v${random.integer(0, 12)}/${own}`;
    case 6: return `/api/v1/x?y=${own}`;
    case 7: case 8: return `/no/${own}`;
    case 9: return `/${'a'.repeat(random.integer(1, 9))}b${own}`;
    case 10: return `/${own.toLowerCase()}/${word(random, 1, 6)}/${word(random, 1, 6)}`;
    // As servers may read it in two ways.
    case 11: return `/public/${random.pick(['../', '%2e%2e/', './', '/', '%2f', '%', ';x=/../', '\\'])}${own}`;
    case 12: return random.pick(['*', own, `http://a/${own}`, `//${own}`, `/../${own}`]);
    default: return `/${own}`;
  }
}

function chunks(random: Random): string {
  let text = '';
  for (let left = random.integer(0, 3); left > 0; left--) {
    const data = word(random, 1, 20);
    text += `${random.chance(0.2) ? '0' : ''}${data.length.toString(16)}${random.chance(0.2) ? `;${word(random, 1, 4)}="${word(random, 0, 4)}"` : ''}\r\n${data}\r\n`;
  }
  return `${text}0\r\n${random.chance(0.2) ? `X-${word(random, 1, 5)}: ${word(random, 0, 8)}\r\n` : ''}\r\n`;
}

function sound(random: Random): string {
  if (random.chance(0.3)) return `${random.pick(methods)} /${word(random, 1, 10)} HTTP/1.1\r\nHost: a\r\n\r\n`;
  let fields = '';
  for (let left = random.integer(0, 4); left > 0; left--) {
    const name = random.chance(0.7) ? random.pick(names) : `X-${word(random, 1, 8).replace(/[.~]/g, '1')}`;
    fields += `${name}:${random.pick([' ', ' ', '', '  ', '\t'])}${random.chance(0.6) ? random.pick(values) : word(random, 0, 30)}${random.pick(['', '', '', ' ', '\t'])}\r\n`;
  }
  const body = random.chance(0.7) ? '' : word(random, 1, 60);
  const framed = random.chance(0.2) ? `Transfer-Encoding: chunked\r\n\r\n${chunks(random)}` : body === '' ? '\r\n' : `Content-Length: ${body.length}\r\n\r\n${body}`;
  const next = random.chance(0.2) ? `GET /${random.pick(['public', 'no'])} HTTP/1.1\r\nHost: a\r\n\r\n` : '';
  return `${random.chance(0.05) ? '\r\n' : ''}${random.pick(methods)} ${path(random)} HTTP/1.${random.chance(0.1) ? 0 : 1}\r\nHost: ${random.pick(hosts)}\r\n${fields}${framed}${next}`;
}

/** A byte or a few put in, taken out or changed, or a piece that stands twice. */
function damage(random: Random, text: string): string {
  const at = random.integer(0, text.length - 1), byte = String.fromCharCode(random.chance(0.6) ? random.pick(signs) : random.integer(0, 255));
  switch (random.integer(0, 4)) {
    case 0: return text.slice(0, at) + byte + text.slice(at);
    case 1: return text.slice(0, at) + text.slice(at + random.integer(1, 3));
    case 2: return text.slice(0, at) + text.slice(Math.max(0, at - random.integer(1, 20)));
    case 3: return text.slice(0, at);
    default: return text.slice(0, at) + byte + text.slice(at + 1);
  }
}

const attacks = hostile.map(({ bytes }) => bytes.toString('latin1'));

function attack(random: Random): string {
  const text = random.pick(attacks), own = word(random, 2, 8);
  switch (random.integer(0, 3)) {
    case 0: return text.replace('/public', `/public/${own}`);
    case 1: return text.replace('Host: a\r\n', `Host: a\r\nX-Token: ${own}\r\n`);
    case 2: return text.replace(' /public', ` ${path(random).replaceAll('$', '')}`);
    // Of another one as well.
    default: return damage(random, text.replace('/public', `/public/${own}`));
  }
}

export function replayOf(random: Random, kind: ReplayKind): Buffer {
  const text = kind === 'sound' ? sound(random) : kind === 'hostile' ? attack(random) : damage(random, sound(random));
  return Buffer.from(text, 'latin1');
}

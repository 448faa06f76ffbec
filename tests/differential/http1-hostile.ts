/**
 * Requests by which one server was made to see what another did not: shapes of published attacks on framing (CL.TE, TE.CL, TE.TE, TE.0, 0.CL,
 * chunk extensions), of the corpora of llhttp and nginx, and of what sits exactly on a limit. Each is a whole connection of a client.
 */
import fc from 'fast-check';
import type { HeaderL7Match, HttpL7Rule } from '../../src/model/l7.ts';
import { smuggled } from './http1-streams.ts';

export interface Hostile {
  readonly name: string;
  readonly bytes: Buffer;
}

const head = (lines: readonly string[], start = 'POST /public HTTP/1.1'): string => `${[start, 'Host: a', ...lines].join('\r\n')}\r\n\r\n`;
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const after = 'GET /public/after HTTP/1.1\r\nHost: a\r\n\r\n';
const shape = (name: string, text: string): Hostile => ({ name, bytes: Buffer.from(text, 'latin1') });

/** A field that is there and one that is not: every byte that might stand in a name, before the colon, or begin a value. */
const everyByte = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
const hex = (char: string): string => char.charCodeAt(0).toString(16).padStart(2, '0');

const lengths: readonly string[] = [
  '', '+5', '-5', ' 5', '5 ', '\t5\t', '05', '000000000000005', '0000000000000005', '0x5', '5.0', '5e0', '5,5', '5, 5', '5 5', '5;', '"5"', '\u00b55', '5\u0000', '5\u000b', '5\u00a0', '999999999999999', '9999999999999999', '18446744073709551616', '18446744073709551621', '4294967301',
];
const codings: readonly string[] = [
  'chunked', 'Chunked', 'CHUNKED', ' chunked', 'chunked ', '\tchunked\t', 'chunked,', ',chunked', 'chunked;', 'chunked;x=y', 'chunked, identity', 'identity, chunked', 'identity', 'gzip, chunked', 'chunked, gzip', 'chunked, chunked', 'chunked chunked', 'xchunked', 'chunkedx', '"chunked"', "'chunked'", 'chunk', 'chunke', '', '\u000bchunked',
  '\u00a0chunked', 'chunked\u0000', 'chun\u0000ked', 'chunked\u007f', 'cow',
];
const sizes: readonly string[] = [
  '5', '05', '0000000000005', '00000000000005', '0x5', '+5', '-5', ' 5', '5 ', '\t5', '5\t', '5;', '5;a', '5;a=b', '5;a="b"', '5;a="b', '5;a="b\\', '5;a="\\""', '5;=b', '5;;', '5;a;', '5;a=', '5 ;a', '5; a', '5;a =b', '5;a= b', '5;a=b c', '5;\r', '5;a\u0000', '5;a\u0080', '5;"a"=b', '5,a', '5g', 'g', '', '5.', '5\u0000', '5;a\nb', '5\r',
  '5;a="\r\n"', `5;${'a'.repeat(4095)}`, `5;${'a'.repeat(4094)}`, `5;${'a'.repeat(4096)}`, '10000000000005', '1000000000000005', 'fffffffffffff', 'ffffffffffffffff', '5_', '5\u000b', '5"', '5\u00b5',
];
const lineEnds: readonly string[] = ['\n', '\r', '\r\r\n', '\n\r', '\n\n', ' \r\n', '\r\n ', '\r\n\t', '\u0000\r\n', '\r\u0000\n', '\u0085', ''];

function padded(total: number, start = 'GET /public HTTP/1.1'): string {
  const before = `${start}\r\nHost: a\r\nX: `;
  return `${before}${'x'.repeat(total - before.length - 4)}\r\n\r\n`;
}

const fields = (count: number): string => head(Array.from({ length: count - 1 }, (_, i) => `X-${i}: y`), 'GET /public HTTP/1.1');

export const hostile: readonly Hostile[] = [
  ...lengths.flatMap(length => [shape(`Content-Length: ${JSON.stringify(length)}`, `${head([`Content-Length:${length}`])}12345${smuggled}`), shape(`Content-Length: ${JSON.stringify(length)} behind one that is good`, `${head(['Content-Length: 5', `Content-Length:${length}`])}12345${after}`)]),
  ...codings.flatMap(coding => [shape(`Transfer-Encoding: ${JSON.stringify(coding)}`, `${head([`Transfer-Encoding:${coding}`])}${chunk('12345')}0\r\n\r\n${after}`), shape(`Transfer-Encoding: ${JSON.stringify(coding)} and a length`, `${head([`Transfer-Encoding:${coding}`, 'Content-Length: 3'])}0\r\n\r\n${smuggled}`),
    shape(`Transfer-Encoding: ${JSON.stringify(coding)} behind one that is good`, `${head(['Transfer-Encoding: chunked', `Transfer-Encoding:${coding}`])}0\r\n\r\n${smuggled}`), shape(`Transfer-Encoding: ${JSON.stringify(coding)} in 1.0`, `${head([`Transfer-Encoding:${coding}`], 'POST /public HTTP/1.0')}0\r\n\r\n${smuggled}`)]),
  ...sizes.map(size => shape(`a chunk of size ${JSON.stringify(size.slice(0, 40))}`, `${head(['Transfer-Encoding: chunked'])}${size}\r\n12345\r\n0\r\n\r\n${after}`)),
  ...sizes.map(size => shape(`a last chunk with ${JSON.stringify(size.slice(0, 40))}`, `${head(['Transfer-Encoding: chunked'])}${chunk('12345')}${size.replace('5', '0')}\r\n\r\n${after}`)),
  ...lineEnds.flatMap(end => [
    shape(`${JSON.stringify(end)} behind the request line`, `GET /public HTTP/1.1${end}Host: a\r\n\r\n${smuggled}`), shape(`${JSON.stringify(end)} behind a field`, `GET /public HTTP/1.1\r\nHost: a${end}X: y\r\n\r\n${smuggled}`),
    shape(`${JSON.stringify(end)} as the empty line`, `GET /public HTTP/1.1\r\nHost: a\r\n${end}${smuggled}`), shape(`${JSON.stringify(end)} behind a chunk's size`, `${head(['Transfer-Encoding: chunked'])}5${end}12345\r\n0\r\n\r\n${after}`),
    shape(`${JSON.stringify(end)} behind a chunk`, `${head(['Transfer-Encoding: chunked'])}5\r\n12345${end}0\r\n\r\n${after}`), shape(`${JSON.stringify(end)} behind the last chunk`, `${head(['Transfer-Encoding: chunked'])}0${end}\r\n${after}`),
    shape(`${JSON.stringify(end)} as the last line`, `${head(['Transfer-Encoding: chunked'])}0\r\n${end}${smuggled}`), shape(`${JSON.stringify(end)} behind a trailer`, `${head(['Transfer-Encoding: chunked'])}0\r\nX: y${end}\r\n${after}`), shape(`${JSON.stringify(end)} before a request`, `${end}${after}`),
  ]),
  ...everyByte.flatMap(byte => [
    shape(`byte ${hex(byte)} in a name`, `${head([`X${byte}Y: z`])}${after}`), shape(`byte ${hex(byte)} before a name`, `${head([`${byte}Content-Length: 5`])}12345${after}`), shape(`byte ${hex(byte)} before the colon`, `${head([`Content-Length${byte}: 5`])}12345${after}`),
    shape(`byte ${hex(byte)} behind the colon`, `${head([`Transfer-Encoding:${byte}chunked`])}${chunk('12345')}0\r\n\r\n${after}`), shape(`byte ${hex(byte)} behind a value`, `${head([`Transfer-Encoding: chunked${byte}`])}${chunk('12345')}0\r\n\r\n${after}`),
    shape(`byte ${hex(byte)} in a value`, `${head([`X: y${byte}z`])}${after}`), shape(`byte ${hex(byte)} in the method`, head([], `G${byte}T /public HTTP/1.1`)), shape(`byte ${hex(byte)} in the target`, `${head([], `GET /public${byte}x HTTP/1.1`)}${after}`),
    shape(`byte ${hex(byte)} in the query`, `${head([], `GET /public?a${byte}x HTTP/1.1`)}${after}`), shape(`byte ${hex(byte)} begins the target`, head([], `GET ${byte}public HTTP/1.1`)), shape(`byte ${hex(byte)} in the Host`, `GET /public HTTP/1.1\r\nHost: a${byte}b\r\n\r\n${after}`), shape(`byte ${hex(byte)} in Connection`, `${head([`Connection: close${byte}`])}${after}`),
    shape(`byte ${hex(byte)} behind the version`, head([], `GET /public HTTP/1.1${byte}`)), shape(`byte ${hex(byte)} as the minor version`, head([], `GET /public HTTP/1.${byte}`)), shape(`byte ${hex(byte)} first`, `${byte}${after}`),
    shape(`byte ${hex(byte)} in a chunk's size`, `${head(['Transfer-Encoding: chunked'])}1${byte}\r\n${'x'.repeat(17)}\r\n0\r\n\r\n${after}`), shape(`byte ${hex(byte)} in an extension`, `${head(['Transfer-Encoding: chunked'])}5;a${byte}b\r\n12345\r\n0\r\n\r\n${after}`), shape(`byte ${hex(byte)} in a quoted extension`, `${head(['Transfer-Encoding: chunked'])}5;a="${byte}"\r\n12345\r\n0\r\n\r\n${after}`),
    shape(`byte ${hex(byte)} in a trailer's name`, `${head(['Transfer-Encoding: chunked'])}0\r\nX${byte}Y: z\r\n\r\n${after}`), shape(`byte ${hex(byte)} in a trailer's value`, `${head(['Transfer-Encoding: chunked'])}0\r\nX: y${byte}z\r\n\r\n${after}`), shape(`byte ${hex(byte)} in an escape`, head([], `GET /public/%2${byte} HTTP/1.1`)),
  ]),
  ...['authorization', 'Connection', 'content-encoding', 'Content-Length', 'content-type', 'cookie', 'Expect', 'Host', 'keep-alive', 'te', 'trailer', 'Transfer-Encoding', 'Upgrade', 'x-token', 'traceparent', 'content-lengthx', 'hos'].map(name => shape(`trailer ${name}`, `${head(['Transfer-Encoding: chunked'])}0\r\n${name}: 5\r\n\r\n${after}`)),
  ...['close', 'CLOSE', 'keep-alive', 'close, keep-alive', ',close,', ' , ,close', 'closed', 'clos', 'content-length', 'Content-Length, close', 'transfer-encoding', 'host', 'HOST', 'hosts', 'x-token', 'close close', 'close;q=1', '"close"', '', ',', 'upgrade', 'te, close'].flatMap(value => [shape(`Connection: ${value}`, `${head([`Connection: ${value}`])}${after}`), shape(`Connection: ${value} in 1.0`, `${head([`Connection: ${value}`], 'GET /public HTTP/1.0')}${after}`), shape(`Connection: ${value} and keep-alive`, `${head([`Connection: ${value}`, 'Connection: keep-alive'])}${after}`)]),
  ...['/', '/public', '//public', '/public//', '/public/./x', '/public/../no', '/public/..', '/public/.', '/.', '/..', '/public/.hidden', '/public/%2e%2e/no', '/public/%2E%2E%2Fno', '/public/%252e', '/public%', '/public%2', '/public%zz', '/public/..;/no', '/public\\no', '/public?a=/../no', '/public?\\', '/public?%2e', '/public#no', '*', '*x', '/*', 'public', '?x', 'http://a/public', 'HTTP://a/public', 'http://b/public', 'https://a/public', 'http://a', 'http://', 'http:/a', 'httpx://a/', 'a:80', '[::1]:80', 'ftp://a/public', `/${'p'.repeat(511)}`, `/public${'p'.repeat(8000)}`].flatMap(target => ['GET', 'OPTIONS', 'CONNECT', 'HEAD'].map(method => shape(`${method} ${target.slice(0, 30)}`, `${head([], `${method} ${target} HTTP/1.1`)}${after}`))),
  ...['a', 'A', 'a:80', 'a:', ':80', '', 'a b', 'a,b', 'a/b', 'u@a', '[::1]', '[::1', 'a%20b', '-', '..', 'a\\b', 'a?b', 'x'.repeat(300)].flatMap(value => [shape(`Host: ${value.slice(0, 30)}`, `GET /public HTTP/1.1\r\nHost: ${value}\r\n\r\n${after}`), shape(`Host: ${value.slice(0, 30)} beside another`, `GET /public HTTP/1.1\r\nHost: a\r\nX: y\r\nHost: ${value}\r\n\r\n${after}`), shape(`Host: ${value.slice(0, 30)} in 1.0`, `GET /public HTTP/1.0\r\nConnection: keep-alive\r\nHost: ${value}\r\n\r\n${after}`)]),
  shape('no Host', `GET /public HTTP/1.1\r\n\r\n${after}`), shape('no Host in 1.0', `GET /public HTTP/1.0\r\n\r\n${after}`), shape('no Host in 1.0 that goes on', `GET /public HTTP/1.0\r\nConnection: keep-alive\r\n\r\n${after}`),
  ...['GET', 'g', 'GETGETGET', 'M'.repeat(64), 'M'.repeat(65), 'M'.repeat(63), 'PRI', 'CONNECT', 'HEAD', 'head', 'HEADS', 'HEA', 'OPTIONS'].map(method => shape(`method ${method}`, `${head([], `${method} /public HTTP/1.1`)}${after}`)),
  ...[2, 99, 100, 101, 102].map(count => shape(`${count} fields`, `${fields(count)}${after}`)),
  ...[16_383, 16_384, 16_385, 20_000].map(total => shape(`a head of ${total} bytes`, `${padded(total)}${after}`)),
  ...[1, 7, 8, 9, 10].map(count => shape(`${count} empty lines`, `${'\r\n'.repeat(count)}${after}${'\r\n'.repeat(count)}${after}`)),
  ...[8190, 8191, 8192, 8193].map(total => shape(`trailers of ${total} bytes`, `${head(['Transfer-Encoding: chunked'])}0\r\nX:${'y'.repeat(total - 2)}\r\n\r\n${after}`)),
  ...['websocket', 'h2c', 'H2C', 'h2', 'h2cx', 'x, h2c', 'h2c,x', 'x\th2\ty', 'xh2c', 'h2c/1', ''].map(value => shape(`Upgrade: ${value}`, `${head(['Connection: Upgrade', `Upgrade: ${value}`], 'GET /public HTTP/1.1')}${after}`)),
  shape('HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), shape('TLS hello', '\u0016\u0003\u0001\u0000\u0005hello'), shape('only a method', 'GET'), shape('HTTP/0.9', 'GET /public\r\n'),
  shape('Expect with a body to come', `${head(['Expect: 100-continue', 'Content-Length: 5'])}12345${after}`), shape('Expect denied', `${head(['Expect: 100-continue', 'Content-Length: 5'], 'POST /no HTTP/1.1')}12345${after}`),
  shape('a body of a denied request that is a request', `${head([`Content-Length: ${smuggled.length}`], 'POST /no HTTP/1.1')}${smuggled}${after}`), shape('chunks of a denied request', `${head(['Transfer-Encoding: chunked'], 'POST /no HTTP/1.1')}${chunk(smuggled)}0\r\n\r\n${after}`),
  shape('0.CL', `${head([`Content-Length: ${smuggled.length}`], 'GET /public HTTP/1.1')}${smuggled}${after}`),
];

/** Values that rules ask for and requests have, so that both outcomes are common. */
const pool = {
  method: ['GET', 'POST', 'HEAD', 'PUT', 'OPTIONS', 'get', 'M-SEARCH'],
  path: ['/', '/public', '/public/1', '/public/22', '/no', '/api/v1/x?y=1', '/a-b_c~d', '/aaaaaaaaab', '/api/', '/public?a=b?c', '*'],
  host: ['a', 'A', 'a:80', 'web.shop.svc', 'webXshop', '[::1]:80', ''],
  // One name far more often than others, as several fields of it are one value.
  name: ['x-token', 'x-token', 'x-token', 'x-token', 'x-token', 'x-token', 'x-user', 'cookie', 'x', 'content-type', 'host', 'connection'],
  value: ['a', 'a', 'b', 'a,b', 'a,a', 'a,', '', 'secret', 'A', 'a b', 'close', 'tok=1; b=2'],
} as const;

const expressions = {
  method: ['GET', 'GET|POST', '(?i)get', '.*', 'P.*', '[A-Z]{3}', 'GET|', 'M-SEARCH'],
  path: ['/public.*', '/public', '/.*', '/public/\\d+', '/api/v[0-9]+/.*', '/(public|api)/?.*', '/a+b', '[^?]*', '.*\\?.*', '/public/[0-9]{2}', '(/[a-z]+){1,3}', '', '\\*', '/.*b', '.{1,8}'],
  host: ['a', 'a.*', '.*', 'web\\.shop\\.svc', 'web.shop.*', '[a-z]+(:\\d+)?', '', '.*\\[.*'],
} as const;

const header: fc.Arbitrary<HeaderL7Match> = fc.record({ name: fc.constantFrom(...pool.name, ':method', ':path', ':authority', 'X-Token'), value: fc.option(fc.constantFrom<string>(...pool.value, 'GET', '/public'), { nil: undefined }) }).map(({ name, value }) => ({ name, ...(value !== undefined && { value }) }));

/** Rules as the kernel takes them: without changes of headers. */
export const rules: fc.Arbitrary<readonly HttpL7Rule[]> = fc.array(fc.record({
  method: fc.option(fc.constantFrom(...expressions.method), { nil: undefined }), path: fc.option(fc.constantFrom(...expressions.path), { nil: undefined }), host: fc.option(fc.constantFrom(...expressions.host), { nil: undefined }),
  headers: fc.array(header, { maxLength: 2 }),
}), { minLength: 1, maxLength: 6 }).map(list => list.map(({ method, path, host, headers }, i) => ({ rule: i + 1, headers, ...(method !== undefined && { method }), ...(path !== undefined && { path }), ...(host !== undefined && { host }) })));

const anyCase = (name: string): fc.Arbitrary<string> => fc.constantFrom(name, name.toUpperCase(), name.replace(/^./, first => first.toUpperCase()));

/** Well-formed requests out of the same pool, one behind the other. */
export const ordinary: fc.Arbitrary<Buffer> = fc.array(fc.record({
  method: fc.constantFrom(...pool.method), path: fc.constantFrom(...pool.path), host: fc.constantFrom(...pool.host), version: fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0\r\nConnection: keep-alive'),
  fields: fc.array(fc.tuple(fc.constantFrom(...pool.name.filter(name => name !== 'host')).chain(anyCase), fc.constantFrom(': ', ':', ':  ', ':\t'), fc.constantFrom(...pool.value), fc.constantFrom('', ' ', '\t')), { maxLength: 4 }), body: fc.constantFrom('', 'abc', smuggled), chunked: fc.boolean(),
}), { minLength: 1, maxLength: 4 }).map(list => Buffer.from(list.map(({ method, path, host, version, fields: lines, body, chunked }) => {
  const framing = body === '' ? '' : chunked && version === 'HTTP/1.1' ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${body.length}\r\n`;
  return `${method} ${path} ${version}\r\nHost: ${host}\r\n${lines.map(line => `${line.join('')}\r\n`).join('')}${framing}\r\n${body === '' ? '' : framing.startsWith('T') ? `${chunk(body)}0\r\n\r\n` : body}`;
}).join(''), 'latin1'));

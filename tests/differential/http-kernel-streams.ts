/** Streams for the kernel's reader: those of http1-streams.ts, and what its own limits, tables and automata might trip over. */
import fc from 'fast-check';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { streams } from './http1-streams.ts';

/** Rules that the streams were made for. Numbers are ids. */
export const rulesOfTests: readonly (readonly HttpL7Rule[])[] = [
  [{ rule: 1, path: '/public.*|\\*', headers: [] }],
  [{ rule: 1, headers: [] }],
  [
    { rule: 11, method: 'GET|HEAD', path: '/public/[0-9]+', headers: [] },
    { rule: 12, method: 'POST', host: 'a|shop\\.example(:80)?', headers: [{ name: 'X-Y', value: 'z' }] },
    { rule: 13, path: '/(public|no)/.*', headers: [{ name: 'x-y', value: 'a,b' }] },
    { rule: 14, host: '[a-z.]+', path: '/.*\\?a=.*', headers: [{ name: 'Host', value: 'a' }] },
    { rule: 15, path: '/no/.*', headers: [{ name: 'connection' }, { name: 'X-Empty', value: 'e' }] },
  ],
  [{ rule: 21, method: '[A-Z-]+', headers: [{ name: 'content-length', value: '3' }] }, { rule: 22, headers: [{ name: 'transfer-encoding', value: 'chunked' }] }, { rule: 23, headers: [{ name: 'upgrade' }, { name: 'expect' }] }, { rule: 24, path: '/public/.', headers: [{ name: 'traceparent' }] }],
  [],
];

const name = fc.constantFrom('X-Y', 'x-y', 'X-y', 'Y', 'X-Empty', 'X-Other', 'Traceparent', 'Connection', 'Expect', 'Upgrade', 'Host', 'Content-Length', 'X-YY', 'X-', 'Hos', 'Hostt', 'Content-Lengt', 'Content-Lengthh', 'Transfer-Encodin', 'Transfer-Encodingg');
const value = fc.constantFrom('', 'z', 'a', 'b', 'a,b', 'a, b', ' z', 'z \t', '\tz', 'z z', 'a ,b', 'e', 'close', 'keep-alive', 'Close , keep-alive', 'close keep-alive', 'h2c', 'h2', 'x h2', 'h2,x', 'H2C', 'h2cc', 'ah2', 'h2\tx', '"h2"', '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01', '3', '03', 'shop.example', 'shop.example:80', '\u00e9', 'a\u0001', '100-continue', 'chunked', 'host', 'x,host', 'keep-alivee', 'keep-aliv', 'clos', 'transfer-encoding', 'content-lengt', 'a'.repeat(40), 'close;x', 'close"');
const field = fc.tuple(name, fc.constantFrom(':', ': ', ':  ', ':\t', ' :'), value).map(([n, colon, v]) => `${n}${colon}${v}`);
const line = fc.tuple(fc.constantFrom('GET', 'POST', 'HEAD', 'PUT', 'OPTIONS', 'CONNECT', 'X-Z'), fc.constantFrom('/public/1', '/public/12', '/no/1', '/no/x?a=1', '/public/a', '/?a=b', '*', '**', '*a', '/public/?%2e', '/x?\\', '/x\\', '/x/?/..', '/x/?//', '/a/.b', '/a//', '/.', '//', '/a%41', 'a:80', '?x', '.', '/public/1?a=/../x'), fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0')).map(parts => parts.join(' '));
const body = fc.constantFrom('', '', 'abc', '0\r\n\r\n', '3\r\nabc\r\n0\r\n\r\n', '3\r\nabc\r\n0\r\nX-Y: z\r\n\r\n', '0\r\nExpect: x\r\n\r\n', '0\r\nX-YZ: z\r\n\r\n', '0\r\nCookie: x\r\n\r\n', '0\r\nKeep-Alive:x\r\n\r\n', '0\r\nTraceparent: x\r\n\r\n', '00000000000003\r\nabc', '0000000000003\r\nabc\r\n0\r\n\r\n', '3;a;b=c;d="e\\"f"\r\nabc\r\n0\r\n\r\n', '3;;\r\n', '3;a="\u0001"\r\n', '3;a=\r\n', '3;a=b"\r\n', 'g\r\n');
const asked = fc.tuple(line, fc.array(field, { maxLength: 5 }), fc.boolean(), body).map(([first, fields, hasHost, rest]) => `${[first, ...(hasHost ? ['Host: a'] : []), ...fields].join('\r\n')}\r\n\r\n${rest}`);

/** Nothing is wrong with these, so that many of them are read: fields that rules ask for, in all ways in which they may be written, and bodies. */
const soundName = fc.constantFrom('X-Y', 'x-y', 'X-Empty', 'x-eMPTY', 'X-Other', 'Traceparent', 'Connection', 'User-Agent', 'Accept', 'X-YY', 'Expect', '~|!#$%&\'*+.^_`');
const soundValue = fc.constantFrom('', 'z', 'a', 'b', 'a,b', 'e', 'close', 'keep-alive', 'x, Keep-Alive', 'a b', 'z z', '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01', 'curl/8.5 (x; y)', '\u00e9', '100-continue');
const blanks = fc.constantFrom('', ' ', ' ', '\t', ' \t ');
const soundField = fc.tuple(soundName, blanks, soundValue, blanks).map(([n, before, v, after]) => `${n}:${before}${n === 'Connection' && v === '\u00e9' ? 'x' : v}${after}`);
const soundTrailer = fc.constantFrom('', 'X-T: y\r\n', 'X-YZ: z\r\n', 'X-T: y\r\nX-U:\r\n');
const chunked = fc.tuple(fc.array(fc.constantFrom('3\r\nabc\r\n', '0000000000003\r\nabc\r\n', '1;a=b\r\n\r\r\n', '2;a="\\"";c\r\n\r\n\r\n', 'A\r\n0123456789\r\n', '0a\r\n0123456789\r\n'), { maxLength: 3 }), soundTrailer).map(([chunks, trailers]) => `${chunks.join('')}0\r\n${trailers}\r\n`);
const soundFraming = fc.oneof(
  { weight: 3, arbitrary: fc.constant(['', '']) },
  { weight: 1, arbitrary: fc.constantFrom(['Content-Length: 3\r\n', 'abc'], ['content-length:\t03 \r\n', 'abc'], ['CONTENT-LENGTH:0\r\n', ''], ['Content-Length: 000000000000003\r\n', 'abc']) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('Transfer-Encoding: chunked\r\n', 'transfer-encoding:CHUNKED \r\n'), chunked) },
  // One thing is wrong at most.
  { weight: 1, arbitrary: fc.constantFrom(...['X-Y', 'x-empty', 'traceparent', 'Expect', 'UPGRADE', 'te', 'Trailer', 'Content-Type', 'Authorization', 'content-encoding', 'keep-alive', 'cookie', 'Host'].map(n => ['Transfer-Encoding: chunked\r\n', `0\r\nX-T: y\r\n${n}: z\r\n\r\n`]), ...['chunk ed', 'chunked chunked', '\tchunked\t', 'chunked,', 'chunkedd', 'chunke'].map(v => [`Transfer-Encoding: ${v}\r\n`, '0\r\n\r\n']),
    ['Transfer-Encoding: chunked\r\n', '00000000000003\r\nabc\r\n0\r\n\r\n'], ['Content-Length: 0000000000000003\r\n', 'abc'], ['Content-Length: 3 \t3\r\n', 'abc']) },
);
const sound = fc.tuple(
  fc.constantFrom('GET', 'POST', 'HEAD', 'PUT', 'OPTIONS', '~|!#$%&\'*+.^_`-'), fc.constantFrom('/public/1', '/public/12', '/no/1', '/no/x?a=1', '/public/a', '/?a=b', '/public/?%2e', '/x?\\', '/x/?/..', '/public/1?a=/../x', '/public/%31', '/public//1', '/no/../public/1', '/no/%2e%2E/public/12', '/public/./a', '/../no/1', '/public/~(a)\'"<>^`{|}[]@!$&*+,;=:'), fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'),
  fc.constantFrom('Host: a', 'Host: shop.example', 'host:\tshop.example:80 ', 'HOST: b', 'Host:', 'Host: [::1]:80'), fc.array(soundField, { maxLength: 4 }), fc.array(soundField, { maxLength: 2 }), soundFraming, fc.constantFrom('', '', '', '\r\n', '\r\n\r\n'),
).map(([method, target, version, host, above, below, [frame, rest], before]) => `${before}${[`${method} ${target} ${version}`, ...above, host, ...below].join('\r\n')}\r\n${frame}\r\n${rest}`);

/** About a limit, below and beyond it. */
const about = (limit: number) => fc.integer({ min: limit - 2, max: limit + 2 });
const limits = fc.oneof(
  about(64).map(n => `${'M'.repeat(n)} /public HTTP/1.1\r\nHost: a\r\n\r\n`),
  about(64).map(n => 'M'.repeat(n)),
  about(100).map(n => `GET /public HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(n - 1)}\r\n`),
  about(8).map(n => `${'\r\n'.repeat(n)}GET /public HTTP/1.1\r\nHost: a\r\n\r\n`),
  about(8).map(n => `${'\r\n'.repeat(n)}\u0001`),
  about(8).map(n => `${'\r\n'.repeat(n)}\r\r`),
  about(300).map(n => '\r\n'.repeat(n)),
  about(15).map(n => `POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: ${'1'.padStart(n, '0')}\r\n\r\n`),
  about(271).map(n => `POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: ${'1'.padStart(n, '0')}\r\n\r\n`),
  about(16_384).map(n => `GET /public HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(n - 40)}\r\n\r\nGET /public HTTP/1.1\r\nHost: a\r\n\r\n`),
  about(4096).map(n => `POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;${'e'.repeat(n - 1)}\r\nx\r\n0\r\n\r\nGET /public HTTP/1.1\r\nHost: a\r\n\r\n`),
  about(2048).map(n => `POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${`1;${'e'.repeat(n - 1)}\r\nx\r\n`.repeat(2)}0\r\n\r\n`),
  about(8192).map(n => `POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T:${'e'.repeat(n - 4)}\r\n\r\nGET /public HTTP/1.1\r\nHost: a\r\n\r\n`),
  about(512).map(n => `GET /public${'p'.repeat(n)} HTTP/1.1\r\nHost: ${'a'.repeat(n - 400)}\r\n\r\n`),
  about(256).map(n => `GET /public${'p'.repeat(n)} HTTP/1.1\r\nHost: a\r\n\r\n`),
);

export const kernelStreams = fc.oneof(
  { weight: 8, arbitrary: streams },
  { weight: 16, arbitrary: fc.array(sound, { minLength: 1, maxLength: 6 }).map(all => Buffer.from(all.join(''), 'latin1')) },
  { weight: 10, arbitrary: fc.array(asked, { minLength: 1, maxLength: 4 }).map(all => Buffer.from(all.join(''), 'latin1')) },
  { weight: 2, arbitrary: fc.tuple(fc.array(asked, { maxLength: 1 }), limits).map(([before, one]) => Buffer.from(before.join('') + one, 'latin1')) },
);

/** Each byte in each place of these is tried. */
export const templates: readonly string[] = [
  'GET /no/x.y HTTP/1.1\r\nHost: a.b-1:80\r\nUser-Agent: x\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nxyGET',
  'GET /public/a.b?c=d HTTP/1.1\r\nHost: a.b:1\r\nX-Y: z z\r\nX-Other: \t y\r\nConnection: close , x\r\n\r\n',
  '\r\nPUT /public HTTP/1.1\r\nHost:a\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b;c="d\\e"\r\nxy\r\n0\r\nX-T: v\r\n\r\nGET',
  'POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 12\r\nUpgrade: a, h2c\r\n\r\n',
];

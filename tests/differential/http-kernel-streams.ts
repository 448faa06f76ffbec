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
  { weight: 12, arbitrary: streams },
  { weight: 10, arbitrary: fc.array(asked, { minLength: 1, maxLength: 4 }).map(all => Buffer.from(all.join(''), 'latin1')) },
  { weight: 2, arbitrary: fc.tuple(fc.array(asked, { maxLength: 1 }), limits).map(([before, one]) => Buffer.from(before.join('') + one, 'latin1')) },
);

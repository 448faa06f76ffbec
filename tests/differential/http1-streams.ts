/** What clients might send over one HTTP/1.1 connection: valid, odd, and meant to be read in two ways. */
import fc from 'fast-check';

/** Policy of these tests lets `/public…` pass; whatever a server sees of `/no` was smuggled past it. */
export const smuggled = 'GET /no/smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

const often = <T>(usual: T, ...odd: readonly T[]) => fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(usual, ...odd) });

const method = often('GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE', 'PATCH', 'get', 'GE T', 'PRI', 'TRACE', 'M-SEARCH', '', '\u0000GET', 'GET\t');
const path = fc.oneof(
  { weight: 6, arbitrary: fc.nat(99).map(n => `/public/${n}`) },
  { weight: 2, arbitrary: fc.nat(9).map(n => `/no/${n}`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('/public/../no', '/public/%2e%2e/no', '/public/%2E./no', '/public//..//no', '/public#/no', '/public\\..\\no', '/public%00', '/public?a=/../no', '/public/.', '*', 'http://a/public', 'http://a/no', 'HTTP://A/public?x',
      'http://b/public', 'http://a', 'https://a/public', 'http:///public', 'http://u@a/public', 'public', '//a/public', '/public HTTP/1.1 x', '/public\u00fc', '/public\t', '/public"<>^`{|}', '/public%', '/public%zz', '/public;a=b', '/%70ublic', '/public/%2f..%2f..%2fno', '/../no', '?', '/'),
  },
);
const version = often('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 ', 'HTTP/01.1', 'HTTP/1.', '', 'HTTP/1.1\u0000', 'ICY/1.1');
const lineEnd = fc.oneof({ weight: 60, arbitrary: fc.constant('\r\n') }, { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '\r\r\n', '\n\r\n', ' \r\n', '\r\n ', '\r\n\t', '\u0000\r\n') });
const host = often('Host: a', 'Host: a\r\nHost: b', 'Host:a', 'host: a', 'Host : a', ' Host: a', 'Host: a b', 'Host: a/no', 'Host: a, b', 'Host:', 'Host: a@b', 'Host: [::1]:80', 'X: y', 'Host: a\u0000', 'Host: \u00fc', 'Host\t: a', 'Host: a:80');
const field = fc.constantFrom('X-Y: z', 'x:', 'X-Y:  spaced  ', 'X-Empty: ', 'X-Y: \u00e9\u00ff', 'X-Y: a\u0000b', 'X-Y: a\u0001b', 'X-Y: a\rb', 'X-Y: a\nContent-Length: 30', ': no name', 'no colon', 'X Y: z', 'X-Y\u0000: z', '(X): y', 'X-Y: a\r\n folded', 'X-Y: a\r\n\tfolded', 'Content_Length: 5', 'X-Y: "quoted\\"', 'Transfer-Encoding ', 'Connection: close', 'Connection: keep-alive', 'Connection: content-length', 'Connection: Transfer-Encoding, close', 'Upgrade: websocket', 'Connection: Upgrade\r\nUpgrade: websocket', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__', 'Upgrade: x', 'Expect: 100-continue', 'Trailer: x', 'TE: trailers', 'Keep-Alive: 5', 'Proxy-Connection: close', 'Connection: ,,close,,', 'Connection: clo\u0000se');
const payload = fc.constantFrom('', 'abc', smuggled, `0\r\n\r\n${smuggled}`, 'x'.repeat(300), '\r\n', `${smuggled}${smuggled}`);
const chunkLine = (size: number) => fc.oneof(
  { weight: 12, arbitrary: fc.constant(`${size.toString(16)}\r\n`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(`0x${size.toString(16)}\r\n`, `${size.toString(16)};a=b\r\n`, `${size.toString(16)};a="q;\\"x"\r\n`, `${size.toString(16)} \r\n`, ` ${size.toString(16)}\r\n`, `${size.toString(16)}\n`, `${size.toString(16)};a="\r\n"\r\n`, `${size.toString(16)};a\nb\r\n`, `+${size.toString(16)}\r\n`, `-${size.toString(16)}\r\n`,
      `00${size.toString(16)}\r\n`, `${size.toString(16).toUpperCase()}\r\n`, '\r\n', `${size.toString(16)};\r\n`, `${size.toString(16)};=\r\n`, `${size.toString(16)};a=\r\n`, `${size.toString(16)} ;a=b\r\n`, `1${'0'.repeat(16)}${size.toString(16)}\r\n`, `${size.toString(16)}\r\r\n`, `${size.toString(16)}\rX\n`, `${size + 1}\r\n`, `${size.toString(16)};${'e'.repeat(300)}\r\n`),
  },
);
const chunkEnd = often('\r\n', '\n', '', '\r', '\r\r\n', 'xx', '\n\n');
const lastChunk = often('0\r\n\r\n', '0\r\nX: y\r\n\r\n', '0\r\nContent-Length: 5\r\n\r\n', '0\r\n', '0\n\n', '0\r\n\n', '0\r\nX: y\n\r\n', '000\r\n\r\n', '0;a=b\r\n\r\n', '0\r\nX : y\r\n\r\n', '0\r\n folded\r\n\r\n', '0\r\nHost: b\r\n\r\n', '0\r\nTransfer-Encoding: chunked\r\n\r\n', '0\r\n\rX');
const chunks = fc.tuple(fc.array(payload.filter(p => p !== '').chain(data => fc.tuple(chunkLine(data.length), chunkEnd).map(([line, end]) => line + data + end)), { maxLength: 3 }), lastChunk).map(([all, last]) => all.join('') + last);

/** Header lines that frame, and the body that is meant by at least one reading of them. */
const framing = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ lines: [] as string[], body: '' }) },
  { weight: 4, arbitrary: payload.map(body => ({ lines: [`Content-Length: ${body.length}`], body })) },
  { weight: 4, arbitrary: chunks.map(body => ({ lines: ['Transfer-Encoding: chunked'], body })) },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom((n: number) => [`Content-Length: +${n}`], n => [`Content-Length: ${n}, ${n}`], n => [`Content-Length: ${n}`, `Content-Length: ${n}`], n => [`Content-Length: ${n}`, 'Content-Length: 0'], n => [`Content-Length: 0x${n.toString(16)}`], n => [`Content-Length: ${n}.0`], n => [`Content-Length : ${n}`],
      n => [`Content-Length: 0${n}`], n => [`Content-Length: ${n} `], n => [`content-length:${n}`], n => [`Content-Length: ${n}\u0000`], () => ['Content-Length: 99999999999999999999'], () => ['Content-Length:'], n => [`Content-Length: ${n}`, 'Transfer-Encoding: identity'], n => ['X: y', ` Content-Length: ${n}`], () => ['Content-Length: -1'], n => [`Content-Length: ${n};x`], n => [`Content-Length: ${n} ${n}`]), payload)
      .map(([lines, body]) => ({ lines: lines(body.length), body })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom(['Transfer-Encoding: chunked', 'Content-Length: 4'], ['Content-Length: 4', 'Transfer-Encoding: chunked'], ['Transfer-Encoding: xchunked'], ['Transfer-Encoding : chunked'], ['Transfer-Encoding: chunked', 'Transfer-Encoding: x'], ['Transfer-Encoding: x', 'Transfer-Encoding: chunked'], ['Transfer-Encoding:\tchunked'],
      ['Transfer-Encoding: gzip, chunked'], ['Transfer-Encoding: chunked, gzip'], ['Transfer-Encoding: chunked, chunked'], ['Transfer-Encoding: "chunked"'], ['Transfer-Encoding: chunked;q=1'], ['Transfer-Encoding:\u000bchunked'], ['Transfer-Encoding: ch\u0075nked '], ['X: y\nTransfer-Encoding: chunked'], ['Transfer-Encoding', ': chunked'], ['Transfer-Encoding: CHUNKED'], ['Transfer-Encoding:', ' chunked'], ['transfer-encoding: \u0000chunked'], ['Transfer_Encoding: chunked'], ['Transfer-Encoding: identity, chunked'], [' Transfer-Encoding: chunked'], ['Transfer-Encoding:'], ['Transfer-Encoding: ,chunked']), chunks)
      .map(([lines, body]) => ({ lines: [...lines], body })),
  },
);

const message = fc.record({ method, path, version, host, fields: fc.array(field, { maxLength: 2 }), framing, ends: fc.array(lineEnd, { minLength: 6, maxLength: 6 }), before: often('', '\r\n', '\n', '\r\n\r\n', '\r', ' ') })
  .map(({ method: m, path: p, version: v, host: h, fields, framing: { lines, body }, ends, before }) => {
    const head = [`${m} ${p} ${v}`, h, ...fields, ...lines];
    // The framing stands before other fields or behind them.
    return `${before}${head.map((line, i) => line + ends[i % ends.length]!).join('')}${ends.at(-1) === '\r\n' ? '\r\n' : ends.at(-1)!}${body}`;
  });
const plain = fc.oneof(fc.nat(99).map(n => `GET /public/${n} HTTP/1.1\r\nHost: a\r\n\r\n`), fc.nat(9).map(n => `GET /no/${n} HTTP/1.1\r\nHost: a\r\n\r\n`), fc.nat(9).map(n => `POST /public/p${n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`));

/** One byte put in, taken out or changed somewhere; place as a share of the length. */
const scratch = fc.record({ at: fc.double({ min: 0, max: 0.999, noNaN: true }), what: fc.constantFrom('insert', 'delete', 'replace'), byte: fc.constantFrom(0, 9, 10, 11, 13, 32, 34, 44, 48, 49, 58, 59, 65, 127, 128, 160, 255) });

export const streams = fc.tuple(fc.array(fc.oneof({ weight: 2, arbitrary: plain }, { weight: 3, arbitrary: message }), { minLength: 1, maxLength: 4 }), fc.option(scratch, { freq: 3 }))
  .map(([messages, change]) => scratched(Buffer.from(messages.join(''), 'latin1'), change));

function scratched(bytes: Buffer, change: { at: number; what: string; byte: number } | null): Buffer {
  if (change === null || bytes.length === 0) return bytes;
  const at = Math.floor(change.at * bytes.length);
  const inserted = change.what === 'delete' ? [] : [change.byte];
  return Buffer.concat([bytes.subarray(0, at), Buffer.from(inserted), bytes.subarray(change.what === 'insert' ? at : at + 1)]);
}

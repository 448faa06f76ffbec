/**
 * The kernel's readers take usual lines eight bytes at a time (bpf/lib/http_reader_words.h). That is no more than a shortcut: a stream that is read
 * whole gives what the same stream gives byte by byte, where no shortcut has room. Heads that take them, and everything that is nearly such a head.
 * CIRRI_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { hasObject } from '../programs/harness.ts';
import { HttpTrial } from '../programs/http-trial.ts';
import type { Asked, Captured, TrialEvent } from '../programs/http-trial.ts';
import { rulesOfTests } from './http-kernel-streams.ts';
import { policyOf } from './http-kernel.ts';

const runs = process.env['CIRRI_LONG'] ? 200_000 : 6_000;
const chunkBytes = 256;
const asked: readonly Asked[] = ['plain', 'plain', 'plain'];

interface Cut {
  readonly cuts?: readonly number[];
  readonly piece?: number;
}

/** With each line that has a shortcut. */
const usualAnswers: readonly string[] = [
  'HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nabcdefghijklHTTP',
  'HTTP/1.0 404 Not Found\r\nDate: x\r\nContent-Length:0\r\nConnection:keep-alive\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-1: y\r\n\r\n2\r\nab\r\n0\r\n\r\nHTTP',
  'HTTP/1.1 503 \r\ncontent-length: 1234567\r\nx-a-name-of-many-bytes-1: v\r\nconnection: CLOSE\r\n\r\nx',
  'HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\nHTTP/1.1 204 No Content\r\nVary: *\r\n\r\n',
];
const usualRequests: readonly string[] = [
  'GET /api/v1/x.y-z/7?a=b HTTP/1.1\r\nHost: 10.244.1.4:9005\r\nUser-Agent: wrk\r\n\r\nGET / HTTP/1.1\r\n',
  'OPTIONS / HTTP/1.0\r\nhost:shop.Example-1\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n',
  'POST /public/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\nX-Y: z\r\n\r\nabc',
  'PUT /no HTTP/1.1\r\nUpgrade: h2c\r\nExpect: x\r\nTraceparent: t\r\nhOST: a\r\nTransfer-Encoding:chunked\r\n\r\n1\r\na\r\n0\r\n\r\n',
  'HEAD /public/%31/./b HTTP/1.1\r\nAccept-Encoding: gzip\r\n1-x: y\r\nHost: [::1]:80\r\nTe: x\r\n\r\n',
];
const odd = ['\t', ' ', '\r', '\n', '\0', '\x7f', '\x80', '\xff', ':', ',', '-', '.', '/', '0', '9', '?', '@', 'A', 'Z', '[', '%', '\\', '`', 'a', 'z', '{', '_', '\r\n'];

/** Method and path alone; hosts; fields of all kinds; none. */
const sets: readonly (readonly HttpL7Rule[])[] = [
  [{ rule: 1, method: 'GET|HEAD|OPTIONS', path: '/(api|public)/.*|/', headers: [] }],
  [{ rule: 1, method: '[A-Z]+', host: '10.*|shop\\.[A-Za-z0-9-]+|a', headers: [] }, { rule: 2, path: '/.*', headers: [] }],
  [{ rule: 1, headers: [{ name: 'host', value: 'a' }] }, { rule: 2, headers: [{ name: 'X-Y', value: 'z' }] }, { rule: 3, headers: [{ name: 'accept' }, { name: 'te' }] }],
  [{ rule: 1, headers: [{ name: '1-x' }] }, { rule: 2, headers: [{ name: 'connection', value: 'close' }] }, { rule: 3, headers: [{ name: 'content-length', value: '3' }] }],
  ...rulesOfTests,
];

describe('usual lines of heads in the kernel', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let trial: HttpTrial;
  before(() => {
    trial = new HttpTrial();
    sets.forEach((rules, i) => policyOf(trial, i + 1, rules));
  });
  after(() => trial.close());

  type Read = (text: string, cut?: Cut) => readonly TrialEvent[];
  const readAnswers: Read = (text, cut = {}) => trial.answers(Buffer.from(text, 'latin1'), asked, cut);
  const readRequests = (set: number): Read => (text, cut = {}) => trial.requests(Buffer.from(text, 'latin1'), { set, ...cut });
  /** The same whole, or cut so, as byte by byte; what that was. */
  const same = (read: Read, text: string, cut: Cut = {}): readonly TrialEvent[] => {
    const bytewise = read(text, { piece: 1 });
    assert.deepEqual(read(text, cut), bytewise, `${JSON.stringify(cut)} ${JSON.stringify(text)}`);
    return bytewise;
  };
  const ways: readonly { readonly what: string; readonly usual: readonly string[]; readonly reads: readonly Read[] }[] = [
    { what: 'answers', usual: usualAnswers, reads: [readAnswers] }, { what: 'requests', usual: usualRequests, reads: sets.map((_, i) => readRequests(i + 1)) },
  ];

  for (const { what, usual, reads } of ways) {
    test(`${what}, cut at each byte`, () => {
      for (const read of reads) {
        for (const text of usual) {
          assert.equal(same(read, text)[0]!.kind, 'head', text);
          for (let at = 1; at < text.length; at++) same(read, text, { cuts: [at] });
          for (let piece = 2; piece < text.length; piece++) same(read, text, { piece });
        }
      }
    });

    test(`${what}, ended at each byte`, () => {
      // What is left in memory of the stream before is none of this one.
      for (const read of reads) {
        for (const text of usual) {
          for (let length = 0; length <= text.length; length++) {
            read(text);
            same(read, text.slice(0, length));
          }
        }
      }
    });

    test(`${what}: each byte in each place, one too many, one too few`, () => {
      for (const [i, text] of usual.entries()) {
        const read = reads[i % reads.length]!;
        for (let at = 0; at < text.length; at++) {
          const [head, tail] = [text.slice(0, at), text.slice(at + 1)];
          for (let byte = 0; byte < 256; byte++) same(read, head + String.fromCharCode(byte) + tail);
          for (const more of odd) same(read, head + more + text[at]! + tail);
          same(read, head + tail);
        }
      }
    });

    test(`${what}, at each place of a chunk`, () => {
      for (const [i, text] of usual.entries()) {
        const line = text.indexOf('\r\n') + 2;
        for (let fill = 0; fill <= chunkBytes; fill++) {
          const longer = `${text.slice(0, line)}X:${'x'.repeat(fill)}\r\n${text.slice(line)}`;
          same(reads[i % reads.length]!, longer);
          same(reads[i % reads.length]!, longer, { cuts: [line + fill] });
        }
      }
    });

    test(`${what}: lengths of all sizes, and what stands around them`, () => {
      const line = what === 'answers' ? 'HTTP/1.1 200 OK' : 'POST / HTTP/1.1\r\nHost: a';
      for (let digits = 0; digits <= 18; digits++) {
        for (const number of ['1'.repeat(digits), '9'.repeat(digits), '0'.repeat(digits), '10'.repeat(9).slice(0, digits)]) {
          for (const [start, end] of [['', ''], [' ', ''], ['  ', ''], ['\t', ''], [' ', ' '], [' ', '\t'], ['', ' '], ['+', ''], [' -', ''], ['', ','], ['', ' 1'], ['', '\r']]) {
            for (const name of ['Content-Length', 'content-length', 'CONTENT-LENGTH', 'cONTENT-lENGTH']) {
              const text = `${line}\r\n${name}:${start}${number}${end}\r\n\r\n${'x'.repeat(9)}`;
              const [event] = same(reads[0]!, text);
              if (digits > 0 && digits <= 15 && start!.trim() === '' && end!.trim() === '') assert.equal(event!.length, Number(number), text);
              same(reads[0]!, text.replace('\r\n\r\n', `\r\n${name}: ${number}\r\n\r\n`));
            }
          }
        }
      }
    });

    test(`${what}: as many fields as there may be, and more`, () => {
      const start = what === 'answers' ? 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n' : 'GET / HTTP/1.1\r\nHost: a\r\n';
      for (let count = 97; count <= 103; count++) {
        for (const line of ['X: y\r\n', 'Connection: keep-alive\r\n', 'X:\ty\r\n']) {
          const [event] = same(reads[0]!, `${start}${line.repeat(count - 1)}\r\n`);
          assert.equal(event!.kind, count <= 100 ? 'head' : 'fault', `${count} ${line}`);
        }
      }
    });

    test(`${what}: heads about the longest`, () => {
      const start = what === 'answers' ? 'HTTP/1.1 200 OK\r\n' : 'GET / HTTP/1.1\r\nHost: a\r\n';
      for (let size = 16_380; size <= 16_390; size++) {
        for (const end of ['Content-Length: 0\r\n\r\n', 'Connection: keep-alive\r\nX: y\r\n\r\n', 'X: y\r\n\r\n']) {
          const [event] = same(reads[0]!, `${start}X:${'x'.repeat(size - start.length - end.length - 4)}\r\n${end}`);
          assert.equal(event!.kind, size <= 16_384 ? 'head' : 'fault', `${size} ${end}`);
        }
      }
    });
  }

  test('requests: targets and hosts of all lengths, and what flows tell of them', () => {
    // Stopped behind the head: what was kept of it.
    const kept = (text: string, set: number, piece: number): Captured => {
      trial.requests(Buffer.from(text, 'latin1'), { set, piece, heads: 1 });
      return trial.captured();
    };
    for (const method of ['G', 'GET', 'OPTIONS', 'PROPFIND', 'get-1', 'M_X']) {
      for (let length = 0; length <= 300; length += length < 80 ? 1 : 7) {
        for (const text of [`${method} /${'p'.repeat(length)} HTTP/1.1\r\nHost: a.b-1:80\r\n\r\n`, `${method} /x HTTP/1.0\r\nX: y\r\nHost:${'h'.repeat(length)}\r\n\r\n`, `${method} /?${'q/'.repeat(length)} HTTP/1.1\r\nHost: a\r\n\r\n`]) {
          for (const set of [1, 2]) {
            same(readRequests(set), text);
            assert.deepEqual(kept(text, set, 0), kept(text, set, 1), text);
          }
        }
      }
    }
  });

  test('requests: many behind one another, with empty lines between them', () => {
    for (const empty of [0, 1, 7, 8, 9]) {
      const text = `${'\r\n'.repeat(empty)}GET /api/1 HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(9);
      for (const piece of [0, 1, 30, 37, 100, 255]) same(readRequests(1), text, { piece });
    }
  });

  const name = fc.constantFrom('Content-Length', 'content-length', 'Content\rLength', 'Content-Lengt', 'Content-Lengths', 'Connection', 'connection', 'Connectio', 'Connections', 'Transfer-Encoding', 'transfer-encoding', 'Transfer\rEncoding', 'Transfer-Encodin', 'Transfer-Encodings', 'Content-Type', 'Server', 'T', 'X_Y', 'X.Y', 'x-amz-id-2', 'a'.repeat(31), 'a'.repeat(32), 'a'.repeat(33), 'a'.repeat(80), '', 'a b', 'a\x80', '\x00',
    'Host', 'host', 'Hos', 'Hosts', 'Upgrade', 'Upgrades', 'Expect', 'expects', 'Traceparent', 'Tracestate', 'X-Y', 'x-y', 'Accept', 'TE', '1-x');
  const value = fc.constantFrom('keep-alive', 'Keep-Alive', 'KEEP-ALIVE', 'keep\ralive', 'keep-aliv', 'keep-alivee', 'close', 'Close', 'closed', 'clos', 'keep-alive, close', 'close,keep-alive', 'close, x', 'host', 'chunked', 'CHUNKED', 'chunkedd', 'chunke', 'gzip, chunked', '0', '7', '1234567', '12345678', '99999999', '123456789012345', '1234567890123456', '3 3', '', 'x', 'x\ty', 'x'.repeat(127), 'x'.repeat(128), 'x'.repeat(129), 'x'.repeat(300), '\u00fc', 'a\x7f', 'a\0',
    'z', 'a', 'a.b:80', 'a_b', 'a/b', 'shop.example');
  const line = fc.tuple(name, fc.constantFrom(': ', ': ', ':', ':  ', ':\t', ' :'), value, fc.constantFrom('', '', '', ' ', '\t'), fc.constantFrom('\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n')).map(parts => parts.join(''));
  const sound = fc.constantFrom('Server: nginx\r\n', 'Connection: keep-alive\r\n', 'connection:close\r\n', 'Content-Type: text/plain; charset=utf-8\r\n', 'Date: Sat, 28 Nov 2026 21:13:44 GMT\r\n', 'X-Y: z\r\n', 'Accept: */*\r\n');
  const lines = fc.array(fc.oneof({ weight: 4, arbitrary: sound }, { weight: 1, arbitrary: line }), { maxLength: 24 });
  const end = fc.constantFrom('\r\n', 'Content-Length: 3\r\n\r\nabc', 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
  const status = fc.constantFrom('HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.0 200 OK\r\n', 'HTTP/1.1 204 \r\n', 'HTTP/1.1 304\r\n', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n', 'HTTP/1.2 200 OK\r\n', 'HTTP/1.1 020 OK\r\n', 'HTTP/1.1 2000 OK\r\n', 'HTTP/1.1 200\tOK\r\n', 'HTTP/1.1 200 O\tK\r\n', 'HTTP/1.1 200 OK\n');
  const target = fc.constantFrom('/', '/public/1', '/api/v1/products/7', '/api?a=b', '/public/./1', '/public//1', '/public/%31', '*', `/public/${'x'.repeat(64)}`, `/public/${'x'.repeat(250)}`, 'x', '/\\', '/#', '/\u00fc', '');
  const first = fc.oneof({ weight: 4, arbitrary: fc.constantFrom('GET / HTTP/1.1\r\nHost: a\r\n', 'HEAD /public/1?x HTTP/1.1\r\nhost:shop.example:80\r\n', 'PUT /api/v1 HTTP/1.0\r\n') }, { weight: 3, arbitrary: fc.tuple(fc.constantFrom('GET', 'GET', 'HEAD', 'POST', 'OPTIONS', 'CONNECT', 'PROPFIND', 'X-Y', '', 'G T'), target, fc.constantFrom(' HTTP/1.1\r\n', ' HTTP/1.1\r\n', ' HTTP/1.1\r\n', ' HTTP/1.0\r\n', ' HTTP/1.2\r\n', ' HTTP/1.1\n', '  HTTP/1.1\r\n'), fc.constantFrom('Host: a\r\n', 'Host: shop.example:80\r\n', 'host:10.0.0.1\r\n', 'Host: a_b\r\n', '')).map(([method, path, version, host]) => `${method} ${path}${version}${host}`) });

  for (const { what, start, reads } of [{ what: 'answers', start: status, reads: ways[0]!.reads }, { what: 'requests', start: first, reads: ways[1]!.reads }]) {
    test(`${what} of lines at random, usual and not`, () => {
      const message = fc.tuple(start, lines, end).map(([one, more, last]) => one + more.join('') + last);
      let heads = 0;
      fc.assert(fc.property(fc.array(message, { minLength: 1, maxLength: 3 }), fc.nat(reads.length - 1), fc.array(fc.nat(600), { maxLength: 3 }), (all, which, places) => {
        const text = all.join('');
        heads += same(reads[which]!, text).filter(event => event.kind === 'head').length;
        same(reads[which]!, text, { cuts: [...new Set(places)].filter(at => at > 0 && at < text.length).sort((a, b) => a - b) });
      }), { numRuns: runs });
      assert.ok(heads > runs / 6, `${heads} heads in ${runs} streams`);
    });
  }
});

/**
 * The kernel's readers take usual lines eight bytes at a time (bpf/lib/http_reader_words.h). That is no more than a shortcut: a stream that is read
 * whole gives what the same stream gives byte by byte, where no shortcut has room. Heads that take them, and everything that is nearly such a head.
 * CIRRI_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { hasObject } from '../programs/harness.ts';
import { HttpTrial } from '../programs/http-trial.ts';
import type { Asked, TrialEvent } from '../programs/http-trial.ts';

const runs = process.env['CIRRI_LONG'] ? 200_000 : 8_000;
const seed = process.env['CIRRI_SEED'] === undefined ? {} : { seed: Number(process.env['CIRRI_SEED']) };
const shown = (text: string) => JSON.stringify(text);
const chunkBytes = 256;
const asked: readonly Asked[] = ['plain', 'plain', 'plain'];

/** Usual answers, with each line that has a shortcut. */
const usual: readonly string[] = [
  'HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nabcdefghijklHTTP',
  'HTTP/1.0 404 Not Found\r\nDate: x\r\nContent-Length:0\r\nConnection:keep-alive\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-1: y\r\n\r\n2\r\nab\r\n0\r\n\r\nHTTP',
  'HTTP/1.1 503 \r\ncontent-length: 1234567\r\nx-a-name-of-many-bytes-1: v\r\nconnection: CLOSE\r\n\r\nx',
  'HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\nHTTP/1.1 204 No Content\r\nVary: *\r\n\r\n',
];
const odd = ['\t', ' ', '\r', '\n', '\0', '\x7f', '\x80', '\xff', ':', ',', '-', '/', '0', '9', '@', 'A', 'Z', '[', '`', 'a', 'z', '{', '_', '\r\n'];

describe('usual lines of answers in the kernel', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let trial: HttpTrial;
  before(() => {
    trial = new HttpTrial();
  });
  after(() => trial.close());

  const events = (text: string, cut: { readonly cuts?: readonly number[]; readonly piece?: number } = {}) => trial.answers(Buffer.from(text, 'latin1'), asked, cut);
  const same = (text: string, cut: { readonly cuts?: readonly number[]; readonly piece?: number } = {}): readonly TrialEvent[] => {
    const bytewise = events(text, { piece: 1 });
    assert.deepEqual(events(text, cut), bytewise, `${JSON.stringify(cut)} ${shown(text)}`);
    return bytewise;
  };

  test('cut at each byte', () => {
    for (const text of usual) {
      assert.equal(same(text)[0]!.kind, 'head', text);
      for (let at = 1; at < text.length; at++) same(text, { cuts: [at] });
      for (let piece = 2; piece < text.length; piece++) same(text, { piece });
    }
  });

  test('ended at each byte', () => {
    // What is left in memory of the stream before is none of this one.
    for (const text of usual) {
      for (let length = 0; length <= text.length; length++) {
        events(text);
        same(text.slice(0, length));
      }
    }
  });

  test('each byte in each place, one too many, one too few', () => {
    for (const text of usual) {
      for (let at = 0; at < text.length; at++) {
        const [head, tail] = [text.slice(0, at), text.slice(at + 1)];
        for (let byte = 0; byte < 256; byte++) same(head + String.fromCharCode(byte) + tail);
        for (const more of odd) same(head + more + text[at]! + tail);
        same(head + tail);
      }
    }
  });

  test('at each place of a chunk', () => {
    for (const text of usual) {
      const line = text.indexOf('\r\n') + 2;
      for (let fill = 0; fill <= chunkBytes; fill++) {
        const longer = `${text.slice(0, line)}X:${'x'.repeat(fill)}\r\n${text.slice(line)}`;
        same(longer);
        same(longer, { cuts: [line + fill] });
      }
    }
  });

  test('lengths of all sizes, and what stands around them', () => {
    for (let digits = 0; digits <= 18; digits++) {
      for (const number of ['1'.repeat(digits), '9'.repeat(digits), '0'.repeat(digits), '10'.repeat(9).slice(0, digits)]) {
        for (const [start, end] of [['', ''], [' ', ''], ['  ', ''], ['\t', ''], [' ', ' '], [' ', '\t'], ['', ' '], ['+', ''], [' -', ''], ['', ','], ['', ' 1'], ['', '\r']]) {
          for (const name of ['Content-Length', 'content-length', 'CONTENT-LENGTH', 'cONTENT-lENGTH']) {
            const text = `HTTP/1.1 200 OK\r\n${name}:${start}${number}${end}\r\n\r\n${'x'.repeat(9)}`;
            const [event] = same(text);
            if (digits > 0 && digits <= 15 && start!.trim() === '' && end!.trim() === '') assert.equal(event!.length, Number(number), text);
            same(text.replace('\r\n\r\n', `\r\n${name}: ${number}\r\n\r\n`));
          }
        }
      }
    }
  });

  test('as many fields as there may be, and more', () => {
    for (let count = 97; count <= 103; count++) {
      for (const line of ['X: y\r\n', 'Connection: keep-alive\r\n', 'X:\ty\r\n']) {
        const [event] = same(`HTTP/1.1 200 OK\r\n${line.repeat(count - 1)}Content-Length: 0\r\n\r\n`);
        assert.equal(event!.kind, count <= 100 ? 'head' : 'fault', `${count} ${line}`);
      }
    }
  });

  test('heads about the longest', () => {
    for (let size = 16_380; size <= 16_390; size++) {
      for (const end of ['Content-Length: 0\r\n\r\n', 'Connection: keep-alive\r\nX: y\r\n\r\n', 'X: y\r\n\r\n']) {
        const start = 'HTTP/1.1 200 OK\r\n';
        const [event] = same(`${start}X:${'x'.repeat(size - start.length - end.length - 4)}\r\n${end}`);
        assert.equal(event!.kind, size <= 16_384 ? 'head' : 'fault', `${size} ${end}`);
      }
    }
  });

  test('lines at random, usual and not', () => {
    const name = fc.constantFrom('Content-Length', 'content-length', 'Content\rLength', 'Content-Lengt', 'Content-Lengths', 'Connection', 'connection', 'Connectio', 'Connections', 'Transfer-Encoding', 'transfer-encoding', 'Transfer\rEncoding', 'Transfer-Encodin', 'Transfer-Encodings', 'Content-Type', 'Server', 'T', 'X_Y', 'X.Y', 'x-amz-id-2', 'a'.repeat(31), 'a'.repeat(32), 'a'.repeat(33), 'a'.repeat(80), '', 'a b', 'a\x80', '\x00');
    const value = fc.constantFrom('keep-alive', 'Keep-Alive', 'KEEP-ALIVE', 'keep\ralive', 'keep-aliv', 'keep-alivee', 'close', 'Close', 'closed', 'clos', 'keep-alive, close', 'close,keep-alive', 'close, x', 'host', 'chunked', 'CHUNKED', 'chunkedd', 'chunke', 'gzip, chunked', '0', '7', '1234567', '12345678', '99999999', '123456789012345', '1234567890123456', '3 3', '', 'x', 'x\ty', 'x'.repeat(127), 'x'.repeat(128), 'x'.repeat(129), 'x'.repeat(300), '\u00fc', 'a\x7f', 'a\0');
    const line = fc.tuple(name, fc.constantFrom(': ', ': ', ':', ':  ', ':\t', ' :'), value, fc.constantFrom('', '', '', ' ', '\t'), fc.constantFrom('\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n')).map(parts => parts.join(''));
    const sound = fc.constantFrom('Server: nginx\r\n', 'Connection: keep-alive\r\n', 'connection:close\r\n', 'Content-Type: text/plain; charset=utf-8\r\n', 'Date: Sat, 28 Nov 2026 21:13:44 GMT\r\n');
    const status = fc.constantFrom('HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.0 200 OK\r\n', 'HTTP/1.1 204 \r\n', 'HTTP/1.1 304\r\n', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n', 'HTTP/1.2 200 OK\r\n', 'HTTP/1.1 020 OK\r\n', 'HTTP/1.1 2000 OK\r\n', 'HTTP/1.1 200\tOK\r\n', 'HTTP/1.1 200 O\tK\r\n', 'HTTP/1.1 200 OK\n');
    const answer = fc.tuple(status, fc.array(fc.oneof({ weight: 3, arbitrary: sound }, { weight: 1, arbitrary: line }), { maxLength: 24 }), fc.constantFrom('\r\n', 'Content-Length: 3\r\n\r\nabc', 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n')).map(([first, lines, end]) => first + lines.join('') + end);
    let heads = 0;
    fc.assert(fc.property(fc.array(answer, { minLength: 1, maxLength: 3 }), fc.array(fc.nat(600), { maxLength: 3 }), (all, places) => {
      const text = all.join('');
      heads += same(text).filter(event => event.kind === 'head').length;
      same(text, { cuts: [...new Set(places)].filter(at => at > 0 && at < text.length).sort((a, b) => a - b) });
    }), { numRuns: runs, ...seed });
    assert.ok(heads > runs / 4, `${heads} heads in ${runs} streams`);
  });
});

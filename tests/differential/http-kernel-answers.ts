/** A server's stream through the proxy's session and through the kernel's reader of answers: statuses in their order, and what the client gets. */
import fc from 'fast-check';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { openHttp1 } from '../../src/proxy/http1/session.ts';
import { FakeWire } from '../../src/proxy/testing.ts';
import { httpFlag } from '../programs/http-trial.ts';
import type { Asked, HttpTrial, TrialEvent } from '../programs/http-trial.ts';
import { answers } from './http1-answers.ts';

export interface AnswersSeen {
  /** Of final answers, and 101. */
  readonly statuses: readonly number[];
  readonly toClient: string;
  /** The connection ends here, whoever wanted it. */
  readonly over: boolean;
}

export interface KernelAnswersSeen extends AnswersSeen {
  readonly events: readonly TrialEvent[];
  /** Bytes before an answer whose head is larger than the kernel reads; else all. */
  readonly comparable: number;
}

const requests: Readonly<Record<Asked, string>> = {
  plain: 'GET /public HTTP/1.1\r\nHost: a\r\n\r\n', head: 'HEAD /public HTTP/1.1\r\nHost: a\r\n\r\n', upgrade: 'GET /public HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
};
const badGateway = 'HTTP/1.1 502 ';
const everything = compileHttpRules([{ rule: 1, headers: [] }]);

/** Only the last one may ask for an upgrade: what comes behind it is held. */
export function proxyAnswers(stream: Buffer, asked: readonly Asked[], cuts: readonly number[] = []): AnswersSeen {
  const wire = new FakeWire<HttpMatcher>({ ingress: everything });
  wire.open(openHttp1(wire));
  for (const one of asked) wire.from('client', requests[one]);
  const places = [0, ...cuts, stream.length];
  for (let i = 1; i < places.length && wire.closed === undefined; i++) wire.from('server', stream.subarray(places[i - 1], places[i]));
  const text = wire.sentText('client');
  // The proxy says so in place of an answer that it cannot read.
  const own = text.lastIndexOf(badGateway);
  const statuses = wire.records.filter(r => r.l7.type === 'RESPONSE').map(r => r.l7.http!.code!);
  const isOwn = statuses.at(-1) === 502 && own >= 0 && text.endsWith('\r\n\r\nBad Gateway\r\n') || (own >= 0 && asked.includes('head') && text.endsWith('connection: close\r\n\r\n'));
  return { statuses: isOwn ? statuses.slice(0, -1) : statuses, toClient: isOwn ? text.slice(0, own) : text, over: wire.closed !== undefined };
}

export function kernelAnswers(trial: HttpTrial, stream: Buffer, asked: readonly Asked[], cut: { readonly cuts?: readonly number[]; readonly piece?: number } = {}): KernelAnswersSeen {
  const events = trial.answers(stream, asked, cut);
  const statuses: number[] = [];
  let over = false;
  let passed = 0;
  /** Where the answer under way begins; bytes of a head go on when all of it has been read. */
  let closes = false;
  let inBody = false;
  let comparable = stream.length;
  for (const event of events) {
    if (over) break;
    if (event.kind === 'fault') {
      over = true;
      if (event.fault === 22) comparable = passed;
      if (inBody) passed = event.at;
      break;
    }
    passed = event.at;
    if (event.kind === 'end') {
      inBody = false;
      over = closes;
      continue;
    }
    if (event.flags & httpFlag.interim) continue;
    statuses.push(event.status);
    closes = (event.flags & httpFlag.closes) !== 0;
    inBody = (event.flags & (httpFlag.untilClose | httpFlag.opened)) !== 0 || ((event.flags & httpFlag.bodiless) === 0 && ((event.flags & httpFlag.chunked) !== 0 || event.length > 0));
    over = closes && !inBody;
  }
  if (inBody && !over) passed = stream.length;
  return { statuses, toClient: stream.toString('latin1', 0, passed), over, events, comparable };
}

const often = <T>(usual: T, ...odd: readonly T[]) => fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(usual, ...odd) });
const status = often('200 OK', '204 No Content', '304 Not Modified', '101 Switching Protocols', '100 Continue', '103 Early Hints', '404', '099 X', '999 Y', '200', '500 \u00fc');
const name = fc.constantFrom('Content-Type', 'Cookie', 'Server', 'C', 'T', 'Tr', 'Co', 'Connectio', 'Connections', 'Content-Lengt', 'Content-Lengths', 'Transfer-Encodings', 'Transfer-Encodin', 'Trailer', 'Upgrade', 'Te', 'Date', 'x-content-length', '\u00e9');
const plainField = fc.tuple(name, fc.constantFrom('', 'x', '5', 'chunked', 'close', 'a b', 'a\u0000')).map(([n, v]) => `${n}: ${v}`);
const framing = fc.constantFrom(['Content-Length: 3', 'abc'], ['content-length:  3\t', 'abc'], ['CONTENT-LENGTH: 0', ''], ['Content-Length: 3 3', 'abc'], ['Content-Length: +3', 'abc'], ['Transfer-Encoding: chunked', '3\r\nabc\r\n0\r\n\r\n'], ['transfer-encoding:Chunked', '3;x\r\nabc\r\n0\r\nX: y\r\n\r\n'], ['Transfer-Encoding: chunked', '0\r\nCookie: x\r\n\r\n'],
  ['Transfer-Encoding: chunked', '0\r\nTraceparent: x\r\n\r\n'], ['Transfer-Encoding: x', ''], ['Transfer-Encoding: chunked\r\nContent-Length: 3', ''], ['Content-Length: 3\r\nContent-Length: 3', 'abc'], ['X: y', ''], ['X: y', 'until the end'], ['Connection: close\r\nContent-Length: 3', 'abc'], ['Connection: x, keep-alive\r\nContent-Length: 1', 'a'], ['Connection: host\r\nContent-Length: 1', 'a'], ['Connection:close,,keep-alive \r\nContent-Length: 0', '']);
const one = fc.tuple(often('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'http/1.1'), status, fc.array(plainField, { maxLength: 2 }), framing, often('\r\n', '\n', '\r\r\n', ' \r\n'))
  .map(([version, line, fields, [frame, body], end]) => `${version} ${line}${end}${[...fields, frame].join('\r\n')}\r\n\r\n${body}`);
const interims = fc.tuple(fc.constantFrom(30, 40, 62, 63, 64, 65), fc.integer({ min: 1, max: 3 })).map(([count, times]) => `${'HTTP/1.1 103 Early\r\n\r\n'.repeat(count)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`.repeat(times));
const fieldsAbout = fc.integer({ min: 98, max: 102 }).map(count => `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(count - 1)}Content-Length: 0\r\n\r\n`);
const largeHead = fc.integer({ min: 16_382, max: 16_386 }).map(size => `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(size - 41)}\r\nContent-Length: 0\r\n\r\n`);

export const answerStreams = fc.oneof(
  { weight: 4, arbitrary: answers },
  { weight: 8, arbitrary: fc.array(one, { minLength: 1, maxLength: 4 }).map(all => Buffer.from(all.join(''), 'latin1')) },
  { weight: 1, arbitrary: fc.tuple(fc.array(one, { maxLength: 1 }), fc.oneof(interims, fieldsAbout, largeHead)).map(([before, last]) => Buffer.from(before.join('') + last, 'latin1')) },
);

export const askedFor = fc.tuple(fc.array(fc.constantFrom<Asked>('plain', 'plain', 'head'), { maxLength: 3 }), fc.constantFrom<Asked>('plain', 'head', 'upgrade')).map(([before, last]) => [...before, last]);

/** Each byte in each place of these is tried. */
export const answerTemplates: readonly string[] = [
  'HTTP/1.1 200 OK\r\nServer: nginx/1\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabcHTTP',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nHTTP',
  'HTTP/1.1 200 O K\r\nContent-Length: 3\r\nConnection: close, x\r\nTrailers: \ty \r\n\r\nabcHTTP',
  'HTTP/1.0 404 \r\ntransfer-encoding: chunked\r\nconnection:keep-alive\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n',
  'HTTP/1.1 100\r\n\r\nHTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n',
];

/** What servers might answer over one connection, and what Node's client (llhttp, strict) makes of it. */
import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';

const often = <T>(usual: T, ...odd: readonly T[]) => fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(usual, ...odd) });
const smuggled = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled';
const statusLine = often('HTTP/1.1 200 OK', 'HTTP/1.1 404 Not Found', 'HTTP/1.1 204 No Content', 'HTTP/1.1 304 Not Modified', 'HTTP/1.0 200 OK', 'HTTP/1.1 200', 'HTTP/1.1 200 ', 'HTTP/1.1  200 OK', 'HTTP/1.1 20 OK', 'HTTP/1.1 2000 OK', 'HTTP/2.0 200 OK', 'HTTP/1.1 200 O\u0000K', 'HTTP/1.1 099 X', 'HTTP/1.1 101 Switching Protocols', 'ICY 200 OK', 'HTTP/1.1 200 \u00fc', ' HTTP/1.1 200 OK', '\r\nHTTP/1.1 200 OK', 'HTTP/1.1\t200 OK');
const interim = often('', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', 'HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc', 'HTTP/1.1 102 X\r\nTransfer-Encoding: chunked\r\n\r\n');
const field = fc.constantFrom('X: y', 'Connection: close', 'Connection: keep-alive', 'X : y', 'X: a\r\n folded', 'X: a\rb', 'X: \u0000', ': x', 'nocolon', 'Connection: transfer-encoding', 'Trailer: x', 'Upgrade: x', 'X: \u00ff');
const payload = fc.constantFrom('', 'abc', smuggled, 'x'.repeat(200), `0\r\n\r\n${smuggled}`);
const lengths = fc.tuple(fc.constantFrom((n: number) => [`Content-Length: ${n}`], n => [`Content-Length: ${n}`], n => [`Content-Length: ${n}`], n => [`Content-Length: ${n}`, `Content-Length: ${n}`], n => [`Content-Length: ${n}`, 'Content-Length: 0'], n => [`Content-Length: +${n}`], n => [`Content-Length: ${n}, ${n}`], n => [`Content-Length : ${n}`], n => [`Content-Length: ${n}`, 'Transfer-Encoding: chunked'], n => [`Content-Length: ${Math.max(0, n - 2)}`], n => [`Content-Length: ${n}x`], () => ['Content-Length:'], () => []), payload).map(([lines, body]) => ({ lines: lines(body.length), body }));
const chunked = fc.tuple(fc.constantFrom('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked', 'Transfer-Encoding: CHUNKED', 'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: chunked, gzip', 'Transfer-Encoding: xchunked', 'Transfer-Encoding : chunked', 'Transfer-Encoding: "chunked"'), fc.array(payload.filter(p => p !== ''), { maxLength: 2 }), often('\r\n', '\n', ' \r\n', ';a=b\r\n', ';\r\n', '\r\r\n'), often('\r\n', '\n', '', 'x'), often('0\r\n\r\n', '0\r\nX: y\r\n\r\n', '0\r\nContent-Length: 3\r\n\r\n', '0\n\n', '0\r\n', '00\r\n\r\n'))
  .map(([line, parts, end, after, last]) => ({ lines: [line], body: parts.map(p => `${p.length.toString(16)}${end}${p}${after}`).join('') + last }));
const lineEnd = fc.oneof({ weight: 40, arbitrary: fc.constant('\r\n') }, { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '\r\r\n') });

/** One answer as a server sends it, and perhaps more than was asked for. */
export const answers = fc.record({ interim, statusLine, fields: fc.array(field, { maxLength: 1 }), framing: fc.oneof(lengths, chunked), ends: fc.array(lineEnd, { minLength: 5, maxLength: 5 }), after: often('', smuggled, '\r\n', 'x') })
  .map(({ interim: before, statusLine: first, fields, framing: { lines, body }, ends, after }) => Buffer.from(`${before}${[first, ...fields, ...lines].map((line, i) => line + ends[i % ends.length]!).join('')}\r\n${body}${after}`, 'latin1'));

export interface Received {
  readonly status: number;
  readonly body: string;
}

export interface AnswerOracle {
  /** What the client gets of these bytes followed by the end of the connection; undefined: an error, or an answer cut short. */
  receive(method: string, bytes: Buffer): Promise<Received | undefined>;
  close(): Promise<void>;
}

export async function nodeClient(): Promise<AnswerOracle> {
  let next: Buffer = Buffer.alloc(0);
  const server = createServer(socket => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(next));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const agent = new Agent({ keepAlive: false });
  return {
    receive: (method, bytes) => new Promise(resolve => {
      next = bytes;
      const request = httpRequest({ port, host: '127.0.0.1', method, path: '/public', agent }, response => {
        let body = '';
        response.setEncoding('latin1');
        response.on('data', (part: string) => (body += part));
        response.on('error', () => resolve(undefined));
        response.on('close', () => resolve(response.complete ? { status: response.statusCode!, body } : undefined));
      });
      request.on('upgrade', (_response, socket) => {
        socket.destroy();
        resolve(undefined);
      });
      request.on('error', () => resolve(undefined));
      request.end();
    }),
    close: async () => {
      agent.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

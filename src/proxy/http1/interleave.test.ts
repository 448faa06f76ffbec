/** Client and server talk at once, in pieces of any size: each request gets one answer, its own, in the order of the requests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileHttpRules } from '../../policy/l7-match.ts';
import type { HttpMatcher } from '../../policy/l7-match.ts';
import { type HttpLimits, httpLimits } from '../http/limits.ts';
import { FakeWire } from '../testing.ts';
import { openHttp1 } from './session.ts';

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 400);

type Body = 'none' | 'length' | 'chunked';

interface Planned {
  readonly allowed: boolean;
  readonly method: 'GET' | 'POST' | 'HEAD';
  readonly body: Body;
  readonly bytes: number;
  /** Asks for another protocol, which the server does not make. */
  readonly upgrade: boolean;
  readonly answer: { readonly body: Body; readonly bytes: number; readonly interim: boolean; readonly status: 200 | 204 | 304 };
  /** The server answers when it has the head, or when it has the body. */
  readonly early: boolean;
}

const planned: fc.Arbitrary<Planned> = fc.record({
  allowed: fc.boolean(), method: fc.constantFrom('GET', 'POST', 'HEAD'), body: fc.constantFrom('none', 'length', 'chunked'), bytes: fc.constantFrom(0, 1, 10, 700), upgrade: fc.nat(7).map(n => n === 0),
  answer: fc.record({ body: fc.constantFrom('length', 'chunked'), bytes: fc.constantFrom(0, 1, 10, 700), interim: fc.nat(4).map(n => n === 0), status: fc.constantFrom(200, 200, 200, 204, 304) }), early: fc.boolean(),
});

/** Like a message of its own: whoever reads a body as one is found out. */
const filler = (bytes: number) => 'GET /no/smuggled HTTP/1.1\r\nHost: a\r\n\r\nHTTP/1.1 200 OK\r\nX-Answer: 99\r\n\r\n'.repeat(11).slice(0, bytes);
const framed = (kind: Body, bytes: number): { lines: string; body: string } => {
  if (kind === 'none') return { lines: '', body: '' };
  if (kind === 'length') return { lines: `Content-Length: ${bytes}\r\n`, body: filler(bytes) };
  const half = bytes >> 1;
  const chunk = (text: string) => (text === '' ? '' : `${text.length.toString(16)}\r\n${text}\r\n`);
  return { lines: 'Transfer-Encoding: chunked\r\n', body: `${chunk(filler(bytes).slice(0, half))}${chunk(filler(bytes).slice(half))}0\r\n\r\n` };
};
const requestOf = (p: Planned, i: number): { head: string; body: string } => {
  const { lines, body } = framed(p.body, p.bytes);
  return { head: `${p.method} /${p.allowed ? 'public' : 'private'}/${i} HTTP/1.1\r\nHost: a\r\n${p.upgrade ? 'Connection: upgrade\r\nUpgrade: x\r\n' : ''}${lines}\r\n`, body };
};
const answerOf = ({ method, answer }: Planned, i: number): string => {
  const { lines, body } = answer.status === 204 ? { lines: '', body: '' } : framed(answer.body, answer.bytes);
  const bodiless = method === 'HEAD' || answer.status !== 200;
  return `${answer.interim ? 'HTTP/1.1 103 Early Hints\r\n\r\n' : ''}HTTP/1.1 ${answer.status} X\r\nX-Answer: ${i}\r\n${lines}\r\n${bodiless ? '' : body}`;
};
const refusal = (p: Planned) => `HTTP/1.1 403 Forbidden\r\ncontent-length: 15\r\ncontent-type: text/plain\r\n\r\n${p.method === 'HEAD' ? '' : 'Access denied\r\n'}`;

/** Both sides' bytes in pieces, until neither can go on; `atTurn` is told of each piece before it is sent. */
function talk(plan: readonly Planned[], next: () => number, limits: Pick<HttpLimits, 'pipelined' | 'spliceBytes'>, atTurn: (wire: FakeWire<HttpMatcher>, turn: number) => void = () => {}) {
  const wire = new FakeWire<HttpMatcher>({ egress: compileHttpRules([{ rule: 1, path: '/public.*', headers: [] }]) });
  wire.open(openHttp1(wire, { ...httpLimits, ...limits }));
  const requests = plan.map(requestOf);
  const clientBytes = Buffer.from(requests.map(r => r.head + r.body).join(''), 'latin1');
  const forServer = plan.map((p, i) => ({ p, i, ...requests[i]! })).filter(({ p }) => p.allowed);
  let sent = 0;
  let served = 0;
  let waiting = '';
  for (let turn = 0; turn < 100_000 && wire.closed === undefined; turn++) {
    // What the server has by now, and so may answer.
    let from = 0;
    const has = wire.sent('server').length;
    forServer.forEach(({ p, i, head, body }, at) => {
      const whole = from + head.length + (p.early ? 0 : body.length);
      from += head.length + body.length;
      if (at === served && has >= whole) {
        waiting += answerOf(p, i);
        served++;
      }
    });
    const clientCan = sent < clientBytes.length && !wire.paused.client;
    const serverCan = waiting !== '' && !wire.paused.server;
    if (!clientCan && !serverCan) break;
    atTurn(wire, turn);
    const count = 1 + next();
    if (clientCan && (!serverCan || next() % 2 === 0)) {
      wire.from('client', clientBytes.subarray(sent, sent + count));
      sent = Math.min(clientBytes.length, sent + count);
    } else {
      wire.from('server', waiting.slice(0, count));
      waiting = waiting.slice(count);
    }
  }
  return { wire, forServer, isAllSent: sent === clientBytes.length };
}

const plans = fc.array(planned, { minLength: 1, maxLength: 8 });
const limits = fc.record({ pipelined: fc.constantFrom(2, 64), spliceBytes: fc.constantFrom(8, 65_536) });
const answers = (plan: readonly Planned[]) => plan.map((p, i) => (p.allowed ? answerOf(p, i) : refusal(p)));

test('any requests, any answers, any interleaving', () => {
  fc.assert(fc.property(plans, fc.infiniteStream(fc.nat(400)), limits, (plan, random, limit) => {
    const { wire, forServer, isAllSent } = talk(plan, () => random.next().value as number, limit);
    assert.ok(isAllSent, 'all of the client was read');
    assert.equal(wire.sentText('server'), forServer.map(r => r.head + r.body).join(''));
    assert.equal(wire.sentText('client'), answers(plan).join(''));
    assert.equal(wire.session.idle, true);
    assert.equal(wire.closed, undefined);
  }), { numRuns: runs });
});

/** The same answer, saying that it is the last. */
const asLast = (text: string): string => {
  const finalAt = text.startsWith('HTTP/1.1 103') ? text.indexOf('\r\n\r\n') + 4 : 0;
  const end = text.indexOf('\r\n\r\n', finalAt) + 2;
  return `${text.slice(0, end)}connection: close\r\n${text.slice(end)}`;
};

test('a connection that is to end loses no request: all that the server has seen is answered whole, and the last answer says so', () => {
  let ended = 0;
  fc.assert(fc.property(plans, fc.infiniteStream(fc.nat(400)), limits, fc.nat(12), (plan, random, limit, drainAt) => {
    const { wire, forServer, isAllSent } = talk(plan, () => random.next().value as number, limit, (each, turn) => {
      if (turn === drainAt) each.session.drain!('end');
    });
    const all = answers(plan);
    if (wire.closed === undefined) {
      assert.ok(isAllSent && wire.session.idle, 'nothing is under way');
      assert.equal(wire.sentText('client'), all.join(''));
      wire.session.drain!('close');
      return assert.equal(wire.closed, 'written');
    }
    ended++;
    assert.equal(wire.closed, 'written');
    const told = wire.sentText('client');
    const count = all.findIndex((last, i) => told === all.slice(0, i).join('') + asLast(last)) + 1;
    assert.ok(count > 0, `${JSON.stringify(told)} of ${JSON.stringify(all)}`);
    assert.equal(wire.sentText('server'), forServer.filter(({ i }) => i < count).map(r => r.head + r.body).join(''));
  }), { numRuns: runs });
  assert.ok(ended > runs / 4, `${ended} of ${runs} ended`);
});

test('connections with rules of their own, heard byte by byte in turns, know nothing of each other', () => {
  const connections = ['a.example', 'b.example', '', 'a.example:80'].flatMap((host, i) => [0, 1, 2].map(kind => {
    const matcher = compileHttpRules([{ rule: 1, path: `/${i}/.*`, headers: kind === 0 ? [] : [{ name: kind === 1 ? 'x-token' : `x-${i}`, value: `t${i}` }] }, { rule: 2, method: 'PUT', host: `${host || 'x'}`, headers: [] }]);
    const request = (method: string, path: string, token: string) => `${method} ${path} HTTP/1.${host === '' ? '0' : '1'}\r\n${host === '' ? 'Connection: keep-alive\r\n' : `Host: ${host}\r\n`}X-Token: t${token}\r\nX-${i}: t${token}\r\n\r\n`;
    const bytes = Buffer.from([request('GET', `/${i}/x`, `${i}`), request('GET', `/${i}/y`, 'z'), request('PUT', '/', ''), request('GET', `/${(i + 1) % 4}/x`, `${i}`)].join(''), 'latin1');
    return { matcher, bytes };
  }));
  const heard = (wires: readonly FakeWire<HttpMatcher>[]) => wires.map(wire => ({ server: wire.sentText('server'), client: wire.sentText('client'), closed: wire.closed, records: wire.records }));
  const open = () => connections.map(({ matcher }) => {
    const wire = new FakeWire<HttpMatcher>({ egress: matcher });
    wire.open(openHttp1(wire));
    return wire;
  });
  const [alone, together] = [open(), open()];
  for (const [i, { bytes }] of connections.entries()) alone[i]!.from('client', bytes);
  const longest = Math.max(...connections.map(({ bytes }) => bytes.length));
  for (let at = 0; at < longest; at++) {
    for (const [i, { bytes }] of connections.entries()) if (at < bytes.length && together[i]!.closed === undefined) together[i]!.from('client', bytes.subarray(at, at + 1));
  }
  assert.deepEqual(heard(together), heard(alone));
  assert.ok(heard(alone).some(({ server }) => server.includes('/0/x')) && heard(alone).some(({ records }) => records.some(record => record.verdict === 'DROPPED')));
});

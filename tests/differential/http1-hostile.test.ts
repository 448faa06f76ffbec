/** The known attacks on framing (http1-hostile.ts) through the proxy's session, cut at every byte, and what llhttp and nginx make of what is left of them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import { openHttp1 } from '../../src/proxy/http1/session.ts';
import { FakeWire } from '../../src/proxy/testing.ts';
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { hostile } from './http1-hostile.ts';
import { nginxServer, nodeServer, pathOf } from './http1-servers.ts';
import type { Oracle } from './http1-servers.ts';
import { readRequests } from './http-requests.ts';

const publicOnly = compileHttpRules([{ rule: 1, path: '/public.*|\\*', headers: [] }]);

interface Passed {
  readonly decided: readonly string[];
  readonly toServer: Buffer;
  readonly answers: string;
}

function passed(bytes: Buffer, pieces: number): Passed {
  const wire = new FakeWire<HttpMatcher>({ ingress: publicOnly });
  wire.open(openHttp1(wire));
  const answer = (): void => {
    for (let i = 0; i < 200 && wire.paused.client && wire.closed === undefined; i++) wire.from('server', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
  };
  for (let at = 0; at < bytes.length && wire.closed === undefined && !wire.isEnded('client'); at += pieces) {
    wire.from('client', bytes.subarray(at, Math.min(bytes.length, at + pieces)));
    answer();
  }
  const decided = wire.records.filter(r => r.l7.type === 'REQUEST' && r.verdict === 'FORWARDED').map(({ l7: { http } }) => `${http!.method} ${http!.method === 'CONNECT' ? http!.url : http!.url.endsWith('*') && http!.method === 'OPTIONS' ? '*' : pathOf(http!.url)}`);
  return { decided, toServer: wire.sent('server'), answers: wire.sentText('client') };
}

describe(`${hostile.length} known attacks on framing`, () => {
  const oracles: Oracle[] = [];
  before(async () => {
    oracles.push(await nodeServer(), await nginxServer());
  });
  after(async () => {
    for (const oracle of oracles) await oracle.close();
  });

  test('each is decided alike, whole and byte by byte, and nothing of /no reaches the server as a request', () => {
    for (const { name, bytes } of hostile) {
      const whole = passed(bytes, Infinity), cut = passed(bytes, 1);
      assert.deepEqual(cut.decided, whole.decided, name);
      assert.equal(cut.toServer.toString('latin1'), whole.toServer.toString('latin1'), name);
      // What was passed on is read by the same grammar again: all of it is allowed.
      for (const request of readRequests(whole.toServer, publicOnly).requests) assert.ok(request.allowed, `${name}: ${request.method} ${request.path}`);
    }
  });

  for (const at of [0, 1]) test(`${['llhttp', 'nginx'][at]} sees what was decided, in that order, and nothing else`, async () => {
    const oracle = oracles[at]!;
    let compared = 0;
    for (const { name, bytes } of hostile) {
      const { decided, toServer } = passed(bytes, Infinity);
      if (toServer.length === 0) continue;
      const { requests } = await oracle.ask(toServer);
      assert.deepEqual(requests, decided.slice(0, requests.length), `${name}: ${JSON.stringify(toServer.toString('latin1').slice(0, 300))}`);
      compared += requests.length;
    }
    assert.ok(compared > hostile.length / 4, `only ${compared} requests were compared`);
  });
});

/** HTTP/1.1 that the kernel reads, between real ends: which requests arrive, and what their clients hear. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ConntrackFlag } from '../../src/datapath/generated/enums.ts';
import { converse, HttpServer, putHttpSet, type Step } from './http-rig.ts';
import { addressesOf, pods, Rig } from './rig.ts';

const [a, b] = [pods[0]!, pods[1]!];
const SET = 7;
const denied = '403 Access denied\r\n';

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nhost: server\r\n${more}\r\n`;
const said = (path: string): string => `200 GET ${path} 0`;

describe('HTTP read in the kernel', { timeout: 300_000 }, () => {
  const rig = new Rig({ ns: `chk${process.pid % 10000}`, http: ['b', 'c'] });
  let server: HttpServer;

  before(async () => {
    await rig.start();
    server = await HttpServer.start(rig, 'b');
    const [node] = rig.nodes;
    putHttpSet(node!, SET, [{ rule: 501, method: 'GET|HEAD', path: '/ok.*', headers: [] }, { rule: 502, method: 'POST', path: '/up.*', headers: [] }]);
    node!.redirect(b.id, SET);
    node!.commit();
  });
  after(() => {
    server?.stop();
    rig[Symbol.dispose]();
  });

  [0, 1].forEach(i => {
    const atB = addressesOf(b)[i]!;
    describe(i ? 'IPv6' : 'IPv4', () => {
      test('what rules allow passes, what they do not is answered in its place, and the connection goes on', () => {
        const steps: Step[] = [];
        for (const [n, path] of ['/ok/1', '/no/1', '/ok/2', '/no/2', '/no/3', '/ok/3'].entries()) steps.push(['send', get(path)], ['answers', n + 1]);
        const [heard] = converse(rig, 'a', atB, [steps]);
        assert.deepEqual(heard, { answers: [said('/ok/1'), denied, said('/ok/2'), denied, denied, said('/ok/3')], rest: '' });
        assert.deepEqual(server.asked(), ['GET /ok/1 0', 'GET /ok/2 0', 'GET /ok/3 0']);
        const flags = [...rig.nodes[0]!.maps.conntrack.entries()].map(([, entry]) => entry.flags);
        assert.ok(flags.some(flag => flag & ConntrackFlag.Http), 'its entry says that it is read');
        assert.ok(!flags.some(flag => flag & ConntrackFlag.Proxied), 'nothing of it is the proxy\'s');
      });
    });
  });
});

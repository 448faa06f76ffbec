/** HTTP/1.1 that the kernel reads, between real ends: which requests arrive, and what their clients hear. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ConntrackFlag, EventFlag } from '../../src/datapath/generated/enums.ts';
import { waitFor } from '../../src/std/async.ts';
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

  // Before all others: what their clients send again would be counted too.
  for (const [i, family] of ['IPv4', 'IPv6'].entries()) {
    test(`${family}: requests and answers are counted and told once`, () => {
      const counts = (): Record<'requests' | 'denied' | 'answers' | 'faults', number> => {
        const rows = rig.nodes[0]!.maps.httpCounts.lookupPerCpu(0)!, sum = (name: 'requests' | 'denied' | 'answers' | 'faults'): number => Number(rows.reduce((all, row) => all + row[name], 0n));
        return { requests: sum('requests'), denied: sum('denied'), answers: sum('answers'), faults: sum('faults') };
      };
      const before = counts();
      rig.nodes[0]!.told();
      converse(rig, 'a', addressesOf(b)[i]!, [[['send', get('/ok/1')], ['answers', 1], ['send', get('/no')], ['answers', 2], ['send', get('/ok/2') + get('/ok/3')], ['answers', 4], ['send', 'nonsense\r\n\r\n'], ['end']]]);
      const after = counts();
      assert.deepEqual({ requests: after.requests - before.requests, denied: after.denied - before.denied, answers: after.answers - before.answers, faults: after.faults - before.faults }, { requests: 4, denied: 1, answers: 3, faults: 1 });
      assert.deepEqual(server.asked(), ['GET /ok/1 0', 'GET /ok/2 0', 'GET /ok/3 0']);
      // What passes bears the rule that lets it, what is denied the one that asks for rules, and what cannot be read none.
      const told = rig.nodes[0]!.told().requests.map(({ flags, verdict, rule }) => `${flags & EventFlag.Reply ? 'answer' : 'request'} ${verdict} ${rule}`).sort();
      assert.deepEqual(told, [...Array<string>(3).fill('answer 1 501'), 'request 2 0', `request 2 ${b.id}`, ...Array<string>(3).fill('request 1 501')].sort());
    });
  }

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

      test('a request in two segments, cut anywhere', () => {
        for (const [path, answer, over] of [['/ok', said('/ok'), undefined], ['/no', denied, 'end']] as const) {
          const bytes = get(path), cuts = [...bytes].map((_, n) => n).slice(1);
          const heard = converse(rig, 'a', atB, cuts.map(cut => [['send', bytes.slice(0, cut)], ['pause', 5], ['send', bytes.slice(cut)], ['answers', 1], ...over ? [['end'] as const] : []]));
          heard.forEach((one, n) => assert.deepEqual(one, { answers: [answer], rest: '', ...over && { over } }, `${path} cut at ${cuts[n]}`));
        }
        const asked = server.asked();
        assert.equal(asked.length, get('/ok').length - 1);
        assert.deepEqual([...new Set(asked)], ['GET /ok 0']);
      });

      test('byte by byte', () => {
        const bytes = [...get('/ok/a') + get('/ok/b')].map((byte): Step => ['send', byte]);
        assert.deepEqual(converse(rig, 'a', atB, [[...bytes, ['answers', 2]]]), [{ answers: [said('/ok/a'), said('/ok/b')], rest: '' }]);
        assert.deepEqual(server.asked(), ['GET /ok/a 0', 'GET /ok/b 0']);
      });

      test('many requests at once, denied ones among them: answers come in the order of requests', () => {
        const paths = ['/ok/1', '/ok/2?slow=50', '/no/1', '/ok/3', '/no/2'];
        const [heard] = converse(rig, 'a', atB, [[['send', paths.map(path => get(path)).join('')], ['answers', paths.length]]], { seconds: 30 });
        assert.deepEqual(heard, { answers: paths.map(path => (path.startsWith('/no') ? denied : said(path))), rest: '' });
        assert.deepEqual(server.asked(), paths.filter(path => path.startsWith('/ok')).map(path => `GET ${path} 0`));
      });

      test('more requests at once than may be without an answer', () => {
        const paths = Array.from({ length: 60 }, (_, n) => `/ok/${n}`);
        const [heard] = converse(rig, 'a', atB, [[['send', paths.map(path => get(path)).join('')], ['answers', paths.length]]], { seconds: 20 });
        assert.deepEqual(heard, { answers: paths.map(said), rest: '' });
        assert.equal(server.asked().length, 60);
      });

      test('bodies: of a length, in chunks, and of denied requests', () => {
        const post = (path: string, body: string): string => `POST ${path} HTTP/1.1\r\nhost: server\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
        const chunked = (path: string, ...chunks: readonly string[]): string =>
          `POST ${path} HTTP/1.1\r\nhost: server\r\ntransfer-encoding: chunked\r\n\r\n${[...chunks, ''].map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}`;
        const big = 'GET /ok HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(20_000);
        const all = [
          [post('/up/1', 'abc'), '200 POST /up/1 3'], [post('/no/1', big), denied], [chunked('/up/2', 'a', 'bc'.repeat(500)), '200 POST /up/2 1001'],
          [chunked('/no/2', big.slice(0, 100_000), big.slice(0, 7)), denied], [post('/up/3', big), `200 POST /up/3 ${big.length}`], [get('/ok'), said('/ok')], [chunked('/up/4', ...Array.from({ length: 3000 }, () => 'x')), '200 POST /up/4 3000'],
        ] as const;
        const steps = all.flatMap(([bytes], n): Step[] => [['send', bytes], ['answers', n + 1]]);
        assert.deepEqual(converse(rig, 'a', atB, [steps], { seconds: 20 }), [{ answers: all.map(([, answer]) => answer), rest: '' }]);
        assert.deepEqual(server.asked(), ['POST /up/1 3', 'POST /up/2 1001', `POST /up/3 ${big.length}`, 'GET /ok 0', 'POST /up/4 3000']);
      });

      test('a denied body of more than a megabyte, and one that waits to be asked for, end the connection', () => {
        const expects = 'POST /no HTTP/1.1\r\nhost: server\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n';
        const large = `POST /no HTTP/1.1\r\nhost: server\r\ncontent-length: ${3 << 20}\r\n\r\n${'x'.repeat(1000)}`;
        assert.deepEqual(converse(rig, 'a', atB, [[['send', expects], ['end']], [['send', large], ['end']]]), [1, 2].map(() => ({ answers: [denied], rest: '', over: 'end' })));
        assert.deepEqual(server.asked(), []);
      });

      test('100 Continue of the server\'s', () => {
        const head = 'POST /up HTTP/1.1\r\nhost: server\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n';
        assert.deepEqual(converse(rig, 'a', atB, [[['send', head], ['answers', 1], ['send', 'hello'], ['answers', 2], ['send', get('/no')], ['answers', 3]]]),
          [{ answers: ['100', '200 POST /up 5', denied], rest: '' }]);
        assert.deepEqual(server.asked(), ['POST /up 5']);
      });

      test('another protocol behind an upgrade, and what comes before it is agreed to', () => {
        const upgrade = (path: string): string => get(path, 'connection: upgrade\r\nupgrade: echo\r\n');
        const [opened, early, refused] = converse(rig, 'a', atB, [
          [['send', upgrade('/ok')], ['answers', 1], ['send', 'GET /no is no request here\r\n\r\n'], ['pause', 200], ['shut'], ['end']],
          [['send', upgrade('/ok') + 'early bird'], ['answers', 1], ['pause', 600], ['shut'], ['end']],
          [['send', upgrade('/ok/no') + get('/no')], ['end']],
        ]);
        assert.deepEqual(opened, { answers: ['101'], rest: 'GET /no is no request here\r\n\r\n', over: 'end' });
        assert.deepEqual(early, { answers: ['101'], rest: 'early bird', over: 'end' });
        assert.equal(refused!.answers[0], '400 ');
        assert.deepEqual(server.asked(), ['UPGRADE /ok 0', 'UPGRADE /ok 0', 'UPGRADE /ok/no 0']);
      });

      test('a server that agrees to HTTP/2 behind an upgrade ends the connection, as nobody would read that; one that does not is an ordinary one', () => {
        const upgrade = (path: string): string => get(path, 'connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n');
        const [agreed, not] = converse(rig, 'a', atB, [[['send', upgrade('/ok')], ['end']], [['send', upgrade('/ok/no')], ['end']]]);
        assert.deepEqual(agreed, { answers: [], rest: '', over: 'reset' });
        assert.deepEqual(not, { answers: ['400 '], rest: '', over: 'end' });
        assert.deepEqual(server.asked(), ['UPGRADE /ok 0', 'UPGRADE /ok/no 0']);
      });

      test('HEAD, answers in chunks, long answers, slow ones', () => {
        const head = (path: string): string => `HEAD ${path} HTTP/1.1\r\nhost: server\r\n\r\n`;
        const all = [[head('/ok'), '200 '], [head('/no'), '403 '], [get('/ok/chunked'), said('/ok/chunked')], [get('/no'), denied], [get('/ok?big=3000000'), `200 ${'x'.repeat(3_000_000)}`], [get('/no'), denied], [get('/ok?slow=300'), said('/ok?slow=300')], [get('/no'), denied]] as const;
        const steps = all.flatMap(([bytes], n): Step[] => [['send', bytes], ['answers', n + 1]]);
        assert.deepEqual(converse(rig, 'a', atB, [steps]), [{ answers: all.map(([, answer]) => answer), rest: '' }]);
        assert.equal(server.asked().length, 4);
      });

      test('what cannot be read is answered as the proxy would, and the connection ends', () => {
        const bad = [['GET /ok HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n', '400 Bad Request: there is more than one Host\r\n'], ['GET /ok HTTP/1.1\r\n\r\n', '400 Bad Request: there is no Host\r\n'],
          ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '400 Bad Request: the version is neither HTTP/1.1 nor HTTP/1.0\r\n'], [`GET /ok HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(17_000)}\r\n\r\n`, '431 Request Header Fields Too Large: the head is too large\r\n'],
          ['POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n', '400 Bad Request: a chunk has a malformed size\r\n']] as const;
        const heard = converse(rig, 'a', atB, bad.map(([bytes]) => [['send', get('/ok')], ['answers', 1], ['send', bytes], ['end']]));
        bad.forEach(([, answer], n) => assert.deepEqual(heard[n], { answers: [said('/ok'), answer], rest: '', over: 'end' }));
        assert.equal(server.asked().length, bad.length);
      });

      test('a client that says it is the last request, and one that sends no more', () => {
        const [last, shut] = converse(rig, 'a', atB, [[['send', get('/ok')], ['send', get('/no', 'connection: close\r\n')], ['end']], [['send', get('/no') + get('/ok')], ['shut'], ['end']]]);
        assert.deepEqual(last, { answers: [said('/ok'), denied], rest: '', over: 'end' });
        assert.deepEqual(shut, { answers: [denied, said('/ok')], rest: '', over: 'end' });
        assert.deepEqual(server.asked(), ['GET /ok 0', 'GET /ok 0']);
      });

      test('connections leave nothing behind', async () => {
        const { httpConnections } = rig.nodes[0]!.maps;
        converse(rig, 'a', atB, Array.from({ length: 20 }, (_, n) => [['send', get(n % 2 ? '/ok' : '/no', 'connection: close\r\n')], ['end']]));
        // What was answered here is the sweep's. The last segments may be under way still, or come once more.
        const rows = () => [...httpConnections.entries()].filter(([, row]) => row.cut === 0 && row.phase < 3).map(([key, row]) => ({ port: key.clientPort, phase: row.phase, fins: [row.requestFin, row.answerFin] }));
        await waitFor('the last rows to go', () => rows().length === 0).catch(() => {});
        assert.deepEqual(rows(), []);
        server.asked();
      });
    });
  });
});

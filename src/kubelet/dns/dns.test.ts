import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Resolver } from 'node:dns/promises';
import fc from 'fast-check';
import { decodeQuery, DnsFormatError, encodeAnswer, readName, type } from './codec.ts';
import { createForwarder, usableUpstreams } from './forward.ts';
import { encodeQuestion, respond } from './respond.ts';
import type { Responder } from './respond.ts';
import { serveDns } from './server.ts';
import type { DnsServer } from './server.ts';
import { snapshotOf } from './snapshot.ts';
import { addressOfArpa, zoneOf } from './zone.ts';

const service = (name: string, spec: object) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'demo' }, spec });
const slice = (name: string, endpoints: object[], ports: object[]) => ({
  apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: `${name}-1`, namespace: 'demo', labels: { 'kubernetes.io/service-name': name } }, addressType: 'IPv4', endpoints, ports,
});
const many = Array.from({ length: 200 }, (_, i) => ({ addresses: [`10.244.9.${i}`], conditions: {} }));
const snapshot = snapshotOf('cluster.local', [
  service('backend', { clusterIP: '10.96.1.2', clusterIPs: ['10.96.1.2', 'fd00:10:96::12'], ports: [{ name: 'http', port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }] }),
  service('db', { clusterIP: 'None', ports: [{ name: 'sql', port: 5432 }] }),
  service('empty', { clusterIP: 'None', ports: [] }),
  service('many', { clusterIP: 'None', ports: [] }),
  service('out', { type: 'ExternalName', externalName: 'example.org' }),
  service('alias', { type: 'ExternalName', externalName: 'backend.demo.svc.cluster.local' }),
  service('circle', { type: 'ExternalName', externalName: 'circle.demo.svc.cluster.local' }),
] as never, [
  slice('db', [{ addresses: ['10.244.1.5'], hostname: 'db-0', conditions: { ready: true } }, { addresses: ['10.244.2.6'], hostname: 'db-1', conditions: { ready: true } },
    { addresses: ['10.244.2.7'], hostname: 'db-2', conditions: { ready: false } }], [{ name: 'sql', port: 5432 }]),
  slice('many', many, []),
] as never);
const zone = zoneOf(snapshot, 7);
const quiet: Responder = { zone: () => zone, forward: () => Promise.resolve(undefined), count: () => {} };

describe('DNS of a cluster', () => {
  let server: DnsServer;
  let upstream: dgram.Socket;
  let asked = 0;
  const resolver = new Resolver({ timeout: 2000, tries: 1 });
  before(async () => {
    upstream = dgram.createSocket('udp4');
    upstream.on('message', (message, peer) => {
      asked++;
      const query = decodeQuery(message);
      const { name } = query.questions[0]!;
      const answers = name === 'example.org' ? [{ name, type: type.A, ttl: 60, address: Uint8Array.from([93, 184, 215, 14]) } as const] : [];
      upstream.send(encodeAnswer(query, { rcode: answers.length ? 0 : 3, authoritative: false, answers, authority: [], additional: [] }, 512), peer.port, peer.address);
    });
    await new Promise<void>(resolve => upstream.bind(0, '127.0.0.1', resolve));
    const forward = createForwarder({ upstreams: [{ address: '127.0.0.1', port: upstream.address().port }] });
    server = await serveDns({ port: 0, host: '127.0.0.1' }, { ...quiet, forward });
    resolver.setServers([`127.0.0.1:${server.port}`]);
  });
  after(() => {
    server.close();
    upstream.close();
  });

  test('a service has its addresses of both families', async () => {
    assert.deepEqual(await resolver.resolve4('backend.demo.svc.cluster.local'), ['10.96.1.2']);
    assert.deepEqual(await resolver.resolve6('BACKEND.demo.svc.Cluster.local'), ['fd00:10:96::12']);
  });

  test('a headless service has those of its ready backends, each with a name of its own', async () => {
    assert.deepEqual((await resolver.resolve4('db.demo.svc.cluster.local')).sort(), ['10.244.1.5', '10.244.2.6']);
    assert.deepEqual(await resolver.resolve4('db-1.db.demo.svc.cluster.local'), ['10.244.2.6']);
    await assert.rejects(resolver.resolve4('db-2.db.demo.svc.cluster.local'), { code: 'ENOTFOUND' });
    await assert.rejects(resolver.resolve6('db-1.db.demo.svc.cluster.local'), { code: 'ENODATA' });
  });

  test('SRV names ports and targets', async () => {
    assert.deepEqual(await resolver.resolveSrv('_http._tcp.backend.demo.svc.cluster.local'), [{ name: 'backend.demo.svc.cluster.local', port: 80, priority: 0, weight: 100, type: 'SRV' }]);
    const all = await resolver.resolveSrv('_sql._tcp.db.demo.svc.cluster.local');
    assert.deepEqual(all.map(s => s.name).sort(), ['db-0.db.demo.svc.cluster.local', 'db-1.db.demo.svc.cluster.local']);
    await assert.rejects(resolver.resolveSrv('_http._udp.backend.demo.svc.cluster.local'), { code: 'ENOTFOUND' });
  });

  test('addresses lead back to names', async () => {
    assert.deepEqual(await resolver.reverse('10.96.1.2'), ['backend.demo.svc.cluster.local']);
    assert.deepEqual(await resolver.reverse('fd00:10:96::12'), ['backend.demo.svc.cluster.local']);
    assert.deepEqual(await resolver.reverse('10.244.1.5'), ['db-0.db.demo.svc.cluster.local']);
    await assert.rejects(resolver.reverse('10.1.2.3'), { code: 'ENOTFOUND' });
  });

  test('a pod\'s name spells its address', async () => {
    assert.deepEqual(await resolver.resolve4('10-244-1-7.demo.pod.cluster.local'), ['10.244.1.7']);
    assert.deepEqual(await resolver.resolve6('fd00-10-244-1--7.demo.pod.cluster.local'), ['fd00:10:244:1::7']);
    await assert.rejects(resolver.resolve4('nonsense.demo.pod.cluster.local'), { code: 'ENOTFOUND' });
  });

  test('what is not there is said at once and never asked upstream', async () => {
    const before = asked;
    await assert.rejects(resolver.resolve4('nosuch.demo.svc.cluster.local'), { code: 'ENOTFOUND' });
    await assert.rejects(resolver.resolve4('empty.demo.svc.cluster.local'), { code: 'ENOTFOUND' });
    await assert.rejects(resolver.resolve4('a.b.c.d.e.cluster.local'), { code: 'ENOTFOUND' });
    assert.equal(asked, before);
  });

  test('an ExternalName is an alias, followed to addresses within the cluster and outside', async () => {
    assert.deepEqual(await resolver.resolveCname('out.demo.svc.cluster.local'), ['example.org']);
    assert.deepEqual(await resolver.resolve4('out.demo.svc.cluster.local'), ['93.184.215.14']);
    assert.deepEqual(await resolver.resolve4('alias.demo.svc.cluster.local'), ['10.96.1.2']);
  });

  test('an alias of itself ends', async () => {
    const answer = (await respond(encodeQuestion('circle.demo.svc.cluster.local', type.A), false, quiet))!;
    assert.equal(answer[3]! & 15, 0);
    assert.ok(answer[7]! <= 9, 'a few aliases and no address');
  });

  test('other names are asked of the node\'s resolver', async () => {
    assert.deepEqual(await resolver.resolve4('example.org'), ['93.184.215.14']);
    await assert.rejects(resolver.resolve4('nosuch.example'), { code: 'ENOTFOUND' });
  });

  test('an answer too long for UDP is cut and comes whole over TCP', async () => {
    const question = encodeQuestion('many.demo.svc.cluster.local', type.A);
    const short = (await respond(question, false, quiet))!;
    assert.ok(short.length <= 512);
    assert.ok(short[2]! & 2, 'TC is set');
    assert.equal((await resolver.resolve4('many.demo.svc.cluster.local')).length, 200);
  });

  test('many questions on one TCP connection are all answered', async () => {
    const question = encodeQuestion('backend.demo.svc.cluster.local', type.A);
    const framed = Buffer.concat([Buffer.from([0, question.length]), question]);
    const socket = net.connect(server.port, '127.0.0.1');
    socket.write(Buffer.concat(Array<Buffer>(20).fill(framed)));
    let bytes = 0;
    const one = (await respond(question, true, quiet))!.length + 2;
    for await (const chunk of socket) {
      bytes += (chunk as Buffer).length;
      if (bytes >= one * 20) break;
    }
    assert.equal(bytes, one * 20);
  });

  test('without an upstream the answer is SERVFAIL, at once', async () => {
    const forward = createForwarder({ upstreams: [], timeoutMs: 60_000 });
    const began = performance.now();
    const answer = (await respond(withRecursion(encodeQuestion('example.org', type.A)), false, { ...quiet, forward }))!;
    assert.equal(answer[3]! & 15, 2);
    assert.ok(performance.now() - began < 30_000, 'nobody was waited for');
  });

  test('a silent upstream is waited for once and then left alone for a while', async () => {
    const silent = dgram.createSocket('udp4');
    let asked = 0;
    silent.on('message', () => asked++);
    await new Promise<void>(resolve => silent.bind(0, '127.0.0.1', resolve));
    const forward = createForwarder({ upstreams: [{ address: '127.0.0.1', port: silent.address().port }], timeoutMs: 100 });
    const ask = async () => {
      const began = performance.now();
      assert.equal(await forward(encodeQuestion('example.org', type.A), false), undefined);
      return performance.now() - began;
    };
    assert.ok((await ask()) >= 90);
    const first = asked;
    assert.ok(first > 0);
    await ask();
    assert.equal(asked, first, 'it was not asked again');
    silent.close();
  });

  test('it never asks itself', () => {
    assert.deepEqual(usableUpstreams(['127.0.0.53', '::1', '10.96.0.10', '9.9.9.9'], ['10.96.0.10']), [{ address: '9.9.9.9', port: 53 }]);
  });

  test('EDNS is answered with EDNS, another version with BADVERS', async () => {
    const opt = (version: number) => Uint8Array.from([0, 0, 41, 4, 208, 0, version, 0, 0, 0, 0]);
    const question = encodeQuestion('many.demo.svc.cluster.local', type.A);
    const withOpt = (version: number) => {
      const bytes = Buffer.concat([question, opt(version)]);
      bytes[11] = 1;
      return bytes;
    };
    const answer = (await respond(withOpt(0), false, quiet))!;
    assert.ok(answer.length > 512 && answer.length <= 1232);
    assert.equal(answer[11], 1);
    const bad = (await respond(withOpt(1), false, quiet))!;
    assert.equal(bad[bad.length - 6], 1, 'the upper bits of BADVERS stand in the OPT record');
  });

  test('an answer is never answered', async () => {
    const bytes = encodeQuestion('backend.demo.svc.cluster.local', type.A);
    bytes[2] = 0x80;
    assert.equal(await respond(bytes, false, quiet), undefined);
  });
});

describe('the DNS parser', () => {
  test('a pointer to itself or ahead is refused', () => {
    assert.throws(() => readName(Uint8Array.from([0xc0, 0x00]), 0), DnsFormatError);
    assert.throws(() => readName(Uint8Array.from([1, 97, 0xc0, 0x00]), 0), DnsFormatError);
    assert.throws(() => readName(Uint8Array.from([0xc0, 0x02, 0]), 0), DnsFormatError);
  });

  test('any bytes give an answer, none, or FORMERR, and never an exception', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (bytes, tcp) => {
      const answer = await respond(bytes, tcp, quiet);
      if (answer) assert.ok(answer.length >= 12 && (answer[2]! & 0x80) !== 0);
    }), { numRuns: 3000 });
  });

  test('a query with a few bytes changed gives an answer within its limit', async () => {
    const good = encodeQuestion('_sql._tcp.db.demo.svc.cluster.local', type.SRV);
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }), async changes => {
      const bytes = Uint8Array.from(good);
      for (const [at, value] of changes) bytes[at] = value;
      const answer = await respond(bytes, false, quiet);
      if (answer) assert.ok(answer.length <= 512);
    }), { numRuns: 3000 });
  });

  test('names of any bytes are written as they were read', () => {
    const label = fc.uint8Array({ minLength: 1, maxLength: 20 });
    fc.assert(fc.property(fc.array(label, { maxLength: 8 }), labels => {
      const wire = Uint8Array.from([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels.flatMap(l => [l.length, ...l]), 0, 0, 1, 0, 1]);
      const query = decodeQuery(wire);
      const out = encodeAnswer(query, { rcode: 0, authoritative: false, answers: [], authority: [], additional: [] }, 512);
      assert.deepEqual([...out.subarray(12)], [...wire.subarray(12)]);
    }));
  });

  test('reverse names spell addresses', () => {
    assert.equal(addressOfArpa('x.y.in-addr.arpa'), undefined);
    assert.equal(addressOfArpa('4.3.2.1.in-addr.arpa')!.at(-1), 4);
  });
});

function withRecursion(bytes: Uint8Array): Uint8Array {
  bytes[2]! |= 1;
  return bytes;
}

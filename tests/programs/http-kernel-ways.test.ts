/** HTTP that the kernel reads, on every way to a pod, and what becomes of running connections when policy changes. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ConntrackFlag, EndpointFlag, EventType, ServiceFlag } from '../../src/datapath/generated/enums.ts';
import { httpEventCodec } from '../../src/datapath/generated/structs.ts';
import { RingBuffer } from '../../src/ebpf/ring.ts';
import { isHttpRecord } from '../../src/flows/http-events.ts';
import { formatAddr } from '../../src/std/ip.ts';
import { addService, NODE_PORT } from './external.ts';
import { converse, HTTP_PORT, HttpServer, HttpTalk, putHttpSet, type Step } from './http-rig.ts';
import { addressesOf, pods, Rig, SERVICE_PORT, services } from './rig.ts';

const [a, b, c] = [pods[0]!, pods[1]!, pods[2]!];
const EGRESS = 1000;
const [SET, OTHER, NOT_THERE] = [7, 8, 99];
const denied = '403 Access denied\r\n';
const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nhost: server\r\n${more}\r\n`;
const said = (path: string): string => `200 GET ${path} 0`;
const steps: readonly Step[] = ['/ok', '/no', '/ok?big=200000', '/no'].flatMap((path, n): Step[] => [['send', get(path)], ['answers', n + 1]]);
const heard = { answers: [said('/ok'), denied, `200 ${'x'.repeat(200_000)}`, denied], rest: '' };

for (const tunnel of [true, false]) {
  describe(tunnel ? 'through the tunnel' : 'native routing', { timeout: 240_000 }, () => {
    const rig = new Rig({ ns: `chw${tunnel ? 't' : 'n'}${process.pid % 10000}`, tunnel, http: ['b', 'c'] });
    const servers: HttpServer[] = [];
    const redirect = (pod: typeof a, l7: number | undefined, direction: 'ingress' | 'egress' = 'ingress'): void => {
      const node = rig.nodes[pod.node - 1]!;
      node.redirect(direction === 'ingress' ? pod.id : pod.id + EGRESS, l7);
      node.commit();
    };
    /** The services that records of HTTP name, since the last time. */
    const told = (node: 1 | 2): string[] => {
      const { flowEvents } = rig.nodes[node - 1]!.maps, records: string[] = [];
      const ring = RingBuffer.open({ fd: flowEvents.fd, maxEntries: flowEvents.spec.maxEntries });
      ring.drain((bytes, offset, length) => {
        if (!isHttpRecord(new DataView(bytes.buffer, bytes.byteOffset + offset, length), 0, length)) return;
        const { event } = httpEventCodec.decode(new Uint8Array(bytes.buffer, bytes.byteOffset + offset, length).slice());
        records.push(`${formatAddr(event.service)} ${event.servicePort}`);
      });
      ring.close();
      return records;
    };
    const sentTo = (node: 1 | 2): number => Number(rig.inside(`n${node}`, `cat /sys/class/net/v${node === 1 ? 'b' : 'c'}/statistics/tx_packets`));
    const entries = (node: 1 | 2, flag: number, sinceNs = 0n): number => [...rig.nodes[node - 1]!.maps.conntrack.entries()].filter(([, entry]) => entry.flags & flag && entry.startedNs >= sinceNs).length;

    before(async () => {
      await rig.start();
      for (const where of ['b', 'c']) servers.push(await HttpServer.start(rig, where));
      for (const node of rig.nodes) {
        putHttpSet(node, SET, [{ rule: 501, method: 'GET', path: '/ok.*', headers: [] }]);
        putHttpSet(node, OTHER, [{ rule: 502, method: 'GET', path: '/no.*', headers: [] }]);
      }
    });
    beforeEach(() => {
      for (const pod of [b, c]) {
        redirect(pod, SET);
        redirect(pod, undefined, 'egress');
      }
      redirect(a, undefined, 'egress');
      for (const server of servers) server.asked();
      for (const node of rig.nodes) node.readHttpHere(true);
    });
    after(() => {
      for (const server of servers) server.stop();
      rig[Symbol.dispose]();
    });

    [0, 1].forEach(i => {
      const nodeAt = i ? 'fdc1::11' : '172.30.0.11';
      describe(i ? 'IPv6' : 'IPv4', () => {
        before(() => {
          addService(rig.nodes[0]!, { addr: nodeAt, port: NODE_PORT, id: 100 + i, flags: ServiceFlag.Routable, backends: [{ addr: addressesOf(b)[i]!, port: HTTP_PORT }] });
          addService(rig.nodes[0]!, { addr: services[i]!, port: SERVICE_PORT, id: 1 + i, flags: 0, backends: [{ addr: addressesOf(c)[i]!, port: HTTP_PORT }] });
          addService(rig.nodes[0]!, { addr: services[i]!, port: SERVICE_PORT + 1, id: 11 + i, flags: 0, backends: [{ addr: addressesOf(b)[i]!, port: HTTP_PORT }] });
        });
        const ways = [
          { name: 'a neighbour', from: 'a', host: addressesOf(b)[i]!, port: HTTP_PORT, node: 1 },
          { name: 'another node', from: 'a', host: addressesOf(c)[i]!, port: HTTP_PORT, node: 2 },
          { name: 'a service, whose server is on another node', from: 'a', host: services[i]!, port: SERVICE_PORT, node: 2 },
          { name: 'a service, whose server is here', from: 'a', host: services[i]!, port: SERVICE_PORT + 1, node: 1 },
          { name: 'a client outside, by a port of the node', from: 'client', host: nodeAt, port: NODE_PORT, node: 1 },
        ] as const;
        for (const way of ways) for (const here of [true, false]) {
          test(`${way.name}, read ${here ? 'where it is forwarded' : 'at the pod\'s device'}`, () => {
            for (const node of rig.nodes) node.readHttpHere(here);
            told(way.node);
            const beganNs = process.hrtime.bigint(), sentBefore = sentTo(way.node);
            assert.deepEqual(converse(rig, way.from, way.host, [steps], way), [heard]);
            // What is read where it is forwarded does not leave by the pod's device, nor does the rest of what pods get.
            const sent = sentTo(way.node) - sentBefore;
            assert.ok(here ? sent < 6 : sent >= 6, `${sent} packets left by the pod's device`);
            // By when it began: a port that was used before, to the same server by another way, takes that entry's place.
            assert.equal(entries(way.node, ConntrackFlag.Http, beganNs), 1);
            assert.equal(entries(way.node, ConntrackFlag.Proxied), 0);
            assert.deepEqual(servers[way.node - 1]!.asked(), ['GET /ok 0', 'GET /ok?big=200000 0']);
            // Four requests, and the two answers that are not the kernel's own: each bears the service, where this node has translated it.
            const service = way.port === HTTP_PORT || way.node === 2 ? ':: 0' : `${way.host} ${way.port}`;
            assert.deepEqual(told(way.node), Array.from({ length: 6 }, () => service));
          });
        }
      });
    });

    if (!tunnel) return;
    const atB = addressesOf(b)[0]!;

    test('other rules hold from the next request on', async () => {
      using talk = new HttpTalk(rig, 'a', atB);
      await talk.does(['send', get('/ok')], ['answers', 1]);
      redirect(b, OTHER);
      assert.deepEqual(await talk.does(['send', get('/ok')], ['answers', 2], ['send', get('/no')], ['answers', 3]), { answers: [said('/ok'), denied, said('/no')], rest: '' });
    });

    test('no rules any more: everything passes; and rules again: the client comes again', async () => {
      using talk = new HttpTalk(rig, 'a', atB);
      await talk.does(['send', get('/no')], ['answers', 1]);
      // The agent takes the flag first, and the programs when the last connection has ended.
      const { endpoints } = rig.nodes[0]!.maps, rows = [...endpoints.entries()];
      for (const [key, row] of rows) endpoints.update(key, { ...row, flags: row.flags & ~EndpointFlag.Http });
      redirect(b, undefined);
      assert.deepEqual(await talk.does(['send', get('/no')], ['answers', 2], ['send', get('/ok')], ['answers', 3]), { answers: [denied, said('/no'), said('/ok')], rest: '' });
      for (const [key, row] of rows) endpoints.update(key, row);
      redirect(b, SET);
      assert.equal((await talk.does(['send', get('/ok')], ['end'])).over, 'reset');
    });

    test('denied at layer 4, wanted by the proxy, or a set that is not there: the client is reset', async () => {
      const node = rig.nodes[0]!;
      const changes: readonly (readonly [() => void, () => void])[] = [
        [() => redirect(b, NOT_THERE), () => redirect(b, SET)],
        [() => redirect(a, SET, 'egress'), () => redirect(a, undefined, 'egress')],
      ];
      for (const [change, back] of changes) {
        using talk = new HttpTalk(rig, 'a', atB);
        await talk.does(['send', get('/ok')], ['answers', 1]);
        change();
        assert.equal((await talk.does(['send', get('/ok')], ['end'])).over, 'reset');
        back();
      }
      using talk = new HttpTalk(rig, 'a', atB);
      await talk.does(['send', get('/ok')], ['answers', 1]);
      redirect(b, undefined);
      node.policy(b.id, 2);
      node.commit();
      assert.deepEqual(await talk.does(['send', get('/ok')], ['within', 1], ['end']), { answers: [said('/ok')], rest: '', over: 'time' });
      node.policy(b.id, 1);
      node.commit();
      assert.deepEqual(servers[0]!.asked(), ['GET /ok 0', 'GET /ok 0', 'GET /ok 0']);
    });

    test('a set that is not there, or no programs at the pod: the proxy\'s, where nobody listens', () => {
      redirect(b, NOT_THERE);
      assert.deepEqual(converse(rig, 'a', atB, [[['send', get('/ok')], ['end']]], { seconds: 1 }), [{ answers: [], rest: '', over: 'time' }]);
      redirect(a, SET);
      assert.deepEqual(converse(rig, 'b', addressesOf(a)[0]!, [[['send', get('/ok')], ['end']]], { seconds: 1 }), [{ answers: [], rest: '', over: 'time' }]);
      redirect(a, undefined);
    });

    test('nothing passes of a connection without its row', async () => {
      using talk = new HttpTalk(rig, 'a', atB);
      await talk.does(['send', get('/ok')], ['answers', 1]);
      const { httpConnections } = rig.nodes[0]!.maps;
      rig.nodes[0]!.told();
      for (const [key] of [...httpConnections.entries()]) httpConnections.delete(key);
      assert.deepEqual(await talk.does(['send', get('/ok')], ['within', 1], ['answers', 2]), { answers: [said('/ok')], rest: '', over: 'time' });
      assert.deepEqual(servers[0]!.asked(), ['GET /ok 0']);
      assert.deepEqual([...new Set(rig.nodes[0]!.told().drops.filter(drop => drop.type === EventType.Drop).map(drop => drop.reasonOrPoint))], [246]);
    });
  });
}

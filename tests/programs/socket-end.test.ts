/** Sockets end with their backend: real sockets, in the node's namespace and in a pod's. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { BpfIterator } from '../../src/ebpf/iterator.ts';
import { type Gone, goneMax, SocketEnder } from '../../src/features/sockets/ender.ts';
import { type Addr, formatAddr, parseAddr } from '../../src/std/ip.ts';
import { withNetns } from '../../src/sys/netns.ts';
import { backendPort, type Place, type Protocol, protocolNumbers, protocols, socketFamilies, SocketRig } from './sockets.ts';

let rig: SocketRig;
let iterators: { tcp: BpfIterator; udp: BpfIterator };
/** Addresses that are somebody's although no service has them. */
const inUse = new Set<string>();
const warnings: unknown[] = [];
const quiet = { debug() {}, info() {}, warn: (_: string, fields: unknown) => void warnings.push(fields), error() {} };

before(async () => {
  rig = await SocketRig.open();
  iterators = { tcp: BpfIterator.attach(rig.object.program('sock_end_tcp')), udp: BpfIterator.attach(rig.object.program('sock_end_udp')) };
});
after(() => {
  iterators?.tcp.close();
  iterators?.udp.close();
  rig?.close();
});
beforeEach(() => {
  rig.reset();
  inUse.clear();
  warnings.length = 0;
});

let clock = 0;
function ender(): SocketEnder {
  return new SocketEnder({ iterators }, {
    goneBackends: rig.maps.goneBackends,
    namespaces: () => [rig.netnsPath('pod'), '/run/netns/east-was-here', rig.netnsPath('node')],
    isInUse: (addr: Addr) => inUse.has(formatAddr(addr)),
    log: quiet as never,
    now: () => clock,
  });
}

/** Takes the backend out of the kernel and tells of it, as the service target does. */
async function lose(who: SocketEnder, number: number, address: string, protocol: Protocol): Promise<void> {
  rig.maps.backends.delete({ id: number });
  who.gone([{ addr: parseAddr(address), port: backendPort, protocol: protocolNumbers[protocol] }]);
  await who.turn();
}

const open = (kind: string, host: string, port: number, name = 's'): string => `[state.__setitem__('${name}', make('${kind}', family('${host}'))), state['${name}'].connect(('${host}', ${port}))] and 'connected'`;
/** What the owner of an ended socket hears: a UDP socket has no peer any more when it sends next. */
const ended = /^(ECONNABORTED|EPIPE|EDESTADDRREQ)$/;
const echo = (name = 's'): string => `[state['${name}'].send(b'?'), state['${name}'].recv(100).decode()][1]`;

socketFamilies.forEach((family, i) => {
  const { service } = family;
  const [first, second] = [1 + i * 10, 2 + i * 10];

  describe(`sockets whose backend went away (${family.name})`, () => {
    for (const protocol of protocols) for (const place of ['node', 'pod'] as const satisfies readonly Place[]) {
      test(`${protocol} in the ${place}'s namespace: an error at once, and a new connection finds another backend`, async () => {
        rig.service({ id: 1, addr: service, backends: [first] });
        const client = rig.talk(place);
        assert.equal(await client.say(open(protocol, service, 80)), 'connected');
        assert.equal(await client.say(echo()), family.backend(1));
        rig.service({ id: 1, addr: service, backends: [second] });
        const one = ender();
        await lose(one, first, family.backend(1), protocol);
        const started = performance.now();
        assert.match(await client.say(echo()), ended);
        assert.ok(performance.now() - started < 2500, 'at once, not after the timeout');
        assert.equal(await client.say(open(protocol, service, 80)), 'connected');
        assert.equal(await client.say(echo()), family.backend(2));
        assert.equal(one.status().state, 'on', 'a namespace that is gone is no trouble');
        assert.equal([...rig.maps.goneBackends.entries()].length, 0);
        client.end();
      });

      test(`${protocol} in the ${place}'s namespace: who asked for the backend itself, and who talks to another one, is left alone`, async () => {
        rig.service({ id: 1, addr: service, backends: [second] });
        const client = rig.talk(place);
        assert.equal(await client.say(open(protocol, family.backend(1), backendPort, 'direct')), 'connected');
        assert.equal(await client.say(open(protocol, service, 80, 'other')), 'connected');
        await lose(ender(), first, family.backend(1), protocol);
        assert.equal(await client.say(echo('direct')), family.backend(1));
        assert.equal(await client.say(echo('other')), family.backend(2));
        client.end();
      });
    }

    test('who waits for an answer hears of it', async () => {
      rig.service({ id: 1, addr: service, backends: [first] });
      for (const protocol of protocols) {
        rig.backend(first, family.backend(1));
        const client = rig.talk('pod');
        assert.equal(await client.say(open(protocol, service, 80)), 'connected');
        const answer = client.say("state['s'].recv(100).decode()");
        await client.isBlocked();
        await lose(ender(), first, family.backend(1), protocol);
        assert.equal(await answer, 'ECONNABORTED');
        client.end();
      }
    });

    test('the protocols are told apart', async () => {
      rig.service({ id: 1, addr: service, backends: [first] });
      const client = rig.talk('pod');
      for (const protocol of protocols) await client.say(open(protocol, service, 80, protocol));
      await lose(ender(), first, family.backend(1), 'udp');
      assert.equal(await client.say(echo('tcp')), family.backend(1));
      assert.match(await client.say(echo('udp')), ended);
      client.end();
    });

    test('a TCP connection to a pod that only left its service goes on, and ends when its address is nobody\'s', async () => {
      rig.service({ id: 1, addr: service, backends: [first] });
      const client = rig.talk('pod');
      await client.say(open('tcp', service, 80));
      inUse.add(family.backend(1));
      const one = ender();
      await lose(one, first, family.backend(1), 'tcp');
      assert.equal(await client.say(echo()), family.backend(1));
      await one.turn();
      assert.equal(await client.say(echo()), family.backend(1));
      inUse.clear();
      await one.turn();
      assert.match(await client.say(echo()), ended);
      client.end();
    });

    test('what is in use for five minutes is not looked at any more', async () => {
      rig.service({ id: 1, addr: service, backends: [first] });
      const client = rig.talk('pod');
      await client.say(open('tcp', service, 80));
      inUse.add(family.backend(1));
      const one = ender();
      await lose(one, first, family.backend(1), 'tcp');
      clock += 300_001;
      await one.turn();
      inUse.clear();
      await one.turn();
      assert.equal(await client.say(echo()), family.backend(1));
      client.end();
    });

    if (i === 0) test('an IPv4 peer of an AF_INET6 socket', async () => {
      rig.service({ id: 1, addr: service, backends: [first] });
      const client = rig.talk('pod');
      for (const protocol of protocols) {
        await client.say(`[state.__setitem__('s', make('${protocol}', socket.AF_INET6)), state['s'].connect(('::ffff:${service}', 80))] and 'connected'`);
        assert.equal(await client.say(echo()), family.backend(1));
        await lose(ender(), first, family.backend(1), protocol);
        assert.match(await client.say(echo()), ended);
        rig.backend(first, family.backend(1));
      }
      client.end();
    });
  });
});

test('more backends than the map holds go in rounds, and nothing stays in it', async () => {
  const [v4] = socketFamilies;
  rig.service({ id: 1, addr: v4!.service, backends: [1] });
  const client = rig.talk('pod');
  await client.say(open('udp', v4!.service, 80));
  const many: Gone[] = Array.from({ length: goneMax * 2 }, (_, n) => ({ addr: parseAddr(`10.77.${n >> 8}.${n & 255}`), port: 53, protocol: 17 }));
  const one = ender();
  one.gone([...many, { addr: parseAddr(v4!.backend(1)), port: backendPort, protocol: 17 }]);
  await one.turn();
  assert.match(await client.say(echo()), ended);
  assert.equal([...rig.maps.goneBackends.entries()].length, 0);
  assert.equal(one.status().state, 'on');
  client.end();
});

test('without the programs nothing is tried, and status says why', async () => {
  const none = new SocketEnder({ iterators: undefined, refusal: 'no bpf_sock_destroy' }, { goneBackends: rig.maps.goneBackends, namespaces: () => [], isInUse: () => false, log: quiet as never });
  none.gone([{ addr: parseAddr('10.9.0.1'), port: 1, protocol: 17 }]);
  await none.turn();
  assert.deepEqual([none.status().state, /no bpf_sock_destroy/.test(none.status().detail)], ['degraded', true]);
});

test('the walk is over the namespace in which it began, wherever it is read', async () => {
  const [v4] = socketFamilies;
  rig.service({ id: 1, addr: v4!.service, backends: [1] });
  const client = rig.talk('pod');
  await client.say(open('udp', v4!.service, 80));
  const gone: Gone = { addr: parseAddr(v4!.backend(1)), port: backendPort, protocol: 17 };
  rig.maps.goneBackends.update(gone, 1);
  withNetns(rig.netns('node'), () => iterators.udp.begin()).run();
  assert.equal(await client.say(echo()), v4!.backend(1));
  withNetns(rig.netns('pod'), () => iterators.udp.begin()).run();
  assert.match(await client.say(echo()), ended);
  rig.maps.goneBackends.delete(gone);
  client.end();
});

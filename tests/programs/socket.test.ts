/** Services at the socket, with real sockets. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { BackendState, ServiceFlag, ServiceScope, ServiceType } from '../../src/datapath/generated/enums.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { protocols, protocolNumbers, socketFamilies, SocketRig } from './sockets.ts';

let rig: SocketRig;
before(async () => { rig = await SocketRig.open(); });
after(() => rig?.close());
beforeEach(() => rig.reset());

const many = (expression: string, times = 12): string => `[${expression} for _ in range(${times})]`;
const kinds = (answers: readonly string[]): number => new Set(answers).size;

socketFamilies.forEach((family, i) => {
  const ids = [1, 2, 3, 4].map(n => n + i * 10);
  const [first, second] = ids as [number, number];
  const { service } = family;

  describe(`services at the socket (${family.name})`, () => {
    for (const protocol of protocols) {
      const ask = (host = service, port = 80): string => `ask('${protocol}', '${host}', ${port})`;

      test(`${protocol}: connect reaches a backend, and the peer is the service`, () => {
        rig.service({ id: 1, addr: service, backends: [first] });
        assert.equal(rig.run('pod', `ask('${protocol}', '${service}', 80, peer=True)`), `${family.backend(1)} ${service}`);
      });

      test(`${protocol}: connections are spread over all backends`, () => {
        rig.service({ id: 1, addr: service, backends: ids });
        assert.equal(kinds(rig.run<string[]>('pod', many(ask(), 60))), 4);
      });

      test(`${protocol}: clients inside have the row of SCOPE_INTERNAL, and the other one while it is not there`, () => {
        rig.service({ id: 1, addr: service, backends: [first], flags: ServiceFlag.TwoScopes });
        assert.equal(rig.run('pod', ask()), family.backend(1));
        rig.service({ id: 2, addr: service, scope: ServiceScope.Internal, backends: [second] });
        assert.equal(rig.run('pod', ask()), family.backend(2));
        assert.equal(rig.run('node', ask()), family.backend(2));
      });

      test(`${protocol}: affinity binds a network namespace, and only that`, () => {
        rig.service({ id: 1, addr: service, backends: ids, affinityTimeout: 100 });
        const inPod = rig.run<string[]>('pod', many(ask()));
        assert.equal(kinds(inPod), 1);
        assert.equal(rig.run('pod', ask()), inPod[0]);
        for (const [key, value] of [...rig.maps.affinities.entries()]) rig.maps.affinities.update(key, { ...value, backend: ids.find(id => id !== value.backend)! });
        assert.notEqual(rig.run('pod', ask()), inPod[0], 'what binds is the note');
        assert.equal(kinds(rig.run<string[]>('node', many(ask()))), 1);
        assert.equal([...rig.maps.affinities.entries()].length, 2);
      });

      test(`${protocol}: affinity falls over to another backend when the time is over, when it is no member, when it goes`, () => {
        const bound = () => [...rig.maps.affinities.entries()][0]!;
        const terminate = (id: number): void => rig.backend(id, family.backend(id - i * 10), BackendState.Terminating);
        /** Those in `slots` take new clients; members are they alone. */
        const serve = (slots: readonly number[]): void => {
          for (const backend of ids) rig.maps.serviceMembers.delete({ service: 1, backend });
          rig.service({ id: 1, addr: service, backends: slots, affinityTimeout: 100 });
        };
        const boundTo = (text: string): number => {
          assert.equal(kinds(rig.run<string[]>('pod', many(ask()))), 1, text);
          return bound()[1].backend;
        };
        serve(ids);
        const first = boundTo('new');
        const [key, { lastUsedNs }] = bound();
        rig.maps.affinities.update(key, { backend: first, lastUsedNs: lastUsedNs - 60_000_000_000n });
        assert.equal(boundTo('in time'), first);
        assert.ok(bound()[1].lastUsedNs >= lastUsedNs, 'each use counts anew');

        const others = ids.filter(id => id !== first);
        rig.service({ id: 1, addr: service, backends: others, affinityTimeout: 100 });
        assert.equal(boundTo('still a member'), first);
        rig.maps.affinities.update(key, { backend: first, lastUsedNs: lastUsedNs - 101_000_000_000n });
        const second = boundTo('expired');
        assert.notEqual(second, first);
        serve(others.filter(id => id !== second));
        const third = boundTo('no member');
        assert.ok(![first, second].includes(third));
        terminate(third);
        const last = ids.find(id => ![first, second, third].includes(id))!;
        rig.service({ id: 1, addr: service, backends: [last], affinityTimeout: 100 });
        assert.equal(boundTo('terminating'), last);
        for (const id of ids) terminate(id);
        serve(ids);
        assert.equal(boundTo('nobody is better'), last);
        rig.maps.backends.delete({ id: last });
        serve(ids.filter(id => id !== last));
        assert.notEqual(boundTo('gone'), last);
      });

      test(`${protocol}: node ports at loopback are for the node's own sockets`, () => {
        rig.service({ id: 1, addr: family.loopback, port: 30080, backends: [first], flags: ServiceFlag.HostOnly, type: ServiceType.NodePort });
        assert.equal(rig.run('node', `ask('${protocol}', '${family.loopback}', 30080, peer=True)`), `${family.backend(1)} ${family.loopback}`);
        assert.equal(rig.run('node', ask(family.unspecified, 30080)), family.backend(1), 'unspecified is loopback');
        assert.equal(rig.run('pod', ask(family.loopback, 30080)), 'ECONNREFUSED');
        assert.equal(rig.run('pod', ask(family.unspecified, 30080)), 'ECONNREFUSED');
      });

      test(`${protocol}: a backend of a local redirect gets the original, or is left alone; everybody else is redirected`, () => {
        rig.service({ id: 1, addr: service, backends: [first], flags: ServiceFlag.RedirectExempt, type: ServiceType.LocalRedirect });
        rig.service({ id: 2, addr: service, scope: ServiceScope.Original, backends: [second] });
        assert.equal(rig.run('pod', ask()), family.backend(1));
        rig.maps.redirectExempt.update({ who: rig.cookies.pod, service: 1, kind: 1 }, 1);
        assert.equal(rig.run('pod', ask()), family.backend(2));
        assert.equal(rig.run('node', ask()), family.backend(1));
        rig.maps.services.delete({ addr: parseAddr(service), port: 80, protocol: protocolNumbers[protocol], scope: ServiceScope.Original });
        assert.equal(rig.run('pod', ask()), 'ENETUNREACH', 'the service address has no route in this namespace');
      });

      test(`${protocol}: without backends connect is refused, or unreachable where silence is meant`, () => {
        rig.service({ id: 1, addr: service, backends: [] });
        assert.equal(rig.run('pod', ask()), 'ECONNREFUSED');
        rig.service({ id: 1, addr: service, backends: [], flags: ServiceFlag.Silent });
        assert.equal(rig.run('pod', ask()), 'EHOSTUNREACH');
        rig.service({ id: 1, addr: service, backends: [] });
        using silent = rig.load({ noBackendDrop: 1 });
        rig.attach(silent);
        try {
          assert.equal(rig.run('pod', ask()), 'EHOSTUNREACH');
        } finally {
          rig.attach(rig.object);
        }
      });

      test(`${protocol}: with socketLB.hostNamespaceOnly sockets of pods are left alone`, () => {
        rig.service({ id: 1, addr: service, backends: [first] });
        using hostOnly = rig.load({ socketHostOnly: 1 });
        rig.attach(hostOnly);
        try {
          assert.equal(rig.run('pod', ask()), 'ENETUNREACH');
          assert.equal(rig.run('node', ask()), family.backend(1));
        } finally {
          rig.attach(rig.object);
        }
      });

      test(`${protocol}: binding a node port is refused in the node's namespace, at its addresses and at wildcards`, () => {
        const bind = (host: string, port = 30080): string => `bind('${protocol}', '${host}', ${port})`;
        assert.equal(rig.run('node', bind(family.unspecified)), 'bound');
        rig.service({ id: 1, addr: family.nodeAddress, port: 30080, protocol, backends: [first], type: ServiceType.NodePort });
        assert.equal(rig.run('node', bind(family.unspecified)), 'EADDRINUSE');
        assert.equal(rig.run('node', bind(family.nodeAddress)), 'EADDRINUSE');
        assert.equal(rig.run('node', bind(family.backend(1))), 'bound', 'an address that serves no node ports');
        assert.equal(rig.run('node', bind(family.unspecified, 30081)), 'bound');
        assert.equal(rig.run('pod', bind(family.unspecified)), 'bound');
        const other = protocol === 'tcp' ? 'udp' : 'tcp';
        assert.equal(rig.run('node', `bind('${other}', '${family.unspecified}', 30080)`), 'bound', 'another protocol');
        assert.equal(rig.run('node', i ? "bind('tcp', '0.0.0.0', 30080)" : `bind('${protocol}', '::', 30080)`), i ? 'bound' : 'EADDRINUSE', '[::] is for both families, 0.0.0.0 for one');
        for (const [type, at, everywhere] of [[ServiceType.LoadBalancer, 'EADDRINUSE', 'bound'], [ServiceType.ExternalIp, 'EADDRINUSE', 'bound'], [ServiceType.HostPort, 'bound', 'bound']] as const) {
          rig.service({ id: 3, addr: family.nodeAddress, port: 8443, protocol, backends: [first], type });
          assert.deepEqual([rig.run('node', bind(family.nodeAddress, 8443)), rig.run('node', bind(family.unspecified, 8443))], [at, everywhere], String(type));
        }
        rig.service({ id: 2, addr: service, port: 30081, protocol, backends: [first], type: ServiceType.ClusterIp });
        assert.equal(rig.run('node', bind(family.unspecified, 30081)), 'bound', 'cluster addresses are not the node\'s');
      });
    }

    test('unconnected datagrams: the reply is from the service, and one socket keeps its backend', () => {
      rig.service({ id: 1, addr: service, backends: ids });
      const one = rig.run<string[]>('pod', `(lambda s: ${many(`say(s, '${service}', 80)`, 20)})(make('udp', family('${service}')))`);
      assert.equal(kinds(one), 1);
      assert.match(one[0]!, new RegExp(` ${service}$`));
      assert.equal(kinds(rig.run<string[]>('pod', many(`say(make('udp', family('${service}')), '${service}', 80)`, 60))), 4, 'another socket, another choice');
    });

    test('unconnected datagrams: a socket moves when its backend goes, when that is on its way out, and after a minute of silence', async () => {
      rig.service({ id: 1, addr: service, backends: ids });
      const pod = rig.talk('pod');
      const next = (): Promise<string> => pod.say(`say(state.setdefault('s', make('udp', family('${service}'))), '${service}', 80)`);
      const choice = () => [...rig.maps.socketServices.entries()].find(([key]) => key.kind === 1)!;
      const had = await next();
      const [key, value] = choice();
      rig.backend(value.backend, family.backend(value.backend - i * 10), BackendState.Terminating);
      rig.service({ id: 1, addr: service, backends: ids.filter(id => id !== value.backend) });
      const then = await next();
      assert.notEqual(then, had, 'terminating');
      const [, second] = choice();
      rig.maps.backends.delete({ id: second.backend });
      rig.service({ id: 1, addr: service, backends: ids.filter(id => id !== value.backend && id !== second.backend) });
      assert.notEqual(await next(), then, 'gone');
      const [, third] = choice();
      rig.service({ id: 1, addr: service, backends: ids.filter(id => ![value.backend, second.backend, third.backend].includes(id)) });
      const stays = await next();
      assert.equal(stays, `${family.backend(third.backend - i * 10)} ${service}`, 'a backend that lives keeps its conversation');
      rig.maps.socketServices.update(key, { ...third, usedSeconds: third.usedSeconds + 30 });
      assert.equal(await next(), stays, 'used by another processor, whose clock has been read later');
      rig.maps.socketServices.update(key, { ...third, usedSeconds: third.usedSeconds - 61 });
      assert.notEqual(await next(), stays, 'a minute of silence');
      pod.end();
    });

    test('unconnected datagrams: while all backends are on their way out a socket keeps the one that it had', async () => {
      ids.forEach((id, n) => rig.backend(id, family.backend(n + 1), BackendState.Terminating));
      rig.service({ id: 1, addr: service, backends: ids });
      const answers = rig.run<string[]>('pod', `(lambda s: ${many(`say(s, '${service}', 80)`, 20)})(make('udp', family('${service}')))`);
      assert.equal(kinds(answers), 1);
      const kept = ids.find(id => answers[0]!.startsWith(`${family.backend(id - i * 10)} `))!;
      const better = ids.find(id => id !== kept)!;
      const pod = rig.talk('pod');
      const next = (): Promise<string> => pod.say(`say(state.setdefault('s', make('udp', family('${service}'))), '${service}', 80)`);
      await next();
      rig.backend(better, family.backend(better - i * 10), BackendState.Active);
      rig.service({ id: 1, addr: service, backends: [better] });
      assert.equal(await next(), `${family.backend(better - i * 10)} ${service}`, 'and goes to a better one when there is one');
      pod.end();
    });

    test('unconnected datagrams without a backend fail at once', () => {
      rig.service({ id: 1, addr: service, backends: [] });
      assert.equal(rig.run('pod', `say(make('udp', family('${service}')), '${service}', 80)`), 'ECONNREFUSED');
    });
  });
});

describe('sockets of one family, addresses of the other', () => {
  const [v4, v6] = socketFamilies as [typeof socketFamilies[0] & {}, typeof socketFamilies[0] & {}];

  for (const protocol of protocols) {
    test(`${protocol}: an AF_INET6 socket reaches an IPv4 service by its mapped address`, () => {
      rig.service({ id: 1, addr: v4.service, backends: [1] });
      assert.equal(rig.run('pod', `ask('${protocol}', '::ffff:${v4.service}', 80, peer=True)`), `${v4.backend(1)} ::ffff:${v4.service}`);
    });

    test(`${protocol}: an IPv6 service with IPv4 backends, where it may have them; not for sockets of IPv6 alone`, () => {
      rig.service({ id: 1, addr: v6.service, backends: [1], flags: ServiceFlag.Nat46x64 });
      assert.equal(rig.run('pod', `ask('${protocol}', '${v6.service}', 80, peer=True)`), `${v4.backend(1)} ${v6.service}`);
      rig.service({ id: 1, addr: v6.service, backends: [1] });
      assert.equal(rig.run('pod', `ask('${protocol}', '${v6.service}', 80)`), 'ECONNREFUSED');
    });

    test(`${protocol}: what the node's own sockets cannot do is refused, and told`, () => {
      const counted = () => (rig.maps.metrics.lookupPerCpu({ reason: 168, direction: 2 }) ?? []).reduce((total, row) => total + row.packets, 0n);
      const refused = (call: string): void => {
        const before = counted();
        assert.equal(rig.run('node', call), 'EHOSTUNREACH');
        assert.equal(counted() - before, 1n, 'NAT_UNSUPPORTED_PROTOCOL');
      };
      rig.service({ id: 1, addr: v4.service, backends: [11], flags: ServiceFlag.Nat46x64 });
      refused(`ask('${protocol}', '${v4.service}', 80)`);
      rig.service({ id: 1, addr: v6.service, backends: [1], flags: ServiceFlag.Nat46x64 });
      if (protocol === 'udp') refused(`say(make('udp', socket.AF_INET6), '${v6.service}', 80)`);
    });

    test(`${protocol}: an IPv4 socket is left alone by a service whose backends are IPv6`, () => {
      rig.service({ id: 1, addr: v4.service, backends: [11], flags: ServiceFlag.Nat46x64 });
      assert.equal(rig.run('pod', `ask('${protocol}', '${v4.service}', 80)`), 'ENETUNREACH');
    });
  }

  test('mapped datagrams without connect', () => {
    rig.service({ id: 1, addr: v4.service, backends: [1] });
    assert.equal(rig.run('pod', `say(make('udp', socket.AF_INET6), '::ffff:${v4.service}', 80)`), `${v4.backend(1)} ::ffff:${v4.service}`);
  });
});

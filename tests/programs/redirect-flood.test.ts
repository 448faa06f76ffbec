/**
 * A flood of SYNs to a port that the proxy has. The kernel's own queue of half-open connections is full then, and it answers by SYN
 * cookies: the ACK that brings one back belongs to no socket, and must find the listening one all the same. rig.ts has the picture.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { RigProxy } from './proxy-rig.ts';
import { addressesOf, BACKEND_PORT, pods, Rig } from './rig.ts';

const [a, b] = [pods[0]!, pods[1]!];
/** More than the queue of proxy-rig.ts holds (128). */
const syns = 300;

describe('a flood of SYNs', { timeout: 120_000 }, () => {
  const rig = new Rig({ ns: `cpf${process.pid % 10000}`, tunnel: true });
  let proxy: RigProxy;

  const setCookies = (value: 0 | 1) => rig.inside('n1', `sh -c "echo ${value} > /proc/sys/net/ipv4/tcp_syncookies"`);
  const counter = (name: string): number => {
    const [names, values] = rig.inside('n1', 'cat /proc/net/netstat').split('\n').filter(line => line.startsWith('TcpExt:')).map(line => line.split(' ')) as [string[], string[]];
    return Number(values[names.indexOf(name)]);
  };
  const flood = (from: string, to: string) => {
    const { status, stderr } = spawnSync('ip', ['netns', 'exec', rig.ns('a'), 'python3', '-c', FLOOD, from, to, String(BACKEND_PORT), String(syns)], { encoding: 'utf8', timeout: 30_000 });
    assert.equal(status, 0, stderr);
  };

  before(async () => {
    await rig.start();
    RigProxy.prepare(rig, 1);
    proxy = await RigProxy.start(rig, rig.nodes[0]!);
    // Nobody in the pod knows of these SYNs: its kernel would reset what they are answered with, and empty the queue.
    rig.inside('a', 'sh -ec "nft add table inet quiet; nft add chain inet quiet out { type filter hook output priority 0 \\\\; }; nft add rule inet quiet out tcp flags rst drop"');
    rig.nodes[0]!.redirect(b.id, 7);
    rig.nodes[0]!.commit();
  });
  after(async () => {
    await proxy.kill();
    rig[Symbol.dispose]();
  });

  for (const i of [0, 1]) {
    test(`${i ? 'IPv6' : 'IPv4'}: who connects meanwhile gets to the server through the proxy, by a cookie; without cookies nobody does`, () => {
      const [from, to] = [addressesOf(a)[i]!, addressesOf(b)[i]!];
      setCookies(0);
      flood(from, to);
      assert.equal(rig.ask('a', 'tcp', to, BACKEND_PORT), 'failed TimeoutError', 'the queue is full');
      setCookies(1);
      const [sent, received] = [counter('SyncookiesSent'), counter('SyncookiesRecv')];
      assert.equal(rig.ask('a', 'tcp', to, BACKEND_PORT), `${from} 10 ${to}`);
      assert.ok(counter('SyncookiesSent') > sent && counter('SyncookiesRecv') > received, 'by a cookie');
      assert.equal(rig.ask('a', 'tcp', to, BACKEND_PORT, { size: 3 << 20 }), `${from} ${3 << 20} ${to}`);
    });
  }
});

/** FROM TO PORT COUNT: as many SYNs, each from another port, of those that the kernel gives to nobody: who connects then must not have one of them. */
const FLOOD = `
import socket, struct, sys
source, target, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ':' in source else socket.AF_INET
s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP); s.bind((source, 0))
ends = socket.inet_pton(family, source) + socket.inet_pton(family, target)
pseudo = ends + struct.pack('!HH' if family == socket.AF_INET else '!II', *((6, 24) if family == socket.AF_INET else (24, 6)))
for i in range(count):
    head = lambda check: struct.pack('!HHIIBBHHH', 2000 + i, port, 1000 + i, 0, 6 << 4, 2, 65535, check, 0) + b'\\x02\\x04\\x05\\xb4'
    total = sum(struct.unpack(f'!{(len(pseudo) + 24) // 2}H', pseudo + head(0)))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    s.sendto(head(~total & 0xffff), (target, 0))
`;

/**
 * Names with a real resolver (dnsmasq) and a real client (dig) on real devices: rig.ts has the picture. Pod a asks; resolvers are pod b
 * beside it, pod c on the other node, its own node, and one in the world.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { parseAddr } from '../../src/std/ip.ts';
import type { NameAutomaton } from '../../src/policy/name-automaton.ts';
import { allowNames, learned, l7Number, loadAutomaton, nameIdentity, namesAreInForce } from './names.ts';
import { addressesOf, BACKEND_PORT, client, pods, Rig, services, world } from './rig.ts';

const rig = new Rig({ ns: `cpn${process.pid % 100000}` });
const [podA] = pods;
const egressSet = podA!.id + 1000;
const patterns = ['api.example.com', '*.example.org'];
const resolvers: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), 'names-'));
let automaton: NameAutomaton;

async function startResolver(where: string, listen: readonly string[]): Promise<void> {
  const hosts = join(folder, where);
  writeFileSync(hosts, [
    ...client.map(address => `${address} api.example.com real.example.net evil.test`),
    ...Array.from({ length: 60 }, (_, i) => `198.18.0.${i + 1} many.example.org`), ...Array.from({ length: 200 }, (_, i) => `198.18.1.${i + 1} more.example.org`),
  ].join('\n'));
  const child = spawn('ip', ['netns', 'exec', rig.ns(where), 'dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', `--addn-hosts=${hosts}`, '--user=root', '--pid-file=',
    '--log-facility=-', '--bind-interfaces', '--except-interface=lo', ...listen.map(address => `--listen-address=${address}`), '--cname=www.example.org,real.example.net', '--edns-packet-max=4096', '--local-ttl=20', '--cache-size=1000'], { stdio: ['ignore', 'ignore', 'pipe'] });
  resolvers.push(child);
  for await (const line of createInterface(child.stderr!)) if (line.includes('started')) return;
  throw new Error(`the resolver of ${where} did not start`);
}

interface Dug { readonly status: string; readonly flags: string; readonly answers: readonly string[] }

/** What dig says; status '' where it got nothing. */
function dig(server: string, name: string, type: string, o: { readonly options?: readonly string[]; readonly cgroup?: string } = {}): Dug {
  const command = ['ip', 'netns', 'exec', rig.ns('a'), 'dig', '+time=2', '+tries=1', '+noall', '+comments', '+answer', ...o.options ?? [], `@${server}`, name, type];
  const { stdout } = o.cgroup
    ? spawnSync('sh', ['-c', `echo $$ > ${o.cgroup}/cgroup.procs && exec "$@"`, 'sh', ...command], { encoding: 'utf8' })
    : spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
  return {
    status: /status: (\w+)/.exec(stdout)?.[1] ?? '', flags: /flags: ([a-z ]*);/.exec(stdout)?.[1] ?? '',
    answers: stdout.split('\n').filter(line => /\sIN\s+(A|AAAA)\s/.test(line)).map(line => line.trim().split(/\s+/).at(-1)!),
  };
}

before(async () => {
  await rig.start();
  const [node] = rig.nodes;
  const { maps } = node!;
  automaton = loadAutomaton(maps, patterns);
  allowNames(maps, automaton, patterns);
  namesAreInForce(maps);
  const verdict = (o: { class?: number; protocol?: number; port?: number; verdict: number; match: number; l7?: number; rule: number }): void => maps.policyVerdicts.update(
    { prefixBits: o.port ? 96 : 64, set: egressSet, class: o.class ?? 0, protocol: o.protocol ?? 0, port: o.port ?? 0 },
    { rule: o.rule, shadowRule: 0, l7: o.l7 ?? 0, verdict: o.verdict, match: o.match, shadowVerdict: 0, flags: 0 });
  verdict({ verdict: 2, match: 0, rule: 1 });
  verdict({ protocol: 17, port: 53, verdict: 3, match: 2, l7: l7Number, rule: 2 });
  verdict({ class: 5, verdict: 2, match: 0, rule: 1 });
  verdict({ class: 5, protocol: 6, port: BACKEND_PORT, verdict: 1, match: 2, rule: 3 });
  maps.policyClasses.update({ set: egressSet, identity: nameIdentity(automaton, ['api.example.com']) }, { class: 5 });
  node!.commit();
  services.forEach((service, i) => {
    maps.services.update({ addr: parseAddr(service), port: 53, protocol: 17, scope: 0 }, { id: 53 + i, count: 1, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
    maps.serviceSlots.update({ service: 53 + i, slot: 0 }, { backend: 53 + i });
    maps.backends.update({ id: 53 + i }, { addr: parseAddr(addressesOf(pods[2]!)[i]!), port: 53, protocol: 17, state: 0 });
    maps.serviceAddresses.update({ id: 53 + i }, { addr: parseAddr(service), port: 53 });
  });
  await Promise.all([startResolver('b', addressesOf(pods[1]!)), startResolver('c', addressesOf(pods[2]!)), startResolver('n1', ['10.244.1.1', 'fd00:10:244:1::1']), startResolver('u', world)]);
});
after(() => {
  for (const resolver of resolvers) resolver.kill('SIGKILL');
  rig[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

const forget = (): void => {
  const { nameAddresses } = rig.nodes[0]!.maps;
  for (const [key] of [...nameAddresses.entries()]) nameAddresses.delete(key);
};
const learnedAddresses = (): string[] => learned(rig.nodes[0]!.maps, podA!.id).map(line => line.split(' ')[0]!).sort();

[0, 1].forEach(i => describe(`names over ${i ? 'IPv6' : 'IPv4'}`, () => {
  const places = [
    ['a pod beside it', addressesOf(pods[1]!)[i]!], ['a pod on another node', addressesOf(pods[2]!)[i]!], ['its own node', i ? 'fd00:10:244:1::1' : '10.244.1.1'], ['the world', world[i]!], ['a service, packet by packet', services[i]!],
  ] as const;
  for (const [where, server] of places) test(`asked of ${where}`, () => {
    forget();
    for (const options of [[], ['+noedns'], ['+nocookie', '+bufsize=4096'], ['+dnssec']]) {
      assert.deepEqual(dig(server, 'api.example.com', 'A', { options }), { status: 'NOERROR', flags: 'qr aa rd ra', answers: [client[0]] }, options.join());
      assert.deepEqual(dig(server, 'evil.test', 'A', { options }), { status: 'REFUSED', flags: 'qr rd ra', answers: [] }, options.join());
    }
    assert.deepEqual(dig(server, 'API.example.COM', 'AAAA').answers, [client[1]]);
    assert.deepEqual(learnedAddresses(), [...client].sort());
    assert.deepEqual(dig(server, 'www.example.org', 'A').answers, [client[0]], 'by way of another name');
    assert.equal(dig(server, 'missing.example.org', 'A').status, 'REFUSED', 'the resolver knows it not, and says so itself');
  });

  test('asked of a service at the socket', () => {
    const { cgroup } = rig.nodes[0]!;
    assert.deepEqual(dig(services[i]!, 'api.example.com', 'A', { cgroup }).answers, [client[0]]);
    assert.equal(dig(services[i]!, 'evil.test', 'A', { cgroup }).status, 'REFUSED');
  });

  test('sixty addresses are all learned, and more than fit are truncated, not cut into fragments', () => {
    forget();
    const server = addressesOf(pods[2]!)[i]!;
    assert.equal(dig(server, 'many.example.org', 'A', { options: ['+bufsize=4096'] }).answers.length, 60);
    assert.equal(learnedAddresses().length, 60);
    forget();
    const more = dig(server, 'more.example.org', 'A', { options: ['+bufsize=4096', '+ignore'] });
    assert.ok(more.flags.includes('tc'), more.flags);
    assert.deepEqual(learnedAddresses(), [...more.answers].sort());
  });

  test('a connection to where a name leads', () => {
    forget();
    assert.match(rig.ask('a', 'tcp', client[i]!), /^failed/, 'nobody has told it the address');
    assert.deepEqual(dig(addressesOf(pods[1]!)[i]!, 'api.example.com', i ? 'AAAA' : 'A').answers, [client[i]]);
    assert.equal(rig.ask('a', 'tcp', client[i]!), `${i ? 'fdc1::11' : '172.30.0.11'} 10 ${client[i]}`);
    assert.match(rig.ask('a', 'tcp', world[i]!), /^failed/);
  });
}));

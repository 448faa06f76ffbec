import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { NodeCacheRow, NodeSelectorRow } from '../../src/cli/commands/fqdn.ts';
import { eventually, type FlowJson } from './cluster.ts';
import { kubeDns, NamesWorld, ports } from './names/world.ts';
import type { LookUps } from './names/wish.ts';

/** DNS names end to end (@cluster): real look-ups and connections from pods to machines outside, with addresses that nobody had before. */

const isLong = process.env['CIRRI_LONG'] === '1';
const server = kubeDns;
const seed06 = readFileSync(fileURLToPath(new URL('seeds/06-payment-service-egress.yaml', import.meta.url)), 'utf8');
const families = [4, 6] as const;

/** Names may be asked only as `dns` says; what they lead to may be reached at 443. */
const withDnsRules = (dns: string, fqdns: string) => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: payments }
spec:
  endpointSelector: { matchLabels: { app: payment-service } }
  egress:
    - toEndpoints: [{ matchLabels: { k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns } }]
      toPorts: [{ ports: [{ port: "53", protocol: ANY }], rules: { dns: ${dns} } }]
    - toFQDNs: ${fqdns}
      toPorts: [{ ports: [{ port: "443", protocol: TCP }] }]
`;

const all = (count: number): ((result: LookUps) => void) => result => {
  assert.deepEqual({ ...result, addresses: 0 }, { lookups: count, failed: {}, connected: count, refused: {}, addresses: 0 });
};
const times = (count: number, name: (i: number) => string) => Array.from({ length: count }, (_, i) => name(i));

describe('DNS names', () => {
  const world = new NamesWorld('n');
  const { cluster } = world;
  const lookUp = (names: readonly string[], more: object = {}) => world.lookUp('payment-service', { server, names, ...more });

  before(() => world.start());
  after(() => world.stop());

  test('seed 06 as it is written: the name and port pass at the first connection after the look-up, nothing else does', () => cluster.with(seed06, [], async () => {
    await world.until('payment-service', { server, names: ['ready.example.com'], port: ports.open }, result => result.connected === 0);
    for (const family of families) {
      const result = await lookUp(times(500, () => 'api.stripe.com'), { port: ports.open, family });
      all(500)(result);
      assert.equal(result.addresses, 2_000, 'no address came twice');
    }
    const others = await lookUp(['www.stripe.com', 'stripe.com', 'api.stripe.com.evil.example', 'xapi.stripe.com'], { port: ports.open });
    assert.deepEqual([others.lookups, others.connected], [4, 0], JSON.stringify(others));
    const otherPort = await lookUp(['api.stripe.com'], { port: ports.other });
    assert.deepEqual([otherPort.lookups, otherPort.connected], [1, 0], JSON.stringify(otherPort));
    // Whom the policy does not select is not held up, and what one pod was told is nothing to another.
    all(2)(await world.lookUp('other', { server, names: ['www.stripe.com', 'api.stripe.com'], port: ports.open }));
    const conditions = await cluster.cirri('policy', 'get', '-n', 'payments', '-o', 'json');
    assert.match(conditions.stdout, /NoDNSRule/);
  }));

  test('rules.dns: what no rule names is refused, to every client and over TCP too', () => cluster.with(withDnsRules('[{ matchName: api.stripe.com }, { matchPattern: "*.example.org" }]', '[{ matchPattern: "*.example.org" }]'), [], async () => {
    await world.until('payment-service', { server, names: ['www.stripe.com'] }, result => result.failed['EREFUSED'] === 1);
    all(20)(await lookUp(times(20, i => `n${i}.example.org`), { port: ports.open }));
    assert.deepEqual(await lookUp(['api.stripe.com'], { port: ports.open, timeoutMs: 500 }).then(({ lookups, connected }) => [lookups, connected]), [1, 0], 'may be asked, and not be reached');
    const refused = await lookUp(['www.stripe.com', 'example.org', 'a.b.example.org', 'kube-dns.kube-system.svc.cluster.local']);
    assert.deepEqual(refused.failed, { EREFUSED: 4 });
    for (const flags of [[], ['+tcp'], ['+bufsize=4096'], ['-t', 'MX']]) {
      const dig = (name: string) => world.run('payment-service', ['dig', '+tries=1', '+time=2', ...flags, `@${server}`, name]);
      assert.match((await dig('www.stripe.com')).stdout, /status: REFUSED/, flags.join(' '));
      assert.match((await dig('API.Stripe.com')).stdout, /status: NOERROR/, flags.join(' '));
    }
    await told('refused questions are told with the policy that has no rule for them', ['--pod', 'payments/payment-service', '--type', 'l7', '--protocol', 'dns', '--verdict', 'DROPPED'],
      flow => flow.l7?.dns?.query === 'www.stripe.com.' && flow.egress_denied_by?.[0]?.name === 'names');
    await told('over TCP by the proxy', ['--pod', 'payments/payment-service', '--type', 'l7', '--protocol', 'dns', '--verdict', 'DROPPED'],
      flow => flow.l4?.TCP !== undefined && flow.l7?.dns?.query === 'www.stripe.com.' && flow.l7.dns.observation_source === 'proxy' && flow.egress_denied_by?.[0]?.name === 'names');
    await told('and the others are told too', ['--pod', 'payments/payment-service', '--type', 'l7', '--protocol', 'dns', '--verdict', 'FORWARDED'], flow => flow.l7?.type === 'RESPONSE' && flow.l7.dns?.query === 'n3.example.org.');
  }));

  test('CNAME chains, fifty addresses, truncated answers: every address is usable, as the name that was asked', () => cluster.with(withDnsRules('[{ matchPattern: "*" }]', '[{ matchPattern: "*.stripe.com" }]'), [], async () => {
    await world.until('payment-service', { server, names: ['a.stripe.com', 'a.example.com'], port: ports.open, timeoutMs: 300 }, result => result.connected === 1);
    for (const family of families) {
      all(20)(await lookUp(times(20, () => 'chain.stripe.com'), { port: ports.open, family }));
      // Fifty of IPv4 are one datagram with EDNS. All others are truncated: the client asks again over TCP.
      const fifty = await lookUp(times(20, () => 'fifty.stripe.com'), { port: ports.open, family, ...(family === 4 && { large: true }) });
      all(20)(fifty);
      assert.equal(fifty.addresses, 1_000);
      all(20)(await lookUp(times(20, () => 'big.stripe.com'), { port: ports.open, family }));
      assert.deepEqual((await lookUp(['chain.example.com'], { port: ports.open, family, timeoutMs: 500 })).connected, 0);
    }
    assert.deepEqual((await lookUp(['none.stripe.com'])).failed, { ENOTFOUND: 1 });
    const cached = JSON.parse((await cluster.cirri('fqdn', 'cache', 'payments/payment-service', '-p', 'big.stripe.com', '-o', 'json')).stdout) as NodeCacheRow[];
    const identities = new Set(cached.flatMap(row => row.identities));
    assert.ok(cached.length >= 50, `${cached.length} rows`);
    assert.equal(identities.size, 1, 'one identity, however many addresses');
    const selectors = JSON.parse((await cluster.cirri('fqdn', 'names', '-o', 'json')).stdout) as NodeSelectorRow[];
    const own = selectors.find(row => row.selector === '*.stripe.com')!;
    assert.deepEqual([own.use, own.policies], [['toFQDNs'], ['CiliumNetworkPolicy payments/names']]);
    assert.ok(own.names.some(({ name }) => name === 'big.stripe.com.'));
    assert.match((await cluster.cirri('status', '-v')).stdout, /DNSNames.*2 selectors, \d+ states of 65,535/);
    all(1)(await lookUp(['late.stripe.com'], { port: ports.open }));
    await told('connections are told with the name', ['--from-pod', 'payments/payment-service', '--to-fqdn', '*.stripe.com', '--verdict', 'FORWARDED'], flow => flow.destination_names?.includes('late.stripe.com.') === true);
  }));

  test('an address of many names, each selected by itself, has one identity that joins theirs', () => {
    const shared = times(6, i => `shared.n${i}.example.net`);
    return cluster.with(withDnsRules('[{ matchPattern: "*" }]', `[${shared.map(name => `{ matchName: ${name} }`).join(', ')}]`), [], async () => {
      await world.until('payment-service', { server, names: [shared[0]!, 'a.example.org'], port: ports.open, timeoutMs: 300 }, result => result.connected === 1);
      all(6)(await lookUp(shared, { port: ports.open }));
      const address = await addressOf(shared[0]!);
      await eventually('the agent has joined them', 20_000, async () => {
        const rows = JSON.parse((await cluster.cirri('fqdn', 'cache', 'payments', '-o', 'json')).stdout) as NodeCacheRow[];
        const row = rows.find(one => one.ip === address);
        return row && row.identities.length < 4 && row.selectors.join() === shared.join() ? undefined : JSON.stringify(row ?? rows);
      });
      assert.equal(await unreachable(address), undefined);
    });
  });

  test('a policy that comes after the look-up holds for what was told', async () => {
    const address = await addressOf('early.stripe.com');
    await cluster.with(withDnsRules('[{ matchPattern: "*" }]', '[{ matchName: early.stripe.com }]'), [], () => eventually('the address is that name\'s', 20_000, () => unreachable(address)));
  });

  test('an agent that comes back knows what the numbers of names mean', () => cluster.with(withDnsRules('[{ matchPattern: "*" }]', '[{ matchPattern: "*.stripe.com" }, { matchName: b.example.com }]'), [], async () => {
    // Without the policy all three connect.
    await world.until('payment-service', { server, names: ['a.stripe.com', 'b.example.com', 'c.example.com'], port: ports.open, timeoutMs: 300 }, result => result.connected === 2);
    const addresses = await Promise.all(['kept.stripe.com', 'b.example.com'].map(addressOf));
    const identities = async () => {
      const rows = JSON.parse((await cluster.cirri('fqdn', 'cache', 'payments', '-o', 'json')).stdout) as NodeCacheRow[];
      return addresses.map(address => rows.find(row => row.ip === address)?.identities);
    };
    const before = await identities();
    assert.ok(before.every(found => found?.length === 1), JSON.stringify(before));
    const agent = cluster.pidOf('agent-node1');
    process.kill(agent, 'SIGKILL');
    for (const address of addresses) assert.equal(await unreachable(address), undefined, 'while it is away');
    await eventually('the agent is back', 20_000, async () => (cluster.pidOf('agent-node1') !== agent && (await cluster.cirri('status')).code === 0 ? undefined : 'not yet'));
    for (const address of addresses) assert.equal(await unreachable(address), undefined, 'when it is back');
    assert.deepEqual(await identities(), before);
  }));

  test('control plane killed with -9 under 1,000 questions a second: none is lost, and names that nobody has asked before work', async () => {
    const seconds = isLong ? 600 : 15;
    await cluster.apply(withDnsRules('[{ matchPattern: "*.example.org" }]', '[{ matchPattern: "*.example.org" }]'));
    await world.until('payment-service', { server, names: ['www.stripe.com'] }, result => result.failed['EREFUSED'] === 1);
    const origin = await world.origin('payment-service');
    // Nine of ten have an address that stays: 4,000 new ones a second would push out in half a second what the pod was told before.
    const questions = cluster.file(times(500, i => `${i % 10 === 0 ? '' : 'shared-'}q${i}.example.org A`).join('\n'));
    const load = world.run(origin, ['dnsperf', '-s', server, '-d', questions, '-Q', '1000', '-l', String(seconds), '-t', '2']);
    for (const name of ['supervisor', 'agent-node1', 'agent-node2', 'apiserver']) process.kill(cluster.pidOf(name), 'SIGKILL');
    const deadline = performance.now() + (seconds - 3) * 1_000;
    for (let round = 0; performance.now() < deadline; round++) {
      for (const family of families) all(50)(await world.lookUp(origin, { server, names: times(50, i => `new-${round}-${family}-${i}.example.org`), port: ports.open, family }));
      const others = await world.lookUp(origin, { server, names: [`a${round}.example.com`, `a.b${round}.example.org`] });
      assert.deepEqual(others.failed, { EREFUSED: 2 });
    }
    const { stdout } = await load;
    const lost = /Queries lost:\s+(\d+)/.exec(stdout)?.[1];
    const completed = Number(/Queries completed:\s+(\d+)/.exec(stdout)?.[1]);
    assert.equal(lost, '0', stdout);
    assert.ok(completed >= 900 * seconds, stdout);
    assert.match(stdout, /Response codes:\s+NOERROR \d+ \(100\.00%\)/, stdout);
  });

  async function addressOf(name: string): Promise<string> {
    const { stdout } = await world.run('payment-service', ['dig', '+short', `@${server}`, name]);
    return stdout.trim().split('\n')[0]!;
  }

  /** What goes wrong with a connection to it from the pod; undefined when nothing does. */
  async function unreachable(address: string): Promise<string | undefined> {
    const result = await world.run('payment-service', ['curl', '-s', '-o', '/dev/null', '-w', '%{time_connect}', '--connect-timeout', '1', `telnet://${address}:${ports.open}`]);
    return Number(result.stdout) > 0 ? undefined : JSON.stringify(result);
  }

  async function told(what: string, flags: readonly string[], matches: (flow: DnsFlow) => boolean): Promise<void> {
    await eventually(what, 20_000, async () => {
      const { stdout, stderr } = await cluster.cirri('observe', '--last', '200', '-o', 'jsonpb', ...flags);
      const flows = stdout.split('\n').filter(line => line !== '').map(line => (JSON.parse(line) as { flow: DnsFlow }).flow);
      return flows.some(matches) ? undefined : `${stderr}${flows.slice(-3).map(flow => JSON.stringify(flow)).join('\n')}`;
    });
  }
});

interface DnsFlow extends FlowJson {
  readonly destination_names?: readonly string[];
  readonly l4?: { readonly TCP?: object };
  readonly l7?: { readonly type: string; readonly dns?: { readonly query: string; readonly rcode?: number; readonly observation_source?: string } };
}

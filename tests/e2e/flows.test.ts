import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import type { ClusterRecord } from '../../src/model/cluster.ts';
import type { Flow } from '../../src/model/flow.ts';
import { eventually, TestCluster } from './cluster.ts';
import { bank, caller, closedPort, listener, manifest, podPort, policies, servicePort, services, type Call, type Called } from './flows/application.ts';
import { expectedFlows, flowLine, type Deed, type Judged, type Party } from './flows/expected.ts';
import { expectedSums, WatchedMaps } from './flows/map.ts';
import { OutsideNetwork } from './outside.ts';

interface PodObject {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: { readonly nodeName: string };
  readonly status: { readonly podIP: string; readonly podIPs: readonly { readonly ip: string }[] };
}

/** Who calls whom, and what policies say of it. `by` names policies. */
interface Wish {
  readonly from: string;
  readonly kind: Call['kind'];
  /** A service of the application, `bank`, or `dns`. */
  readonly to: string;
  /** By its service's address. */
  readonly service?: true;
  readonly v6?: true;
  readonly port?: number;
  readonly name?: string;
  readonly egress?: Judged;
  readonly ingress?: Judged;
  readonly outcome: Called['outcome'];
}

const noCarts: Judged = { verdict: 'deny', rule: true, by: ['shop/search-reads-no-carts'] };
const searchMay: Judged = { verdict: 'allow', by: ['shop/search-reads-no-carts'] };
const byPayments = (verdict: Judged['verdict']): Judged => ({ verdict, by: ['pay/payments-callers'] });
const byBoth: Judged = { verdict: 'deny', by: ['pay/fraud-one', 'pay/fraud-two'] };

/** All that happens, in this order for each client. */
const script: readonly Wish[] = [
  { from: 'web', kind: 'tcp', to: 'catalog', outcome: 'answered' },
  { from: 'web', kind: 'tcp', to: 'catalog', service: true, outcome: 'answered' },
  { from: 'web', kind: 'tcp', to: 'cart', service: true, outcome: 'answered' },
  { from: 'web', kind: 'udp', to: 'catalog', service: true, outcome: 'answered' },
  { from: 'web', kind: 'tcp', to: 'catalog', v6: true, outcome: 'answered' },
  { from: 'web', kind: 'udp', to: 'cart', v6: true, outcome: 'answered' },
  { from: 'web', kind: 'tcp', to: 'catalog', port: closedPort, outcome: 'refused' },
  { from: 'web', kind: 'tcp', to: 'cart', port: closedPort, outcome: 'refused' },
  { from: 'web', kind: 'icmp', to: 'cart', outcome: 'answered' },
  { from: 'web', kind: 'icmp', to: 'checkout', outcome: 'answered' },
  { from: 'web', kind: 'dns', to: 'dns', name: 'bank.pay.svc.cluster.local', outcome: 'answered' },
  { from: 'web', kind: 'dns', to: 'dns', name: 'nothing.pay.svc.cluster.local', outcome: 'answered' },
  { from: 'cart', kind: 'tcp', to: 'catalog', service: true, outcome: 'answered' },
  { from: 'cart', kind: 'udp', to: 'web', port: closedPort, outcome: 'refused' },
  { from: 'search', kind: 'tcp', to: 'cart', egress: noCarts, outcome: 'silent' },
  { from: 'search', kind: 'tcp', to: 'cart', service: true, egress: noCarts, outcome: 'silent' },
  { from: 'search', kind: 'tcp', to: 'catalog', egress: searchMay, outcome: 'answered' },
  { from: 'search', kind: 'udp', to: 'payments', egress: searchMay, ingress: byPayments('deny'), outcome: 'silent' },
  { from: 'catalog', kind: 'dns', to: 'dns', name: 'web.shop.svc.cluster.local', outcome: 'answered' },
  { from: 'catalog', kind: 'udp', to: 'ledger', service: true, outcome: 'answered' },
  { from: 'checkout', kind: 'tcp', to: 'payments', service: true, ingress: byPayments('allow'), outcome: 'answered' },
  { from: 'checkout', kind: 'udp', to: 'payments', service: true, ingress: byPayments('deny'), outcome: 'silent' },
  { from: 'payments', kind: 'tcp', to: 'fraud', ingress: { verdict: 'allow', by: ['pay/fraud-one'] }, outcome: 'answered' },
  { from: 'payments', kind: 'tcp', to: 'ledger', service: true, outcome: 'answered' },
  { from: 'ledger', kind: 'tcp', to: 'fraud', service: true, ingress: { verdict: 'allow', by: ['pay/fraud-two'] }, outcome: 'answered' },
  { from: 'ledger', kind: 'dns', to: 'dns', name: bank.host, outcome: 'answered' },
  { from: 'ledger', kind: 'tcp', to: 'bank', port: bank.port, outcome: 'answered' },
  { from: 'fraud', kind: 'tcp', to: 'bank', port: bank.port, outcome: 'answered' },
  { from: 'mail', kind: 'tcp', to: 'payments', v6: true, ingress: byPayments('deny'), outcome: 'silent' },
  { from: 'mail', kind: 'tcp', to: 'payments', ingress: byPayments('deny'), outcome: 'silent' },
  { from: 'mail', kind: 'tcp', to: 'fraud', service: true, ingress: byBoth, outcome: 'silent' },
  { from: 'mail', kind: 'udp', to: 'metrics', outcome: 'answered' },
  { from: 'metrics', kind: 'icmp', to: 'payments', ingress: byPayments('deny'), outcome: 'silent' },
  { from: 'metrics', kind: 'tcp', to: 'mail', service: true, outcome: 'answered' },
];

/**
 * What the nodes' flows say of an application, compared with what it did: nothing missing, nothing twice, nothing else. Services
 * are translated packet by packet here, so that flows can name them.
 */
describe('the flows of a demo application', { concurrency: false }, () => {
  const cluster = new TestCluster('f');
  const pods = new Map<string, PodObject>();
  let record: ClusterRecord;
  let deeds: Deed[] = [];
  let outside: ChildProcess | undefined;
  let maps: WatchedMaps | undefined;

  before(async () => {
    await cluster.start('--no-demo', '--set', 'socketLB.hostNamespaceOnly=true');
    record = JSON.parse(readFileSync(cluster.paths.clusterJson, 'utf8')) as ClusterRecord;
    const { client } = new OutsideNetwork(record, cluster.paths);
    outside = spawn('nsenter', [`--net=${client.netns}`, '--', 'python3', '-c', listener], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(outside.stdout!, 'data');
    await cluster.apply(manifest);
    await cluster.podsReady('shop', 'pay', 'ops', 'kube-system');
    for (const pod of await list<PodObject>('pods')) pods.set(pod.metadata.labels['app'] ?? pod.metadata.labels['k8s-app'] ?? '', pod);
    await cluster.apply(policies);
    await cluster.expectAll([
      { from: 'ops/mail', to: 'pay/fraud', port: servicePort, expect: 'denied' }, { from: 'shop/checkout', to: 'pay/payments', port: servicePort, expect: 'allowed' },
      { from: 'shop/search', to: 'shop/cart', port: servicePort, expect: 'denied' }, { from: 'shop/search', to: 'shop/catalog', port: servicePort, expect: 'allowed' },
      { from: 'shop/web', to: 'pay/payments', port: servicePort, expect: 'denied' }, { from: 'pay/ledger', to: 'pay/fraud', port: servicePort, expect: 'allowed' },
    ], 15_000);
  });
  after(async () => {
    maps?.stop();
    outside?.kill('SIGKILL');
    await cluster.stop();
  });

  async function list<T>(kind: string): Promise<T[]> {
    const got = await cluster.cirri('get', kind, '-A', '-o', 'json');
    assert.equal(got.code, 0, got.stderr);
    return (JSON.parse(got.stdout) as { items: T[] }).items;
  }

  /** Of services. */
  async function addressesOf(): Promise<Map<string, string>> {
    const objects = await list<{ metadata: { name: string }; spec: { clusterIP: string } }>('services');
    return new Map(objects.map(service => [service.metadata.name, service.spec.clusterIP]));
  }

  function party(name: string, v6 = false): Party {
    if (name === 'bank') return { ip: bank.address };
    const { metadata, spec, status } = pods.get(name === 'dns' ? 'kube-dns' : name)!;
    return { ip: v6 ? status.podIPs.find(({ ip }) => ip.includes(':'))!.ip : status.podIP, node: spec.nodeName, namespace: metadata.namespace, pod: metadata.name, workload: `Deployment/${name === 'dns' ? 'kube-dns' : name}` };
  }

  /** The flows of a node since then, of the application's pods. */
  async function flowsOf(node: string, since: string): Promise<Flow[]> {
    const answer = await new Promise<string>((resolve, reject) => {
      request({ socketPath: cluster.paths.node(node).agentSocket, path: `/v1/flows?since=${since}` }, response => resolve(text(response))).on('error', reject).end();
    });
    const namespaces: readonly (string | undefined)[] = ['shop', 'pay', 'ops'];
    return answer.split('\n').filter(Boolean).map(line => JSON.parse(line) as Flow)
      .filter(flow => namespaces.includes(flow.source.namespace) || namespaces.includes(flow.destination.namespace));
  }

  const allFlows = async (since: string) => (await Promise.all(['node1', 'node2'].map(node => flowsOf(node, since)))).flat();

  /** What ended of age, or what the probes before left behind. */
  const isOld = (flow: Flow) => flow.connection?.end === 'idle' || !deeds.some(({ said }) => said.ownPort === flow.sourcePort || said.ownPort === flow.destinationPort);

  async function act(from: string, addresses: ReadonlyMap<string, string>): Promise<Deed[]> {
    const wishes = script.filter(wish => wish.from === from);
    const calls = wishes.map((wish): Call => ({
      kind: wish.kind, to: wish.to === 'dns' ? addresses.get('kube-dns')! : wish.service ? addresses.get(wish.to)! : party(wish.to, wish.v6).ip,
      ...(wish.kind !== 'icmp' && { port: wish.port ?? (wish.service ? servicePort : podPort) }), ...(wish.name !== undefined && { name: wish.name }),
    }));
    const pod = party(from);
    const ran = await cluster.cirri('exec', `${pod.namespace}/${pod.pod}`, '--', 'python3', '-c', caller, JSON.stringify(calls), JSON.stringify(deeds.map(({ said }) => said.ownPort)));
    assert.equal(ran.code, 0, ran.stderr);
    const said = ran.stdout.split('\n').filter(Boolean).map(line => JSON.parse(line) as Called);
    assert.deepEqual(said.map(one => one.outcome), wishes.map(wish => wish.outcome), from);
    return wishes.map((wish, i): Deed => {
      const [client, server] = [party(from, wish.v6), party(wish.to, wish.v6)];
      const asked = wish.to === 'dns' ? 'kube-system/kube-dns:53' : wish.service ? `${server.namespace}/${wish.to}:${servicePort}` : undefined;
      return {
        call: calls[i]!, said: said[i]!, client, port: wish.to === 'dns' ? 53 : wish.kind === 'icmp' ? 0 : wish.port ?? podPort, ...(asked !== undefined && { service: asked }),
        // Who has not looked the name up sees the one that a pod of its node has.
        server: wish.to === 'bank' && client.node === 'node1' ? { ...server, name: `${bank.host}.` } : server,
        egress: wish.egress ?? { verdict: 'allow' }, ingress: wish.ingress ?? { verdict: 'allow' },
      };
    });
  }

  test('each call leaves the flows that it must on both nodes, and no others', async () => {
    const addresses = await addressesOf();
    maps = new WatchedMaps(['node1', 'node2'].map(node => cluster.paths.node(node).agentSocket));
    await eventually('both nodes tell their map', 20_000, async () => (maps!.intervals > 0 ? undefined : 'not yet'));
    const since = new Date().toISOString();
    deeds = [];
    for (const { name } of services) deeds.push(...await act(name, addresses));
    const expected = deeds.flatMap(expectedFlows).sort();
    let seen: string[] = [];
    // The last connections may still be closing.
    await eventually('as many flows as there must be', 20_000, async () => {
      seen = (await allFlows(since)).filter(flow => !isOld(flow)).map(flowLine).sort();
      return seen.length >= expected.length ? undefined : `${seen.length} of ${expected.length}: ${expected.filter(line => !seen.includes(line)).slice(0, 10).join('\n')}`;
    });
    assert.deepEqual(seen, expected);
    const strangers = (await allFlows(since)).filter(flow => isOld(flow) && flow.connection?.end !== 'idle').map(flowLine);
    assert.deepEqual(strangers, [], 'flows of no call');
  });

  test('the service maps of both nodes together count each call once', async () => {
    const told = maps!.intervals;
    await eventually('one more interval', 20_000, async () => (maps!.intervals > told + 1 ? undefined : 'not yet'));
    const expected = expectedSums(deeds);
    // What kubelets ask of the DNS server is no call of the application.
    const seen = [...maps!.sums].filter(([edge]) => /^workload:(shop|pay|ops)\//.test(edge));
    assert.deepEqual(seen.sort(), [...expected].sort());
  });

  test('both nodes tell the same totals of a connection, which are the bytes that were sent', async () => {
    const flows = (await allFlows('2020-01-01T00:00:00Z')).filter(flow => !isOld(flow) && flow.connection?.end === 'closed');
    const closed = deeds.filter(({ call, said }) => call.kind === 'tcp' && said.outcome === 'answered');
    for (const { said, client, server } of closed) {
      const told = flows.filter(flow => (flow.sourcePort === said.ownPort && flow.source.ip === client.ip) || (flow.destinationPort === said.ownPort && flow.destination.ip === client.ip)).map(flow => flow.connection!);
      assert.equal(told.length, new Set([client.node, server.node].filter(Boolean)).size);
      for (const { packetsOut, bytesOut, packetsBack, bytesBack, durationNs } of told) {
        assert.deepEqual([packetsOut, bytesOut, packetsBack, bytesBack], [told[0]!.packetsOut, told[0]!.bytesOut, told[0]!.packetsBack, told[0]!.bytesBack]);
        // Ethernet 14, IPv4 20 or IPv6 40, TCP 20 to 40 with options.
        const least = client.ip.includes(':') ? 74 : 54;
        for (const [packets, bytes, payload] of [[packetsOut, bytesOut, said.sent], [packetsBack, bytesBack, said.received]] as const) {
          assert.ok(packets >= 3 && bytes - payload >= packets * least && bytes - payload <= packets * (least + 20), `${packets} packets, ${bytes} bytes, ${payload} of them payload`);
        }
        assert.ok(durationNs > 0 && durationNs < 5e9);
      }
    }
  });

  test('names stay right after pods have gone', async () => {
    const before = new Map((await allFlows('2020-01-01T00:00:00Z')).map(flow => [flow.id, flowLine(flow)]));
    await cluster.cirri('delete', 'deployment', 'mail', '-n', 'ops');
    await cluster.cirri('delete', 'deployment', 'metrics', '-n', 'ops');
    await eventually('the pods are gone', 20_000, async () => ((await list<PodObject>('pods')).some(pod => pod.metadata.namespace === 'ops') ? 'not yet' : undefined));
    const now = new Map((await allFlows('2020-01-01T00:00:00Z')).map(flow => [flow.id, flowLine(flow)]));
    for (const [id, line] of before) if (now.has(id)) assert.equal(now.get(id), line);
    assert.ok([...now.values()].filter(line => line.includes('ops/mail')).length >= 10);
  });

  test('an agent that is killed reads on where it was, with the right names', async () => {
    const since = new Date().toISOString();
    const before = deeds;
    const addresses = await addressesOf();
    process.kill(cluster.pidOf('agent-node1'), 'SIGKILL');
    deeds = await act('web', addresses);
    const expected = deeds.flatMap(expectedFlows).filter(line => line.startsWith('node1')).sort();
    let seen: string[] = [];
    await eventually('the flows of the time without an agent', 20_000, async () => {
      // Nobody listens there before the agent is back.
      seen = (await flowsOf('node1', since).catch(() => [])).filter(flow => !isOld(flow)).map(flowLine).sort();
      return seen.length >= expected.length ? undefined : `${seen.length} of ${expected.length}`;
    });
    assert.deepEqual(seen, expected);
    deeds = before;
  });
});

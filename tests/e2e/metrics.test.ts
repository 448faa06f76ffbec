import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { attributesOf, Collector } from '../../src/metrics/otlp/testing.ts';
import { parseRecord } from '../../src/model/cluster.ts';
import { eventually, namespaceYaml, podYaml, TestCluster, type ProbeEntry } from './cluster.ts';
import { Prometheus } from './prometheus.ts';

/**
 * A real Prometheus scrapes both nodes while pods talk, are denied, ask for names and fail to find them; then it is asked every
 * query of every dashboard.
 *
 *   node1: client stranger      node2: server (only client may), names from kube-dns
 */
const port = 8080;
const objects = [
  namespaceYaml('metrics'),
  podYaml('metrics', 'server', 'node2', { app: 'server' }, port), podYaml('metrics', 'client', 'node1', { app: 'client' }), podYaml('metrics', 'stranger', 'node1', { app: 'stranger' }),
].join('');
const policy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: client-only, namespace: metrics }
spec:
  endpointSelector: { matchLabels: { app: server } }
  ingress:
    - fromEndpoints: [ { matchLabels: { app: client } } ]
      toPorts: [ { ports: [ { port: "${port}", protocol: TCP } ] } ]
    - fromEndpoints: [ { matchLabels: { app: client } } ]
      icmps: [ { fields: [ { type: 8, family: IPv4 } ] } ]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: not-to-the-world, namespace: metrics }
spec:
  endpointSelector: { matchLabels: { app: stranger } }
  egress: [ { toEntities: [ cluster ] } ]
`;
/** One more, once Prometheus has seen those before. */
const more = policy.split('---')[1]!.replace('not-to-the-world', 'once-more');
const contexts = 'sourceContext=pod|reserved-identity;destinationContext=pod|dns|reserved-identity';
const plugins = ['connection', 'drop', 'flow', 'tcp', 'icmp', 'policy', 'port-distribution'].map(name => `${name}:${contexts}`).concat(`dns:query;${contexts}`, `httpV2:exemplars=true;${contexts}`, `flows-to-world:port;${contexts}`);

/** Panels that this traffic does not fill, each with its reason. */
const notFed: Readonly<Record<string, string>> = {
  'Requests': 'HTTP is seen where a proxy is', 'Server errors': 'HTTP', 'p99': 'HTTP', 'Requests by status': 'HTTP', 'Requests by method': 'HTTP', 'Error rate by pair': 'HTTP', 'Duration': 'HTTP', 'Duration by pair (p99)': 'HTTP',
  'Errors and warnings in logs': 'nothing goes wrong',
};

const configMap = (name: string, key: string, text: string) => `
apiVersion: v1
kind: ConfigMap
metadata: { name: ${name}, namespace: kube-system }
data: { ${key}: ${JSON.stringify(text)} }
`;

interface Board { readonly title: string; readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[] }

describe('metrics, in a real Prometheus', () => {
  const cluster = new TestCluster('q');
  const prometheus = new Prometheus();
  const folder = mkdtempSync(join(tmpdir(), 'cirri-dashboards-'));
  before(async () => {
    await cluster.start('--set', `hubble.metrics.enabled={${plugins.map(each => each.replaceAll(',', '\\,')).join(',')}}`, '--set', 'hubble.metrics.serviceMonitor.enabled=true');
    await cluster.apply(objects);
    const written = await cluster.cirri('dashboards', folder, '--interval', '1');
    assert.equal(written.code, 0, written.stderr);
    await prometheus.start(join(folder, 'prometheus.yml'));
    await cluster.podsReady('metrics');
    await cluster.apply(policy);
  });
  after(async () => {
    await prometheus.stop();
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const allowed: ProbeEntry = { from: 'metrics/client', to: 'metrics/server', port, expect: 'allowed' };
  const denied: ProbeEntry = { from: 'metrics/stranger', to: 'metrics/server', port, expect: 'denied' };
  const ping: ProbeEntry = { from: 'metrics/client', to: 'metrics/server', protocol: 'ICMP', expect: 'allowed' };
  // A documentation address: the policy denies it before anything leaves.
  const world: ProbeEntry = { from: 'metrics/stranger', to: '192.0.2.1', port: 443, expect: 'denied' };
  const resolve = (name: string) => cluster.cirri('exec', 'metrics/client', '--', 'getent', 'ahostsv4', name);

  let talks = 0;
  async function talk(): Promise<void> {
    talks++;
    await cluster.expectAll([allowed, denied, ping, world]);
    assert.equal((await resolve('kube-dns.kube-system.svc.cluster.local')).code, 0);
    assert.notEqual((await resolve('nobody.metrics.svc.cluster.local')).code, 0);
  }

  test('both ports of both nodes are scraped without an error', async () => {
    await eventually('all targets are up', 20_000, async () => {
      const targets = await prometheus.targets();
      if (targets.length < 4) return 'not all are known yet';
      const wrong = targets.filter(target => target.health !== 'up');
      return wrong.length === 0 ? undefined : JSON.stringify(wrong.map(({ labels, lastError }) => [labels, lastError]));
    });
    const wanted = ['cilium-agent', 'hubble-metrics'].flatMap(job => ['node1', 'node2'].map(node => [job, node, '1']));
    // A target is said to be up before its sample is in the database.
    await eventually('and all are recorded so', 20_000, async () => {
      const up = (await prometheus.query('up')).map(({ metric, value }) => [metric['job'], metric['node'], value[1]]).sort();
      return JSON.stringify(up) === JSON.stringify(wanted) ? undefined : JSON.stringify(up);
    });
  });

  test('every query of every dashboard is answered, with numbers where there was traffic', async () => {
    await talk();
    // Rates want counters that have moved between two scrapes.
    await eventually('the first traffic is scraped', 20_000, async () => {
      const missing: string[] = [];
      for (const series of ['hubble_drop_total', 'hubble_dns_responses_total{rcode!="No Error"}']) if ((await prometheus.query(series)).length === 0) missing.push(series);
      return missing.length === 0 ? undefined : `not yet: ${missing.join(', ')}`;
    });
    await cluster.apply(more);
    await talk();
    const boards = ['cirri-traffic', 'cirri-drops', 'cirri-dns-http'].map(uid => JSON.parse(readFileSync(join(folder, `${uid}.json`), 'utf8')) as Board);
    await eventually('panels are filled', 20_000, async () => {
      const empty: string[] = [];
      for (const { title, panels } of boards) {
        for (const panel of panels) {
          for (const { expr } of panel.targets ?? []) {
            const result = await prometheus.query(expr.replaceAll('$__rate_interval', '1m').replaceAll('$node', '.*'));
            const isFilled = result.some(({ value }) => Number.isFinite(Number(value[1])));
            if (!isFilled && !(panel.title in notFed)) empty.push(`${title} / ${panel.title}: ${expr}`);
          }
        }
      }
      return empty.length === 0 ? undefined : empty.join('\n');
    });
  });

  test('the numbers are those of what happened', async () => {
    const value = async (expression: string) => Number((await prometheus.query(expression))[0]?.value[1] ?? 0);
    await eventually('the last answers are scraped', 20_000, async () => (await value('sum(hubble_dns_responses_total{query="nobody.metrics.svc.cluster.local."})') >= talks ? undefined : 'not yet'));
    // Each of the four targets has a time of its own to be scraped.
    await eventually('all targets have told the end of it', 20_000, () => numbers().then(() => undefined, (error: unknown) => (error as Error).message));
    async function numbers(): Promise<void> {
      assert.ok(await value('sum(hubble_drop_total{reason="POLICY_DENIED",source="metrics/stranger",destination="metrics/server",protocol="TCP"})') >= 2);
      assert.equal(await value('sum(hubble_drop_total{source="metrics/client",reason="POLICY_DENIED"})'), 0);
      assert.ok(await value('sum(hubble_policy_verdicts_total{action="forwarded",direction="ingress",match="l3-l4",source="metrics/client",destination="metrics/server"})') >= 2);
      assert.ok(await value('sum(hubble_flows_to_world_total{verdict="DROPPED",port="443",source="metrics/stranger"})') >= 2);
      assert.ok(await value('sum(hubble_icmp_total{type="EchoRequest",source="metrics/client"})') >= 2);
      // The pod asks for A alone, with the search domains before the name itself: each time one question of this very name.
      assert.equal(await value('sum(hubble_dns_queries_total{query="nobody.metrics.svc.cluster.local."})'), talks);
      assert.equal(await value('sum(hubble_dns_responses_total{rcode="Non-Existent Domain",query="nobody.metrics.svc.cluster.local."})'), talks);
      assert.ok(await value('sum(cilium_policy_decided_packets_total{policy="client-only",effect="default-deny"})') >= 2);
      assert.ok(await value('sum(cilium_drop_count_total{reason="Policy denied"})') >= await value('sum(hubble_drop_total{reason="POLICY_DENIED"})'));
      assert.equal(await value('sum(cilium_endpoint)'), await value('sum(cilium_ip_addresses{family="ipv4"})'));
      for (const reporter of ['client', 'server']) {
        const labels = `{source="metrics/client",destination="metrics/server",protocol="TCP",reporter="${reporter}"}`;
        assert.ok(await value(`sum(hubble_connect_duration_seconds_count${labels})`) >= 2, reporter);
        assert.ok(await value(`sum(hubble_connections_ended_total${labels.replace('protocol', 'end="closed",protocol')})`) >= 2, reporter);
        assert.ok(await value(`sum(hubble_connection_bytes_total${labels.replace('protocol="TCP"', 'sender="server"')})`) > 0, reporter);
      }
    }
    assert.equal(await value('sum(hubble_connect_duration_seconds_count{source="metrics/server",destination="metrics/client"})'), 0, 'the source is who opened the connection');
  });

  test('kubectl shows the ServiceMonitors, and cirri metrics what Prometheus reads', async () => {
    const monitors = await cluster.kubectl('get', 'servicemonitors', '-n', 'kube-system', '-o', 'name');
    assert.deepEqual(monitors.stdout.trim().split('\n'), ['servicemonitor.monitoring.coreos.com/cilium-agent', 'servicemonitor.monitoring.coreos.com/hubble']);
    const { nodes } = parseRecord(readFileSync(cluster.paths.clusterJson, 'utf8'));
    const got = await cluster.cirri('metrics', 'get', '^hubble_drop_total$', '--node', nodes[1]!.name, '-o', 'json');
    assert.equal(got.code, 0, got.stderr);
    const rows = JSON.parse(got.stdout) as { node: string; name: string; labels: Record<string, string>; value: number }[];
    assert.ok(rows.some(row => row.name === 'hubble_drop_total' && row.labels['reason'] === 'POLICY_DENIED' && row.value > 0), got.stdout);
    const none = await cluster.cirri('metrics', 'get', 'no_such_metric');
    assert.equal(none.code, 1);
    assert.match(none.stderr, /no metric matches no_such_metric/);
  });

  test('other plugins come with a ConfigMap, without a restart, and go with it', async () => {
    const names = async () => new Set((JSON.parse((await cluster.cirri('metrics', 'list', '^hubble_.*_total$', '-o', 'json')).stdout) as { name: string }[]).map(({ name }) => name));
    await cluster.with(configMap('cilium-dynamic-metrics-config', 'dynamic-metrics.yaml', 'metrics: [ { name: drop, includeFilters: [ { source_pod: [ metrics/stranger ] } ] } ]'), [], async () => {
      await eventually('only drops are counted', 20_000, async () => ((await names()).has('hubble_tcp_flags_total') ? 'tcp still is' : undefined));
      await cluster.expectAll([denied]);
      await eventually('they are', 20_000, async () => ((await names()).has('hubble_drop_total') ? undefined : 'not yet'));
    });
    await eventually('all are counted again', 20_000, async () => {
      await cluster.expectAll([allowed]);
      return (await names()).has('hubble_tcp_flags_total') ? undefined : 'tcp is not';
    });
  });

  test('flows leave as lines in files and as OTLP, what is asked for and nothing else', async () => {
    const folderOfLogs = `/var/log/cirri/${cluster.instance}`;
    const collector = new Collector();
    try {
      const { underlay } = parseRecord(readFileSync(cluster.paths.clusterJson, 'utf8'));
      const set = await cluster.cirri('config', 'set', `hubble.export.otlpEndpoint=${await collector.start(underlay.host4)}`);
      assert.equal(set.code, 0, set.stderr);
      await cluster.apply(configMap('cilium-flowlog-config', 'flowlogs.yaml', `flowLogs: [ { name: drops, filePath: ${folderOfLogs}/drops.log, includeFilters: [ { verdict: [ DROPPED ] } ], fieldMask: [ verdict, source, destination ] } ]`));
      await eventually('the exporter is there', 20_000, async () => ((await cluster.cirri('status', '-v')).stdout.includes('drops → ') ? undefined : 'not yet'));
      await eventually('both have arrived', 20_000, async () => {
        // The other node may have its exporter a moment later.
        await cluster.expectAll([allowed, denied]);
        // The last line may be half written, and the file empty.
        const lines = existsSync(`${folderOfLogs}/drops-node2.log`) ? readFileSync(`${folderOfLogs}/drops-node2.log`, 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line) as { flow: { verdict: string; source: { pod_name?: string }; destination: { pod_name?: string } } }) : [];
        const others = lines.filter(({ flow }) => flow.verdict !== 'DROPPED' || Object.keys(flow).length > 3);
        assert.deepEqual(others, []);
        const inFile = lines.some(({ flow }) => flow.source.pod_name === 'stranger' && flow.destination.pod_name === 'server');
        const records = collector.records.map(attributesOf);
        const inCollector = (pod: string, verdict: string) => records.some(record => record['source.k8s.pod.name'] === pod && record['destination.k8s.pod.name'] === 'server' && record['hubble.verdict'] === verdict);
        return inFile && inCollector('stranger', 'DROPPED') && inCollector('client', 'FORWARDED') ? undefined : `${lines.length} lines, ${records.length} records`;
      });
      assert.deepEqual(collector.problems, []);
    } finally {
      await collector.stop();
      rmSync(folderOfLogs, { recursive: true, force: true });
    }
  });
});

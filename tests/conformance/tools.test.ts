/**
 * The connectivity cases again, on the way that the policy commands take (objects → scenario → world → connection): some
 * probes of each case, what the linter and `explain` say along the way must not fail, and every denial has a change that
 * allows it.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Cluster, ConformanceCase, End, Probe } from '../../src/policy/conformance/case.ts';
import { casesOf } from '../../src/policy/conformance/run.ts';
import { connect } from '../../src/policy/connection.ts';
import { namedTarget, resolveEnd, resolvePort } from '../../src/policy/ends.ts';
import type { Target } from '../../src/policy/ends.ts';
import { lint } from '../../src/policy/lint/lint.ts';
import { readScenario } from '../../src/policy/scenario.ts';
import type { ScenarioObject } from '../../src/policy/scenario.ts';
import { suggest } from '../../src/policy/suggest.ts';
import { World } from '../../src/policy/world.ts';

const folder = join(import.meta.dirname, '../../../shared/conformance/cases');
const probesOfACase = 25;

test('the commands decide as the cases expect', { skip: existsSync(folder) ? false : '../shared/conformance/cases is not there' }, t => {
  const counts = { asked: 0, suggested: 0, skipped: 0 };
  for (const file of readdirSync(folder).filter(name => name.endsWith('.json')).sort()) {
    for (const testCase of casesOf(JSON.parse(readFileSync(join(folder, file), 'utf8')))!) {
      if (testCase.kind === 'connectivity') askCase(testCase, counts);
    }
  }
  t.diagnostic(`${counts.asked} probes, ${counts.suggested} changes suggested, ${counts.skipped} probes skipped (not enforced)`);
  assert.ok(counts.asked > 1000 && counts.suggested > 100);
});

function askCase(testCase: ConformanceCase, counts: { asked: number; suggested: number; skipped: number }): void {
  const cluster = testCase.cluster!;
  const objects = [...testCase.policies!, ...objectsOf(cluster)] as readonly ScenarioObject[];
  const world = new World(readScenario(objects.map(object => ({ object, place: () => 'case:1' })), { clusterName: cluster.name ?? 'default' }), { provides: { proxy: true, authentication: true } });
  assert.deepEqual(world.scenario.unknownPolicies, []);
  lint(world);
  const probes = probesOf(testCase);
  const every = Math.ceil(probes.length / probesOfACase);
  let explained = false;
  for (const probe of probes.filter((_, i) => i % every === 0)) {
    const to = targetOf(world, cluster, probe);
    const connection = connect(world, resolveEnd(world, nameOf(probe.from)), to, resolvePort(to, probe.port === undefined ? undefined : String(probe.port), probe.protocol), probe.http && { http: probe.http });
    if (!probe.http && connection.legs.some(leg => leg.steps.some(step => step.rule.notEnforced !== undefined))) {
      counts.skipped++;
      continue;
    }
    counts.asked++;
    assert.equal(connection.verdict, probe.expect === 'allow' ? 'allow' : 'deny', `${testCase.id}: ${JSON.stringify(probe)}`);
    if (connection.verdict !== 'deny' || explained || nameOf(probe.from) === nameOf(probe.to) || probe.to.fqdn !== undefined) continue;
    const deny = connection.legs[0]!.steps.find(step => step.verdict === 'deny')!;
    // What would let a request pass is for its author to say.
    if (deny.request !== undefined) continue;
    explained = true;
    assert.ok(suggest(world, connection.legs[0]!), `${testCase.id}: nothing suggested for ${JSON.stringify(probe)}`);
    counts.suggested++;
  }
}

/** All addresses that the pod would be told for a name: one target. */
function targetOf(world: World, cluster: Cluster, { to }: Probe): Target {
  if (to.fqdn === undefined) return resolveEnd(world, nameOf(to));
  const ends = (cluster.dns?.[to.fqdn] ?? []).filter(address => !address.includes(':')).flatMap(address => namedTarget(world, resolveEnd(world, address), to.fqdn!).ends);
  return { text: to.fqdn, ends, notes: [] };
}

function objectsOf(cluster: Cluster): readonly object[] {
  return [
    ...cluster.namespaces.map(metadata => ({ kind: 'Namespace', metadata })),
    ...cluster.pods.map(pod => ({
      kind: 'Pod', metadata: { name: pod.name, namespace: pod.namespace, labels: pod.labels }, status: { podIP: pod.ip },
      spec: { nodeName: pod.node, hostNetwork: pod.host_network, serviceAccountName: pod.service_account, containers: [{ ports: (pod.ports ?? []).map(p => ({ name: p.name, containerPort: p.port, protocol: p.protocol })) }] },
    })),
    ...(cluster.nodes ?? []).map(node => ({ kind: 'Node', metadata: { name: node.name, labels: node.labels }, status: { addresses: node.ips.map(address => ({ type: 'InternalIP', address })) } })),
  ];
}

function probesOf(testCase: ConformanceCase): readonly Probe[] {
  const end = (e: string | { readonly ip: string }): End => (typeof e === 'string' ? { pod: e } : e);
  const cells = (testCase.matrix_cilium ?? testCase.matrix ?? []).flatMap(({ rows, from, to, port, protocol }) => rows.flatMap((row, i) => [...row].flatMap((letter, j): Probe[] =>
    (letter === '.' ? [] : [{ from: end(from[i]!), to: end(to[j]!), port, protocol, expect: letter === 'A' ? 'allow' : 'deny' }]))));
  return [...testCase.probes ?? [], ...cells];
}

function nameOf(end: End): string {
  return end.pod ?? end.ip ?? `node:${end.node}`;
}

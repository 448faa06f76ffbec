/**
 * Decisions a second in one process, as `cirri policy evaluate`, `matrix` and `test` ask for them: connections between random pods of a
 * large cluster, two decisions each. Prints JSON.
 *
 *     decisions.ts PODS NAMESPACES POLICIES DECISIONS
 */
import { leg } from '../../../src/policy/connection.ts';
import type { End } from '../../../src/policy/ends.ts';
import { readScenario, type ScenarioObject } from '../../../src/policy/scenario.ts';
import { clusterPodLabels, clusterPolicy, namespaceName } from '../../../src/policy/testing-size.ts';
import { World } from '../../../src/policy/world.ts';
import { median } from './statistics.ts';

const [pods, namespaces, policies, decisions] = process.argv.slice(2).map(Number) as [number, number, number, number];
const rounds = 9;

function podObject(i: number): ScenarioObject {
  const labels = clusterPodLabels(i, namespaces);
  const own = ['app', 'tier'].map(key => [key, labels.get('k8s', key)!] as const);
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: `pod-${i}`, namespace: namespaceName(i % namespaces), labels: Object.fromEntries(own) }, spec: {}, status: { podIP: `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}` } };
}

function namespaceObject(n: number): ScenarioObject {
  const labels = clusterPodLabels(n, namespaces);
  const own = ['team', 'env'].map(key => [key, labels.get('k8s', `io.cilium.k8s.namespace.labels.${key}`)!] as const);
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespaceName(n), labels: Object.fromEntries(own) } };
}

const objects: ScenarioObject[] = [
  ...Array.from({ length: namespaces }, (_, n) => namespaceObject(n)), ...Array.from({ length: pods }, (_, i) => podObject(i)),
  ...Array.from({ length: policies }, (_, i) => clusterPolicy(i, namespaces) as unknown as ScenarioObject),
];
const started = performance.now();
const world = new World(readScenario(objects.map(object => ({ object, place: () => 'cluster.yaml:1' }))));
const readMs = performance.now() - started;
if (world.policies.length !== policies || world.scenario.pods.length !== pods) throw new Error('the scenario has not taken all objects');

/** Numbers that look random and are the same in every run. */
let state = 1;
const random = (below: number) => ((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 8) % below;
const questions = Array.from({ length: decisions / 2 }, () => {
  // Half within one namespace: between most others there is nothing to allow.
  const first = random(pods);
  const [from, to] = [world.scenario.pods[first]!, world.scenario.pods[random(2) === 0 ? random(pods) : (first + namespaces * random(pods / namespaces)) % pods]!];
  return { from: world.memberOf(from)!, to: world.memberOf(to)!, ends: [{ type: 'pod', pod: from, text: from.name }, { type: 'pod', pod: to, text: to.name }] as unknown as [End, End], port: [8080, 443, 8005, 9005, 5432][random(5)]! };
});

function decideAll(): number {
  let allowed = 0;
  for (const { from, to, port } of questions) {
    if (world.decide(from.subject, 'egress', to.identity, 6, port).verdict === 'allow') allowed++;
    if (world.decide(to.subject, 'ingress', from.identity, 6, port).verdict === 'allow') allowed++;
  }
  return allowed;
}

/** A second of the processor: what else the machine does is not counted. */
function perSecond(run: () => unknown): number {
  return median(Array.from({ length: rounds }, () => {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    return decisions / (user + system) * 1_000_000;
  }));
}

const before = performance.now();
const allowed = decideAll();
const firstMs = performance.now() - before;
process.stdout.write(JSON.stringify({
  decisions, allowed, readMs, compileAllMs: firstMs,
  decidePerSecond: perSecond(decideAll),
  connectionPerSecond: perSecond(() => { for (const { ends, port } of questions) leg(world, ends[0], ends[1], 6, port); }),
}));

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyEngine } from './compile.ts';
import type { Subject } from './compile.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';
import { addPrefixIdentities, clusterPodLabels, clusterPolicy, clusterSubject, podsPerNamespace, policiesPerNamespace, type PolicyObject } from './testing-size.ts';
import { Work } from './work.ts';

/*
 * What a change costs is counted, not timed: in a cluster eight times as large, one policy or one identity more must be the
 * same work. `cirri bench --policy` has the times.
 */
const localPods = 40;
const sizes = [50, 400] as const;

interface Cluster {
  readonly engine: PolicyEngine;
  readonly namespaces: number;
  readonly subjects: readonly Subject[];
}

function parsed(object: PolicyObject): Policy {
  const { policy, errors } = parsePolicy(object);
  assert.ok(policy, JSON.stringify(errors));
  return policy;
}

function makeCluster(namespaces: number): Cluster {
  const engine = new PolicyEngine();
  engine.setPolicies(Array.from({ length: namespaces * policiesPerNamespace }, (_, i) => parsed(clusterPolicy(i, namespaces))).filter(p => p.namespace !== undefined));
  addPrefixIdentities(engine);
  for (let i = 0; i < namespaces * podsPerNamespace; i++) engine.upsertIdentity(256 + i, clusterPodLabels(i, namespaces));
  const subjects = Array.from({ length: localPods }, (_, i) => clusterSubject(i, namespaces));
  compileAll(engine, subjects);
  return { engine, namespaces, subjects };
}

function compileAll(engine: PolicyEngine, subjects: Iterable<Subject>): void {
  for (const subject of subjects) for (const direction of ['ingress', 'egress'] as const) engine.compile(subject, direction);
}

/** What the change, and compiling everything that is asked for, adds to each count. */
function workOf({ engine, subjects }: Cluster, change: () => void): Record<keyof Work, number> {
  const before = { ...engine.work };
  change();
  compileAll(engine, subjects);
  return Object.fromEntries(Object.keys(before).map(key => [key, engine.work[key as keyof Work] - before[key as keyof Work]])) as Record<keyof Work, number>;
}

const clusters = sizes.map(makeCluster);
const changed = (cluster: Cluster, i: number) => parsed({ ...clusterPolicy(i, cluster.namespaces), metadata: { ...clusterPolicy(i, cluster.namespaces).metadata, name: 'more' } });

test('one policy more in a namespace is its own rules, the sets of the pods that it selects and their peers', () => {
  const [small, large] = clusters.map(cluster => workOf(cluster, () => cluster.engine.upsertPolicy(changed(cluster, 4))));
  assert.deepEqual(large, small, 'eight times the cluster, the same work');
  assert.equal(large!.rulesPrepared, 3);
  assert.equal(large!.setsKeyed, 2, 'of the one local pod of that namespace, in both directions');
  assert.ok(large!.setsBuilt <= 2 && large!.specsConsidered <= 10, JSON.stringify(large));
});

test('a policy that goes is nothing to prepare', () => {
  for (const cluster of clusters) {
    const policy = changed(cluster, 6);
    cluster.engine.upsertPolicy(policy);
    compileAll(cluster.engine, cluster.subjects);
  }
  const [small, large] = clusters.map(cluster => workOf(cluster, () => cluster.engine.removePolicy(`NetworkPolicy/${changed(cluster, 6).namespace}/more`)));
  assert.deepEqual(large, small);
  assert.equal(large!.rulesPrepared, 0);
  assert.equal(large!.setsKeyed, 2);
});

test('a policy that selects nobody here compiles nothing', () => {
  for (const cluster of clusters) {
    const work = workOf(cluster, () => assert.equal(cluster.engine.upsertPolicy(changed(cluster, 2 * localPods + 2)).size, 0));
    assert.deepEqual(work, { ...new Work(), rulesPrepared: 3 });
  }
});

test('all policies again, one of them another object, is the work of that one', () => {
  for (const cluster of clusters) {
    const list = Array.from({ length: 2 * localPods }, (_, i) => parsed(clusterPolicy(i, cluster.namespaces)));
    const { engine } = cluster;
    engine.setPolicies(list);
    compileAll(engine, cluster.subjects);
    const work = workOf(cluster, () => engine.setPolicies([...list.slice(1), parsed(clusterPolicy(0, cluster.namespaces))]));
    assert.equal(work.rulesPrepared, 3);
    assert.equal(work.setsKeyed, 2);
    assert.equal(work.setsBuilt, 0, 'the rules say the same: the sets are found again');
  }
});

test('one identity more is compared with the selectors of its labels, and put into the sets that know it', () => {
  const [small, large] = clusters.map(cluster => {
    const { engine, namespaces } = cluster;
    return workOf(cluster, () => {
      for (const delta of engine.upsertIdentity(60_000, clusterPodLabels(4 + namespaces * (podsPerNamespace + 2), namespaces))) assert.equal(delta.identity, 60_000);
    });
  });
  assert.deepEqual({ ...large, classesCopied: 0 }, { ...small, classesCopied: 0 });
  assert.equal(large!.setsKeyed + large!.setsBuilt + large!.rulesPrepared, 0);
  assert.ok(large!.classesChanged > 0 && large!.classesChanged < 10, JSON.stringify(large));
});

test('a second identity copies nothing when nobody has asked for the sets since', () => {
  const { engine, namespaces } = clusters[1]!;
  const labels = (i: number) => clusterPodLabels(4 + namespaces * (podsPerNamespace + i), namespaces);
  engine.upsertIdentity(60_001, labels(3));
  const before = engine.work.classesCopied;
  assert.ok(engine.upsertIdentity(60_002, labels(4)).length > 0);
  assert.equal(engine.work.classesCopied, before);
});

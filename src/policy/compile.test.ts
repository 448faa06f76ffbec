import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PolicyEngine } from './compile.ts';
import type { CompiledSet, EngineOptions, SetDelta, VerdictRow } from './compile.ts';
import { evaluate, lookup } from './evaluate.ts';
import type { Policy } from './policy.ts';
import { cnp, identitiesFor, pod, policies, subject, testGroups, testPods, testPorts, testProtocols, testServices } from './testing.ts';
import type { TestIdentity } from './testing.ts';

const directions = ['ingress', 'egress'] as const;
const subjects = testPods.slice(0, 4).map((p, i) => ({ ...subject(p.labels, i === 0 ? { web: ['TCP', 80] } : i === 1 ? { web: ['TCP', 8080], dns: ['UDP', 53] } : {}) }));

function engineOf(list: readonly Policy[], options: EngineOptions = {}): PolicyEngine {
  const engine = new PolicyEngine(options);
  engine.setServices(testServices);
  engine.setCidrGroups(testGroups);
  engine.setPolicies(list);
  return engine;
}

function fill(engine: PolicyEngine, identities: readonly TestIdentity[]): void {
  engine.setIdentities(identities.map(i => [i.id, i.labels, i.namedPorts] as const));
}

/** Everything that the kernel and an explanation would get. */
function content(set: CompiledSet): unknown {
  return { hash: set.hash, key: set.key, enforced: set.enforced, classes: [...set.classes].sort(([a], [b]) => a - b), verdicts: set.verdicts, rules: [...set.rules].sort(([a], [b]) => a - b) };
}

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 150);

test('the kernel\'s lookup in a compiled set gives the verdict and the rule of the plain evaluation, for every peer, protocol and port', () => {
  const modes = fc.constantFrom<EngineOptions>({}, {}, {}, { mode: 'always' }, { mode: 'never' }, { allowLocalhost: 'policy' }, { provides: { proxy: true, authentication: true } });
  fc.assert(fc.property(policies, modes, (list, options) => {
    const engine = engineOf(list, options);
    const identities = identitiesFor(engine, testPods);
    fill(engine, identities);
    assert.deepEqual(engine.missingPrefixes(), []);
    const world = { policies: list, services: testServices, cidrGroups: testGroups, options };
    for (const one of subjects) for (const direction of directions) {
      const set = engine.compile(one, direction);
      for (const peer of [undefined, ...identities]) for (const protocol of testProtocols) for (const port of testPorts) {
        const expected = evaluate(world, one, direction, peer, protocol, port);
        const row = lookup(set, peer?.id ?? 4242, protocol, port);
        assert.ok(row, 'no row');
        const shadow = row.shadow && { shadow: { verdict: row.shadow.verdict, rule: set.rules.get(row.shadow.rule)?.address } };
        assert.deepEqual({ verdict: row.verdict, rule: set.rules.get(row.rule)?.address, ...shadow }, expected, `${direction} ${one.labels} ← ${peer?.labels} ${protocol}/${port}`);
      }
    }
  }), { numRuns: runs });
});

test('the order of policies, identities and endpoints changes nothing', () => {
  fc.assert(fc.property(fc.uniqueArray(policies.map(l => l[0]).filter(p => p !== undefined), { selector: p => `${p.kind} ${p.namespace} ${p.name}`, maxLength: 5 }), fc.infiniteStream(fc.nat()), (list, random) => {
    const shuffle = <T>(items: readonly T[]) => items.map(item => [random.next().value as number, item] as const).sort(([a], [b]) => a - b).map(([, item]) => item);
    const first = engineOf(list);
    const identities = identitiesFor(first, testPods);
    fill(first, identities);
    const second = engineOf(shuffle(list));
    for (const i of shuffle(identities)) second.upsertIdentity(i.id, i.labels, i.namedPorts);
    for (const one of shuffle(subjects)) for (const direction of shuffle(directions)) assert.deepEqual(content(second.compile(one, direction)), content(first.compile(one, direction)));
  }), { numRuns: runs });
});

/** What an agent does with deltas: a copy of the kernel's entries. */
class KernelCopy {
  readonly classes: Map<number, number>;
  verdicts: VerdictRow[];

  constructor(set: CompiledSet) {
    this.classes = new Map(set.classes);
    this.verdicts = [...set.verdicts];
  }

  apply(delta: SetDelta): void {
    this.verdicts.push(...delta.rows);
    if (delta.class === 0) this.classes.delete(delta.identity);
    else this.classes.set(delta.identity, delta.class);
    if (delta.droppedClass !== undefined) this.verdicts = this.verdicts.filter(r => r.class !== delta.droppedClass);
  }
}

test('identities that come, change and go one by one leave the tables that a fresh compilation makes, and so do the deltas', () => {
  const steps = fc.array(fc.tuple(fc.nat(60), fc.constantFrom('come', 'go', 'change')), { maxLength: 40 });
  fc.assert(fc.property(policies, steps, (list, changes) => {
    const engine = engineOf(list);
    const all = identitiesFor(engine, testPods);
    const present = new Map(all.slice(0, all.length / 2).map(i => [i.id, i]));
    fill(engine, [...present.values()]);
    const copies = new Map(subjects.flatMap(s => directions.map(d => engine.compile(s, d))).map(set => [set.key, new KernelCopy(set)]));
    for (const [index, what] of changes) {
      const one = all[index % all.length]!;
      const other = all[(index + 1) % all.length]!;
      const classes = [...copies.keys()].map(key => engine.classesFor(one.id).get(key));
      const expected = subjects.map(s => engine.classify(engine.compile(s, 'egress'), one.id, one.labels, one.namedPorts).class);
      const deltas = what === 'go' ? engine.removeIdentity(one.id) : engine.upsertIdentity(one.id, what === 'come' ? one.labels : other.labels, what === 'come' ? one.namedPorts : other.namedPorts);
      for (const delta of deltas) copies.get(delta.key)?.apply(delta);
      if (what === 'go' && one.id >= 256) present.delete(one.id);
      else if (what === 'go') present.set(one.id, one);
      else present.set(one.id, what === 'come' ? one : { ...other, id: one.id });
      if (what === 'come') assert.deepEqual(subjects.map(s => engine.compile(s, 'egress').classes.get(one.id) ?? 0), expected, 'classify foretells the class');
      assert.equal(classes.length, copies.size);
    }
    const fresh = engineOf(list);
    fill(fresh, [...present.values()]);
    for (const one of subjects) for (const direction of directions) {
      const set = fresh.compile(one, direction);
      assert.deepEqual(content(engine.compile(one, direction)), content(set));
      const copy = copies.get(set.key)!;
      assert.deepEqual(sorted(copy.verdicts), sorted(set.verdicts));
      assert.deepEqual(new Map([...copy.classes].sort()), new Map([...set.classes].sort()));
    }
  }), { numRuns: runs });
});

function sorted(rows: readonly VerdictRow[]): string[] {
  return rows.map(r => JSON.stringify(r)).sort();
}

test('sets have equal hashes exactly when classes and rows are equal', () => {
  fc.assert(fc.property(policies, policies, (a, b) => {
    const sets = [a, b, [...a, ...b]].flatMap(list => {
      const engine = engineOf(list);
      fill(engine, identitiesFor(engine, testPods));
      return subjects.flatMap(s => directions.map(d => engine.compile(s, d)));
    });
    const byHash = new Map<string, string>();
    const byContent = new Map<string, string>();
    for (const set of sets) {
      const text = JSON.stringify([[...set.classes].sort(([x], [y]) => x - y), set.verdicts]);
      assert.equal(byHash.get(set.hash) ?? text, text);
      assert.equal(byContent.get(text) ?? set.hash, set.hash);
      byHash.set(set.hash, text);
      byContent.set(text, set.hash);
    }
  }), { numRuns: runs });
});

test('a change of policies and back gives the same tables as before', () => {
  fc.assert(fc.property(policies, policies, (a, b) => {
    const engine = engineOf([...a, ...b]);
    fill(engine, identitiesFor(engine, testPods));
    const before = subjects.flatMap(s => directions.map(d => content(engine.compile(s, d))));
    engine.setPolicies(b);
    for (const s of subjects) for (const d of directions) engine.compile(s, d);
    engine.setPolicies([...a, ...b]);
    assert.deepEqual(subjects.flatMap(s => directions.map(d => content(engine.compile(s, d)))), before);
  }), { numRuns: runs / 3 });
});

test('a set that grows too large as identities come is refused as a whole; with fewer rules all is well again', () => {
  const ranges = Array.from({ length: 500 }, (_, i) => ({ ports: Array.from({ length: 40 }, (_, j) => ({ port: String(1 + (i * 40 + j) * 3), endPort: 2 + (i * 40 + j) * 3, protocol: 'ANY' })) }));
  const apps = Array.from({ length: 9 }, (_, i) => ({ fromEndpoints: [{ matchLabels: { app: `a${i}` } }], toPorts: [{ ports: [{ port: String(60_001 + i), protocol: 'TCP' }] }] }));
  const engine = engineOf([cnp('p', 'x', { endpointSelector: {}, ingress: [{ toPorts: ranges }, ...apps] })]);
  const [one] = [subject(pod('x'))];
  assert.ok(engine.compile(one, 'ingress').verdicts.length > 60_000);
  for (let i = 0; i < 9; i++) engine.upsertIdentity(500 + i, pod('x', { app: `a${i}` }));
  assert.throws(() => engine.compile(one, 'ingress'), /need more than 262144 rows/);
  assert.equal(engine.compile(one, 'egress').verdicts.length, 1, 'the other direction is not concerned');
  engine.setPolicies([cnp('p', 'x', { endpointSelector: {}, ingress: apps })]);
  assert.equal(engine.compile(one, 'ingress').classes.size, 10, 'nine peers and the node');
});

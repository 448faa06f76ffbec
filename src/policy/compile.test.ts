import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidrIdentityLabels, firstPrefixIdentity } from '../model/identity.ts';
import { PolicyEngine, subjectText } from './compile.ts';
import type { CompiledSet, EngineOptions, SetDelta, VerdictRow } from './compile.ts';
import { evaluate, lookup } from './evaluate.ts';
import { policyAddress } from './policy.ts';
import type { Policy } from './policy.ts';
import { cnp, identitiesFor, pod, policies, subject, testGroups, testPods, testPorts, testProtocols, testSecrets, testServices } from './testing.ts';
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

/** A cluster and its policies each: a tenth of what others take. */
const runs = Math.ceil(Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 1_500) / 10);

test('the kernel\'s lookup in a compiled set gives the verdict and the rule of the plain evaluation, for every peer, protocol and port', () => {
  const modes = fc.constantFrom<EngineOptions>({}, {}, { mode: 'always' }, { mode: 'never' }, { allowLocalhost: 'policy' }, { provides: { proxy: true } }, { provides: { proxy: true } }, { provides: { proxy: true, authentication: true } });
  fc.assert(fc.property(policies, modes, (list, options) => {
    const engine = engineOf(list, options);
    const identities = identitiesFor(engine, testPods);
    fill(engine, identities);
    assert.deepEqual(engine.missingPrefixes(), []);
    engine.setSecrets(testSecrets);
    const world = { policies: list, services: testServices, cidrGroups: testGroups, secrets: testSecrets, options };
    for (const one of subjects) for (const direction of directions) {
      const set = engine.compile(one, direction);
      for (const peer of [undefined, ...identities]) for (const protocol of testProtocols) for (const port of testPorts) {
        const { inspected: _, ...expected } = evaluate(world, one, direction, peer, protocol, port);
        const row = lookup(set, peer?.id ?? 4242, protocol, port);
        assert.ok(row, 'no row');
        const shadow = row.shadow && { shadow: { verdict: row.shadow.verdict, rule: set.rules.get(row.shadow.rule)?.address } };
        const l7 = row.l7 !== undefined && { l7: engine.l7Sets().get(row.l7) };
        assert.deepEqual({ verdict: row.verdict, rule: set.rules.get(row.rule)?.address, ...l7, ...shadow }, expected, `${direction} ${one.labels} ← ${peer?.labels} ${protocol}/${port}`);
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
  }), { numRuns: Math.ceil(runs / 3) });
});

/** What an agent has: sets compiled only for subjects that the engine calls stale, kept up by deltas. */
class Follower {
  readonly engine: PolicyEngine;
  readonly sets = new Map<string, { readonly key: string; readonly kernel: KernelCopy }>();

  constructor(engine: PolicyEngine) {
    this.engine = engine;
    this.compile(new Set(subjects.map(subjectText)));
  }

  compile(stale: ReadonlySet<string>): void {
    for (const one of subjects) for (const direction of directions) {
      if (!stale.has(subjectText(one))) continue;
      const set = this.engine.compile(one, direction);
      this.sets.set(`${direction} ${subjectText(one)}`, { key: set.key, kernel: new KernelCopy(set) });
    }
  }

  apply(deltas: readonly SetDelta[]): void {
    for (const delta of deltas) for (const { key, kernel } of this.sets.values()) if (key === delta.key) kernel.apply(delta);
  }
}

test('policies, services and groups that come, change and go one by one leave the tables that a fresh compilation makes, with only stale subjects compiled again', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('policy' as const), policy: policies.filter(list => list.length > 0).map(list => list[0]!), present: fc.boolean() }),
    fc.record({ do: fc.constant('service' as const), index: fc.nat(testServices.length - 1), present: fc.boolean() }),
    fc.record({ do: fc.constant('group' as const), present: fc.boolean() }),
    fc.record({ do: fc.constant('identity' as const), index: fc.nat(testPods.length - 1), present: fc.boolean() }),
  );
  fc.assert(fc.property(policies, fc.array(step, { maxLength: 25 }), (list, steps) => {
    const engine = engineOf(list);
    const now = { policies: new Map(list.map(p => [policyAddress(p), p])), services: new Set(testServices), groups: new Set(testGroups), pods: new Set(testPods) };
    const prefixIds = new Map<string, number>();
    const prefixIdentities = () => {
      const all = engine.cidrPrefixes();
      for (const prefix of all) if (!prefixIds.has(prefix)) prefixIds.set(prefix, firstPrefixIdentity + prefixIds.size);
      return all.map(prefix => ({ id: prefixIds.get(prefix)!, labels: cidrIdentityLabels(prefix, all), namedPorts: [] }));
    };
    fill(engine, [...identitiesFor(engine, testPods).filter(i => i.id < firstPrefixIdentity), ...prefixIdentities()]);
    const follower = new Follower(engine);
    let revision = engine.prefixRevision;
    for (const change of steps) {
      if (change.do === 'policy') {
        const address = policyAddress(change.policy);
        if (change.present) now.policies.set(address, change.policy);
        else now.policies.delete(address);
        follower.compile(change.present ? engine.upsertPolicy(change.policy) : engine.removePolicy(address));
      } else if (change.do === 'service') {
        const service = testServices[change.index]!;
        if (change.present) now.services.add(service);
        else now.services.delete(service);
        follower.compile(engine.setService(`${service.namespace}/${service.name}`, change.present ? service : undefined));
      } else if (change.do === 'group') {
        const [group] = testGroups;
        if (change.present) now.groups.add(group!);
        else now.groups.delete(group!);
        follower.compile(engine.setCidrGroup(group!.name, change.present ? group : undefined));
      } else {
        const peer = testPods[change.index]!;
        if (change.present) now.pods.add(peer);
        else now.pods.delete(peer);
        follower.apply(change.present ? engine.upsertIdentity(peer.id, peer.labels, peer.namedPorts) : engine.removeIdentity(peer.id));
      }
      if (engine.prefixRevision === revision) continue;
      revision = engine.prefixRevision;
      const wanted = prefixIdentities();
      for (const id of [...engine.identities.keys()]) if (id >= firstPrefixIdentity && !wanted.some(w => w.id === id)) follower.apply(engine.removeIdentity(id));
      for (const { id, labels } of wanted) follower.apply(engine.upsertIdentity(id, labels));
    }
    const fresh = new PolicyEngine();
    fresh.setServices(now.services);
    fresh.setCidrGroups(now.groups);
    fresh.setPolicies(now.policies.values());
    assert.deepEqual(engine.cidrPrefixes(), fresh.cidrPrefixes());
    assert.deepEqual(engine.networkPrefixes(), fresh.networkPrefixes());
    fill(fresh, [...identitiesFor(fresh, [...now.pods]).filter(i => i.id < firstPrefixIdentity), ...prefixIdentities()]);
    for (const one of subjects) for (const direction of directions) {
      const set = fresh.compile(one, direction);
      const { key, kernel } = follower.sets.get(`${direction} ${subjectText(one)}`)!;
      assert.equal(key, set.key, 'the engine has said that the subject is stale');
      assert.deepEqual(sorted(kernel.verdicts), sorted(set.verdicts));
      assert.deepEqual(new Map([...kernel.classes].sort()), new Map([...set.classes].sort()));
      assert.deepEqual(content(engine.compile(one, direction)), content(set));
    }
  }), { numRuns: runs });
});

test('a set that somebody holds stays as it is while identities come; a subject that is forgotten leaves nothing behind', () => {
  const engine = new PolicyEngine();
  engine.upsertPolicy(cnp('p', 'x', { endpointSelector: {}, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'b' } }] }] }));
  const [one, other] = [testPods[0]!, testPods[1]!];
  const held = engine.compile(subject(one.labels), 'ingress');
  assert.equal(engine.upsertIdentity(other.id, other.labels).length, 1);
  assert.equal(held.classes.has(other.id), false);
  assert.equal(engine.compile(subject(one.labels), 'ingress').classes.has(other.id), true);
  engine.forget(subject(one.labels));
  assert.deepEqual(engine.removeIdentity(other.id), [], 'no set is left to change');
});

test('a set that grows too large as identities come is refused as a whole; with fewer rules all is well again', () => {
  const ranges = Array.from({ length: 500 }, (_, i) => ({ ports: Array.from({ length: 40 }, (_, j) => ({ port: String(1 + (i * 40 + j) * 3), endPort: 2 + (i * 40 + j) * 3, protocol: 'ANY' })) }));
  const apps = Array.from({ length: 9 }, (_, i) => ({ fromEndpoints: [{ matchLabels: { app: `a${i}` } }], toPorts: [{ ports: [{ port: String(60_001 + i), protocol: 'TCP' }] }] }));
  const engine = engineOf([cnp('p', 'x', { endpointSelector: {}, ingress: [{ toPorts: ranges }, ...apps] })]);
  const [one] = [subject(pod('x'))];
  assert.ok(engine.compile(one, 'ingress').verdicts.length > 60_000);
  const deltas = Array.from({ length: 9 }, (_, i) => engine.upsertIdentity(500 + i, pod('x', { app: `a${i}` }))).flat();
  assert.equal(deltas.at(-1)?.before, '', 'whoever holds the set hears that it is not known any more');
  assert.throws(() => engine.compile(one, 'ingress'), /need more than 262144 rows/);
  assert.equal(engine.compile(one, 'egress').verdicts.length, 1, 'the other direction is not concerned');
  engine.setPolicies([cnp('p', 'x', { endpointSelector: {}, ingress: apps })]);
  assert.equal(engine.compile(one, 'ingress').classes.size, 10, 'nine peers and the node');
});

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { maps as specs } from '../../datapath/generated/maps.ts';
import type { PolicyClass, PolicyClassKey, PolicyVerdict, PolicyVerdictKey } from '../../datapath/generated/structs.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { LabelSet } from '../../model/labels.ts';
import { PolicyEngine } from '../../policy/compile.ts';
import { parsePolicy } from '../../policy/parse.ts';
import type { Policy } from '../../policy/policy.ts';
import { PolicySets } from './sets.ts';

/* From policies as written to the fields of the kernel's entries: what the engine says is what the programs read. */

let classes: BpfMap<PolicyClassKey, PolicyClass>;
let verdicts: BpfMap<PolicyVerdictKey, PolicyVerdict>;
before(() => {
  classes = BpfMap.create(specs.policyClasses);
  verdicts = BpfMap.create(specs.policyVerdicts);
});
after(() => {
  classes.close();
  verdicts.close();
});

const web = LabelSet.of(['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop', 'k8s:io.cilium.k8s.policy.cluster=default']);
const subject = { labels: LabelSet.of(['k8s:app=db', 'k8s:io.kubernetes.pod.namespace=shop', 'k8s:io.cilium.k8s.policy.cluster=default']), namedPorts: new Map() };

function policy(name: string, spec: object, annotations: Record<string, string> = {}): Policy {
  const { policy, errors } = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'shop', annotations }, spec: { endpointSelector: { matchLabels: { app: 'db' } }, ...spec } });
  assert.ok(policy, JSON.stringify(errors));
  return policy;
}

function ask(policies: readonly Policy[], identity: number, port: number) {
  const engine = new PolicyEngine();
  engine.upsertIdentity(300, web);
  engine.setPolicies(policies);
  const sets = new PolicySets({ classes, verdicts });
  const set = sets.ensure(engine.compile(subject, 'ingress'));
  assert.deepEqual(sets.verify(), []);
  const number = classes.lookup({ set: set.id, identity })?.class ?? 0;
  const row = verdicts.lookup({ prefixBits: 96, set: set.id, class: number, protocol: 6, port })!;
  const name = (id: number) => (id === 0 ? undefined : engine.ruleInfo(id)?.address);
  sets.retain(new Set());
  return { verdict: row.verdict, rule: name(row.rule), shadowVerdict: row.shadowVerdict, shadowRule: name(row.shadowRule), flags: row.flags };
}

const fromWeb = { fromEndpoints: [{ matchLabels: { app: 'web' } }] };
const allow = policy('allow', { ingress: [fromWeb] });

test('a policy in shadow that would deny: allowed, with what it would be', () => {
  const strict = policy('strict', { ingressDeny: [fromWeb] }, { 'policy.cirri.io/mode': 'shadow' });
  assert.deepEqual(ask([allow, strict], 300, 80), { verdict: 1, rule: 'CiliumNetworkPolicy/shop/allow/spec.ingress[0]', shadowVerdict: 2, shadowRule: 'CiliumNetworkPolicy/shop/strict/spec.ingressDeny[0]', flags: 0 });
});

test('a policy in shadow that would allow: denied, with what it would be', () => {
  const wide = policy('wide', { ingress: [{ fromEntities: ['world'] }] }, { 'policy.cirri.io/mode': 'shadow' });
  const { verdict, shadowVerdict, shadowRule } = ask([allow, wide], 9, 80);
  assert.deepEqual({ verdict, shadowVerdict, shadowRule }, { verdict: 2, shadowVerdict: 1, shadowRule: 'CiliumNetworkPolicy/shop/wide/spec.ingress[0]' });
});

test('a default denial in shadow names its policies', () => {
  const closed = policy('closed', { ingress: [{}] }, { 'policy.cirri.io/mode': 'shadow' });
  assert.deepEqual(ask([closed], 300, 80), { verdict: 1, rule: 'default/allow/ingress', shadowVerdict: 2, shadowRule: 'default/deny/ingress/CiliumNetworkPolicy shop/closed', flags: 0 });
});

test('a policy in audit passes what it denies as AUDIT, with its rule', () => {
  const audited = policy('audited', { ingressDeny: [fromWeb] }, { 'policy.cirri.io/mode': 'audit' });
  const { verdict, rule, shadowVerdict } = ask([allow, audited], 300, 80);
  assert.deepEqual({ verdict, rule, shadowVerdict }, { verdict: 4, rule: 'CiliumNetworkPolicy/shop/audited/spec.ingressDeny[0]', shadowVerdict: 0 });
});

test('keep marks denials, also the default one, and allows nothing', () => {
  const keeping = policy('keeping', { ingress: [{ ...fromWeb, toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }] }, { 'policy.cirri.io/established': 'keep' });
  assert.deepEqual([ask([keeping], 300, 80), ask([keeping], 300, 81)].map(({ verdict, flags }) => [verdict, flags]), [[1, 0], [2, 1]]);
  const strict = policy('strict', { ingress: [{}] });
  assert.equal(ask([keeping, strict], 300, 81).flags, 0, 'one that denies without it is enough');
});

test('without annotations there is neither', () => {
  assert.deepEqual(ask([allow], 300, 80), { verdict: 1, rule: 'CiliumNetworkPolicy/shop/allow/spec.ingress[0]', shadowVerdict: 0, shadowRule: undefined, flags: 0 });
});

test('a rule on requests is a redirect with the number of its set; so are its changes', () => {
  const reading = (path: string) => policy('read', { ingress: [{ ...fromWeb, toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path }] } }] }] });
  const engine = new PolicyEngine();
  engine.upsertIdentity(300, web);
  engine.setPolicies([reading('/a')]);
  const sets = new PolicySets({ classes, verdicts });
  const entry = () => {
    const set = sets.ensure(engine.compile(subject, 'ingress'));
    assert.deepEqual(sets.verify(), []);
    return verdicts.lookup({ prefixBits: 96, set: set.id, class: classes.lookup({ set: set.id, identity: 300 })!.class, protocol: 6, port: 80 })!;
  };
  const pathsOf = (number: number) => {
    const set = engine.l7Sets().get(number);
    return set?.protocol === 'http' ? set.rules.map(rule => rule.path) : undefined;
  };
  const first = entry();
  assert.deepEqual([first.verdict, pathsOf(first.l7)], [3, ['/a']]);
  engine.setPolicies([reading('/b')]);
  const second = entry();
  assert.deepEqual([second.verdict, second.rule === first.rule, pathsOf(second.l7)], [3, true, ['/b']]);
  assert.notEqual(second.l7, first.l7);
  const [delta] = engine.upsertIdentity(301, web);
  assert.equal(sets.apply(delta!), true);
  assert.deepEqual(sets.verify(), []);
  sets.retain(new Set());
});

test('a denial that a rule on names comes before bears the flag by which the kernel asks for names', () => {
  const { policy: admin } = parsePolicy({ kind: 'AdminNetworkPolicy', metadata: { name: 'a' }, spec: { priority: 1, subject: { namespaces: {} }, egress: [{ action: 'Allow', to: [{ domainNames: ['a.example'] }] }, { action: 'Deny', to: [{ networks: ['0.0.0.0/0'] }] }] } });
  const engine = new PolicyEngine();
  engine.setPolicies([admin!]);
  const sets = new PolicySets({ classes, verdicts });
  const set = sets.ensure(engine.compile(subject, 'egress'));
  const { verdict, flags } = verdicts.lookup({ prefixBits: 96, set: set.id, class: classes.lookup({ set: set.id, identity: 9 })!.class, protocol: 6, port: 443 })!;
  assert.deepEqual([verdict, flags], [2, 2]);
  sets.retain(new Set());
});

test('changes of single identities: the kernel holds what a whole comparison finds right', () => {
  const engine = new PolicyEngine();
  engine.setPolicies([allow]);
  const sets = new PolicySets({ classes, verdicts });
  const { id, key } = sets.ensure(engine.compile(subject, 'ingress'));
  sets.sweep();
  const apply = (deltas: ReturnType<PolicyEngine['upsertIdentity']>) => deltas.map(delta => sets.apply(delta));
  assert.deepEqual(apply(engine.upsertIdentity(300, web)), [true]);
  assert.deepEqual(apply(engine.upsertIdentity(301, web)), [true]);
  assert.equal(sets.ensure(engine.compile(subject, 'ingress')).hash, sets.get(key)!.hash, 'nothing is left for the whole comparison');
  assert.deepEqual(sets.verify(), []);
  const number = classes.lookup({ set: id, identity: 301 })!.class;
  assert.equal(verdicts.lookup({ prefixBits: 96, set: id, class: number, protocol: 6, port: 80 })?.verdict, 1);
  assert.deepEqual(apply(engine.removeIdentity(300)), [true]);
  assert.deepEqual(apply(engine.upsertIdentity(301, LabelSet.of(['k8s:app=other']))), [true]);
  assert.notEqual(classes.lookup({ set: id, identity: 300 }), undefined, 'an address may still lead there');
  sets.retain(new Set([key]));
  assert.equal(classes.lookup({ set: id, identity: 300 }), undefined);
  assert.deepEqual([...verdicts.entries()].filter(([k]) => k.set === id && k.class === number), [], 'the class went with its last identity');
  assert.deepEqual(sets.verify(), []);
  sets.retain(new Set());
});

test('a change that starts elsewhere is not applied: the whole is compared', () => {
  const engine = new PolicyEngine();
  engine.setPolicies([allow]);
  const sets = new PolicySets({ classes, verdicts });
  const { key } = sets.ensure(engine.compile(subject, 'ingress'));
  engine.upsertIdentity(300, web);
  const [second] = engine.upsertIdentity(301, web);
  assert.equal(sets.apply(second!), false);
  sets.ensure(engine.compile(subject, 'ingress'));
  assert.deepEqual([...sets.get(key)!.classes.keys()].filter(identity => identity >= 300).sort(), [300, 301]);
  assert.equal(sets.apply({ ...second!, key: 'unknown' }), false);
  sets.retain(new Set());
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Flow } from '../model/flow.ts';
import { cidrIdentityLabels, fnv1a } from '../model/identity.ts';
import type { L7Set } from '../model/l7.ts';
import { LabelSet } from '../model/labels.ts';
import { PolicyEngine } from './compile.ts';
import type { EngineOptions } from './compile.ts';
import { lookup } from './evaluate.ts';
import { flowConnection } from './flow-question.ts';
import { L7Numbers } from './l7-numbers.ts';
import { canonicalText, mergeL7 } from './l7-sets.ts';
import { parsePolicy } from './parse.ts';
import { policyAnnotations } from './policy.ts';
import type { Policy } from './policy.ts';
import { askL7 } from './requests.ts';
import type { KafkaRequest } from './requests.ts';
import { readScenario } from './scenario.ts';
import type { ScenarioObject } from './scenario.ts';
import { ccnp, cnp, pod, policy, subject, testSecrets } from './testing.ts';
import { World } from './world.ts';

const [web, db] = [{ matchLabels: { app: 'web' } }, { matchLabels: { app: 'db' } }];
const me = subject(pod('x', { app: 'web' }));
const peer = { id: 300, labels: pod('x', { app: 'db' }) };
const tcp = (port: string, rules: object, more: object = {}) => ({ ports: [{ port, protocol: 'TCP' }], ...(rules && { rules }), ...more });
const ingress = (name: string, ...toPorts: object[]) => cnp(name, 'x', { endpointSelector: web, ingress: [{ fromEndpoints: [db], toPorts }] });
const id = (address: string) => fnv1a(`CiliumNetworkPolicy/x/${address}`);

function engineOf(policies: readonly Policy[], options: EngineOptions = {}): PolicyEngine {
  const engine = new PolicyEngine({ provides: { proxy: true }, ...options });
  engine.setSecrets(testSecrets);
  engine.setPolicies(policies);
  engine.upsertIdentity(peer.id, peer.labels);
  return engine;
}

/** What passes from the peer at a port, and by which verdict. */
function at(engine: PolicyEngine, port: number, protocol = 6, direction: 'ingress' | 'egress' = 'ingress') {
  const row = lookup(engine.compile(me, direction), peer.id, protocol, port)!;
  return { verdict: row.verdict, set: row.l7 === undefined ? undefined : engine.l7Sets().get(row.l7), because: engine.ruleInfo(row.rule)?.because ?? '' };
}

test('the rules of all policies at a point are one set, each with its own id', () => {
  const a = ingress('a', tcp('80', { http: [{ method: 'GET', path: '/a' }] }));
  const b = ingress('b', { ports: [{ port: '79', endPort: 90, protocol: 'TCP' }], rules: { http: [{ host: 'b.example', headers: ['X-A: 1', 'X-B'] }] } });
  const engine = engineOf([a, b]);
  const ruleA = { rule: id('a/spec.ingress[0].toPorts[0]'), method: 'GET', path: '/a', headers: [] };
  const ruleB = { rule: id('b/spec.ingress[0].toPorts[0]'), host: 'b.example', headers: [{ name: 'x-a', value: '1' }, { name: 'x-b' }] };
  assert.deepEqual(at(engine, 80), { verdict: 'redirect', set: { protocol: 'http', rules: [ruleA, ruleB] }, because: 'CiliumNetworkPolicy x/a (spec.ingress[0].toPorts[0]) allows ingress from endpoints app=db, k8s:io.kubernetes.pod.namespace=x on port 80/TCP, and there only HTTP GET /a' });
  assert.deepEqual(at(engine, 81).set, { protocol: 'http', rules: [ruleB] });
  assert.equal(at(engine, 91).verdict, 'deny');
  assert.equal(engine.l7Sets().size, 2);
});

test('beside a plain allow of the same peers and ports there is nothing to read', () => {
  assert.deepEqual(at(engineOf([ingress('a', tcp('80', { http: [{ method: 'GET' }] }), { ports: [{ port: '80' }] })]), 80).verdict, 'allow');
});

test('without a proxy nothing passes, and the rule says why', () => {
  const engine = engineOf([ingress('a', tcp('80', { http: [{}] }))], { provides: {} });
  assert.deepEqual([at(engine, 80).verdict, engine.l7Sets().size], ['deny', 0]);
  assert.match(at(engine, 80).because, /^not enforced: L7 http needs the proxy, and there is none/);
});

test('Kafka: roles are written out, names are numbers', () => {
  const { set } = at(engineOf([ingress('a', tcp('9092', { kafka: [{ role: 'Produce', topic: 'orders' }, { apiKey: 'fetch', apiVersion: '4', clientID: 'c' }, { role: 'consume' }] }))]), 9092);
  const rule = id('a/spec.ingress[0].toPorts[0]');
  assert.deepEqual(set, { protocol: 'kafka', rules: [
    { rule, apiKeys: [0, 3, 10, 17, 18, 22, 24, 25, 26, 36], topic: 'orders' }, { rule, apiKeys: [1], apiVersion: 4, clientId: 'c' },
    { rule, apiKeys: [1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 17, 18, 23, 28, 36] },
  ] });
});

test('DNS rules hold for UDP and TCP, names in lower case without a final dot', () => {
  const engine = engineOf([cnp('a', 'x', { endpointSelector: web, egress: [{ toEndpoints: [db], toPorts: [{ ports: [{ port: '53' }], rules: { dns: [{ matchName: 'API.example.com.' }, { matchPattern: '*.B.example' }] } }] }] })]);
  const rule = id('a/spec.egress[0].toPorts[0]');
  const set = { protocol: 'dns', rules: [{ rule, pattern: 'api.example.com' }, { rule, pattern: '*.b.example' }] };
  assert.deepEqual([17, 6].map(protocol => at(engine, 53, protocol, 'egress').set), [set, set]);
  assert.equal(at(engine, 53, 132, 'egress').verdict, 'deny', 'names are not asked by SCTP');
});

test('names of servers: TCP only, and their TLS may be ended with a Secret', () => {
  const engine = engineOf([ingress('a', { ports: [{ port: '443' }], serverNames: ['B.example', 'a.example'] }, tcp('8443', { http: [{ method: 'GET' }] }, { terminatingTLS: { secret: { name: 'web-tls' } }, serverNames: ['a.example'] }))]);
  assert.deepEqual(at(engine, 443).set, { protocol: 'tls', rules: [{ rule: id('a/spec.ingress[0].toPorts[0]'), serverNames: ['a.example', 'b.example'] }] });
  assert.equal(at(engine, 443, 17).verdict, 'deny');
  assert.deepEqual(at(engine, 8443).set, { protocol: 'http', rules: [{ rule: id('a/spec.ingress[0].toPorts[1]'), method: 'GET', headers: [] }], tls: { terminating: { certificate: 'CERT', key: 'KEY' }, serverNames: ['a.example'] } });
});

test('Secrets: what is missing lets nothing pass; when it comes, the set is another', () => {
  const engine = engineOf([ingress('a', tcp('80', { http: [{ headerMatches: [{ name: 'X-Token', secret: { name: 'late' } }] }] }), tcp('443', { http: [{}] }, { terminatingTLS: { secret: { name: 'late' } } }))]);
  assert.deepEqual(engine.secretKeys(), ['x/late']);
  const before = engine.compile(me, 'ingress');
  const rule = (i: number) => id(`a/spec.ingress[0].toPorts[${i}]`);
  assert.deepEqual(at(engine, 80).set, { protocol: 'http', rules: [{ rule: rule(0), headers: [{ name: 'x-token', missing: true, secret: true }] }] });
  assert.deepEqual(at(engine, 443).set, { protocol: 'http', rules: [{ rule: rule(1), headers: [] }], tls: { fault: 'there is no Secret x/late' } });
  assert.equal(engine.setSecret('x/late', { 'tls.crt': 'C' }).size, 1);
  assert.deepEqual(at(engine, 443).set, { protocol: 'http', rules: [{ rule: rule(1), headers: [] }], tls: { fault: 'Secret x/late has no tls.key' } });
  assert.deepEqual(at(engine, 80).set, { protocol: 'http', rules: [{ rule: rule(0), headers: [{ name: 'x-token', value: 'C', secret: true }] }] });
  assert.notEqual(engine.compile(me, 'ingress').key, before.key);
  assert.equal(engine.setSecret('x/late', { 'tls.crt': 'C' }).size, 0, 'the same again');
  assert.equal(engine.l7Sets().size, 2, 'the sets from before have gone');
});

test('two parsers from two policies at one point: nothing passes, and both are named', () => {
  const engine = engineOf([ingress('a', tcp('80', { http: [{}] })), ingress('b', tcp('80', { kafka: [{}] }), tcp('81', { kafka: [{}] }))]);
  assert.deepEqual(at(engine, 80), { verdict: 'deny', set: undefined, because: 'cannot merge conflicting L7 parsers (http/kafka): CiliumNetworkPolicy x/a (spec.ingress[0].toPorts[0]) and CiliumNetworkPolicy x/b (spec.ingress[0].toPorts[0]) are for the same port and peer at ingress, so nothing passes there' });
  assert.equal(at(engine, 81).verdict, 'redirect');
  assert.deepEqual(engine.l7Conflicts().map(c => c.address), ['conflict/ingress/CiliumNetworkPolicy/x/a/spec.ingress[0].toPorts[0],CiliumNetworkPolicy/x/b/spec.ingress[0].toPorts[0]']);
  engine.removePolicy('CiliumNetworkPolicy/x/b');
  assert.equal(at(engine, 80).verdict, 'redirect');
  assert.deepEqual(engine.l7Conflicts(), []);
});

const audited = (name: string, spec: object) => policy({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x', annotations: { [policyAnnotations.mode]: 'audit' } }, spec: { endpointSelector: web, ...spec } });

test('a policy in audit adds what its rules let pass, and limits nobody', () => {
  const inAudit = (rules: object, more: object = {}) => audited('p', { ingress: [{ fromEndpoints: [db], toPorts: [tcp('80', rules, more)] }] });
  const get = { http: [{ method: 'GET' }] };
  assert.equal(at(engineOf([inAudit(get)]), 80).verdict, 'allow', 'nothing else restricts');
  const closed = ccnp('closed', { endpointSelector: {}, ingress: [{}] });
  const opened = at(engineOf([inAudit(get), closed]), 80);
  assert.deepEqual([opened.verdict, opened.set?.rules.length], ['redirect', 1], 'what default deny would refuse');
  const enforced = ingress('a', tcp('80', { http: [{ method: 'PUT' }] }));
  assert.equal(at(engineOf([inAudit(get), enforced]), 80).set?.rules.length, 2);
  assert.equal(at(engineOf([inAudit({ kafka: [{}] }), enforced]), 80).set?.protocol, 'http', 'another parser is not heard');
  assert.equal(at(engineOf([inAudit(get, { terminatingTLS: { secret: { name: 'web-tls' } } }), enforced]), 80).set?.rules.length, 1, 'nor TLS that the others do not ask for');
  assert.equal(at(engineOf([inAudit(get), ingress('a', { ports: [{ port: '80' }] })]), 80).verdict, 'allow');
});

test('merging: tls beside http becomes http; names of servers are asked of everyone; contexts must be equal', () => {
  const http: L7Set = { protocol: 'http', rules: [{ rule: 1, method: 'GET', headers: [] }], tls: { terminating: { certificate: 'c', key: 'k' } } };
  const names: L7Set = { protocol: 'tls', rules: [{ rule: 2, serverNames: ['b', 'a'] }] };
  assert.deepEqual(mergeL7([http, names]), { set: { protocol: 'http', rules: [{ rule: 1, method: 'GET', headers: [] }, { rule: 2, headers: [] }], tls: { terminating: { certificate: 'c', key: 'k' }, serverNames: ['a', 'b'] } } });
  assert.deepEqual(mergeL7([{ ...http, tls: {} }, names]), { set: { protocol: 'http', rules: [{ rule: 1, method: 'GET', headers: [] }, { rule: 2, headers: [] }], tls: { serverNames: ['a', 'b'], fault: 'serverNames beside rules on requests need terminatingTLS' } } });
  assert.deepEqual(mergeL7([http, { ...http, tls: { terminating: { certificate: 'd', key: 'k' } } }]), { conflict: 'cannot merge different terminatingTLS contexts' });
  assert.deepEqual(mergeL7([names, { protocol: 'kafka', rules: [{ rule: 3 }] }]), { conflict: 'cannot merge conflicting L7 parsers (kafka/tls)' });
  assert.deepEqual(mergeL7([names, { protocol: 'tls', rules: [{ rule: 3, serverNames: ['c'] }] }, names]), { set: { protocol: 'tls', rules: [{ rule: 2, serverNames: ['b', 'a'] }, { rule: 3, serverNames: ['c'] }] } });
});

describe('who reads requests', () => {
  const http = { http: [{ path: '/a' }] };
  const saying = (name: string, reader: 'proxy' | 'kernel', spec: object) => policy({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x', annotations: { [policyAnnotations.l7Http]: reader } }, spec: { endpointSelector: web, ...spec } });
  const from = (...toPorts: object[]) => ({ ingress: [{ fromEndpoints: [db], toPorts }] });
  const kernelAt = (engine: PolicyEngine, direction: 'ingress' | 'egress' = 'ingress') => {
    const { set } = at(engine, 80, 6, direction);
    assert.ok(set?.protocol === 'http');
    return set.kernel ?? false;
  };

  test('is what the policy says, else what the settings say', () => {
    for (const [policies, setting, kernel] of [
      [[ingress('a', tcp('80', http))], undefined, false],
      [[ingress('a', tcp('80', http))], 'kernel', true],
      [[saying('a', 'kernel', from(tcp('80', http)))], 'proxy', true],
      [[saying('a', 'proxy', from(tcp('80', http)))], 'kernel', false],
      [[saying('a', 'kernel', from(tcp('80', http))), saying('b', 'kernel', from(tcp('80', { http: [{ path: '/b' }] })))], 'proxy', true],
      [[saying('a', 'kernel', from(tcp('80', http))), ingress('b', tcp('80', { http: [{ path: '/b' }] }))], 'proxy', false],
      [[saying('a', 'kernel', from(tcp('80', http))), ingress('b', tcp('81', { http: [{ path: '/b' }] }))], 'proxy', true],
    ] as const) assert.equal(kernelAt(engineOf(policies, setting ? { httpReader: setting } : {})), kernel);
  });

  test('is the proxy for what pods send, and where there is TLS', () => {
    assert.equal(kernelAt(engineOf([saying('a', 'kernel', { egress: [{ toEndpoints: [db], toPorts: [tcp('80', http)] }] })]), 'egress'), false);
    const ended = tcp('80', http, { terminatingTLS: { secret: { name: 'server', namespace: 'x' } } });
    assert.equal(kernelAt(engineOf([saying('a', 'kernel', from(ended))])), false);
    assert.equal(kernelAt(engineOf([saying('a', 'kernel', from(tcp('80', http))), saying('b', 'kernel', from({ ports: [{ port: '80', protocol: 'TCP' }], serverNames: ['a.example'] }))])), false);
  });

  test('changes the number of a set, so that all who ask are compiled again', () => {
    const engine = engineOf([ingress('a', tcp('80', http))]);
    const before = lookup(engine.compile(me, 'ingress'), peer.id, 6, 80)!.l7;
    assert.equal(engine.setPolicies([saying('a', 'kernel', from(tcp('80', http)))]).size, 1);
    const after = lookup(engine.compile(me, 'ingress'), peer.id, 6, 80)!.l7;
    assert.notEqual(after, before);
    assert.deepEqual([...engine.l7Sets().keys()], [after]);
  });

  test('is nobody else: another word is an error of the policy', () => {
    const { errors } = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: 'a', namespace: 'x', annotations: { [policyAnnotations.l7Http]: 'envoy' } }, spec: { endpointSelector: web, ...from(tcp('80', http)) } });
    assert.deepEqual(errors?.map(e => e.path), [`metadata.annotations[${policyAnnotations.l7Http}]`]);
  });
});

test('numbers: equal sets have one, whatever the order of their fields; what exists keeps its own', () => {
  const set: L7Set = { protocol: 'dns', rules: [{ rule: 7, pattern: 'a.example' }] };
  const same: L7Set = { rules: [{ pattern: 'a.example', rule: 7 }], protocol: 'dns' };
  const numbers = new L7Numbers();
  assert.equal(numbers.numberOf(set), fnv1a(canonicalText(set)));
  assert.equal(numbers.numberOf(same), numbers.numberOf(set));
  const taken = new L7Numbers([[fnv1a(canonicalText(set)), { protocol: 'dns', rules: [] }], [42, { protocol: 'dns', rules: [] }]]);
  assert.equal(taken.numberOf(set), (fnv1a(canonicalText(set)) + 1) >>> 0, 'a number that means something else is left alone');
});

test('a set stays known while some row names it, and goes with the last', () => {
  const engine = engineOf([ingress('a', tcp('80', { http: [{}] }))]);
  const set = engine.compile(me, 'ingress');
  const numbers = set.verdicts.flatMap(row => row.l7 ?? []);
  assert.equal(numbers.length, 1);
  assert.deepEqual([...engine.l7Sets().keys()], numbers);
  const before = engine.l7Revision;
  engine.removeIdentity(peer.id);
  assert.equal(engine.l7Sets().size, 0);
  assert.notEqual(engine.l7Revision, before);
  const [delta] = engine.upsertIdentity(peer.id, peer.labels);
  assert.deepEqual(delta!.rows.flatMap(row => row.l7 ?? []).every(number => engine.l7Sets().has(number)), true);
  engine.forget(me);
  assert.equal(engine.l7Sets().size, 0);
});

test('while a set cannot be kept no row names it, and the next try may succeed', () => {
  let isFull = false;
  const kept = new L7Numbers();
  const numbers = { numberOf: (set: L7Set) => {
    if (isFull) throw new Error('no space left on device');
    return kept.numberOf(set);
  } };
  const read = ingress('a', tcp('80', { http: [{}] }));
  const engine = new PolicyEngine({ l7: numbers });
  engine.setPolicies([read]);
  engine.compile(me, 'ingress');
  isFull = true;
  const [delta] = engine.upsertIdentity(peer.id, peer.labels);
  assert.deepEqual([delta!.after, delta!.rows], ['', []], 'compiling says why');
  assert.throws(() => engine.compile(me, 'ingress'), /a layer 7 set could not be kept: no space left on device/);
  assert.throws(() => engine.compile(me, 'ingress'), /could not be kept/);
  isFull = false;
  assert.equal(at(engine, 80).verdict, 'redirect');
  assert.equal(engine.l7Sets().size, 1);
  engine.forget(me);
  assert.equal(engine.l7Sets().size, 0);
});

// ---- names ----

const byName = (patterns: readonly string[], more: object = {}) => ({ toFQDNs: patterns.map(matchPattern => ({ matchPattern })), ...more });
const outside = (id: number, ...patterns: string[]) => [id, LabelSet.of([...patterns.map(p => `fqdn:${p}`), 'reserved:world', 'reserved:world-ipv4'])] as const;

test('names: rules select the identities that bear them, and the engine says which there are', () => {
  const engine = engineOf([cnp('a', 'x', { endpointSelector: web, egress: [
    byName(['API.example.com.', '*.b.example'], { toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] }),
    { toEndpoints: [db], toPorts: [{ ports: [{ port: '53' }], rules: { dns: [{ matchName: 'other.example' }, { matchPattern: '*.b.example' }] } }] },
  ] })]);
  assert.deepEqual(engine.fqdnSelectors(), ['*.b.example', 'api.example.com']);
  assert.deepEqual(engine.nameSelectors(), ['*.b.example', 'api.example.com', 'other.example']);
  engine.upsertIdentity(...outside(17_000_000, 'api.example.com'));
  engine.upsertIdentity(...outside(17_000_001, 'c.example'));
  const set = engine.compile(me, 'egress');
  const verdicts = (id: number) => [443, 444].map(port => lookup(set, id, 6, port)!.verdict);
  assert.deepEqual([verdicts(17_000_000), verdicts(17_000_001), verdicts(9)], [['allow', 'deny'], ['deny', 'deny'], ['deny', 'deny']]);
});

test('names: the revision counts changes of what is named, not of policies', () => {
  const named = (name: string, ...patterns: string[]) => cnp(name, 'x', { endpointSelector: web, egress: [byName(patterns)] });
  const engine = engineOf([named('a', 'a.example')]);
  const revisions = [engine.nameRevision];
  const step = (change: () => unknown) => {
    change();
    revisions.push(engine.nameRevision);
  };
  step(() => engine.upsertPolicy(named('b', 'a.example')));
  step(() => engine.upsertPolicy(named('a', 'a.example')));
  step(() => engine.removePolicy('CiliumNetworkPolicy/x/a'));
  const changes = () => revisions.slice(1).map((r, i) => r !== revisions[i]);
  assert.deepEqual(changes(), [false, false, false]);
  step(() => engine.upsertPolicy(named('b', 'b.example')));
  step(() => engine.upsertPolicy(cnp('b', 'x', { endpointSelector: web, egress: [{ toEndpoints: [db], toPorts: [{ ports: [{ port: '53' }], rules: { dns: [{ matchName: 'b.example' }] } }] }] })));
  assert.deepEqual([changes().slice(3), engine.fqdnSelectors(), engine.nameSelectors()], [[true, true], [], ['b.example']]);
});

test('names are learned from TCP port 53 where it is plainly allowed, whatever the ports of the rule', () => {
  const rules = (dnsRule: object) => engineOf([cnp('a', 'x', { endpointSelector: web, egress: [byName(['a.example']), { toEndpoints: [db], ...dnsRule }] })]);
  const learned = (path: string) => ({ protocol: 'dns', rules: [{ rule: id(`a/${path}`), pattern: '*' }], learn: true });
  for (const ports of [{}, { toPorts: [{ ports: [{ port: '53' }] }] }, { toPorts: [{ ports: [{ port: '50', endPort: 60, protocol: 'TCP' }] }] }]) {
    const engine = rules(ports);
    assert.deepEqual(at(engine, 53, 6, 'egress').set, learned('spec.egress[1]'));
    assert.match(at(engine, 53, 6, 'egress').because, /^CiliumNetworkPolicy x\/a \(spec.egress\[1\]\) allows/);
    assert.notEqual(at(engine, 54, 6, 'egress').verdict, 'redirect');
  }
  assert.equal(at(rules({}), 53, 17, 'egress').verdict, 'allow', 'by UDP the kernel reads them unasked');
  assert.equal(at(rules({ toPorts: [{ ports: [{ port: '80' }] }] }), 53, 6, 'egress').verdict, 'deny');
  assert.equal(at(engineOf([cnp('a', 'x', { endpointSelector: web, egress: [{ toEndpoints: [db] }] })]), 53, 6, 'egress').verdict, 'allow', 'nobody waits for names');
  const both = at(rules({ toPorts: [{ ports: [{ port: '53' }], rules: { dns: [{ matchName: 'a.example' }] } }] }), 53, 6, 'egress').set;
  assert.deepEqual(both, { protocol: 'dns', rules: [{ rule: id('a/spec.egress[1].toPorts[0]'), pattern: 'a.example' }] });
});

const anp = (egress: readonly object[]) => policy({ kind: 'AdminNetworkPolicy', metadata: { name: 'a' }, spec: { priority: 1, subject: { namespaces: {} }, egress } });
const rule = (action: string, to: object, more: object = {}) => ({ action, to: [to], ...more });

test('a rule on names that comes before the rule that denies: the row says so, where its ports are', () => {
  const engine = engineOf([anp([
    rule('Deny', { networks: ['192.0.2.0/24'] }),
    rule('Allow', { domainNames: ['*.example.com'] }, { ports: [{ portNumber: { protocol: 'TCP', port: 443 } }] }),
    rule('Deny', { networks: ['0.0.0.0/0'] }),
  ])]);
  engine.upsertIdentity(17_000_000, cidrIdentityLabels('192.0.2.0/24', ['192.0.2.0/24']));
  engine.upsertIdentity(...outside(17_000_001, '**.example.com'));
  const set = engine.compile(me, 'egress');
  const row = (id: number, port: number) => {
    const { verdict, asksNames } = lookup(set, id, 6, port)!;
    return `${verdict}${asksNames ? ', names' : ''}`;
  };
  assert.deepEqual([[9, 443], [9, 80], [17_000_000, 443], [17_000_001, 443], [17_000_001, 80]].map(([id, port]) => row(id!, port!)), ['deny, names', 'deny', 'deny', 'allow', 'deny']);
});

test('a denial of the baseline yields to a name, one of the tier normal does not, and a default denial needs no word', () => {
  const names = (more: object) => cnp('a', 'x', { endpointSelector: web, egress: [byName(['a.example'])], ...more });
  const flags = (...policies: Policy[]) => {
    const { verdict, asksNames } = lookup(engineOf(policies).compile(me, 'egress'), 9, 6, 443)!;
    return [verdict, asksNames];
  };
  const baseline = policy({ kind: 'BaselineAdminNetworkPolicy', metadata: { name: 'default' }, spec: { subject: { namespaces: {} }, egress: [rule('Deny', { networks: ['0.0.0.0/0'] })] } });
  assert.deepEqual(flags(names({ enableDefaultDeny: { egress: false } }), baseline), ['deny', true]);
  assert.deepEqual(flags(names({ egressDeny: [{ toEntities: ['world'] }] })), ['deny', undefined]);
  assert.deepEqual(flags(names({})), ['deny', undefined]);
});

// ---- questions ----

const scenarioOf = (policies: readonly object[]) => new World(readScenario([
  { kind: 'Namespace', metadata: { name: 'x' } },
  ...['web', 'db'].map(app => ({ kind: 'Pod', metadata: { name: app, namespace: 'x', labels: { app } }, status: { podIP: app === 'web' ? '10.0.0.1' : '10.0.0.2' } })),
  { kind: 'Secret', metadata: { name: 'token', namespace: 'x' }, data: { value: Buffer.from('s3cret').toString('base64') } },
  ...policies,
].map(object => ({ object: object as ScenarioObject, place: () => '' }))));
const reading = (rules: object, port = '80') => ({ kind: 'CiliumNetworkPolicy', metadata: { name: 'read', namespace: 'x' }, spec: { endpointSelector: web, ingress: [{ toPorts: [tcp(port, rules)] }] } });
const end = (name: string) => ({ ip: name === 'web' ? '10.0.0.1' : '10.0.0.2', identity: 0, namespace: 'x', podName: name, labels: [] });
const flowOf = (l7: Flow['l7'], port = 80): Flow => ({ type: 'l7', verdict: 'DROPPED', protocol: 'TCP', source: end('db'), destination: end('web'), destinationPort: port, isReply: false, ...(l7 && { l7 }) }) as unknown as Flow;

test('a recorded request is asked of the policies of now', () => {
  const http = (method: string, url: string, headers: readonly { key: string; value: string }[] = []) => flowOf({ type: 'REQUEST', http: { method, url, protocol: 'HTTP/1.1', headers } });
  const world = scenarioOf([reading({ http: [{ method: 'GET', path: '/a\\?x=1', host: 'web.x' }, { path: '/b', headerMatches: [{ name: 'X-Token', secret: { name: 'token' } }] }] })]);
  const asked = (flow: Flow) => {
    const { legs, notes, verdict } = flowConnection(world, flow);
    return [verdict, legs[0]!.steps.at(-1)!.refusal, notes.length];
  };
  assert.deepEqual(asked(http('GET', 'http://web.x/a?x=1')), ['allow', undefined, 0]);
  assert.deepEqual(asked(http('PUT', 'http://web.x/a?x=1')), ['deny', 'method: PUT, not GET', 0]);
  assert.deepEqual(asked(http('GET', 'http://web.x/b', [{ key: 'x-token', value: 's3cret' }])), ['allow', undefined, 0]);
  assert.deepEqual(asked(http('GET', 'http://web.x/b')), ['deny', 'header x-token: it is missing', 1]);
  const broker = scenarioOf([reading({ kafka: [{ role: 'produce', topic: 'orders' }] }, '9092')]);
  const kafka = (apiKey: string, topic: string) => flowConnection(broker, flowOf({ type: 'REQUEST', kafka: { apiKey, apiVersion: 9, correlationId: 1, topic } }, 9092)).legs[0]!.steps.at(-1)!;
  assert.deepEqual([kafka('produce', 'orders'), kafka('produce', 'bills'), kafka('fetch', 'orders')].map(step => step.refusal?.split(', not')[0]), [undefined, 'topic: bills', 'apiKey: fetch']);
});

test('each topic of a request must pass by some rule; a request about none passes by its other fields', () => {
  const set: L7Set = { protocol: 'kafka', rules: [{ rule: 1, apiKeys: [0], topic: 'a' }, { rule: 2, apiKeys: [0, 3], topic: 'b', clientId: 'c' }] };
  const ask = (request: Omit<KafkaRequest, 'topics'>, ...topics: string[]) => askL7(set, { kafka: { ...request, topics } }).passes;
  assert.deepEqual([ask({ apiKey: 0 }, 'a'), ask({ apiKey: 0 }, 'a', 'b'), ask({ apiKey: 0, clientId: 'c' }, 'a', 'b'), ask({ apiKey: 3, clientId: 'c' }), ask({ apiKey: 3 })], [true, false, true, true, false]);
});

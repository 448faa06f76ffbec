import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readScenario } from './scenario.ts';
import { junitReport, tapReport } from './test-report.ts';
import { readTestFile, runTestCase } from './unit-test.ts';
import { World } from './world.ts';

const policy = {
  apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'db', namespace: 'shop' },
  spec: { podSelector: { matchLabels: { app: 'db' } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ port: 'pg' }] }] },
};

const base = {
  cluster: {
    namespaces: ['shop'],
    pods: [{ name: 'web', namespace: 'shop', labels: { app: 'web' }, ports: [8080] }, { name: 'db', namespace: 'shop', labels: { app: 'db' }, ports: [{ name: 'pg', port: 5432 }] }],
    services: [{ name: 'db', namespace: 'shop', selector: { app: 'db' }, ports: [{ port: 5000, targetPort: 'pg' }] }],
  },
  policies: [policy],
};

function run(tests: readonly object[]) {
  const { file, errors } = readTestFile({ ...base, tests }, 'shop');
  assert.deepEqual(errors, []);
  const world = new World(readScenario(file!.objects.map(({ object }) => ({ object, place: field => `t.yaml:${field}` }))));
  return file!.cases.map(each => runTestCase(world, each, 'shop'));
}

test('expectations hold or not, and what was found is said with its place', () => {
  const outcomes = run([
    { from: 'shop/web', to: 'service shop/db', port: 5000, expect: 'allow', by: 'shop/db#spec.ingress[0]' },
    { name: 'closed', from: ['world', '10.0.0.0/8'], to: 'shop/db', ports: [5432, '53/UDP'], expect: 'deny', by: 'NetworkPolicy/shop/db' },
    { from: 'shop/web', to: 'shop/db', port: 5432, expect: 'deny' },
  ]);
  assert.deepEqual(outcomes.map(o => o.passed), [true, true, true, true, true, false]);
  assert.equal(outcomes[1]!.test.name, 'closed (world → shop/db 5432)');
  assert.match(outcomes[5]!.details.join('\n'), /expected deny, got allow[\s\S]*NetworkPolicy shop\/db \(spec\.ingress\[0\]\) allows .* \(t\.yaml:spec\.ingress\[0\]\)/);
});

test('another rule than the expected one is a failure, and so is a question that cannot be asked', () => {
  const [by, nobody] = run([{ from: 'shop/web', to: 'shop/db', port: 5432, expect: 'allow', by: 'shop/other' }, { from: 'shop/nobody', to: 'shop/db', port: 1, expect: 'deny' }]);
  assert.match(by!.details[0]!, /expected shop\/other to decide/);
  assert.match(nobody!.details[0]!, /cannot be asked: there is no pod or workload shop\/nobody/);
  assert.equal(nobody!.passed, false);
});

test('a request in the connection: what rules on requests say of it', () => {
  const reading = {
    apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'read', namespace: 'shop' },
    spec: { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { http: [{ method: 'GET', headers: ['X-Token: yes'] }] } }] }], egress: [{ toFQDNs: [{ matchPattern: '*.example.com' }] }] },
  };
  const ask = (tests: readonly object[]) => {
    const { file, errors } = readTestFile({ ...base, policies: [policy, reading], tests }, 'shop');
    if (errors.length > 0) return errors.map(e => `${e.path}: ${e.message}`);
    const world = new World(readScenario(file!.objects.map(({ object }) => ({ object, place: () => '' }))));
    return file!.cases.map(each => runTestCase(world, each, 'shop')).map(({ passed, details }) => (passed ? 'passed' : details.join('\n')));
  };
  const toWeb = { from: 'shop/db', to: 'shop/web', port: 8080 };
  const [, , , wrong, ...rest] = ask([
    { ...toWeb, expect: 'allow' }, { ...toWeb, http: 'GET /', headers: ['x-token: yes'], expect: 'allow' }, { ...toWeb, http: 'GET /', expect: 'deny' }, { ...toWeb, http: 'PUT /', headers: ['x-token: yes'], expect: 'allow' },
    { from: 'shop/web', to: 'api.example.com', port: 443, expect: 'allow' }, { from: 'shop/web', to: 'example.org', port: 443, expect: 'deny' },
  ]);
  assert.match(wrong!, /expected allow, got deny[\s\S]*; refused: method: PUT, not GET/);
  assert.deepEqual(rest, ['passed', 'passed']);
  assert.deepEqual(ask([{ ...toWeb, http: 'GET /', dns: 'a.example', expect: 'deny' }]), ['tests[0]: http and dns are different requests']);
  assert.deepEqual(ask([{ ...toWeb, headers: ['x: 1'], expect: 'deny' }, { ...toWeb, kafka: 'bake', expect: 'deny' }]), ['tests[0].headers: headers are of an HTTP request', 'tests[1].kafka: "bake" is no Kafka request']);
});

test('a mistyped field is an error with its path and its mend', () => {
  assert.deepEqual(readTestFile({ ...base, tests: [{ from: 'a', to: 'b', port: 1, expects: 'deny' }] }, 'x').errors.map(e => e.path), ['tests[0].expects', 'tests[0].expect']);
  assert.deepEqual(readTestFile({ ...base, tests: [] }, 'x').errors.map(e => e.path), ['tests']);
  assert.deepEqual(readTestFile({ cluster: { pods: [{ labels: {} }] }, tests: [{ from: 'a', to: 'b', port: 1, expect: 'maybe' }] }, 'x').errors.map(e => e.path), ['cluster.pods[0].name', 'tests[0].expect']);
  assert.equal(readTestFile('text', 'x').file, undefined);
});

test('reports are what TAP and JUnit readers take, whatever the names', () => {
  const outcomes = run([{ name: 'a <b> & "c" # \u0007', from: 'shop/web', to: 'shop/db', port: 5432, expect: 'deny' }, { name: 'fine', from: 'shop/web', to: 'shop/db', port: 5432, expect: 'allow' }]);
  const files = [{ file: 't.yaml', name: 'shop', outcomes }];
  const tap = tapReport(files);
  assert.match(tap, /^TAP version 14\n1\.\.2\nnot ok 1 - shop: a <b> & "c" \\# /);
  assert.match(tap, /\nok 2 - shop: fine\n$/);
  const xml = junitReport(files);
  assert.match(xml, /<testsuites tests="2" failures="1">/);
  assert.match(xml, /name="a &lt;b&gt; &amp; &quot;c&quot; # \ufffd"/);
  assert.match(xml, /<failure message="expected deny, got allow/);
});

test('audit is an expectation of its own, and an allowance; ordered policies decide and are named', () => {
  const guard = { apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'AdminNetworkPolicy', metadata: { name: 'guard', annotations: { 'policy.cirri.io/mode': 'audit' } }, spec: { priority: 1, subject: { namespaces: {} }, ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }] } };
  const tests = [
    { from: 'shop/web', to: 'shop/db', port: 5432, expect: 'audit', by: 'AdminNetworkPolicy/guard#spec.ingress[0]' },
    { from: 'shop/web', to: 'shop/db', port: 5432, expect: 'allow' },
    { from: 'shop/web', to: 'shop/db', port: 5432, expect: 'deny' },
    { from: 'shop/web', to: 'shop/db', port: 80, expect: 'audit' },
  ];
  const { file, errors } = readTestFile({ ...base, policies: [policy, guard], tests }, 'shop');
  assert.deepEqual(errors, []);
  const world = new World(readScenario(file!.objects.map(({ object }) => ({ object, place: field => `t.yaml:${field}` }))));
  const outcomes = file!.cases.map(each => runTestCase(world, each, 'shop'));
  assert.deepEqual(outcomes.map(o => o.passed), [true, true, false, false], JSON.stringify(outcomes));
  assert.match(outcomes[2]!.details[0]!, /expected deny, got audit/);
});

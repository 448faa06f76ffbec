/**
 * The runners of the kinds about services tell right from wrong: each published case that holds fails when a word of its
 * expectation is changed. (The published cases themselves are run by policy.test.ts.)
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { dumpFacts } from '../../src/cli/conformance/lb-dump.ts';
import { serviceRunners } from '../../src/cli/conformance/service-runners.ts';
import { casesOf, runCase } from '../../src/policy/conformance/run.ts';
import type { ConformanceCase } from '../../src/policy/conformance/case.ts';

const folder = join(import.meta.dirname, '../../../shared/conformance/cases');
const skip = existsSync(folder) ? false : 'the published cases are not there';
const casesIn = (file: string) => casesOf(JSON.parse(readFileSync(join(folder, file), 'utf8')))!;
const text = (testCase: ConformanceCase) => JSON.stringify(testCase);
const changed = (testCase: ConformanceCase, change: (text: string) => string): ConformanceCase => {
  const after = change(text(testCase));
  assert.notEqual(after, text(testCase), 'the change hits something');
  return JSON.parse(after) as ConformanceCase;
};

test('service-flow: another verdict, backend or masquerade is a failure', { skip }, () => {
  for (const testCase of casesIn('kube_proxy_flows.json')) {
    assert.equal(runCase(testCase, serviceRunners).result, 'pass', testCase.id);
    const other = testCase.probes?.some(p => JSON.stringify(p).includes('reject')) ? changed(testCase, t => t.replace('"verdict":"reject"', '"verdict":"drop"')) : changed(testCase, t => t.replace(/("backends":\["10\.\d+\.\d+\.)(\d)/, '$19$2'));
    assert.equal(runCase(other, serviceRunners).result, 'fail', testCase.id);
  }
});

test('lb-script: a backend too many, another flag, another share, a row that should have gone: all are failures', { skip }, () => {
  const cases = casesIn('cilium_loadbalancer.json');
  const of = (name: string) => cases.find(c => c.id === `cilium-lb-${name}`)!;
  const fails = (name: string, change: (text: string) => string, difference: RegExp) => {
    assert.equal(runCase(of(name), serviceRunners).result, 'pass', name);
    const { result, failures } = runCase(changed(of(name), change), serviceRunners);
    assert.equal(result, 'fail', name);
    assert.match(failures.join('\n'), difference);
  };
  fails('clusterip', t => t.replace('"AFF: ID=1 BEID=1",', ''), /unexpected 10\.96\.50\.104:80\/TCP sticks to/);
  fails('clusterip', t => t.replaceAll('AFFTimeout=42', 'AFFTimeout=43'), /affinity 43/);
  fails('nodeport', t => t.replace('FLAGS=NodePort"', 'FLAGS=NodePort+non-routable"').replace('COUNT=4 QCOUNT=0 FLAGS=NodePort"', 'COUNT=4 QCOUNT=0 FLAGS=NodePort+non-routable"'), /non-routable/);
  fails('nodeport-explicit-maglev', t => t.replace('5(256), 6(255)', '5(255), 6(256)'), /table/);
  fails('source-ranges-all', t => t.replace('SRCRANGE: ID=2 CIDR=10.0.0.0/8', 'SRCRANGE: ID=2 CIDR=10.0.0.0/9'), /asks for 10\.0\.0\.0\/9/);
  fails('topology-aware', t => t.replace('"forZones":[{"name":"quux"}]', '"forZones":[{"name":"foo"}]'), /10\.244\.2\.1/);
  fails('reuse', t => t.replace('{"cmd":"k8s/delete service.yaml"}', '{"cmd":"test/init-wait"}'), /frontends/);
});

test('maglev-table: one entry moved is a failure', { skip }, () => {
  const testCase = casesIn('cilium_components.json').find(c => c.kind === 'maglev-table')!;
  assert.equal(runCase(testCase, serviceRunners).result, 'pass');
  assert.equal(runCase(changed(testCase, t => t.replace('2(5),3(1)', '2(4),3(2)')), serviceRunners).result, 'fail');
});

test('dumps in upstream\'s layout are read to facts without ids', () => {
  const { facts, left } = dumpFacts([
    'BE: ID=1 ADDR=[fd00::5]:80/TCP STATE=active', 'REV: ID=7 ADDR=[fd00::1]:80', 'AFF: ID=7 BEID=1', 'SRCRANGE: ID=7 CIDR=fd00::/8', 'MAGLEV: ID=7 INNER=[1(1021)]',
    'SVC: ID=7 ADDR=[fd00::1]:80/TCP SLOT=0 LBALG=maglev AFFTimeout=9 COUNT=1 QCOUNT=0 FLAGS=LoadBalancer+Local+check source-range+deny',
    'SVC: ID=7 ADDR=[fd00::1]:80/TCP SLOT=1 BEID=1 COUNT=0 QCOUNT=0 FLAGS=LoadBalancer', 'SVC: ID=0 ADDR=[fd00::1]:0/ANY SLOT=0 LBALG=undef AFFTimeout=0 COUNT=0 QCOUNT=0 FLAGS=LoadBalancer+non-routable',
  ]);
  assert.deepEqual(facts, [
    '[fd00::1]:80/TCP asks for fd00::/8', '[fd00::1]:80/TCP count 1 affinity 9 LoadBalancer+check source-range+deny', '[fd00::1]:80/TCP has [fd00::5]:80/TCP',
    '[fd00::1]:80/TCP sticks to [fd00::5]:80/TCP', '[fd00::1]:80/TCP table [fd00::5]:80/TCP 1021', 'backend [fd00::5]:80/TCP active', 'way back to [fd00::1]:80 of [fd00::1]:80',
  ]);
  assert.equal(left.length, 1);
});

/** The parser meets what no author would write: it says what is wrong, where, and how to mend it; never more, never for long. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { PolicyEngine } from './compile.ts';
import { namePattern } from './fqdn.ts';
import { parsePolicy, policyKinds } from './parse.ts';
import type { PolicyObject } from './parse.ts';
import { pod, policyObject, subject } from './testing.ts';
import { hostileCases } from './testing-hostile.ts';
import type { HostileResult } from './testing-hostile.ts';

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 400);

const fieldNames = [
  'kind', 'metadata', 'name', 'namespace', 'annotations', 'policy.cirri.io/mode', 'spec', 'specs', 'endpointSelector', 'nodeSelector', 'matchLabels', 'matchExpressions', 'key', 'operator', 'values',
  'ingress', 'ingressDeny', 'egress', 'egressDeny', 'enableDefaultDeny', 'fromEndpoints', 'toEndpoints', 'fromEntities', 'toEntities', 'fromCIDR', 'toCIDR', 'toCIDRSet', 'cidr', 'cidrGroupRef', 'except',
  'toServices', 'k8sService', 'k8sServiceSelector', 'toFQDNs', 'matchName', 'matchPattern', 'toNodes', 'toGroups', 'toPorts', 'ports', 'port', 'endPort', 'protocol', 'rules', 'http', 'dns', 'kafka', 'path', 'headers', 'headerMatches',
  'icmps', 'fields', 'family', 'type', 'authentication', 'mode', 'podSelector', 'namespaceSelector', 'policyTypes', 'from', 'to', 'ipBlock', 'subject', 'namespaces', 'pods', 'nodes', 'networks', 'domainNames',
  'priority', 'tier', 'action', 'portNumber', 'portRange', 'namedPort', 'protocols', 'tcp', 'destinationPort', 'number', 'range', 'start', 'end', 'labels', 'log', 'serverNames', 'listener', 'terminatingTLS', 'secret',
  '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', '',
];
const scalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, -1, 80, 65536, 1e308, NaN, 0.5, '', 'app', 'In', 'TCP', 'ANY', '80', '0', '-1', '10.0.0.0/8', '::/0', '10.0.0.0/33', 'Ingress', 'Deny', 'all', 'world', 'required', 'reserved:host', '(', '*', '**.x', 'enforce', 'shadow'),
  fc.constantFrom<string>(...fieldNames), fc.string(), fc.integer(), fc.double(),
);
const key = fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...fieldNames) }, { weight: 1, arbitrary: fc.string() });
const anything = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof({ depthSize: 'medium', withCrossShrink: true }, scalar, fc.array(tie('value'), { maxLength: 4 }), fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }).map(objectOf)),
})).value;

/** As JSON.parse makes it: `__proto__` is a field like any other. */
function objectOf(fields: readonly (readonly [string, unknown])[]): object {
  const object = {};
  for (const [name, value] of fields) Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  return object;
}

/** What holds whatever is given. */
function check(object: unknown): void {
  const given = object as PolicyObject;
  const result = parsePolicy(given, { clusterName: 'home' });
  assert.deepEqual(parsePolicy(given, { clusterName: 'home' }), result, 'the same again');
  assert.ok((result.policy === undefined) !== (result.errors === undefined));
  if (result.errors) {
    assert.ok(result.errors.length > 0 && result.errors.length <= 101);
    for (const { path, message, mend } of result.errors) {
      assert.ok(typeof path === 'string' && message !== '' && mend !== '', JSON.stringify({ path, message, mend }));
      assert.ok(path.length + message.length + mend.length < 1500);
    }
  } else {
    const engine = new PolicyEngine();
    engine.setPolicies([result.policy]);
    engine.upsertIdentity(300, pod('x', { app: 'a' }), [new Map([['web', { protocol: 'TCP', port: 80 }]])]);
    for (const direction of ['ingress', 'egress'] as const) assert.ok(engine.compile(subject(pod('x', { app: 'a' })), direction).verdicts.length > 0);
  }
  assert.equal(Object.keys(Object.prototype).length, 0);
  assert.equal(({} as Record<string, unknown>)['app'], undefined);
}

test('any object at all: errors with path, message and mend, or a policy that compiles; the same each time', () => {
  fc.assert(fc.property(anything, check), { numRuns: runs * 5 });
});

test('any content under a kind and a name', () => {
  fc.assert(fc.property(fc.constantFrom(...policyKinds), anything, anything, (kind, spec, specs) => {
    check({ kind, metadata: { name: kind === 'BaselineAdminNetworkPolicy' ? 'default' : 'p', namespace: 'x' }, spec });
    check({ kind, metadata: { name: 'p', namespace: 'x' }, specs });
  }), { numRuns: runs * 5 });
});

test('valid objects with one or two things in them changed', () => {
  let accepted = 0;
  fc.assert(fc.property(policyObject, fc.array(fc.tuple(fc.nat(), fc.constantFrom('replace', 'delete', 'double', 'rename'), anything, key), { minLength: 1, maxLength: 2 }), (object, changes) => {
    const changed = structuredClone(object);
    for (const [at, how, value, name] of changes) change(changed, at, how, value, name);
    check(changed);
    if (parsePolicy(changed).policy) accepted++;
  }), { numRuns: runs * 5 });
  assert.ok(accepted > 0, 'some are still valid');
});

/** Changes the place of this number, counted round. */
function change(root: object, at: number, how: 'replace' | 'delete' | 'double' | 'rename', value: unknown, name: string): void {
  const places: { readonly parent: object; readonly field: string }[] = [];
  const walk = (parent: object): void => {
    for (const [field, inner] of Object.entries(parent)) {
      places.push({ parent, field });
      if (typeof inner === 'object' && inner !== null) walk(inner as object);
    }
  };
  walk(root);
  if (places.length === 0) return;
  const { parent, field } = places[at % places.length]!;
  const old = (parent as Record<string, unknown>)[field];
  const set = (target: string, what: unknown) => Object.defineProperty(parent, target, { value: what, enumerable: true, configurable: true, writable: true });
  if (how === 'replace') set(field, value);
  else if (how === 'double') set(field, [old, old]);
  else if (Array.isArray(parent)) parent.splice(Number(field), 1);
  else {
    delete (parent as Record<string, unknown>)[field];
    if (how === 'rename') set(name, old);
  }
}

test('keys of every object\'s prototype are unknown fields and unknown labels, nothing else', () => {
  for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf']) {
    const spec = JSON.parse(`{"endpointSelector": {}, "ingress": [{"${name}": [{"matchLabels": {"polluted": "yes"}}]}]}`) as object;
    const { errors } = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec });
    assert.deepEqual(errors?.map(e => [e.path, e.message]), [[`spec.ingress[0].${name}`, `unknown field "${name}"`]]);
    const labels = JSON.parse(`{"matchLabels": {"${name}": "yes"}}`) as object;
    const { policy } = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: { endpointSelector: labels, ingress: [{}] } });
    assert.equal(policy?.specs[0]?.subject.matches(pod('x', {})) ?? false, false, `${name} selects no pod that has no such label`);
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  }
});

test('a pattern of many stars is compared in one walk', () => {
  const pattern = namePattern(`${'*a'.repeat(126)}.example.com`);
  assert.equal(pattern.test(`${'a'.repeat(250)}b.example.com.`), false);
  assert.equal(pattern.test(`${'a'.repeat(250)}.example.com.`), true);
});

describe('hostile sizes neither hang nor grow without bound', () => {
  for (const name of Object.keys(hostileCases)) {
    test(name, async () => {
      const { bytes, errors, longest, rows, refused } = await inWorker(name);
      assert.ok(errors <= 101 && longest <= 400, `${errors} errors, the longest text has ${longest} characters`);
      assert.ok(rows <= 1 << 18, `${rows} rows of ${bytes} bytes`);
      // What would not fit into the kernel is refused with the numbers, before it is made.
      if (name.includes('told apart')) assert.match(refused ?? '', /ingress need more than 262144 rows .* 100\d rules/);
      else if (name.includes('on requests')) assert.match(refused ?? '', /more than 262144 rules on requests for ranges of ports that overlap/);
      else assert.equal(refused, undefined);
    });
  }
});

/** Ended after a minute; an ordinary run takes a second. */
function inWorker(name: string): Promise<HostileResult> {
  const worker = new Worker(fileURLToPath(new URL('testing-hostile.ts', import.meta.url)), { workerData: name, resourceLimits: { maxOldGenerationSizeMb: 512 } });
  const timer = setTimeout(() => void worker.terminate(), 60_000);
  return new Promise<HostileResult>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error(`${name}: ended without a result`)));
  }).finally(() => {
    clearTimeout(timer);
    void worker.terminate();
  });
}

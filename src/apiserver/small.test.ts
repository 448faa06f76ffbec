import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TokenIssuer } from './auth/tokens.ts';
import { negotiateForm } from './http/accept.ts';
import { decodeProtobuf } from './http/protobuf.ts';
import { parseRoute } from './http/route.ts';
import { compileJsonPath } from './jsonpath.ts';
import { compareVersions } from './registry/registry.ts';
import { ApiError } from './status.ts';
import { NumberPool } from './strategy/pool.ts';
import { humanDuration } from './table/age.ts';

test('paths of the API', () => {
  const parts = (path: string) => {
    const r = parseRoute(path);
    return r.kind === 'resource' ? [r.group, r.version, r.namespace, r.plural, r.name, r.subresource] : [r.kind];
  };
  assert.deepEqual(parts('/api/v1/pods'), ['', 'v1', undefined, 'pods', undefined, undefined]);
  assert.deepEqual(parts('/api/v1/namespaces/a/pods/b/log'), ['', 'v1', 'a', 'pods', 'b', 'log']);
  assert.deepEqual(parts('/api/v1/namespaces/a'), ['', 'v1', undefined, 'namespaces', 'a', undefined]);
  assert.deepEqual(parts('/api/v1/namespaces/a/status'), ['', 'v1', undefined, 'namespaces', 'a', 'status']);
  assert.deepEqual(parts('/api/v1/namespaces/a/pods'), ['', 'v1', 'a', 'pods', undefined, undefined]);
  assert.deepEqual(parts('/apis/apps/v1/namespaces/a/deployments/b/scale'), ['apps', 'v1', 'a', 'deployments', 'b', 'scale']);
  assert.deepEqual(parts('/apis/apps/v1'), ['group-version']);
  assert.deepEqual(parts('/apis/apps'), ['group']);
  assert.deepEqual(parts('/healthz'), ['other']);
  assert.deepEqual(parts('/api/v1/pods/%zz'), ['other']);
  assert.deepEqual(parts('/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa'), ['rbac.authorization.k8s.io', 'v1', undefined, 'clusterroles', 'system:a', undefined]);
});

test('the form of an answer', () => {
  assert.equal(negotiateForm(undefined), 'object');
  assert.equal(negotiateForm('application/json;as=Table;v=v1;g=meta.k8s.io,application/json'), 'table');
  assert.equal(negotiateForm('application/json;as=Table;v=v9;g=meta.k8s.io,application/json'), 'object');
  assert.equal(negotiateForm('application/vnd.kubernetes.protobuf,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'), 'metadata');
  assert.throws(() => negotiateForm('application/vnd.kubernetes.protobuf'), (e: unknown) => e instanceof ApiError && e.code === 406);
});

test('ages read as kubectl writes them', () => {
  const cases: readonly (readonly [number, string])[] = [[0, '0s'], [119, '119s'], [120, '2m'], [125, '2m5s'], [599, '9m59s'], [600, '10m'], [10_799, '179m'], [10_800, '3h'], [11_000, '3h3m'], [28_800, '8h'], [172_799, '47h'], [172_800, '2d'], [180_000, '2d2h'], [691_200, '8d'], [63_072_000, '2y'], [70_000_000, '2y80d'], [-5, '<invalid>']];
  for (const [seconds, text] of cases) assert.equal(humanDuration(seconds), text, String(seconds));
});

test('JSONPath of printer columns', () => {
  const object = { spec: { a: { b: 1 }, list: [{ type: 'X', v: 1 }, { type: 'Y', v: 2 }] }, metadata: { labels: { 'a.b/c': 'l' } } };
  const value = (path: string) => compileJsonPath(path)?.(object);
  assert.deepEqual(value('.spec.a.b'), [1]);
  assert.deepEqual(value('{.spec.a.b}'), [1]);
  assert.deepEqual(value('.spec.list[?(@.type=="Y")].v'), [2]);
  assert.deepEqual(value('.spec.list[*].v'), [1, 2]);
  assert.deepEqual(value('.spec.list[1].type'), ['Y']);
  assert.deepEqual(value('.metadata.labels.a\\.b/c'), ['l']);
  assert.deepEqual(value(".metadata.labels['a.b/c']"), ['l']);
  assert.deepEqual(value('.missing.x'), []);
  assert.equal(value('.spec['), undefined);
});

test('versions are ordered as Kubernetes orders them', () => {
  assert.deepEqual(['v1alpha1', 'v1', 'v2beta1', 'v10', 'v2', 'foo', 'v1beta2'].sort(compareVersions), ['v10', 'v2', 'v1', 'v2beta1', 'v1beta2', 'v1alpha1', 'foo']);
});

test('a pool gives each number once, in turn, and says when it is empty', () => {
  const pool = new NumberPool('ports', 1, 3, 2);
  const taken = [1, 2, 3].map(() => {
    const n = pool.choose();
    pool.take(n);
    return n;
  });
  assert.deepEqual(taken, [2, 3, 1]);
  assert.throws(() => pool.choose(), /all 3 ports are taken/);
  pool.give(3);
  assert.equal(pool.choose(1), 3);
});

test('tokens are accepted until they expire, and not when anything in them was changed', () => {
  const issuer = new TokenIssuer(Buffer.alloc(32, 1));
  const subject = { namespace: 'n', name: 'a', uid: 'u', audiences: ['x'], expires: 1000 };
  const token = issuer.issue(subject, new Date(0));
  assert.deepEqual(issuer.check(token, new Date(999_000)), subject);
  assert.equal(issuer.check(token, new Date(1_000_000)), undefined);
  assert.equal(new TokenIssuer(Buffer.alloc(32, 2)).check(token, new Date(0)), undefined);
  const [head, claims, signature] = token.split('.');
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims!, 'base64url').toString()) as object, exp: 9e9 })).toString('base64url');
  assert.equal(issuer.check(`${head}.${forged}.${signature}`, new Date(0)), undefined);
});

test('protobuf of a namespace, as kubectl sends it', () => {
  const text = (field: number, value: string | Buffer) => Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), Buffer.from(value)]);
  const metadata = Buffer.concat([text(1, 'a'), text(2, ''), text(11, Buffer.concat([text(1, 'k'), text(2, 'v')]))]);
  const body = Buffer.concat([Buffer.from('k8s\0'), text(1, Buffer.concat([text(1, 'v1'), text(2, 'Namespace')])), text(2, Buffer.concat([text(1, metadata), text(2, ''), text(3, '')]))]);
  assert.deepEqual(decodeProtobuf(body), { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'a', labels: { k: 'v' } }, spec: {}, status: {} });
});

test('no bytes make the protobuf reader do anything but answer or refuse', () => {
  const head = Buffer.concat([Buffer.from('k8s\0'), Buffer.from([0x0a, 0x09, 0x0a, 0x02]), Buffer.from('v1'), Buffer.from([0x12, 0x03]), Buffer.from('Pod')]);
  const bodies = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 120 }).map(raw => Buffer.concat([head, Buffer.from([0x12, raw.length]), raw])));
  fc.assert(fc.property(bodies, bytes => {
    try {
      decodeProtobuf(Buffer.from(bytes));
    } catch (error) {
      assert.ok(error instanceof ApiError && error.code < 500, String(error));
    }
  }), { numRuns: 5000 });
});

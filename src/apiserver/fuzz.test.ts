import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { TestServer, podNamed, pods } from './testing.ts';

/** Nothing that comes in may be answered with a 5xx (other than 501 and 504, which say something) or end the server. */
const bearable = (code: number) => code < 500 || code === 501 || code === 504;

describe('whatever is sent', { timeout: 120_000 }, () => {
  let api: TestServer;
  before(async () => {
    api = await TestServer.start();
    await api.ok('POST', pods, podNamed('p'));
    await api.ok('POST', '/api/v1/namespaces/default/services', { metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } });
    await api.ok('POST', '/apis/apps/v1/namespaces/default/deployments', { metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } } } });
    await api.ok('POST', '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies', { metadata: { name: 'c' }, spec: { endpointSelector: {}, ingress: [{}] } });
  });
  after(async () => { await api[Symbol.asyncDispose](); });

  const alive = async () => assert.equal((await api.call('GET', '/readyz')).code, 200);

  const segment = fc.constantFrom('api', 'apis', 'v1', 'apps', 'namespaces', 'default', 'pods', 'p', 'status', 'log', 'binding', 'scale', 'deployments', 'd', 'cilium.io', 'v2', 'ciliumnetworkpolicies', 'c', '..', '%2f', '%00', '%zz', 'ä', '', 'openapi', 'v3', '__proto__', 'constructor', 'token', 'exec');
  const path = fc.array(segment, { maxLength: 8 }).map(parts => `/${parts.map(p => (p === 'ä' ? encodeURIComponent(p) : p)).join('/')}`);
  const query = fc.constantFrom('', '?watch=true&timeoutSeconds=1&resourceVersion=x', '?limit=-1', '?limit=x', '?continue=e30', '?labelSelector=a%20in%20(', '?fieldSelector=%3D', '?dryRun=x', '?fieldValidation=No', '?force=true', '?resourceVersion=-1', '?timeoutSeconds=0.5&limit=9999999999999999999', '?gracePeriodSeconds=-5', '?includeObject=All', '?fieldSelector=constructor%3Dx');
  const accept = fc.constantFrom('', 'application/json', 'application/json;as=Table;v=v1;g=meta.k8s.io', 'text/html', ';;,,', 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1', 'application/vnd.kubernetes.protobuf');

  test('paths and queries', async () => {
    await fc.assert(fc.asyncProperty(fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD'), path, query, accept, async (method, p, q, a) => {
      // Deleting what the other tests need, or everything, is legal: keep to dry runs.
      const url = p + q + (method === 'DELETE' ? `${q ? '&' : '?'}dryRun=All` : '');
      if (q.includes('watch=true') && method === 'GET' && !q.includes('resourceVersion=x')) return;
      const answer = await api.call(method, url, method === 'GET' || method === 'HEAD' ? undefined : '{}', { accept: a });
      assert.ok(bearable(answer.code), `${method} ${url}: ${answer.code} ${answer.text}`);
    }), { numRuns: 600 });
    await alive();
  });

  const targets: readonly string[] = [`${pods}/p`, `${pods}/p/status`, '/api/v1/namespaces/default/services/s', '/apis/apps/v1/namespaces/default/deployments/d', '/apis/apps/v1/namespaces/default/deployments/d/scale', '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies/c', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ciliumnodes.cilium.io', '/api/v1/namespaces/default'];
  const key = fc.constantFrom('metadata', 'spec', 'status', 'name', 'labels', 'annotations', 'finalizers', 'ownerReferences', 'managedFields', 'containers', 'ports', 'port', 'selector', 'matchLabels', 'template', 'replicas', 'type', 'clusterIP', 'clusterIPs', 'ipFamilies', 'ingress', 'fromEndpoints', 'endpointSelector', 'versions', 'schema', 'openAPIV3Schema', 'names', '$patch', '$retainKeys', '$setElementOrder/containers', '$deleteFromPrimitiveList/finalizers', 'kind', 'apiVersion', 'constructor', 'toString', 'resourceVersion', 'fieldsV1', 'f:x', 'volumes', 'strategy', 'conditions', 'additionalPrinterColumns');
  const value: fc.Arbitrary<unknown> = fc.letrec(tie => ({
    node: fc.oneof({ depthSize: 'small' }, fc.constantFrom<unknown>(null, true, false, 0, -1, 1.5, 80, 1e300, '', 'x', 'None', 'ExternalName', 'NodePort', '10.96.0.9', 'delete', 'replace', [], {}), fc.array(tie('node'), { maxLength: 3 }), fc.dictionary(key, tie('node'), { maxKeys: 4 })),
  })).node;
  const types = fc.constantFrom('application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/apply-patch+yaml', 'application/json-patch+json', 'application/json', 'text/plain', '');

  test('bodies of patches', async () => {
    await fc.assert(fc.asyncProperty(fc.constantFrom(...targets), types, fc.dictionary(key, value, { maxKeys: 5 }), fc.boolean(), async (target, type, body, identified) => {
      const whole = identified ? { ...body, ...(await api.call('GET', target)).body, spec: body['spec'] ?? {}, metadata: body['metadata'] ?? {} } : body;
      const answer = await api.call('PATCH', `${target}?dryRun=All&fieldManager=fuzz&force=${type.includes('apply')}`, whole, { 'content-type': type });
      assert.ok(bearable(answer.code), `${type} ${target} ${JSON.stringify(whole)}: ${answer.code} ${answer.text}`);
    }), { numRuns: 1500 });
    await alive();
  });

  test('bodies of new and replaced objects', async () => {
    const collections = ['/api/v1/namespaces/default/pods', '/api/v1/namespaces/default/services', '/api/v1/namespaces', '/apis/apps/v1/namespaces/default/deployments', '/apis/networking.k8s.io/v1/namespaces/default/networkpolicies', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies', '/apis/cilium.io/v2/ciliumidentities', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', '/apis/batch/v1/namespaces/default/jobs', `${pods}/p/binding`, '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', '/api/v1/namespaces/default/serviceaccounts/x/token'];
    await fc.assert(fc.asyncProperty(fc.constantFrom(...collections), fc.dictionary(key, value, { maxKeys: 5 }), fc.boolean(), async (target, body, named) => {
      const whole = named ? { ...body, metadata: { name: 'fuzz' } } : body;
      const answer = await api.call('POST', `${target}?dryRun=All`, whole);
      assert.ok(bearable(answer.code), `POST ${target} ${JSON.stringify(whole)}: ${answer.code} ${answer.text}`);
    }), { numRuns: 1500 });
    await alive();
  });

  test('bytes that are no JSON, depth, size, and the one evil key', async () => {
    const deep = '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000);
    const bodies: readonly (readonly [body: string | Buffer, code: number])[] = [
      ['', 400], ['{', 400], ['[]', 400], ['null', 400], ['"x"', 400], ['\u0000', 400], [Buffer.from([0xff, 0xfe]), 400], [deep, 400],
      ['{"metadata":{"name":"x","labels":{"__proto__":"y"}}}', 400], ['{"metadata":{"name":"x","labels":{"\\u005f_proto__":"y"}}}', 400], [`{"x":"${'y'.repeat(4 * 1024 * 1024)}"}`, 413],
      ['{"metadata":{"name":1}}', 400], ['{"metadata":{"labels":{"a":1}}}', 400], ['{"metadata":[]}', 400], ['{"kind":"Node"}', 400], ['{"apiVersion":"v2"}', 400],
    ];
    for (const [body, code] of bodies) assert.equal((await api.call('POST', pods, body)).code, code, String(body).slice(0, 60));
    assert.equal((await api.call('POST', pods, 'a: [\n', { 'content-type': 'application/yaml' })).code, 400);
    assert.equal((await api.call('POST', pods, '&a [*a]', { 'content-type': 'application/yaml' })).code, 400);
    assert.equal((await api.call('POST', pods, 'k8s\0', { 'content-type': 'application/vnd.kubernetes.protobuf' })).code, 415);
    await fc.assert(fc.asyncProperty(fc.string({ maxLength: 60, unit: 'binary' }), async text => {
      const answer = await api.call('POST', pods, text);
      assert.ok(answer.code >= 400 && answer.code < 500, `${JSON.stringify(text)}: ${answer.code}`);
    }), { numRuns: 200 });
    await alive();
  });
});

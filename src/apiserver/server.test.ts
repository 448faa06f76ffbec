import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { createServer } from 'node:http';
import { request } from 'node:https';
import { dirname } from 'node:path';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { asArray, asObjects, at } from './object.ts';
import type { JsonObject } from './object.ts';
import { removeOldEvents } from './expiry.ts';
import { TestServer, podNamed, pods, take } from './testing.ts';

const merge = { 'content-type': 'application/merge-patch+json' };
const services = '/api/v1/namespaces/default/services';
const service = (name: string, spec: JsonObject): JsonObject => ({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } });

describe('the API server', { timeout: 60_000 }, () => {
  let api: TestServer;
  before(async () => { api = await TestServer.start(); });
  after(async () => { await api[Symbol.asyncDispose](); });

  test('what it keeps secret nobody else can read', () => {
    for (const path of [api.paths.kubeconfig, api.paths.apiserverSocket, ...['ca.key', 'server.key', 'admin.token', 'tokens.key', 'store.sqlite'].map(n => `${api.paths.apiserverDir}/${n}`)]) {
      assert.equal(statSync(path).mode & 0o077, 0, path);
    }
  });

  test('a pod is completed, versioned and found again', async () => {
    const made = await api.ok('POST', pods, podNamed('one'));
    assert.equal(made.metadata.generation, 1);
    assert.match(made.metadata.uid ?? '', /^[0-9a-f-]{36}$/);
    assert.deepEqual([at(made, 'spec', 'restartPolicy'), at(made, 'spec', 'serviceAccountName'), at(made, 'status', 'phase'), at(made, 'status', 'qosClass')], ['Always', 'default', 'Pending', 'BestEffort']);
    assert.deepEqual(await api.ok('GET', `${pods}/one`), made);
    const again = await api.call('POST', pods, podNamed('one'));
    assert.equal(again.code, 409);
    assert.equal(again.body['reason'], 'AlreadyExists');
  });

  test('an object in a namespace that does not exist is 404', async () => {
    const answer = await api.call('POST', '/api/v1/namespaces/nowhere/pods', podNamed('x'));
    assert.deepEqual([answer.code, answer.body['message']], [404, 'namespaces "nowhere" not found']);
  });

  test('every wrong field is named, with what to do', async () => {
    const answer = await api.call('POST', pods, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'Wrong_Name', labels: { a: '-' } }, spec: { restartPolicy: 'Sometimes', containers: [{ name: 'c', ports: [{ containerPort: 'eighty' }] }] } });
    assert.equal(answer.code, 422);
    const causes = asObjects(at(answer.body, 'details', 'causes')).map(c => c['field']);
    assert.deepEqual(causes, ['metadata.name', 'metadata.labels', 'spec.restartPolicy', 'spec.containers[0].ports[0].containerPort']);
    assert.match(String(answer.body['message']), /^Pod "Wrong_Name" is invalid: \[metadata\.name: Invalid value: "Wrong_Name": a lowercase RFC 1123 subdomain/);
    assert.equal((await api.call('GET', `${pods}/Wrong_Name`)).code, 404);
  });

  test('unknown fields: Strict refuses, Warn says, Ignore is silent', async () => {
    const body = podNamed('typo', { nodName: 'x' });
    const strict = await api.call('POST', `${pods}?fieldValidation=Strict&dryRun=All`, body);
    assert.deepEqual([strict.code, strict.body['message']], [400, 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.nodName"']);
    const warned = await api.call('POST', `${pods}?dryRun=All`, body);
    assert.deepEqual([warned.code, warned.headers['warning']], [201, '299 - "unknown field \\"spec.nodName\\""']);
    const ignored = await api.call('POST', `${pods}?dryRun=All&fieldValidation=Ignore`, body);
    assert.deepEqual([ignored.code, ignored.headers['warning']], [201, undefined]);
    assert.equal((await api.call('GET', `${pods}/typo`)).code, 404, 'a dry run stores nothing');
  });

  test('an update of an old version is a conflict, one that changes nothing is no write', async () => {
    const first = await api.ok('POST', pods, podNamed('two'));
    const labelled = { ...first, metadata: { ...first.metadata, labels: { app: 'two', x: '1' } } };
    const second = await api.ok('PUT', `${pods}/two`, labelled);
    assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
    const stale = await api.call('PUT', `${pods}/two`, labelled);
    assert.deepEqual([stale.code, stale.body['message']], [409, 'Operation cannot be fulfilled on pods "two": the object has been modified; please apply your changes to the latest version and try again']);
    assert.equal((await api.ok('PUT', `${pods}/two`, second)).metadata.resourceVersion, second.metadata.resourceVersion);
    assert.equal((await api.ok('PATCH', `${pods}/two`, { metadata: { labels: { x: '1' } } }, merge)).metadata.resourceVersion, second.metadata.resourceVersion);
  });

  test('a pod\'s spec hardly changes, a deployment\'s selector not at all', async () => {
    await api.ok('POST', pods, podNamed('three'));
    const moved = await api.call('PATCH', `${pods}/three`, { spec: { hostNetwork: true } }, merge);
    assert.deepEqual([moved.code, at(asObjects(at(moved.body, 'details', 'causes'))[0], 'field')], [422, 'spec']);
    const path = '/apis/apps/v1/namespaces/default/deployments';
    const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: '1' } }, template: { metadata: { labels: { a: '1', b: '1' } }, spec: { containers: [{ name: 'c', image: 'i' }] } } } };
    const made = await api.ok('POST', path, deployment);
    assert.deepEqual(at(made, 'spec', 'strategy'), { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } });
    const refused = await api.call('PATCH', `${path}/d`, { spec: { selector: { matchLabels: { b: '1' } } } }, merge);
    assert.match(String(refused.body['message']), /spec\.selector: Invalid value: .*field is immutable/);
    const scaled = await api.ok('PATCH', `${path}/d`, { spec: { replicas: 3 } }, merge);
    assert.equal(scaled.metadata.generation, 2);
    const status = await api.ok('PATCH', `${path}/d/status`, { spec: { replicas: 9 }, status: { replicas: 3 } }, merge);
    assert.deepEqual([status.metadata.generation, at(status, 'spec', 'replicas'), at(status, 'status', 'replicas')], [2, 3, 3]);
    const wrong = await api.call('POST', path, { ...deployment, metadata: { name: 'e' }, spec: { ...deployment.spec, selector: { matchLabels: { z: '1' } } } });
    assert.match(String(wrong.body['message']), /`selector` does not match template `labels`/);
    const scale = await api.ok('GET', `${path}/d/scale`);
    assert.deepEqual([at(scale, 'spec', 'replicas'), at(scale, 'status', 'selector')], [3, 'a=1']);
    await api.ok('PUT', `${path}/d/scale`, { ...scale, spec: { replicas: 4 } });
    assert.equal(at(await api.ok('GET', `${path}/d`), 'spec', 'replicas'), 4);
  });

  test('services get addresses and ports, keep them, and give them back', async () => {
    const made = await api.ok('POST', services, service('s1', { type: 'NodePort', ipFamilyPolicy: 'PreferDualStack' }));
    const [v4, v6] = asArray(at(made, 'spec', 'clusterIPs')).map(String);
    assert.match(v4!, /^10\.96\./);
    assert.match(v6!, /^fd00:10:96::/);
    const port = Number(at(asObjects(at(made, 'spec', 'ports'))[0], 'nodePort'));
    assert.ok(port >= 30000 && port <= 32767);
    assert.deepEqual(asObjects(at(made, 'spec', 'ports'))[0], { port: 80, protocol: 'TCP', targetPort: 80, nodePort: port });
    const replaced = await api.ok('PUT', `${services}/s1`, service('s1', { type: 'NodePort', selector: { a: 'b' } }));
    assert.deepEqual([at(replaced, 'spec', 'clusterIP'), at(asObjects(at(replaced, 'spec', 'ports'))[0], 'nodePort')], [v4, port]);
    const moved = await api.call('PATCH', `${services}/s1`, { spec: { clusterIP: '10.96.0.77' } }, merge);
    assert.match(String(moved.body['message']), /spec\.clusterIPs\[0\]: Invalid value: .*may not change once set/);
    const taken = await api.call('POST', services, service('s2', { clusterIP: v4! }));
    assert.deepEqual([taken.code, at(asObjects(at(taken.body, 'details', 'causes'))[0], 'field')], [422, 'spec.clusterIP']);
    assert.match(String((await api.call('POST', services, service('s2', { clusterIP: '10.9.0.1' }))).body['message']), /not in the valid range/);
    await api.ok('DELETE', `${services}/s1`);
    assert.equal(at(await api.ok('POST', services, service('s2', { clusterIP: v4! })), 'spec', 'clusterIP'), v4);
    const plain = await api.ok('POST', services, service('s3', { type: 'NodePort', ports: [{ port: 80, nodePort: port }] }));
    const clusterIp = await api.ok('PATCH', `${services}/s3`, { spec: { type: 'ClusterIP' } }, merge);
    assert.equal(at(asObjects(at(clusterIp, 'spec', 'ports'))[0], 'nodePort'), undefined);
    assert.equal(at(clusterIp, 'spec', 'clusterIP'), at(plain, 'spec', 'clusterIP'));
    const external = await api.ok('PATCH', `${services}/s3`, { spec: { type: 'ExternalName', externalName: 'a.example', ports: null } }, merge);
    assert.equal(at(external, 'spec', 'clusterIP'), undefined);
    const headless = await api.ok('POST', services, service('s4', { clusterIP: 'None', selector: { a: 'b' } }));
    assert.deepEqual([at(headless, 'spec', 'clusterIPs'), at(headless, 'spec', 'ipFamilies')], [['None'], ['IPv4']]);
  });

  test('a refused service takes nothing from the pools', async () => {
    const before = await api.call('POST', services, service('bad', { clusterIP: '10.96.0.200', ports: [{ port: 0 }] }));
    assert.equal(before.code, 422);
    assert.equal(at(await api.ok('POST', services, service('good', { clusterIP: '10.96.0.200' })), 'spec', 'clusterIP'), '10.96.0.200');
  });

  test('a scheduled pod is deleted in its own time, an unscheduled one at once', async () => {
    await api.ok('POST', pods, podNamed('idle'));
    assert.equal((await api.ok('DELETE', `${pods}/idle`))['status'], 'Success');
    await api.ok('POST', pods, podNamed('busy'));
    const bound = await api.call('POST', `${pods}/busy/binding`, { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'busy' }, target: { kind: 'Node', name: 'n1' } });
    assert.equal(bound.code, 201);
    assert.equal((await api.call('POST', `${pods}/busy/binding`, { target: { name: 'n2' } })).code, 409);
    const going = await api.ok('DELETE', `${pods}/busy`, { gracePeriodSeconds: 7 });
    assert.equal(going.metadata.deletionGracePeriodSeconds, 7);
    assert.ok(going.metadata.deletionTimestamp);
    assert.equal((await api.ok('DELETE', `${pods}/busy?gracePeriodSeconds=0`))['status'], 'Success');
    assert.equal((await api.call('GET', `${pods}/busy`)).code, 404);
  });

  test('finalizers hold an object until the last is gone; preconditions guard', async () => {
    const path = '/api/v1/namespaces/default/configmaps';
    const made = await api.ok('POST', path, { metadata: { name: 'held', finalizers: ['a.b/c'] } });
    assert.equal((await api.call('DELETE', `${path}/held`, { preconditions: { uid: 'other' } })).code, 409);
    const going = await api.ok('DELETE', `${path}/held`, { preconditions: { uid: made.metadata.uid } });
    assert.ok(going.metadata.deletionTimestamp);
    assert.equal((await api.call('PATCH', `${path}/held`, { metadata: { finalizers: ['a.b/c', 'd.e/f'] } }, merge)).code, 422);
    await api.ok('PATCH', `${path}/held`, { metadata: { finalizers: null } }, merge);
    assert.equal((await api.call('GET', `${path}/held`)).code, 404);
  });

  test('deletecollection takes what the selector names', async () => {
    const path = '/api/v1/namespaces/default/configmaps';
    for (const name of ['x1', 'x2', 'x3']) await api.ok('POST', path, { metadata: { name, labels: { set: name === 'x3' ? 'b' : 'a' } } });
    assert.equal(asArray((await api.ok('DELETE', `${path}?labelSelector=set%3Da`))['items']).length, 2);
    assert.equal((await api.call('GET', `${path}/x3`)).code, 200);
  });

  test('the namespaces that everything stands on stay', async () => {
    for (const name of ['default', 'kube-system', 'kube-public']) assert.equal((await api.call('DELETE', `/api/v1/namespaces/${name}`)).code, 403, name);
  });

  test('an applied resourceVersion or UID must be the object\'s', async () => {
    const path = '/api/v1/namespaces/default/configmaps/guarded?fieldManager=t';
    const apply = { 'content-type': 'application/apply-patch+yaml' };
    const config = (metadata: JsonObject) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'guarded', ...metadata } });
    assert.equal((await api.call('PATCH', path, config({ uid: 'x' }), apply)).code, 404);
    const made = await api.call('PATCH', path, config({}), apply);
    assert.equal(made.code, 201);
    assert.equal((await api.call('PATCH', path, config({ resourceVersion: '1' }), apply)).code, 409);
    assert.equal((await api.call('PATCH', path, config({ uid: 'x' }), apply)).code, 409);
    const again = await api.call('PATCH', path, config({}), apply);
    assert.deepEqual([again.code, at(again.body, 'metadata', 'resourceVersion')], [200, at(made.body, 'metadata', 'resourceVersion')], 'nothing changes, nothing is written');
  });

  test('a namespace takes its content with it', async () => {
    await api.ok('POST', '/api/v1/namespaces', { metadata: { name: 'gone' } });
    const space = await api.ok('GET', '/api/v1/namespaces/gone');
    assert.deepEqual([space.metadata.labels, at(space, 'status', 'phase')], [{ 'kubernetes.io/metadata.name': 'gone' }, 'Active']);
    await api.ok('POST', '/api/v1/namespaces/gone/configmaps', { metadata: { name: 'c' } });
    await api.ok('POST', '/api/v1/namespaces/gone/pods', podNamed('p', { nodeName: 'n1' }));
    const deleted = api.watch('/api/v1/namespaces?watch=1&fieldSelector=metadata.name%3Dgone');
    const seen = take(deleted, 3);
    await api.ok('DELETE', '/api/v1/namespaces/gone');
    assert.equal((await api.call('POST', '/api/v1/namespaces/gone/configmaps', { metadata: { name: 'late' } })).code, 403);
    await api.ok('DELETE', '/api/v1/namespaces/gone/pods/p?gracePeriodSeconds=0');
    assert.equal((await seen).at(-1)!.type, 'DELETED');
    assert.equal((await api.call('GET', '/api/v1/namespaces/gone/configmaps/c')).code, 404);
  });

  test('lists come in pages, with the version to watch from', async () => {
    const path = '/api/v1/namespaces/kube-public/configmaps';
    for (let i = 0; i < 7; i++) await api.ok('POST', path, { metadata: { name: `c${i}` } });
    const names: unknown[] = [];
    let next = '';
    let pages = 0;
    do {
      const page = await api.ok('GET', `${path}?limit=3${next ? `&continue=${next}` : ''}`);
      names.push(...asObjects(page['items']).map(o => at(o, 'metadata', 'name')));
      next = String(page.metadata['continue'] ?? '');
      pages++;
    } while (next);
    assert.deepEqual([pages, names], [3, ['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6']]);
    assert.equal((await api.call('GET', `${path}?continue=xxx`)).code, 400);
  });

  test('a watch replays from its version and sees objects come into and leave its selection', async () => {
    const start = await api.ok('GET', pods);
    const version = start.metadata.resourceVersion;
    await api.ok('POST', pods, podNamed('w1'));
    await api.ok('PATCH', `${pods}/w1`, { metadata: { labels: { watched: 'yes' } } }, merge);
    await api.ok('PATCH', `${pods}/w1`, { metadata: { labels: { more: '1' } } }, merge);
    await api.ok('PATCH', `${pods}/w1`, { metadata: { labels: { watched: null } } }, merge);
    await api.ok('DELETE', `${pods}/w1`);
    const all = await take(api.watch(`${pods}?watch=1&resourceVersion=${version}`), 5);
    assert.deepEqual(all.map(e => e.type), ['ADDED', 'MODIFIED', 'MODIFIED', 'MODIFIED', 'DELETED']);
    const versions = all.map(e => Number(e.object.metadata.resourceVersion));
    assert.deepEqual(versions, [...versions].sort((a, b) => a - b));
    const selected = await take(api.watch(`${pods}?watch=1&resourceVersion=${version}&labelSelector=watched`), 3);
    assert.deepEqual(selected.map(e => e.type), ['ADDED', 'MODIFIED', 'DELETED']);
    const tables = await take(api.watch(`${pods}?watch=1&resourceVersion=${version}`, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' }), 2);
    assert.deepEqual(tables.map(e => [e.object.kind, at(asObjects(e.object['rows'])[0], 'cells') !== undefined, e.object['columnDefinitions'] !== null]), [['Table', true, true], ['Table', true, false]]);
  });

  test('a watch ends after its time, with a bookmark', async () => {
    const events = [];
    for await (const event of api.watch(`${pods}?watch=1&resourceVersion=${(await api.ok('GET', pods)).metadata.resourceVersion}&timeoutSeconds=1&allowWatchBookmarks=true`)) events.push(event);
    assert.deepEqual(events.map(e => [e.type, e.object.kind]), [['BOOKMARK', 'Pod']]);
    assert.equal(events[0]!.object.metadata.resourceVersion, String(api.server.context.store.revision));
  });

  test('sendInitialEvents lists in the watch and says where the list ends', async () => {
    const path = '/api/v1/namespaces/kube-public/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const events = await take(api.watch(path), 8);
    assert.deepEqual(events.map(e => e.type), [...Array.from({ length: 7 }, () => 'ADDED'), 'BOOKMARK']);
    assert.equal(events[7]!.object.metadata.annotations?.['k8s.io/initial-events-end'], 'true');
  });

  test('versions of the future: a watch is told to begin anew, a list to wait', async () => {
    const [event] = await take(api.watch(`${pods}?watch=1&resourceVersion=99999999`), 1);
    assert.deepEqual([event!.type, event!.object['code'], event!.object['reason']], ['ERROR', 410, 'Expired']);
    assert.equal((await api.call('GET', `${pods}?resourceVersion=99999999`)).code, 504);
  });

  test('events have two forms and are one thing', async () => {
    await api.ok('POST', '/api/v1/namespaces/default/events', { metadata: { name: 'e' }, involvedObject: { kind: 'Pod', name: 'p' }, message: 'm', reason: 'R', type: 'Normal' });
    const other = await api.ok('GET', '/apis/events.k8s.io/v1/namespaces/default/events/e');
    assert.deepEqual([other.apiVersion, other['note'], other['regarding'], other['message']], ['events.k8s.io/v1', 'm', { kind: 'Pod', name: 'p' }, undefined]);
    assert.equal(asArray((await api.ok('GET', '/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp,type!%3DWarning'))['items']).length, 1);
    assert.equal((await api.call('GET', '/api/v1/namespaces/default/events?fieldSelector=nonsense%3Dp')).code, 400);
  });

  test('events are forgotten an hour after they were last seen', async () => {
    const path = '/api/v1/namespaces/kube-public/events';
    const at = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
    await api.ok('POST', path, { metadata: { name: 'fresh' }, involvedObject: {}, lastTimestamp: at(10) });
    await api.ok('POST', path, { metadata: { name: 'old' }, involvedObject: {}, lastTimestamp: at(90) });
    const inAnHour = new Date(Date.now() + 55 * 60_000);
    assert.equal(removeOldEvents(api.server.context.store, new Date()), 0, 'the creation counts too');
    removeOldEvents(api.server.context.store, new Date(inAnHour.getTime() + 10 * 60_000));
    assert.deepEqual(asArray((await api.ok('GET', path))['items']), []);
  });

  test('items with the same key pass where upstream lets them', async () => {
    const env = [{ name: 'A', value: '1' }, { name: 'A', value: '2' }];
    const made = await api.ok('POST', pods, { ...podNamed('twice'), spec: { containers: [{ name: 'c', image: 'i', env, ports: [{ containerPort: 80, name: 'a' }, { containerPort: 80, name: 'b' }] }] } });
    assert.deepEqual(asObjects(at(made, 'spec', 'containers'))[0]!['env'], env);
    await api.ok('PATCH', `${pods}/twice`, { metadata: { labels: { x: 'y' } } }, merge);
    assert.equal((await api.call('POST', pods, { ...podNamed('both'), spec: { containers: [{ name: 'c', image: 'i' }, { name: 'c', image: 'i' }] } })).code, 422);
  });

  test('logs come from the kubelet of the pod\'s node', async () => {
    await api.ok('POST', pods, podNamed('logged', { nodeName: 'n7' }));
    const socket = api.paths.node('n7').kubeletSocket;
    mkdirSync(dirname(socket), { recursive: true });
    assert.equal((await api.call('GET', `${pods}/logged/log`)).code, 500);
    const kubelet = createServer((req, res) => (req.url!.includes('previous') ? res.writeHead(404).end('{"message":"no previous run"}') : res.end(`log of ${req.url}`)));
    await new Promise<void>(resolve => kubelet.listen(socket, resolve));
    assert.equal((await api.call('GET', `${pods}/logged/log?tailLines=5&follow=true`)).text, 'log of /v1/logs/default/logged/c?follow=1&tail=5');
    assert.deepEqual((await api.call('GET', `${pods}/logged/log?previous=true`)).body['message'], 'no previous run');
    assert.equal((await api.call('GET', `${pods}/logged/log?container=x`)).code, 400);
    await new Promise(resolve => kubelet.close(resolve));
  });

  test('who may do what', async () => {
    await api.ok('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'robot' } });
    const token = String(at(await api.ok('POST', '/api/v1/namespaces/default/serviceaccounts/robot/token', { spec: { expirationSeconds: 600 } }), 'status', 'token'));
    const ask = (path: string, authorization?: string, method = 'GET') => new Promise<number>((resolve, reject) => {
      const call = request({ host: '127.0.0.1', port: api.server.port, ca: api.server.ca, servername: 'kubernetes.default.svc', path, method, headers: authorization ? { authorization } : {} }, res => {
        res.resume();
        resolve(res.statusCode ?? 0);
      });
      call.on('error', reject);
      call.end(method === 'POST' ? '{}' : undefined);
    });
    for (const path of ['/healthz', '/livez', '/readyz', '/version']) assert.equal(await ask(path), 200, path);
    for (const path of ['/api', '/apis', '/api/v1/pods', '/openapi/v2']) assert.equal(await ask(path), 403, path);
    assert.equal(await ask('/api/v1/pods', 'Bearer nonsense'), 401);
    assert.equal(await ask('/api/v1/pods', 'Basic abc'), 401);
    assert.equal(await ask('/api/v1/pods', `Bearer ${api.server.adminToken}`), 200);
    const robot = `Bearer ${token}`;
    for (const path of ['/api', '/apis', '/version', '/openapi/v3', '/apis/apps/v1']) assert.equal(await ask(path, robot), 200, path);
    for (const path of ['/api/v1/pods', '/api/v1/namespaces/default/secrets']) assert.equal(await ask(path, robot), 403, path);
    assert.equal(await ask('/api/v1/namespaces/default/configmaps', robot, 'POST'), 403);
    assert.equal(await ask('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', robot, 'POST'), 201);
    await api.ok('DELETE', '/api/v1/namespaces/default/serviceaccounts/robot');
    assert.equal(await ask('/version', robot), 401, 'a token ends with its account');
  });

  test('a policy that the engine cannot parse is refused with the field, one that it doubts is accepted with a warning', async () => {
    const path = '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies';
    const policy = (spec: JsonObject) => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'p' }, spec });
    const bad = await api.call('POST', path, policy({ endpointSelector: {}, ingress: [{ fromCIDR: ['10.0.0.0/99'] }] }));
    assert.equal(bad.code, 422);
    assert.match(String(at(asObjects(at(bad.body, 'details', 'causes'))[0], 'field')), /^spec\.ingress\[0\]\.fromCIDR\[0\]/);
    const doubtful = await api.call('POST', path, policy({ endpointSelector: {}, ingress: [{}] }));
    assert.equal(doubtful.code, 201);
    assert.match(String(doubtful.headers['warning']), /an empty rule allows nothing/);
  });
});

test('a restart keeps everything and goes on counting; watches resume or are told to begin anew', { timeout: 30_000 }, async () => {
  await using api = await TestServer.start();
  await api.ok('POST', pods, podNamed('kept'));
  const quiet = (await api.ok('GET', services)).metadata.resourceVersion;
  const made = await api.ok('POST', services, service('kept', {}));
  await api.ok('POST', services, service('gone', {}));
  await api.ok('DELETE', `${services}/gone`);
  const before = await api.ok('GET', `${services}`);
  const token = api.server.adminToken;
  await api.restart();
  assert.equal(api.server.adminToken, token);
  const after = await api.ok('GET', services);
  assert.deepEqual(after, before);
  assert.deepEqual(await api.ok('GET', `${pods}/kept`).then(o => o.metadata.name), 'kept');
  const resumed = take(api.watch(`${services}?watch=1&resourceVersion=${before.metadata.resourceVersion}`), 1);
  const next = await api.ok('POST', services, service('next', {}));
  assert.ok(Number(next.metadata.resourceVersion) > Number(before.metadata.resourceVersion));
  assert.notEqual(at(next, 'spec', 'clusterIP'), at(made, 'spec', 'clusterIP'));
  assert.deepEqual((await resumed).map(e => e.object.metadata.name), ['next']);
  const [told] = await take(api.watch(`${services}?watch=1&resourceVersion=${quiet}`), 1);
  assert.deepEqual([told!.type, told!.object['code']], ['ERROR', 410]);
  const calm = take(api.watch(`${pods}?watch=1&resourceVersion=${before.metadata.resourceVersion}`), 1);
  await api.ok('DELETE', `${pods}/kept`);
  assert.deepEqual((await calm).map(e => e.type), ['DELETED'], 'a collection that was quiet at the restart resumes');
});

test('custom resources: served at once, pruned, defaulted, checked, and gone with their definition', { timeout: 30_000 }, async () => {
  await using api = await TestServer.start();
  const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com', scope: 'Namespaced', names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'] },
      versions: [
        { name: 'v1', served: true, storage: true, subresources: { status: {}, scale: { specReplicasPath: '.spec.count', statusReplicasPath: '.status.count' } }, schema: { openAPIV3Schema: { type: 'object', properties: {
          spec: { type: 'object', required: ['size'], properties: { size: { type: 'integer', minimum: 1 }, color: { type: 'string', default: 'red' }, count: { type: 'integer' } } }, status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        } } }, additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }] },
        { name: 'v1beta1', served: true, storage: false, deprecated: true, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } },
      ],
    },
  };
  const made = await api.ok('POST', crds, definition);
  assert.ok(asObjects(at(made, 'status', 'conditions')).some(c => c['type'] === 'Established' && c['status'] === 'True'));
  const path = '/apis/example.com/v1/namespaces/default/widgets';
  const widget = { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w' }, spec: { size: 1, extra: true }, status: { count: 9 } };
  const stored = await api.call('POST', path, widget);
  assert.match(String(stored.headers['warning']), /unknown field \\"spec.extra\\"/);
  assert.deepEqual([stored.body['spec'], stored.body['status']], [{ size: 1, color: 'red' }, undefined]);
  const wrong = await api.call('POST', path, { ...widget, metadata: { name: 'x' }, spec: { size: 0 } });
  assert.deepEqual([wrong.code, wrong.body['message']], [422, 'Widget.example.com "x" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1']);
  assert.equal((await api.call('PATCH', `${path}/w`, {}, { 'content-type': 'application/strategic-merge-patch+json' })).code, 415);
  const old = await api.call('GET', '/apis/example.com/v1beta1/namespaces/default/widgets/w');
  assert.equal(old.body['apiVersion'], 'example.com/v1beta1');
  assert.match(String(old.headers['warning']), /deprecated/);
  await api.ok('PATCH', `${path}/w/scale`, { spec: { replicas: 5 } }, merge);
  assert.equal(at(await api.ok('GET', `${path}/w`), 'spec', 'count'), 5);
  const status = await api.ok('PATCH', `${path}/w/status`, { metadata: { labels: { a: 'b' } }, status: { any: 1 } }, merge);
  assert.deepEqual([status['status'], status.metadata.labels], [{ any: 1 }, undefined]);
  const table = await api.ok('GET', path, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
  assert.deepEqual(asObjects(table['rows']).map(r => r['cells']), [['w', 1]]);
  assert.equal((await api.call('PATCH', `${crds}/widgets.example.com`, { spec: { group: 'other.com' } }, merge)).code, 422);
  await api.restart();
  assert.equal((await api.call('GET', `${path}/w`)).code, 200);
  await api.ok('DELETE', `${crds}/widgets.example.com`);
  assert.equal((await api.call('GET', path)).code, 404);
  await api.ok('POST', crds, definition);
  assert.deepEqual((await api.ok('GET', path))['items'], []);
});


import test from 'node:test';
import assert from 'node:assert/strict';
import { KubeClient } from './client.ts';
import { isAlreadyExists, isConflict, KubeError } from './errors.ts';
import { pathOf, resources } from './resources.ts';
import { TestApi } from './testapi.ts';
import type { KubeObject } from './types.ts';

const configMap = (name: string, data: Record<string, string> = {}): KubeObject =>
  ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' }, data });

test('paths are those of the API', () => {
  assert.equal(pathOf(resources.pods), '/api/v1/pods');
  assert.equal(pathOf(resources.pods, 'a', 'n', 'status'), '/api/v1/namespaces/n/pods/a/status');
  assert.equal(pathOf(resources.nodes, 'a'), '/api/v1/nodes/a');
  assert.equal(pathOf(resources.deployments, undefined, 'n'), '/apis/apps/v1/namespaces/n/deployments');
});

test('objects are created, read, changed and deleted, and refusals are errors with a reason', async () => {
  await using api = await TestApi.start();
  const { client } = api;
  assert.equal(await client.get(resources.configMaps, 'a', 'default'), undefined);
  const created = await client.create(resources.configMaps, configMap('a', { x: '1' }));
  assert.ok(created.metadata.uid);
  await assert.rejects(client.create(resources.configMaps, configMap('a')), isAlreadyExists);
  const patched = await client.patch(resources.configMaps, 'a', 'default', { data: { y: '2' } }, { type: 'merge' });
  assert.deepEqual(patched['data'], { x: '1', y: '2' });
  await assert.rejects(client.update(resources.configMaps, created), isConflict);
  await assert.rejects(client.delete(resources.configMaps, 'a', 'default', { preconditions: { uid: 'other' } }), isConflict);
  assert.equal(await client.delete(resources.configMaps, 'a', 'default'), true);
  assert.equal(await client.delete(resources.configMaps, 'a', 'default'), false);
});

test('a list of many pages is one list, and items say what they are', async () => {
  await using api = await TestApi.start();
  for (let i = 0; i < 1201; i++) api.put('configmaps', { metadata: { name: `c${i}`, namespace: 'default' } } as KubeObject);
  const list = await api.client.list(resources.configMaps);
  assert.equal(list.items.length, 1201);
  assert.equal(list.items[7]!.kind, 'ConfigMap');
  assert.equal(api.requests.filter(r => r === 'GET /api/v1/configmaps').length, 3);
});

test('a watch delivers what happens after its version, and its loss is an error that says so', async () => {
  await using api = await TestApi.start();
  const before = api.put('configmaps', configMap('before'));
  api.put('configmaps', configMap('after'));
  const seen: string[] = [];
  await assert.rejects(async () => {
    for await (const events of api.client.watch(resources.configMaps, { resourceVersion: before.metadata.resourceVersion! })) {
      seen.push(...events.map(e => `${e.type} ${e.object.metadata.name}`));
      if (seen.length === 1) api.put('configmaps', configMap('é — später'));
      if (seen.length === 2) api.cutWatches();
    }
  }, (error: unknown) => error instanceof KubeError && error.reason === 'Unreachable');
  assert.deepEqual(seen, ['ADDED after', 'ADDED é — später']);
});

test('an abandoned watch lets go of its connection', async () => {
  await using api = await TestApi.start();
  const abort = new AbortController();
  const watch = api.client.watch(resources.pods, { resourceVersion: '0', signal: abort.signal });
  const first = watch.next();
  abort.abort();
  await assert.rejects(first);
});

test('an API that is away is an Unreachable error with a way to mend it', async () => {
  const client = new KubeClient({ socketPath: '/nonexistent/api.sock' });
  await assert.rejects(client.list(resources.pods), (error: unknown) => error instanceof KubeError && error.status === 0 && error.mend !== undefined);
});

test('a kept connection that the API closed is no error for the next call', async () => {
  await using api = await TestApi.start();
  api.put('configmaps', configMap('a'));
  await api.client.get(resources.configMaps, 'a', 'default');
  await api.stop();
  await api.listen();
  assert.ok(await api.client.get(resources.configMaps, 'a', 'default'));
});

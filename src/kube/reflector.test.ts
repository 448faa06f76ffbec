import test from 'node:test';
import assert from 'node:assert/strict';
import { waitFor } from '../std/async.ts';
import { reflect } from './reflector.ts';
import { resources } from './resources.ts';
import { TestApi } from './testapi.ts';
import type { KubeObject } from './types.ts';

const object = (name: string, value = ''): KubeObject =>
  ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'n', managedFields: [{ long: true }] }, data: { value } });

async function setup(api: TestApi) {
  const abort = new AbortController();
  const reflector = reflect({ client: api.client, resource: resources.configMaps, signal: abort.signal, random: () => 0 });
  await reflector.synced;
  return { abort, ...reflector, reader: reflector.table.changes(), [Symbol.dispose]: () => abort.abort() };
}

const value = (o: KubeObject | undefined) => (o?.['data'] as { value: string } | undefined)?.value;

test('the table follows the API: first list, then every change', async () => {
  await using api = await TestApi.start();
  api.put('configmaps', object('a', '1'));
  using r = await setup(api);
  assert.equal(value(r.table.get('n/a')), '1');
  assert.equal(r.table.get('n/a')!.metadata['managedFields'], undefined);
  api.put('configmaps', object('a', '2'));
  api.put('configmaps', object('b'));
  await waitFor('b', () => r.table.has('n/b'));
  assert.equal(value(r.table.get('n/a')), '2');
  api.remove('configmaps', 'n/a');
  await waitFor('a to go', () => !r.table.has('n/a'));
});

test('while the API is away the table keeps what it has; afterwards it catches up without a list', async () => {
  await using api = await TestApi.start();
  api.put('configmaps', object('a'));
  using r = await setup(api);
  await api.stop();
  await waitFor('the loss to be seen', () => !r.state.connected && r.state.error);
  assert.equal(r.table.size, 1);
  api.put('configmaps', object('b'));
  api.remove('configmaps', 'n/a');
  await api.listen();
  await waitFor('b', () => r.table.has('n/b') && !r.table.has('n/a'));
  assert.equal(api.requests.filter(q => q === 'GET /api/v1/configmaps').length, 1);
  assert.equal(r.state.connected, true);
});

test('a version too old leads to a list that changes only what changed', async () => {
  await using api = await TestApi.start();
  for (const name of ['same', 'gone', 'changed']) api.put('configmaps', object(name, '1'));
  using r = await setup(api);
  r.reader.take();
  await waitFor('the watch', () => api.requests.length >= 2);
  api.compact();
  api.remove('configmaps', 'n/gone');
  api.put('configmaps', object('changed', '2'));
  api.compact();
  await waitFor('the list', () => value(r.table.get('n/changed')) === '2' && !r.table.has('n/gone'));
  const { changed, deleted } = r.reader.take();
  assert.deepEqual(changed.map(o => o.metadata.name), ['changed']);
  assert.deepEqual(deleted, ['n/gone']);
});

test('a bookmark moves the version on, so that a lost watch needs no list', async () => {
  await using api = await TestApi.start();
  using r = await setup(api);
  await waitFor('the watch', () => api.requests.length >= 2);
  const before = r.state.lastContact;
  await waitFor('time to pass', () => Date.now() !== before);
  api.bookmark('configmaps');
  await waitFor('the bookmark', () => r.state.lastContact !== before);
  api.cutWatches();
  api.put('configmaps', object('later'));
  await waitFor('later', () => r.table.has('n/later'));
  assert.deepEqual(api.requests.map(q => q.split(' ')[0]), ['GET', 'WATCH', 'WATCH']);
});

test('a list that is refused is tried again, and synced waits for it', async () => {
  await using api = await TestApi.start();
  let refusals = 2;
  api.refuse = () => (refusals-- > 0 ? 503 : undefined);
  api.put('configmaps', object('a'));
  using r = await setup(api);
  assert.equal(r.table.size, 1);
});

test("what this process wrote is seen at once, and older news does not undo it", async () => {
  await using api = await TestApi.start();
  using r = await setup(api);
  await waitFor('the watch', () => api.requests.length >= 2);
  const first = await api.client.create(resources.configMaps, object('a', '1'));
  const second = await api.client.patch(resources.configMaps, 'a', 'n', { data: { value: '2' } }, { type: 'merge' });
  r.observe(second);
  r.observe(first);
  assert.equal(value(r.table.get('n/a')), '2');
  const seen = new Set<string | undefined>();
  r.table.watch(() => seen.add(value(r.table.get('n/a'))));
  api.put('configmaps', object('b'));
  await waitFor('b', () => r.table.has('n/b'));
  assert.deepEqual([...seen], ['2']);
  r.forget(first);
  assert.equal(r.table.has('n/a'), false);
});

test('an answer that comes after the news of the end brings nothing back', async () => {
  await using api = await TestApi.start();
  using r = await setup(api);
  const created = await api.client.create(resources.configMaps, object('a'));
  api.remove('configmaps', 'n/a');
  api.put('configmaps', object('b'));
  await waitFor('b', () => r.table.has('n/b'));
  r.observe(created);
  assert.equal(r.table.has('n/a'), false);
});

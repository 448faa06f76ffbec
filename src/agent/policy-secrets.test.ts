import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestApi } from '../kube/testapi.ts';
import type { KubeObject } from '../kube/types.ts';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { PolicySecrets } from './policy-secrets.ts';

const secret = (name: string, entries: Readonly<Record<string, string>>): KubeObject => ({
  apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'shop' }, data: Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
});

function setup(api: TestApi, patienceMs?: number) {
  const abort = new AbortController();
  const engine = { wanted: [] as string[], held: new Map<string, Readonly<Record<string, string>> | undefined>() };
  const secrets = new PolicySecrets({
    engine: { secretKeys: () => engine.wanted, setSecret: (key, entries) => void engine.held.set(key, entries) },
    client: api.client, signal: abort.signal, log: silentLogger, ...(patienceMs !== undefined && { patienceMs }),
  });
  let marks = 0;
  secrets.watch(() => marks++);
  return { engine, secrets, get marks() { return marks; }, [Symbol.dispose]: () => abort.abort() };
}

test('only the Secrets that are named are read; they are followed, and let go when nobody names them', async () => {
  await using api = await TestApi.start();
  api.put('secrets', secret('token', { value: 'one' }));
  api.put('secrets', secret('other', { value: 'nobody\'s business' }));
  using r = setup(api);
  r.secrets.refresh(false);
  assert.equal(r.secrets.ready, false, 'policies have not been read');
  r.engine.wanted = ['shop/token', 'shop/late'];
  r.secrets.refresh(true);
  assert.equal(r.secrets.ready, false, 'nor have the Secrets');
  const held = (key: string) => {
    r.secrets.refresh(true);
    return r.engine.held.get(key);
  };
  await waitFor('the token', () => held('shop/token')?.['value'] === 'one');
  await waitFor('both answers', () => (held('shop/late'), r.secrets.ready));
  assert.equal(r.engine.held.get('shop/late'), undefined);
  const before = r.marks;
  api.put('secrets', secret('late', { 'tls.crt': 'C' }));
  await waitFor('a mark', () => r.marks > before);
  await waitFor('the late one', () => held('shop/late')?.['tls.crt'] === 'C');
  api.remove('secrets', 'shop/token');
  await waitFor('the token to go', () => held('shop/token') === undefined);
  r.engine.wanted = [];
  assert.equal(held('shop/late'), undefined);
  assert.deepEqual([...r.engine.held.keys()].sort(), ['shop/late', 'shop/token']);
});

test('a new agent does not wait for ever for what it may not read', async () => {
  await using api = await TestApi.start();
  await api.stop();
  using r = setup(api, 10);
  r.engine.wanted = ['shop/token'];
  r.secrets.refresh(true);
  assert.equal(r.secrets.ready, false);
  await waitFor('patience to end', () => r.secrets.ready);
  assert.ok(r.marks > 0, 'the next pass goes on without it');
});

test('without named Secrets nothing is waited for', async () => {
  await using api = await TestApi.start();
  using r = setup(api);
  r.secrets.refresh(true);
  assert.equal(r.secrets.ready, true);
});

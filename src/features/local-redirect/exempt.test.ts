import test from 'node:test';
import assert from 'node:assert/strict';
import type { RedirectExemptKey } from '../../datapath/generated/structs.ts';
import { Table } from '../../table/table.ts';
import type { RedirectInput } from '../../lb/local-rows.ts';
import { RedirectExemptions, type ExemptEndpoint } from './exempt.ts';

test('pods behind a redirect that skips them are exempt by endpoint and by namespace, once the frontend has its number, and no longer', () => {
  const redirects = new Table<RedirectInput>('redirects', row => row.key);
  const listed = redirects.producer('test');
  const endpoints = new Table<ExemptEndpoint>('endpoints', endpoint => String(endpoint.id));
  const entries = new Map<string, RedirectExemptKey>();
  const text = (key: RedirectExemptKey) => `${key.kind} ${key.who} ${key.service}`;
  const ids = new Map<string, number>();
  const exemptions = new RedirectExemptions({
    redirects, endpoints, idOf: key => ids.get(key), cookieOf: netns => (netns === '/gone' ? undefined : 77n),
    map: { entries: () => [...entries.values()].map(key => [key, 1] as const), update: key => void entries.set(text(key), key), delete: key => entries.delete(text(key)) },
  });
  const held = () => {
    exemptions.step();
    return [...entries.keys()].sort();
  };
  const row = (skip: boolean, ...backends: string[]): RedirectInput => ({ key: 'n/p', namespace: 'n', policy: 'p', portName: '', address: '169.254.169.254', port: 80, protocol: 'TCP', backends: backends.map(address => ({ address, port: 8080 })), skipRedirectFromBackend: skip });
  entries.set('0 9 9', { who: 9n, service: 9, kind: 0 });
  redirects.upsert(row(true, '10.0.0.1', '10.0.0.2', '10.0.0.9'));
  endpoints.upsert({ id: 5, netns: '/here', ipv4: '10.0.0.1', ipv6: 'fd00::1' }, { id: 6, netns: '/gone', ipv4: '10.0.0.2' });
  assert.deepEqual(held(), ['0 9 9'], 'what an agent before this one wrote stays until the lists are there');
  ids.set('169.254.169.254:80/TCP', 1234);
  assert.deepEqual(held(), ['0 5 1234', '0 6 1234', '0 9 9', '1 77 1234']);
  listed.synced();
  assert.deepEqual(held(), ['0 5 1234', '0 6 1234', '1 77 1234']);
  redirects.upsert(row(false, '10.0.0.1'));
  assert.deepEqual(held(), []);
});

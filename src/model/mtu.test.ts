import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mtuBudget } from './mtu.ts';

test('each path has what the overlay and the DSR option leave; TCP needs no room for the option', () => {
  for (const routing of ['tunnel', 'native'] as const) {
    const overlay = routing === 'tunnel' ? 50 : 0;
    for (const mode of ['snat', 'dsr', 'hybrid'] as const) {
      const rows = mtuBudget({ uplink: 1500, routing, mode });
      const of = (pattern: RegExp) => rows.filter(row => pattern.test(row.path));
      assert.deepEqual(of(/^uplink/).map(row => row.ipv4), [1500]);
      for (const row of rows.filter(each => each.path !== 'uplink' && !/SCTP \(dsr\)/.test(each.path))) assert.deepEqual([row.ipv4, row.ipv6], [1500 - overlay, 1500 - overlay], row.path);
      assert.deepEqual(of(/SCTP \(dsr\)/).map(row => [row.ipv4, row.ipv6]), mode === 'dsr' ? [[1492 - overlay, 1476 - overlay]] : []);
      for (const row of rows) assert.equal(row.spent === '', row.ipv4 === 1500, row.path);
    }
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { edgeKey } from '../../src/model/map-merge.ts';
import type { MapEdge, MapInterval } from '../../src/model/service-map.ts';
import { MapWindow } from '../../ui/src/state/map-window.ts';

const start = Date.parse('2026-11-28T12:00:00Z');
const iso = (ms: number) => new Date(ms).toISOString();
const edge = (i: number, count: number): MapEdge => ({
  source: `workload:a/Deployment/w${i}`, destination: 'reserved:world', protocol: 'TCP', port: 443, forwarded: count, dropped: count % 3, audited: 0, errors: count % 2, requests: 0, bytesOut: 10 * count, bytesBack: 20 * count, packetsOut: 1, packetsBack: 1,
  latency: [count, 0, count], ...(count % 3 > 0 && { lastDrop: `drop-${count}`, dropReasons: { 'Policy denied': count % 3 } }),
});

/** Of every interval that begins within the window; each a second long. */
function naive(intervals: readonly MapInterval[], seconds: number): ReadonlyMap<string, number> {
  const until = Date.parse(intervals.at(-1)!.until);
  const sums = new Map<string, number>();
  for (const interval of intervals) {
    if (Date.parse(interval.since) < until - seconds * 1000 - 1000) continue;
    for (const each of interval.edges) sums.set(edgeKey(each), (sums.get(edgeKey(each)) ?? 0) + each.forwarded);
  }
  return sums;
}

test('the totals are the sum of what lies in the window, whatever comes and whenever the window changes', () => {
  const seconds = fc.array(fc.array(fc.tuple(fc.nat(4), fc.integer({ min: 1, max: 50 })), { maxLength: 4 }), { minLength: 1, maxLength: 200, size: 'max' });
  fc.assert(fc.property(seconds, fc.array(fc.constantFrom(60, 300, 900), { maxLength: 3 }), (told, changes) => {
    const window = new MapWindow();
    const all: MapInterval[] = [];
    let wide = 60;
    told.forEach((edges, i) => {
      const byKey = new Map(edges.map(([who, count]) => [who, edge(who, count)] as const));
      const interval: MapInterval = { since: iso(start + i * 1000), until: iso(start + (i + 1) * 1000), nodes: [], edges: [...byKey.values()] };
      window.add(interval);
      all.push(interval);
      // At equal parts of the time.
      const change = changes[Math.floor(i * (changes.length + 1) / told.length) - 1];
      if (change !== undefined) window.setWindowSeconds(wide = change);
    });
    const expected = naive(all, wide);
    const got = new Map([...window.edges].map(([key, total]) => [key, total.forwarded] as const));
    // Older seconds have become quarters of a minute: at the far edge of a wide window up to fifteen seconds more or less are in it.
    if (wide === 60) assert.deepEqual([...got].sort(), [...expected].sort());
    else {
      const loose = naive(all, wide + 15);
      const strict = naive(all, Math.max(1, wide - 15));
      for (const [key, count] of got) assert.ok(count <= (loose.get(key) ?? 0), key);
      for (const [key, count] of strict) assert.ok((got.get(key) ?? 0) >= count, key);
    }
    for (const { latency, dropReasons, dropped } of window.edges.values()) {
      assert.ok(latency!.every(count => count >= 0));
      assert.equal(dropReasons?.['Policy denied'] ?? 0, dropped);
    }
  }), { numRuns: 150 });
});

test('an interval of the past is shown as it is, however long', () => {
  const window = new MapWindow();
  window.show({ since: iso(start), until: iso(start + 86_400_000), nodes: [], edges: [edge(1, 7)] });
  assert.deepEqual([window.edges.size, window.seconds], [1, 86_400]);
});

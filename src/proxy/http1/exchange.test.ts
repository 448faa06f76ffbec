import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Exchange, Exchanges } from './exchange.ts';

const asked = (path: string) => ({ method: 'GET', origin: 'http://a', path, minor: 1, isHead: false });

test('requests that wait are each their own object, in their order, and begin as new ones whatever the last one in it was', () => {
  const fresh = JSON.stringify(new Exchanges().next(asked('/')));
  fc.assert(fc.property(fc.array(fc.constantFrom('ask', 'ask', 'answer', 'answer', 'lose'), { maxLength: 60 }), acts => {
    const exchanges = new Exchanges();
    const waiting: { readonly exchange: Exchange; readonly path: string }[] = [];
    acts.forEach((act, i) => {
      if (act === 'answer') {
        if (waiting.length === 0) return;
        exchanges.shift();
        waiting.shift();
      } else {
        assert.equal(JSON.stringify({ ...exchanges.next(asked('/')) }), fresh);
        // One that was asked for and not queued is forgotten.
        const exchange = exchanges.next(asked(`/${i}`));
        Object.assign(exchange, { headers: [], traceId: 'x', toldFrame: 3, toldAt: 4, toldOpinions: [], opinions: [{}], own: Buffer.alloc(1), status: 403, askedUs: 7.5, answeredUs: 8.5, isHead: true, tunnel: 'connect', closes: true, protocol: 'HTTP/1.0' });
        if (act === 'lose') return;
        exchanges.push(exchange);
        waiting.push({ exchange, path: `/${i}` });
      }
      assert.equal(new Set(waiting.map(({ exchange }) => exchange)).size, waiting.length);
      assert.deepEqual(waiting.map(({ exchange }) => exchange.path), waiting.map(({ path }) => path));
      assert.equal(exchanges.front, waiting[0]?.exchange);
      assert.equal(exchanges.last, waiting.at(-1)?.exchange);
      assert.equal(exchanges.length, waiting.length);
    });
  }));
});

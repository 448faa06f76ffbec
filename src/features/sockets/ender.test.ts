import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '../../std/async.ts';
import { type Addr, formatAddr, parseAddr } from '../../std/ip.ts';
import { type Gone, SocketEnder } from './ender.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {}, with: () => quiet };
const gone = (address: string, protocol = 17): Gone => ({ addr: parseAddr(address), port: 53, protocol });

/** Walks that only say what was in the map when they ran; the kernel's own are tried in tests/programs/socket-end.test.ts. */
function rig(o: { readonly walkMs?: number; readonly broken?: boolean } = {}) {
  const map = new Map<string, Gone>();
  const walks: string[] = [];
  const inUse = new Set<string>();
  let clock = 1_000;
  const walker = (name: string) => ({
    begin: () => {
      if (o.broken) throw new Error('no iterator today');
      return {
        run: () => {
          clock += o.walkMs ?? 0;
          walks.push(`${name} ${[...map.keys()].sort().join(' ')}`);
        },
      };
    },
  });
  const pauses: number[] = [];
  let release: () => void = () => {};
  const ender = new SocketEnder({ iterators: { tcp: walker('tcp'), udp: walker('udp') } }, {
    goneBackends: {
      update: key => void map.set(`${formatAddr(key.addr)}/${key.protocol}`, key),
      delete: key => map.delete(`${formatAddr(key.addr)}/${key.protocol}`),
    },
    namespaces: () => [], isInUse: (addr: Addr) => inUse.has(formatAddr(addr)), log: quiet,
    now: () => clock,
    pause: ms => {
      pauses.push(ms);
      return new Promise(resolve => { release = resolve; });
    },
  });
  return { ender, map, walks, inUse, pauses, next: () => release(), pass: (ms: number) => { clock += ms; } };
}

test('one round for all that went, over the tables of their protocols alone', async () => {
  const { ender, walks, map } = rig();
  ender.gone([gone('10.0.0.1'), gone('10.0.0.2'), gone('10.0.0.1')]);
  ender.gone([gone('10.0.0.3', 132)]);
  await ender.turn();
  assert.deepEqual(walks, ['udp 10.0.0.1/17 10.0.0.2/17']);
  ender.gone([gone('10.0.0.4', 6)]);
  await ender.turn();
  assert.deepEqual(walks.slice(1), ['tcp 10.0.0.4/6']);
  await ender.turn();
  assert.equal(walks.length, 2, 'nothing gone, nothing walked');
  assert.equal(map.size, 0);
});

test('rounds take a fifth of the time at most, and what goes meanwhile shares the next one', async () => {
  const { ender, walks, pauses, next } = rig({ walkMs: 100 });
  const stop = new AbortController();
  const running = ender.run(stop.signal);
  const round = (count: number) => waitFor(`the end of round ${count}`, () => pauses.length === count, { timeoutMs: 20_000, everyMs: 2 });
  ender.gone([gone('10.0.0.1')]);
  await round(1);
  for (let n = 2; n < 40; n++) ender.gone([gone(`10.0.0.${n}`)]);
  // Time in which nothing is to happen.
  await new Promise(resolve => setTimeout(resolve, 20));
  assert.deepEqual([walks.length, pauses], [1, [400]]);
  next();
  await round(2);
  assert.deepEqual([walks.length, pauses], [2, [400, 400]]);
  stop.abort();
  next();
  await running;
});

test('a failure is in status until a round has worked, and leaves nothing in the map', async () => {
  const { ender, map } = rig({ broken: true });
  ender.gone([gone('10.0.0.1')]);
  await ender.turn();
  assert.equal(ender.status().state, 'degraded');
  assert.match(ender.status().detail, /no iterator today/);
  assert.equal(map.size, 0);
});

test('TCP backends whose address is in use wait, the oldest go when there are too many', async () => {
  const { ender, walks, inUse, pass } = rig();
  const many = Array.from({ length: 5_000 }, (_, n) => gone(`10.1.${n >> 8}.${n & 255}`, 6));
  for (const one of many) inUse.add(formatAddr(one.addr));
  ender.gone(many);
  await ender.turn();
  assert.deepEqual(walks, []);
  inUse.clear();
  pass(1_000);
  await ender.turn();
  assert.equal(walks.join(' ').split(' ').filter(word => word.endsWith('/6')).length, 4_096);
});

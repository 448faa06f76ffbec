import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { proxyNodeArgs } from '../cluster/children.ts';
import { waitFor } from '../std/async.ts';
import { createLogger } from '../std/log.ts';
import { protocolLoader } from './protocols.ts';
import { WarmUp } from './warm-up.ts';

/** What the logger is told while it rehearses. */
function start(load = protocolLoader({ headers: [] })) {
  const stop = new AbortController();
  const said: { readonly level: string; readonly message: string; readonly requests?: number }[] = [];
  const log = createLogger({}, line => said.push(JSON.parse(line) as (typeof said)[number]), 'info');
  return { warmUp: new WarmUp({ load, log, signal: stop.signal }), load, said, stop };
}

test('each request of the rehearsal is answered, and nothing of it stays open', async () => {
  const { warmUp, load, said } = start();
  load.named('http');
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  assert.ok(warmUp.due);
  await warmUp.run();
  assert.deepEqual(said.map(({ level, message, requests }) => [level, message, requests]), [['info', 'warm', 28_800]]);
  assert.equal(descriptors(), before);
  assert.ok(!warmUp.due);
  await warmUp.run();
  assert.equal(said.length, 1, 'once');
});

test('nothing is rehearsed before HTTP is in use, nor while somebody is served', async () => {
  const { warmUp, load, said } = start();
  await warmUp.run();
  assert.deepEqual([warmUp.due, said], [false, []]);
  load.named('http');
  let asked = 0;
  const done = warmUp.run(() => ++asked < 3);
  await waitFor('it to ask twice', () => (asked >= 2 ? true : undefined), { timeoutMs: 10_000, everyMs: 5 });
  assert.deepEqual(said, []);
  await done;
  assert.equal(said.length, 1);
});

test('a process that ends does not wait for it', async () => {
  const { warmUp, load, said, stop } = start();
  load.named('http');
  const done = warmUp.run();
  stop.abort();
  await done;
  assert.ok((said[0]?.requests ?? 0) < 28_800);
});

test('what was compiled stays when the garbage of the rehearsal goes', () => {
  const script = `
    import { createLogger } from './std/log.ts';
    import { protocolLoader } from './proxy/protocols.ts';
    import { WarmUp } from './proxy/warm-up.ts';
    const load = protocolLoader({ headers: [] });
    load.named('http');
    globalThis.warmUp = new WarmUp({ load, log: createLogger({}, () => {}), signal: new AbortController().signal });
    await globalThis.warmUp.run();
    console.log('WARM');
    for (let i = 0; i < 4; i++) {
      await new Promise(done => setTimeout(done, 1));
      gc();
    }
    // It is thrown away when it is next looked at.
    await new Promise(done => setTimeout(done, 100));
    console.log('OVER');
  `;
  const traced = execFileSync(process.execPath, [...proxyNodeArgs, '--import', join(import.meta.dirname, '../cluster/preload.ts'), '--trace-deopt', '--input-type=module', '-e', script], { cwd: join(import.meta.dirname, '..'), encoding: 'utf8', maxBuffer: 1 << 28 });
  const after = traced.slice(traced.indexOf('WARM\n'));
  assert.ok(after.endsWith('OVER\n') && traced.includes('[bailout'), 'V8 tells of it');
  const gone = after.split('\n').flatMap(line => /<SharedFunctionInfo ([^>]+)>.*embedded weak objects cleared/.exec(line)?.[1] ?? []);
  assert.deepEqual(gone.filter(name => ['#requests', '#decide', '#useNames', 'judge', 'both', 'alone', 'match', 'recordRequest', 'readable', '#leave', '#settle'].includes(name)), []);
});

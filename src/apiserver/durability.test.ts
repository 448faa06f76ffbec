import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../std/async.ts';
import { statePaths } from '../model/cluster.ts';
import { asObjects, at } from './object.ts';
import type { JsonObject } from './object.ts';
import { testRecord } from './testing.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

test('what was answered survives kill -9, at any moment', { timeout: 60_000 }, async () => {
  const paths = statePaths('apitest', mkdtempSync(join(tmpdir(), 'cirri-kill-')));
  mkdirSync(paths.run, { recursive: true });
  writeFileSync(paths.clusterJson, JSON.stringify(testRecord));
  let child: ChildProcess | undefined;
  const call = (method: string, path: string, body?: JsonObject): Promise<{ code: number; body: JsonObject }> => new Promise((resolve, reject) => {
    const payload = body && JSON.stringify(body);
    const sent = request({ socketPath: paths.apiserverSocket, method, path, agent: false, headers: payload ? { 'content-type': 'application/json' } : {} }, async response => {
      try {
        let text = '';
        for await (const chunk of response) text += String(chunk);
        resolve({ code: response.statusCode ?? 0, body: text.startsWith('{') ? (JSON.parse(text) as JsonObject) : {} });
      } catch (error) {
        reject(error as Error);
      }
    });
    sent.on('error', reject);
    sent.end(payload);
  });
  const start = async () => {
    child = spawn(process.execPath, [main], { env: { ...process.env, CIRRI_INSTANCE: 'apitest', CIRRI_STATE: paths.state }, stdio: 'ignore' });
    await waitFor('the server', () => call('GET', '/readyz').then(a => a.code === 200, () => false));
  };
  const kill = async () => {
    const gone = new Promise(resolve => child!.once('exit', resolve));
    child!.kill('SIGKILL');
    await gone;
  };
  const collection = '/api/v1/namespaces/default/configmaps';
  try {
    let revision = 0;
    const answered = new Set<string>();
    for (let round = 0; round < 3; round++) {
      await start();
      const list = (await call('GET', `${collection}?labelSelector=kill`)).body;
      const stored = new Set(asObjects(list['items']).map(o => String(at(o, 'metadata', 'name'))));
      for (const name of answered) assert.ok(stored.has(name), `${name} was answered and is not there after round ${round}`);
      assert.ok(Number(at(list, 'metadata', 'resourceVersion')) >= revision, 'versions never go back');
      let stop = false;
      const writers = [0, 1, 2].map(async w => {
        for (let i = 0; !stop; i++) {
          const name = `r${round}-w${w}-${i}`;
          const answer = await call('POST', collection, { metadata: { name, labels: { kill: 'yes' } }, data: { text: 'x'.repeat(500) } }).catch(() => undefined);
          if (answer?.code !== 201) return;
          answered.add(name);
          revision = Math.max(revision, Number(at(answer.body, 'metadata', 'resourceVersion')));
        }
      });
      await waitFor('some writes', () => answered.size > (round + 1) * 60);
      await kill();
      stop = true;
      await Promise.all(writers);
    }
    await start();
    const stored = asObjects((await call('GET', `${collection}?labelSelector=kill`)).body['items']).length;
    assert.ok(stored >= answered.size && stored <= answered.size + 9, `${stored} stored, ${answered.size} answered`);
  } finally {
    if (child?.exitCode === null && child.signalCode === null) await kill();
    rmSync(paths.state, { recursive: true, force: true });
  }
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TestCluster } from './testing.ts';

const cnp = (name: string, annotations = {}) => ({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'shop', annotations }, spec: { endpointSelector: {}, ingress: [{}] } });

let cluster: TestCluster;
before(async () => {
  cluster = await TestCluster.start([{ kind: 'Namespace', metadata: { name: 'shop' } }, cnp('web'), cnp('web-strict', { 'policy.cirri.io/mode': 'shadow' })], {});
});
after(() => cluster[Symbol.asyncDispose]());

/** What bash offers at the end of a line, with the script loaded. The API answers from this process, so the names come from a file. */
async function offered(line: string): Promise<readonly string[]> {
  const script = (await cluster.cirri('completion', 'bash')).stdout;
  const bin = join(cluster.api.paths.state, 'bin');
  mkdirSync(bin, { recursive: true });
  for (const names of ['policies', 'shadows']) writeFileSync(join(bin, names), (await cluster.cirri('completion', names)).stdout);
  writeFileSync(join(bin, 'cirri'), `#!/bin/sh\n[ "$1" = completion ] && cat '${bin}'/"$2"\n`, { mode: 0o755 });
  const words = line.split(' ');
  const { stdout, stderr } = spawnSync('bash', ['-c', `${script}\nCOMP_WORDS=(${words.map(word => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _cirri; printf '%s\\n' "\${COMPREPLY[@]}"`], {
    encoding: 'utf8', cwd: bin, env: { ...process.env, PATH: `${bin}:${process.env['PATH']}` },
  });
  assert.equal(stderr, '');
  return stdout.trim().split('\n');
}

test('bash offers commands, subcommands, their own flags, and names of policies where one is wanted', async () => {
  assert.deepEqual(await offered('cirri pol'), ['policy']);
  assert.deepEqual(await offered('cirri policy sh'), ['shadow']);
  assert.deepEqual(await offered('cirri policy shadow --w'), ['--watch']);
  assert.deepEqual(await offered('cirri policy diff --wi'), ['--without']);
  assert.deepEqual(await offered('cirri bpf lb m'), ['maglev']);
  assert.deepEqual(await offered('cirri bpf lb maglev '), ['list', 'get', '--help']);
  assert.deepEqual(await offered('cirri bpf lb list --fr'), ['--frontends']);
  assert.deepEqual(await offered('cirri bpf ct list global --ti'), ['--time-diff']);
  assert.deepEqual(await offered('cirri policy get shop/'), ['shop/web', 'shop/web-strict']);
  assert.deepEqual(await offered('cirri policy shadow shop/'), ['shop/web-strict']);
});

test('without a cluster there are no names, and no complaint', async () => {
  const { stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, '../main.ts'), 'completion', 'policies'], { encoding: 'utf8', env: { ...process.env, CIRRI_STATE: '/nonexistent' } });
  assert.deepEqual([stdout, stderr], ['', '']);
});

test('the scripts for zsh and fish name the same commands', async () => {
  for (const shell of ['zsh', 'fish']) {
    const { stdout } = await cluster.cirri('completion', shell);
    for (const word of ['shadow', 'stats', '-without', 'completion policies', 'completion shadows']) assert.ok(stdout.includes(shell === 'fish' ? word.replace(/^-/, '-l ') : word), `${shell}: ${word}`);
  }
});

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'hubble-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const flows = join(folder, 'flows.json');
writeFileSync(flows, [7, 8].map(port => JSON.stringify({
  flow: { time: `2026-01-05T03:04:0${port}Z`, verdict: 'DROPPED', IP: { source: '1.1.1.1', destination: '2.2.2.2' }, l4: { TCP: { source_port: 1, destination_port: port } }, node_name: 'n1', event_type: { type: 1, sub_type: 133 }, Summary: 'TCP Flags: SYN' },
})).join('\n'));

function hubble(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise(resolve => {
    execFile(join(root, 'hubble'), [...words], { env: { ...process.env, HUBBLE_CONFIG: join(folder, 'none.yaml'), ...env } }, (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }));
  });
}

test('./hubble prints what hubble prints; flags come from the environment and from files, wherever --config stands', async () => {
  const line = 'Jan  5 03:04:07.000: 1.1.1.1:1 (unknown) <> 2.2.2.2:7 (unknown) Policy denied DROPPED (TCP Flags: SYN)\n';
  assert.equal((await hubble(['observe', '--input-file', flows, '--port', '7'])).stdout, line);
  assert.equal((await hubble(['observe', '--input-file', flows, '--port', '7'], { HUBBLE_PRINT_NODE_NAME: 'true', HUBBLE_TIME_FORMAT: 'RFC3339' })).stdout, line.replace('Jan  5 03:04:07.000', '2026-01-05T03:04:07Z [n1]'));
  const config = join(folder, 'config.yaml');
  writeFileSync(config, (await hubble(['observe', '--port', '7', '--print-raw-filters'])).stdout);
  for (const words of [['--config', config, 'observe'], ['observe', '--config', config], ['observe', 'flows', '--config', config]]) {
    assert.equal((await hubble([...words, '--input-file', flows])).stdout, line, words.join(' '));
  }
});

test('what cannot be meant ends with a word and a code', async () => {
  const conflict = await hubble(['observe', '--ip', '1.1.1.1', '--pod', 'a']);
  assert.deepEqual([conflict.code, conflict.stderr], [1, 'cirri: filters --ip and --pod cannot be combined\n']);
  assert.equal((await hubble(['observe', '--no-such-flag'])).code, 2);
});

test('completion for ./hubble knows its commands and flags', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout } = await hubble(['completion', shell]);
    assert.match(stdout, /hubble/);
    assert.match(stdout, /drop-reason-desc/);
    assert.match(stdout, /agent-events/);
  }
});

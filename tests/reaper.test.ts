import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../src/std/async.ts';

const name = `reaper${process.pid}`;
const rig = `
import { spawn, execFileSync } from 'node:child_process';
import { createCgroup } from ${JSON.stringify(fileURLToPath(new URL('../src/sys/cgroup.ts', import.meta.url)))};
import { takeDownAfterThisProcess } from ${JSON.stringify(fileURLToPath(new URL('reaper.ts', import.meta.url)))};
const cgroup = createCgroup('${name}');
const guard = takeDownAfterThisProcess({ namespaces: ['${name}'], cgroups: [cgroup] });
execFileSync('ip', ['netns', 'add', '${name}']);
const server = spawn('ip', ['netns', 'exec', '${name}', 'sleep', '1000'], { stdio: 'ignore' });
const member = spawn('sh', ['-c', 'echo $$ > ' + cgroup + '/cgroup.procs && exec sleep 1000'], { stdio: 'ignore' });
console.log(JSON.stringify({ cgroup, processes: [server.pid, member.pid] }));
process.stdin.once('data', () => { guard[Symbol.dispose](); process.exit(0); });
`;

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

for (const { how, end, goes } of [
  { how: 'killed', end: 'SIGKILL', goes: true },
  { how: 'disposed of', end: undefined, goes: false },
] as const) test(`of a rig whose process is ${how} its namespaces, cgroups and processes ${goes ? 'go' : 'are its own business'}`, async () => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', rig], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(createInterface(child.stdout), 'line') as [string];
  const { cgroup, processes } = JSON.parse(line) as { cgroup: string; processes: number[] };
  const left = () => [existsSync(`/run/netns/${name}`) && 'namespace', existsSync(cgroup) && 'cgroup', ...processes.filter(isAlive)].filter(Boolean);
  try {
    assert.equal(left().length, 4);
    // Before that they are not yet in the namespace and the cgroup, and nobody would find them there.
    await waitFor('both to be in their places', () => processes.every(pid => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n'), { timeoutMs: 20_000 });
    if (end) child.kill(end);
    else child.stdin.write('\n');
    await once(child, 'exit');
    // Killed is the rig alone, not whom it has started: they are the reaper's.
    if (goes) await waitFor('all to go', () => left().length === 0, { timeoutMs: 20_000 });
    else assert.equal(left().length, 4);
  } finally {
    for (const pid of processes) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
    await waitFor('the cgroup to be empty', () => !existsSync(cgroup) || spawnSync('rmdir', [cgroup], { stdio: 'ignore' }).status === 0);
  }
});

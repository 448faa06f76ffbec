/**
 * Cirri in the benchmark harness's own topology: one process stands in for the agent of node namespace pbn-TAG, with the
 * same tables, engine, programs and maps; only the API is replaced by the harness's service list.
 *
 *     backend.ts full|add|chg|cgroup|down TAG N        (see harness/README.md for the contract)
 *     backend.ts load TAG N                            the agent runs already, and N objects arrive
 *     backend.ts stages TAG N                          where the start went
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { cgroupRoot } from '../../src/sys/cgroup.ts';
import { unmount } from '../../src/sys/mount.ts';

const [command = '', tag = '', services = '0'] = process.argv.slice(2);
const build = process.env['BENCH_BUILD'] ?? join(process.cwd(), '.bench');
const directory = join(build, `cirri-${tag}`);
const socket = join(directory, 'control.sock');
const cgroup = `pbcirri-${tag.replace(/[^a-z0-9]/gi, '')}`;

async function main(): Promise<void> {
  switch (command) {
    case 'full': return full();
    case 'add':
    case 'chg':
    case 'load':
    case 'stages': return print(await ask(`/${command}?${services}`));
    case 'cgroup': return void process.stdout.write(`${cgroupRoot()}/${cgroup}/pod+both\n`);
    case 'stat': return void process.stdout.write(`${await ask('/stat')}\n`);
    case 'down': return down();
    default: throw new Error(`unknown command "${command}"`);
  }
}

/** Starts the stand-in agent and waits until the services and the policy are in the kernel. The time is its own, from exec on. */
async function full(): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const log = openSync(join(directory, 'log'), 'w');
  const started = process.hrtime.bigint();
  const child = spawn('nsenter', [`--net=/run/netns/pbn-${tag}`, '--', process.execPath, '--disable-warning=ExperimentalWarning',
    new URL('./agent.ts', import.meta.url).pathname, directory, tag, services, join(build, 'gen'), cgroup, started.toString()], { detached: true, stdio: ['ignore', log, log, 'ipc'] });
  const answer = await new Promise<string>((resolve, reject) => {
    child.once('message', message => resolve(String(message)));
    child.once('exit', code => reject(new Error(`the stand-in agent ended with ${code}:\n${readFileSync(join(directory, 'log'), 'utf8')}`)));
  });
  writeFileSync(join(directory, 'pid'), `${child.pid}\n`);
  child.disconnect();
  child.unref();
  print(answer);
}

async function down(): Promise<void> {
  const pid = existsSync(join(directory, 'pid')) ? readFileSync(join(directory, 'pid'), 'utf8').trim() : '';
  if (existsSync(socket)) await ask('/down').catch(() => {});
  // It removes what it made, links first; a folder under a mounted bpffs must not be swept from here meanwhile.
  for (let turn = 0; pid !== '' && existsSync(`/proc/${pid}`) && turn < 100; turn++) await new Promise(resolve => setTimeout(resolve, 50));
  unmount(join(directory, 'bpf'));
  rmSync(directory, { recursive: true, force: true });
}

function ask(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    http.get({ socketPath: socket, path }, response => {
      let text = '';
      response.on('data', chunk => (text += String(chunk)));
      response.on('end', () => (response.statusCode === 200 ? resolve(text.trim()) : reject(new Error(text))));
    }).on('error', reject);
  });
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();

/** The folder that benchmarks work in, and what of other projects they measure against. */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export const root = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');
export const folder = join(root, '.cache', 'bench');
export const build = join(folder, 'build');

/** Debian packages and a file or command by which one sees that they are there. */
const trafficNeeds = { iptables: 'iptables-legacy-restore', nftables: 'nft', conntrack: 'conntrack', 'iputils-ping': 'ping', python3: 'python3', gcc: 'gcc', make: 'make' } as const;
const cniNeeds = { 'containernetworking-plugins': '/usr/lib/cni/bridge', python3: 'python3', iproute2: 'ip' } as const;

/** The harness as symbolic links, our backend among the others, the traffic generator and the rule sets of the peers. */
export function prepareTraffic(services: readonly number[]): void {
  install(trafficNeeds);
  const harness = join(root, 'tools', 'bench', 'harness');
  mkdirSync(join(folder, 'backends'), { recursive: true });
  for (const name of readdirSync(harness)) if (name !== 'backends') link(join(harness, name), join(folder, name));
  for (const name of readdirSync(join(harness, 'backends'))) link(join(harness, 'backends', name), join(folder, 'backends', name));
  for (const name of ['cirri', 'cirri-sockmap', 'cirri-ev-off', 'cirri-ev-off-again', 'cirri-ev-max', 'cirri-ev-medium', 'cirri-ev-low', 'cirri-ev-none']) link(join(root, 'tools', 'bench', 'cirri'), join(folder, 'backends', name));
  // The rule sets are one target for all sizes: another size makes them anew.
  if (services.some(count => !existsSync(join(build, 'gen', `svc-${count}`)))) rmSync(join(build, 'gen'), { recursive: true, force: true });
  run('make', ['-s', '-f', join(folder, 'Makefile'), `SIZES=${services.join(' ')}`], { BENCH_BUILD: build });
}

/** The list of a number of services for which the peers need no rule sets; as harness/gen.py has it. */
export function prepareServices(count: number): void {
  const text = (address: number) => [24, 16, 8, 0].map(shift => (address >>> shift) & 255).join('.');
  const [vip, endpoint] = [0x0a600001, 0x0af41000];
  const line = (i: number, endpoints: readonly string[]) => `${text(vip + i)} 80 ${endpoints.map(each => `${each}:8080`).join(' ')}\n`;
  const endpoints = (i: number) => [0, 1, 2].map(k => text(endpoint + 3 * i + k));
  const middle = count >> 1;
  writeFileSync(join(build, 'gen', `svc-${count}`), Array.from({ length: count }, (_, i) => line(i, i === count - 1 ? ['10.244.2.2', '10.244.2.3', '10.244.2.4'] : endpoints(i))).join(''));
  writeFileSync(join(build, 'gen', `svc-add-${count}`), line(count, endpoints(count)));
  writeFileSync(join(build, 'gen', `svc-chg-${count}`), line(middle, ['10.244.15.7', ...endpoints(middle).slice(1)]));
  writeFileSync(join(build, 'gen', `lastvip-${count}`), `${text(vip + count - 1)}:80\n`);
}

export function prepareCni(): void {
  install(cniNeeds);
  mkdirSync(folder, { recursive: true });
}

/** The harness's namespaces, and the proxies that ours is measured beside. */
export function prepareL7(): void {
  install({ haproxy: 'haproxy', nginx: 'nginx', wrk: 'wrk', curl: 'curl', 'iputils-ping': 'ping' });
  mkdirSync(folder, { recursive: true });
  link(join(root, 'tools', 'bench', 'harness', 'topo.sh'), join(folder, 'topo.sh'));
}

/** Runs to its end; throws with what it said when it fails. */
export function run(file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): { readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr, error } = spawnSync(file, args, { cwd: folder, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${status}:\n${stderr}`);
  return { stdout, stderr };
}

function install(needs: Readonly<Record<string, string>>): void {
  const missing = Object.entries(needs).filter(([, file]) => !isThere(file)).map(([name]) => name);
  if (missing.length === 0) return;
  process.stderr.write(`installing Debian packages: ${missing.join(' ')}\n`);
  run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing], { DEBIAN_FRONTEND: 'noninteractive' });
}

function isThere(file: string): boolean {
  if (file.startsWith('/')) return existsSync(file);
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].some(path => existsSync(join(path, file)));
}

function link(target: string, path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })) rmSync(path);
  symlinkSync(target, path);
}

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, openSync, closeSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { delimiter, join } from 'node:path';
import { delay } from '../std/async.ts';
import { requireFeatures } from '../ebpf/features.ts';
import { CirriError } from '../std/errors.ts';
import { mount, mounts } from '../sys/mount.ts';
import { toolEnv } from './outside.ts';
import { processRef } from './pidfile.ts';
import type { Progress } from './progress.ts';

/** A Debian package and how to see that what it brings is there, however it came. */
interface Need {
  readonly package: string;
  readonly command?: string;
  readonly file?: string;
}

/** What a cluster runs with. */
const runtimeNeeds: readonly Need[] = [
  { package: 'runc', command: 'runc' },
  { package: 'nftables', command: 'nft' },
  { package: 'util-linux', command: 'nsenter' },
  { package: 'libbpf1', file: '/usr/lib/*/libbpf.so.1' },
  // The API server's certificates.
  { package: 'openssl', command: 'openssl' },
];

/** What the tests look at a cluster with, as its users do. */
const testNeeds: readonly Need[] = [
  { package: 'iproute2', command: 'ip' },
  { package: 'iputils-ping', command: 'ping' },
  { package: 'kubernetes-client', command: 'kubectl' },
  { package: 'curl', command: 'curl' },
  // Servers and clients that are not ours, for layer 7 and names.
  { package: 'nginx-light', command: 'nginx' },
  { package: 'kcat', command: 'kcat' },
  { package: 'dnsmasq-base', command: 'dnsmasq' },
  { package: 'bind9-dnsutils', command: 'dig' },
  { package: 'dnsperf', command: 'dnsperf' },
  { package: 'nghttp2-client', command: 'nghttp' },
  { package: 'python3', command: 'python3' },
];

/** What building the kernel programs and the native helpers takes: only when their sources changed. */
const buildNeeds: readonly Need[] = [
  { package: 'clang-19', command: 'clang-19' },
  { package: 'libbpf-dev', file: '/usr/include/bpf/bpf_helpers.h' },
  { package: 'bpftool', command: 'bpftool' },
  { package: 'gcc', command: 'gcc' },
  { package: 'make', command: 'make' },
  { package: 'libc6-dev', file: '/usr/lib/*/libc.a' },
  { package: 'linux-libc-dev', file: '/usr/include/linux/bpf.h' },
];

/** One build: its folder, what comes out, and what (beside the sources) decides whether it is still right. */
interface Build {
  readonly folder: string;
  readonly title: string;
  readonly outputs: readonly string[];
  readonly depends: string;
}

const builds: readonly Build[] = [
  // vmlinux.h is made from the running kernel's types.
  { folder: 'bpf', title: 'kernel programs', outputs: ['cirri.bpf.o'], depends: release() },
  { folder: 'native', title: 'native helpers', outputs: ['cirri-cni', 'cirri-shim', 'cirri-echo', 'cirri-peer', 'cirri-load'], depends: '' },
];

/** Everything that a machine needs before a cluster can start on it. Fast when nothing is missing. */
export async function ensureMachine(root: string, progress: Progress, options: { readonly forTests?: boolean } = {}): Promise<void> {
  checkRoot();
  checkKernel();
  ensureCgroup2();
  const stale = builds.filter(build => !isBuilt(root, build));
  await ensurePackages([...runtimeNeeds, ...(stale.length > 0 ? buildNeeds : []), ...(options.forTests ? testNeeds : [])], progress);
  if (stale.length === 0) return;
  await withLock(join(root, 'build', '.lock'), async () => {
    for (const build of stale) if (!isBuilt(root, build)) await progress.step(`build ${build.title}`, () => make(root, build));
  });
}

/** Brings the outputs up to date without asking for root: what tests and tools call. */
export async function ensureBuilds(root: string, progress: Progress): Promise<void> {
  for (const build of builds) if (!isBuilt(root, build)) await progress.step(`build ${build.title}`, () => make(root, build));
}

function checkRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new CirriError('ERR_NOT_ROOT', 'network namespaces and kernel programs take root', { mend: `run: sudo ${process.env['CIRRI_ROOT'] ?? '.'}/cirri up` });
}

function checkKernel(): void {
  if (!existsSync('/sys/kernel/btf/vmlinux')) {
    throw new CirriError('ERR_NO_BTF', `this kernel (${release()}) does not describe its types: /sys/kernel/btf/vmlinux is missing`, {
      mend: 'boot a kernel built with CONFIG_DEBUG_INFO_BTF=y; every current distribution has one',
    });
  }
  requireFeatures();
}

const ownCgroup2 = '/run/cirri/cgroup2';

/** cgroup v2 is where socket programs attach. Where only v1 is mounted, v2 is mounted in a folder of our own: that disturbs nobody. */
function ensureCgroup2(): void {
  if (mounts().some(m => m.type === 'cgroup2')) return;
  mkdirSync(ownCgroup2, { recursive: true });
  try {
    mount({ source: 'none', target: ownCgroup2, type: 'cgroup2' });
  } catch (error) {
    throw new CirriError('ERR_NO_CGROUP2', 'cgroup v2 is not mounted and could not be mounted', {
      cause: error, mend: 'boot with a kernel that has cgroup v2 (systemd.unified_cgroup_hierarchy=1)',
    });
  }
}

function isThere(need: Need): boolean {
  if (need.file !== undefined) return globSync(need.file).length > 0;
  return (toolEnv().PATH ?? '').split(delimiter).some(folder => existsSync(join(folder, need.command!)));
}

async function ensurePackages(needs: readonly Need[], progress: Progress): Promise<void> {
  const missing = needs.filter(need => !isThere(need)).map(need => need.package);
  if (missing.length === 0) return;
  if (!existsSync('/usr/bin/apt-get')) {
    throw new CirriError('ERR_PACKAGES', `missing on this machine: ${missing.join(', ')}`, {
      mend: 'this is not a Debian system: install what these packages hold with your package manager, then run the command again',
    });
  }
  await progress.step(`install Debian packages: ${missing.join(' ')}`, () => withoutServices(async () => {
    const install = () => run('apt-get', ['install', '-y', '--no-install-recommends', ...missing], { DEBIAN_FRONTEND: 'noninteractive' });
    // The lists may be old or absent: fetch them only when the first try fails.
    const first = await install();
    if (first.code === 0) return;
    const update = await run('apt-get', ['update'], {});
    const second = await install();
    if (second.code === 0) return;
    throw new CirriError('ERR_PACKAGES', `apt-get could not install ${missing.join(' ')}: ${lastLine(second.output || update.output)}`, {
      mend: 'check the network and the package sources (apt-get update), then run the command again',
    });
  }));
}

const servicePolicy = '/usr/sbin/policy-rc.d';

/** Packages come for their programs: none of their services is started (Debian policy, invoke-rc.d). */
async function withoutServices(install: () => Promise<void>): Promise<void> {
  if (existsSync(servicePolicy)) return install();
  writeFileSync(servicePolicy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await install();
  } finally {
    rmSync(servicePolicy, { force: true });
  }
}

function stampOf(root: string, build: Build): string {
  return join(root, 'build', `.${build.folder}.hash`);
}

function sourcesHash(root: string, build: Build): string {
  const hash = createHash('sha256').update(build.depends);
  for (const file of globSync(`${root}/${build.folder}/**/*`).sort()) {
    if (statSync(file).isFile()) hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

function isBuilt(root: string, build: Build): boolean {
  if (!build.outputs.every(output => existsSync(join(root, 'build', output)))) return false;
  try {
    return readFileSync(stampOf(root, build), 'utf8') === sourcesHash(root, build);
  } catch {
    return false;
  }
}

async function make(root: string, build: Build): Promise<void> {
  mkdirSync(join(root, 'build'), { recursive: true });
  const hash = sourcesHash(root, build);
  const { code, output } = await run('make', ['-s', '-C', join(root, build.folder)], {});
  if (code !== 0) {
    const log = join(root, 'build', `${build.folder}.log`);
    writeFileSync(log, output);
    const first = output.split('\n').find(line => /error|Error/.test(line)) ?? lastLine(output);
    throw new CirriError('ERR_BUILD', `the ${build.title} did not build: ${first}`, { mend: `the whole output is in ${log}` });
  }
  writeFileSync(`${stampOf(root, build)}.new`, hash);
  renameSync(`${stampOf(root, build)}.new`, stampOf(root, build));
}

/** Two clusters that start at once must not build into the same files. A lock whose owner died is taken over. */
async function withLock<T>(path: string, section: () => Promise<T>): Promise<T> {
  mkdirSync(join(path, '..'), { recursive: true });
  for (;;) {
    try {
      const fd = openSync(path, 'wx');
      writeFileSync(fd, String(process.pid));
      closeSync(fd);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const owner = Number(readFileSync(path, 'utf8') || '0');
      if (owner > 0 && !processRef(owner)) rmSync(path, { force: true });
      else await delay(100);
    }
  }
  try {
    return await section();
  } finally {
    rmSync(path, { force: true });
  }
}

function run(file: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...toolEnv(), ...env } });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', code => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString('utf8') }));
  });
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

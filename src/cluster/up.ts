import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureHubbleCertificates } from '../hubble/certificates.ts';
import { CirriError } from '../std/errors.ts';
import { waitFor } from '../std/async.ts';
import { parseRecord, type ClusterRecord, type StatePaths } from '../model/cluster.ts';
import { cgroupRoot } from '../sys/cgroup.ts';
import { ensureBpffs } from '../sys/mount.ts';
import { systemCgroup } from './children.ts';
import { supervisorStatus } from './inspect.ts';
import { ensureNetwork, hasDefaultRoute, hostPrefixes } from './network.ts';
import { ensureOutside, toolEnv } from './outside.ts';
import { readPidFile } from './pidfile.ts';
import type { Progress } from './progress.ts';
import { waitUntilReady, type Readiness } from './ready.ts';
import { freeSubnet, makeRecord, maxNodes } from './record.ts';
import { otherCluster, outdated, rechoose, restartOutdated, writeRecord } from './rechoose.ts';
import { repositoryRoot, version } from './root.ts';
import { choose, defaultChoices } from './settings.ts';
import { ensureMachine } from './setup.ts';
import type { Assignment } from './values.ts';

export interface UpOptions {
  readonly instance: string;
  readonly paths: StatePaths;
  readonly nodes?: number;
  /** What was chosen; of the same name the last counts. */
  readonly values?: readonly Assignment[];
  readonly demo: boolean;
  readonly timeoutMs: number;
}

export interface UpResult {
  readonly record: ClusterRecord;
  /** Of a cluster that was there, the settings that are others now. */
  readonly reset: readonly string[];
  readonly warnings: readonly string[];
  readonly readiness: Readiness;
  /** False when everything was there and running. */
  readonly changed: boolean;
}

/**
 * Makes the cluster that the record describes, from whatever is there: nothing, all, or half of it after a crash.
 *
 *   machine ─► record ─► network, cgroups, bpffs ─► supervisor ─► API ┬─► nodes, agents ─► DNS ─► demo
 *                                                                      └─► objects of DNS and demo
 */
export async function bringUp(options: UpOptions, progress: Progress): Promise<UpResult> {
  const { instance, paths } = options;
  await ensureMachine(repositoryRoot, progress);
  const { record, isNew, reset, warnings } = await ensureRecord(options);
  const told = { record, reset, warnings };
  if (isNew || !(await isWhole(record, paths))) {
    await progress.step(
      `network of ${record.nodes.length} ${record.nodes.length === 1 ? 'node' : 'nodes'}`,
      () => ensureGround(record, paths),
      made => `network: ${record.nodes.length} ${record.nodes.length === 1 ? 'node' : 'nodes'} on ${record.underlay.prefix4}${made.length === 0 ? ' (was there)' : ''}`,
    );
    await progress.step('processes started', () => ensureSupervisor(instance, paths));
    await restartOutdated({ record, paths, timeoutMs: options.timeoutMs }, progress);
    return { ...told, readiness: await waitUntilReady({ record, paths, demo: options.demo, timeoutMs: options.timeoutMs }, progress), changed: true };
  }
  const quiet: Progress = { step: (_, run) => Promise.resolve(run()), note: () => {} };
  const startedAt = performance.now();
  const readiness = await waitUntilReady({ record, paths, demo: options.demo, timeoutMs: options.timeoutMs }, quiet);
  return { ...told, readiness, changed: readiness.applied > 0 || performance.now() - startedAt > 2_000 };
}

/** The record that is there, checked against what is asked for now; or a new one. */
async function ensureRecord(options: UpOptions): Promise<{ record: ClusterRecord; isNew: boolean; reset: readonly string[]; warnings: readonly string[] }> {
  const { paths, instance, values = [] } = options;
  if (existsSync(paths.clusterJson)) {
    const record = parseRecord(readFileSync(paths.clusterJson, 'utf8'));
    if (options.nodes !== undefined && options.nodes !== record.nodes.length) throw otherCluster(instance, 'nodes', record.nodes.length, options.nodes);
    return { isNew: false, ...rechoose(record, paths, values) };
  }
  const { choices, warnings } = choose(defaultChoices, defaultChoices, values);
  const nodes = options.nodes ?? 2;
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > maxNodes) throw new CirriError('ERR_FLAG', `--nodes must be 1 to ${maxNodes}, not ${options.nodes}`);
  const subnet = freeSubnet([...hostPrefixes(), ...otherSubnets()]);
  if (subnet === undefined) throw new CirriError('ERR_NO_SUBNET', 'there is no X for which 172.30.X.0/24 and 172.31.X.0/24 are free on this machine', { mend: 'ip addr shows who has them; cirri down in another instance frees one' });
  const record = makeRecord({
    instance, subnet, nodes, version: version(), ...choices, apiserverPort: await freePort(),
  });
  mkdirSync(paths.state, { recursive: true, mode: 0o700 });
  writeRecord(record, paths);
  return { record, isNew: true, reset: [], warnings };
}

/** Subnets of clusters that are down but recorded: they come back with what they had. */
function otherSubnets(): string[] {
  const base = '/var/lib/cirri';
  if (!existsSync(base)) return [];
  return readdirSync(base).flatMap(name => {
    try {
      const { underlay, loadBalancerCidr4 } = parseRecord(readFileSync(join(base, name, 'cluster.json'), 'utf8'));
      return [underlay.prefix4, loadBalancerCidr4];
    } catch {
      return [];
    }
  });
}

/** 6443 where it is free, else any. */
async function freePort(): Promise<number> {
  for (const wanted of [6443, 0]) {
    const port = await new Promise<number | undefined>(resolve => {
      const server = createServer();
      server.on('error', () => resolve(undefined));
      server.listen(wanted, '127.0.0.1', () => {
        const address = server.address();
        server.close(() => resolve(typeof address === 'object' && address ? address.port : undefined));
      });
    });
    if (port !== undefined) return port;
  }
  throw new CirriError('ERR_NO_PORT', 'no port is free on 127.0.0.1');
}

/** True when the network stands, and every process runs. */
async function isWhole(record: ClusterRecord, paths: StatePaths): Promise<boolean> {
  if (ensureGround(record, paths).length > 0 || outdated(record, paths).length > 0) return false;
  const status = await supervisorStatus(paths);
  return status !== undefined && status.children.every(child => child.state === 'running');
}

/** Everything that processes stand on. Idempotent; returns what it had to make. */
function ensureGround(record: ClusterRecord, paths: StatePaths): string[] {
  for (const folder of [paths.state, paths.run, paths.logs, paths.apiserverDir]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  ensureBpffs(paths.bpffs);
  const made = ensureNetwork(record, paths);
  const root = cgroupRoot();
  for (const node of record.nodes) {
    mkdirSync(systemCgroup(root, record.instance, node.name), { recursive: true });
    mkdirSync(`${root}/${record.instance}/${node.name}/pods`, { recursive: true });
    for (const folder of [`${paths.run}/${node.name}`, paths.node(node.name).pods, paths.node(node.name).runcRoot]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  installCni(paths);
  made.push(...ensureHubbleCertificates(paths.hubbleDir, record, new Date()));
  if (hasDefaultRoute(4)) made.push(...ensureOutside(record));
  return made;
}

/** The CNI plugin where the node's runtime looks for it. */
function installCni(paths: StatePaths): void {
  const source = join(repositoryRoot, 'build', 'cirri-cni');
  if (!existsSync(source)) return;
  mkdirSync(paths.cniBinDir, { recursive: true });
  const target = join(paths.cniBinDir, 'cirri-cni');
  if (existsSync(target) && readFileSync(target).equals(readFileSync(source))) return;
  copyFileSync(source, `${target}.new`);
  renameSync(`${target}.new`, target);
}

/** Starts the supervisor unless one runs; it starts, or adopts, the rest. */
async function ensureSupervisor(instance: string, paths: StatePaths): Promise<void> {
  if (readPidFile(`${paths.run}/supervisor.pid`) && (await supervisorStatus(paths))) return;
  const output = openSync(`${paths.logs}/supervisor.log`, 'a', 0o600);
  const main = fileURLToPath(new URL('./supervisor.ts', import.meta.url));
  const preload = fileURLToPath(new URL('./preload.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', preload, main], {
    detached: true,
    stdio: ['ignore', output, output],
    cwd: '/',
    env: { ...toolEnv(), CIRRI_INSTANCE: instance, CIRRI_STATE: paths.state, CIRRI_PROCESS: 'supervisor' },
  });
  closeSync(output);
  child.unref();
  await waitFor('the supervisor', () => supervisorStatus(paths), { timeoutMs: 10_000, everyMs: 10 });
}

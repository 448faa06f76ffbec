import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments, stringify } from 'yaml';
import type { ProbeResult } from '../../src/cli/probe/probe.ts';
import { statePaths, type StatePaths } from '../../src/model/cluster.ts';
import { afterThisProcess } from '../reaper.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** CIRRI_TEST_SETTINGS="sockmap.enabled=true": the same tests with other settings. */
const settings = process.env['CIRRI_TEST_SETTINGS'] ? ['--set', process.env['CIRRI_TEST_SETTINGS']] : [];

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProbeEntry {
  readonly from: string;
  readonly to: string;
  readonly port?: number;
  readonly protocol?: 'TCP' | 'UDP' | 'ICMP';
  readonly expect?: ProbeResult['outcome'];
}

/**
 * A cluster of a test's own, driven through the command line as a user does it. `start` in before(), `stop` in after(): stop
 * takes it down whatever state it is in, and is harmless when there is none.
 */
export class TestCluster {
  readonly instance: string;
  readonly paths: StatePaths;
  readonly #scratch = mkdtempSync(join(tmpdir(), 'cirri-e2e-'));
  readonly #children = new Set<ChildProcess>();
  #reaper: Disposable | undefined;

  /** `tag` is one letter that keeps the test's clusters apart. */
  constructor(tag: string) {
    this.instance = `${tag}${process.pid.toString(36)}`.slice(0, 8);
    this.paths = statePaths(this.instance, `/var/lib/cirri/${this.instance}`);
  }

  async start(...flags: string[]): Promise<Finished> {
    this.#reaper ??= afterThisProcess(join(root, 'cirri'), ['down'], this.env);
    const up = await this.cirri('up', ...flags, ...settings);
    assert.equal(up.code, 0, `up failed:\n${up.stdout}${up.stderr}\n${this.logs()}`);
    return up;
  }

  async stop(): Promise<Finished> {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#reaper?.[Symbol.dispose]();
    this.#reaper = undefined;
    const down = await this.cirri('down');
    rmSync(this.#scratch, { recursive: true, force: true });
    assert.equal(down.code, 0, down.stdout + down.stderr);
    return down;
  }

  cirri(...args: string[]): Promise<Finished> {
    return run(join(root, 'cirri'), args, this.env);
  }

  kubectl(...args: string[]): Promise<Finished> {
    return run('kubectl', ['--kubeconfig', this.paths.kubeconfig, ...args], this.env);
  }

  /** Applies text or a file of this folder; throws when it is refused. */
  async apply(manifest: string, ...flags: string[]): Promise<void> {
    const applied = await this.cirri('apply', '-f', this.file(manifest), ...flags);
    assert.equal(applied.code, 0, applied.stderr);
  }

  async delete(manifest: string, ...flags: string[]): Promise<void> {
    const deleted = await this.cirri('delete', '--ignore-not-found', '-f', this.file(manifest), ...flags);
    assert.equal(deleted.code, 0, deleted.stderr);
  }

  /** With these objects applied; they are deleted again however the section ends, so that one failure does not bring the next. */
  async with(manifest: string, flags: readonly string[], section: () => Promise<void>): Promise<void> {
    await this.apply(manifest, ...flags);
    try {
      await section();
    } finally {
      await this.delete(manifest, ...flags);
    }
  }

  /** Waits until every pod of the namespaces is ready. */
  async podsReady(...namespaces: string[]): Promise<void> {
    await eventually(`pods of ${namespaces.join(', ')} are ready`, 60_000, async () => {
      const lists = await Promise.all(namespaces.map(async namespace => {
        const got = await this.cirri('get', 'pods', '-n', namespace, '-o', 'json');
        return got.code === 0 ? (JSON.parse(got.stdout) as PodList).items : [];
      }));
      const waiting = lists.flat().filter(pod => !pod.status?.conditions?.some(condition => condition.type === 'Ready' && condition.status === 'True'));
      return lists.every(list => list.length > 0) && waiting.length === 0 ? undefined : `waiting for ${waiting.map(pod => pod.metadata.name).join(', ')}`;
    });
  }

  /** The log of a pod, `namespace/name`, once it has this text: what a server writes is there a moment after its answer. */
  async logWith(pod: string, text: string): Promise<string> {
    const [namespace, name] = pod.split('/') as [string, string];
    let log = '';
    await eventually(`the log of ${pod} has ${text}`, 20_000, async () => ((log = (await this.kubectl('logs', '-n', namespace, name)).stdout).includes(text) ? undefined : log));
    return log;
  }

  async probe(entry: ProbeEntry, ...flags: string[]): Promise<ProbeResult> {
    const args = ['--from', entry.from, '--to', entry.to, '--protocol', entry.protocol ?? 'TCP', ...(entry.port === undefined ? [] : ['--port', String(entry.port)])];
    const probed = await this.cirri('probe', ...args, '-o', 'json', ...flags);
    assert.notEqual(probed.stdout, '', probed.stderr);
    const result = JSON.parse(probed.stdout) as ProbeResult;
    assert.equal(probed.code, result.outcome === 'allowed' ? 0 : 1);
    return result;
  }

  async probes(entries: readonly ProbeEntry[], ...flags: string[]): Promise<(ProbeEntry & ProbeResult)[]> {
    const file = join(this.#scratch, 'batch.json');
    writeFileSync(file, JSON.stringify(entries));
    const probed = await this.cirri('probe', '--batch', file, '-o', 'json', ...flags);
    assert.notEqual(probed.stdout, '', probed.stderr);
    return JSON.parse(probed.stdout) as (ProbeEntry & ProbeResult)[];
  }

  /**
   * Probes until every entry has the outcome it expects: policies take effect a moment after they are applied. Returns the last
   * round; throws with what differs.
   */
  async expectAll(entries: readonly ProbeEntry[], timeoutMs = 20_000): Promise<(ProbeEntry & ProbeResult)[]> {
    let last: (ProbeEntry & ProbeResult)[] = [];
    await eventually('every probe has the expected outcome', timeoutMs, async () => {
      last = await this.probes(entries);
      const wrong = last.filter(result => result.outcome !== result.expect);
      return wrong.length === 0 ? undefined : wrong.map(w => `${w.from} → ${w.to}:${w.port ?? ''} ${w.protocol ?? 'TCP'} is ${w.outcome}, expected ${w.expect}`).join('\n');
    });
    return last;
  }

  /** Flows as jsonpb objects. */
  async observe(...flags: string[]): Promise<FlowJson[]> {
    const observed = await this.cirri('observe', '-o', 'jsonpb', ...flags);
    assert.equal(observed.code, 0, observed.stderr);
    return observed.stdout.split('\n').filter(Boolean).map(line => (JSON.parse(line) as { flow: FlowJson }).flow);
  }

  /** `observe -f`: `next` resolves with the first flow from now on that matches. */
  follow(...flags: string[]): { next(matches: (flow: FlowJson) => boolean, timeoutMs: number): Promise<FlowJson>; readonly seen: readonly FlowJson[]; stop(): void } {
    const child = spawn(join(root, 'cirri'), ['observe', '-f', '-o', 'jsonpb', ...flags], { env: this.env, stdio: ['ignore', 'pipe', 'ignore'] });
    this.#children.add(child);
    const seen: FlowJson[] = [];
    let wake = () => {};
    createInterface({ input: child.stdout }).on('line', text => {
      seen.push((JSON.parse(text) as { flow: FlowJson }).flow);
      wake();
    });
    return {
      seen,
      next: async (matches, timeoutMs) => {
        const deadline = performance.now() + timeoutMs;
        for (let at = 0; ; at++) {
          while (at >= seen.length) {
            const left = deadline - performance.now();
            if (left <= 0) throw new Error(`no such flow in ${timeoutMs} ms; seen ${seen.length}`);
            await new Promise<void>(resolve => {
              const timer = setTimeout(resolve, left);
              wake = () => {
                clearTimeout(timer);
                resolve();
              };
            });
          }
          if (matches(seen[at]!)) return seen[at]!;
        }
      },
      stop: () => void child.kill('SIGTERM'),
    };
  }

  /** The process number that a pid file of the cluster holds. */
  pidOf(name: string): number {
    return Number(readFileSync(`${this.paths.run}/${name}.pid`, 'utf8').split(' ')[0]);
  }

  /** The end of every log: for the message of a failure. */
  logs(): string {
    try {
      return readdirSync(this.paths.logs).map(name => `-- ${name}\n${readFileSync(join(this.paths.logs, name), 'utf8').slice(-1500)}`).join('\n');
    } catch {
      return '';
    }
  }

  get env(): NodeJS.ProcessEnv {
    const { CIRRI_STATE: _, ...env } = process.env;
    return { ...env, CIRRI_INSTANCE: this.instance, NO_COLOR: '1' };
  }

  /** Path of a file of this folder, or of a new one with this text. */
  file(manifest: string): string {
    if (!manifest.includes('\n')) return fileURLToPath(new URL(manifest, import.meta.url));
    const file = join(this.#scratch, 'manifest.yaml');
    writeFileSync(file, manifest);
    return file;
  }
}

interface PodList {
  readonly items: readonly { readonly metadata: { readonly name: string }; readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] } }[];
}

export interface FlowJson {
  readonly time: string;
  readonly uuid: string;
  readonly verdict: string;
  readonly drop_reason_desc?: string;
  readonly source: { readonly namespace?: string; readonly pod_name?: string };
  readonly destination: { readonly namespace?: string; readonly pod_name?: string };
  readonly ingress_denied_by?: readonly { readonly name: string }[];
  readonly egress_denied_by?: readonly { readonly name: string }[];
}

/** Asks again until there is nothing to complain of. */
export async function eventually(what: string, timeoutMs: number, complaint: () => Promise<string | undefined>): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const text = await complaint();
    if (text === undefined) return;
    if (performance.now() > deadline) throw new Error(`not so after ${timeoutMs} ms: ${what}\n${text}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

/** A pod of the built-in server or client, pinned to a node. */
export function podYaml(namespace: string, name: string, node: string, labels: Readonly<Record<string, string>>, port?: number): string {
  const containers = port === undefined
    ? '    - { name: main, image: cirri/client }'
    : `    - { name: main, image: cirri/echo, ports: [{ containerPort: ${port} }, { containerPort: ${port}, protocol: UDP }] }`;
  return `---
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: ${namespace}
  labels: ${JSON.stringify(labels)}
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers:
${containers}
`;
}

/** The same objects; their pods see this checkout, wherever it is: what lies below /tmp, /root or /home is hidden from pods. */
export function seesCheckout(yaml: string): string {
  return parseAllDocuments(yaml).map(document => {
    const object = document.toJS() as { kind?: string; spec?: { volumes?: object[]; containers: { volumeMounts?: object[] }[] } } | null;
    if (object?.kind === 'Pod' && object.spec) {
      object.spec.volumes = [...object.spec.volumes ?? [], { name: 'checkout', hostPath: { path: root } }];
      for (const container of object.spec.containers) container.volumeMounts = [...container.volumeMounts ?? [], { name: 'checkout', mountPath: root, readOnly: true }];
    }
    return object ? `---\n${stringify(object)}` : '';
  }).join('');
}

export function namespaceYaml(name: string): string {
  return `---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: ${name}\n`;
}

function run(file: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Finished> {
  return new Promise(resolve => {
    const child = execFile(file, args, { env, maxBuffer: 64 << 20, timeout: 180_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr });
    });
    child.stdin?.end();
  });
}

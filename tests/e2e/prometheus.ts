import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../src/std/testing-port.ts';
import { eventually } from './cluster.ts';

export interface Vector {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, text: string];
}

export interface Target {
  readonly health: string;
  readonly lastError: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A real Prometheus (Debian's), with a folder and a port of its own. */
export class Prometheus {
  readonly #folder = mkdtempSync(join(tmpdir(), 'cirri-prometheus-'));
  #child: ChildProcess | undefined;
  #output = '';
  #url = '';

  /** `config`: its prometheus.yml. Installs the package where it is missing. */
  async start(config: string): Promise<void> {
    if (!existsSync('/usr/bin/prometheus')) execFileSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', 'prometheus'], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, stdio: 'ignore' });
    const address = `127.0.0.1:${await freePort()}`;
    this.#url = `http://${address}`;
    const child = spawn('/usr/bin/prometheus', [
      `--config.file=${config}`, `--storage.tsdb.path=${this.#folder}`, `--web.listen-address=${address}`, '--enable-feature=exemplar-storage',
    ], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (chunk: Buffer) => { this.#output = (this.#output + chunk.toString()).slice(-4_000); });
    this.#child = child;
    await eventually('Prometheus is ready', 30_000, async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus ended:\n${this.#output}`);
      const response = await fetch(`${this.#url}/-/ready`).catch(() => undefined);
      return response?.ok === true ? undefined : 'not yet';
    });
  }

  /** The result of an instant query. Throws what Prometheus says of one that it does not understand. */
  async query(expression: string): Promise<readonly Vector[]> {
    const { resultType, result } = await this.#get<{ resultType: string; result: unknown }>(`/api/v1/query?${new URLSearchParams({ query: expression })}`, expression);
    if (resultType !== 'vector') throw new Error(`${expression} gives ${resultType}`);
    return result as readonly Vector[];
  }

  async targets(): Promise<readonly Target[]> {
    return (await this.#get<{ activeTargets: readonly Target[] }>('/api/v1/targets', 'targets')).activeTargets;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child && child.exitCode === null) {
      const ended = new Promise(resolve => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #get<T>(path: string, what: string): Promise<T> {
    const body = await (await fetch(this.#url + path)).json() as { status: string; error?: string; data: T };
    if (body.status !== 'success') throw new Error(`${what}: ${body.error}`);
    return body.data;
  }
}

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { toolEnv } from '../../cluster/outside.ts';
import { CirriError } from '../../std/errors.ts';
import type { End, OrderLine, PodResult, ProbeOrder, ReportLine } from './protocol.ts';

/** Where a probe starts: a pod, or a node. */
export interface Origin {
  readonly label: string;
  readonly netns: string;
  readonly cgroup: string;
}

export interface ProbeWatch {
  onSource(source: End): void;
}

/** A process in the origin's namespace and group that carries out probes, many at once, until it is closed. */
export class ProbeHelper {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, { readonly watch: ProbeWatch; readonly resolve: (result: PodResult) => void; readonly reject: (error: Error) => void }>();
  readonly ready: Promise<void>;
  #complaint = '';

  constructor(origin: Origin) {
    // The shell moves itself into the group first: Node, which it becomes, then never had a socket outside of it.
    this.#child = spawn('/bin/sh', [
      '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-probe', origin.cgroup,
      'nsenter', `--net=${origin.netns}`, '--', process.execPath, fileURLToPath(new URL('./agent.ts', import.meta.url)),
    ], { stdio: ['pipe', 'pipe', 'pipe'], env: toolEnv() });
    this.#child.stderr!.on('data', (chunk: Buffer) => (this.#complaint = (this.#complaint + chunk.toString('utf8')).slice(-2000)));
    this.#child.stdin!.on('error', () => {});
    this.ready = new Promise((resolve, reject) => {
      const lines = createInterface({ input: this.#child.stdout! });
      lines.on('line', text => {
        const line = JSON.parse(text) as ReportLine;
        if ('ready' in line) resolve();
        else if ('source' in line) this.#pending.get(line.id)?.watch.onSource(line.source);
        else this.#settle(line.id, line.done);
      });
      this.#child.on('error', reject);
      this.#child.on('close', code => {
        const error = new CirriError('ERR_PROBE', `the probe's helper in ${origin.label} ended (${code}): ${this.#complaint.trim() || 'no message'}`, {
          mend: 'see whether the pod still runs: cirri get pods -A',
        });
        reject(error);
        for (const { reject: fail } of this.#pending.values()) fail(error);
        this.#pending.clear();
      });
    });
    this.ready.catch(() => {});
  }

  async run(order: ProbeOrder, watch: ProbeWatch): Promise<PodResult> {
    await this.ready;
    return new Promise((resolve, reject) => {
      this.#pending.set(order.id, { watch, resolve, reject });
      this.#send({ order });
    });
  }

  /** The probe ends now; its `run` resolves as timed out. */
  cancel(id: number): void {
    this.#send({ cancel: id });
  }

  close(): void {
    this.#child.stdin!.end();
  }

  #settle(id: number, result: PodResult): void {
    const entry = this.#pending.get(id);
    this.#pending.delete(id);
    entry?.resolve(result);
  }

  #send(line: OrderLine): void {
    this.#child.stdin!.write(JSON.stringify(line) + '\n');
  }
}

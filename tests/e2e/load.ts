import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Origin } from '../../src/cli/probe/helper.ts';
import { toolEnv } from '../../src/cluster/outside.ts';
import { repositoryRoot } from '../../src/cluster/root.ts';

/** What native/load.c counted. Times of connect in microseconds; of the failures, in milliseconds from the start. */
export interface Load {
  readonly started: number;
  readonly served: number;
  readonly refused: number;
  readonly reset: number;
  readonly short: number;
  readonly silent: number;
  readonly unreachable: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly most?: number;
  readonly firstFailureMs?: number;
  readonly lastFailureMs?: number;
}

/** Connections at a rate from somebody's namespace and group, for so long or until `stop`. */
export function startLoad(origin: Origin, to: string, port: number, rate: number, seconds: number): { readonly result: Promise<Load>; stop(): void } {
  const child = spawn('/bin/sh', [
    '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-load', origin.cgroup,
    'nsenter', `--net=${origin.netns}`, '--', join(repositoryRoot, 'build', 'cirri-load'), to, String(port), String(rate), String(seconds),
  ], { stdio: ['pipe', 'pipe', 'inherit'], env: toolEnv() });
  child.stdin.on('error', () => {});
  const result = new Promise<Load>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    child.on('error', reject);
    child.on('close', code => (code === 0 ? resolve(JSON.parse(text) as Load) : reject(new Error(`cirri-load ended with ${code}`))));
  });
  return { result, stop: () => child.stdin.end() };
}

/** Every connection that was begun was served. */
export function failuresOf({ started, served, refused, reset, short, silent, unreachable, firstFailureMs, lastFailureMs }: Load): string {
  return started === served ? '' : `${started - served} of ${started} failed: ${JSON.stringify({ refused, reset, short, silent, unreachable, firstFailureMs, lastFailureMs })}`;
}

/** Child processes with an end: output is bounded, time is bounded, nothing is inherited but what is given. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Finished {
  /** Exit code; 128 + n when killed by signal n; undefined when it could not be started. */
  readonly code: number;
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Of stdout and stderr each; what comes after is dropped. */
  readonly maxOutputBytes?: number;
}

/** Runs to the end. Rejects only when the program cannot be started. */
export function runProgram(file: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { input, timeoutMs = 30_000, maxOutputBytes = 1 << 20, signal } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'], ...(options.env ? { env: options.env } : {}) });
    let timedOut = false;
    const kill = () => void child.kill('SIGKILL');
    const timer = setTimeout(() => {
      timedOut = true;
      kill();
    }, timeoutMs);
    signal?.addEventListener('abort', kill, { once: true });
    const stdout = collect(child.stdout!, maxOutputBytes);
    const stderr = collect(child.stderr!, maxOutputBytes);
    // A program that ends without reading its input is no error of ours.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
    };
    child.on('error', error => {
      settle();
      reject(error);
    });
    child.on('close', (code, signalName) => {
      settle();
      resolve({ code: code ?? 128 + signalNumber(signalName), timedOut, stdout: stdout(), stderr: stderr() });
    });
  });
}

/** The kernel's start time of a process in clock ticks; undefined when there is none. With the pid it names one process for ever. */
export function processStart(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name may hold spaces and parentheses; the fields after the last one are numbers (proc(5): field 22, state is field 3).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

export function isAlive(pid: number, start: number): boolean {
  return pid > 0 && processStart(pid) === start;
}

function collect(stream: NodeJS.ReadableStream, max: number): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    if (size < max) chunks.push(chunk.subarray(0, max - size));
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function signalNumber(name: NodeJS.Signals | null): number {
  const numbers: Partial<Record<NodeJS.Signals, number>> = { SIGKILL: 9, SIGTERM: 15, SIGINT: 2, SIGHUP: 1, SIGSEGV: 11, SIGABRT: 6 };
  return name === null ? 1 : numbers[name] ?? 1;
}

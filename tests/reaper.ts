/** What a test has made goes when its process ends, however it ends: interrupted, killed, out of memory. */
import { spawn } from 'node:child_process';

export interface Made {
  /** By the names that `ip netns` knows; all processes in them go too. */
  readonly namespaces: readonly string[];
  /** Folders below /sys/fs/cgroup; all processes in them go too. */
  readonly cgroups: readonly string[];
}

const TAKE_DOWN = `
while [ "$1" != -- ]; do
  echo 1 > "$1/cgroup.kill"
  for try in 1 2 3 4 5 6 7 8 9; do rmdir "$1" && break || sleep 0.2; done
  shift
done
shift
for name; do ip netns pids "$name" | xargs -r kill -9; ip netns del "$name"; done`;

/** See `afterThisProcess`. */
export const takeDownAfterThisProcess = ({ namespaces, cgroups }: Made): Disposable => afterThisProcess('sh', ['-c', TAKE_DOWN, 'sh', ...cgroups, '--', ...namespaces]);

/**
 * Runs a command when this process has ended: its input ends then, as nobody else holds the other end. Disposed of, it does not run: who made
 * something has taken it down. Its session is its own, so Ctrl-C does not end it first.
 */
export function afterThisProcess(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Disposable {
  const child = spawn('sh', ['-c', 'cat > /dev/null; exec "$@"', 'sh', command, ...args], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, env });
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return { [Symbol.dispose]: () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL');
  } };
}

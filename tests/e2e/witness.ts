import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Origin } from '../../src/cli/probe/helper.ts';
import { toolEnv } from '../../src/cluster/outside.ts';
import { repositoryRoot } from '../../src/cluster/root.ts';

export type Hook = 'prerouting' | 'input' | 'forward' | 'output';

/**
 * Counts packets that match an nftables expression in somebody's namespace, until the test ends: a witness that has no part in what is
 * tried. Returns the count's reader.
 */
export function countPackets(t: TestContext, netns: string, hook: Hook, ...matches: readonly string[]): () => number {
  const table = `cirri_watch_${hook}_${counters++}`;
  const rules = matches.map(match => `${match} counter`).join('\n');
  nft(netns, ['-f', '-'], `table inet ${table} {\nchain watch {\ntype filter hook ${hook} priority -500; policy accept;\n${rules}\n}\n}\n`);
  // The namespace may have gone with its pod.
  t.after(() => void ignoringErrors(() => nft(netns, ['delete', 'table', 'inet', table])));
  return () => [...nft(netns, ['list', 'table', 'inet', table]).matchAll(/counter packets (\d+)/g)].reduce((all, match) => all + Number(match[1]), 0);
}

/** All of netfilter's rules there, as text. */
export function rulesetOf(netns: string): string {
  return nft(netns, ['list', 'ruleset']).trim();
}

let counters = 0;

function nft(netns: string, args: readonly string[], input = ''): string {
  return execFileSync('nsenter', [`--net=${netns}`, '--', 'nft', ...args], { input, encoding: 'utf8', env: toolEnv(), stdio: ['pipe', 'pipe', 'pipe'] });
}

function ignoringErrors(run: () => unknown): void {
  try {
    run();
  } catch {
    // Gone already.
  }
}

/** The echo server at somebody's place, TCP and UDP, until the test ends. */
export async function startServer(t: TestContext, origin: Origin, port: number): Promise<void> {
  const child = spawn('/bin/sh', [
    '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri-server', origin.cgroup,
    'nsenter', `--net=${origin.netns}`, '--', join(repositoryRoot, 'build', 'cirri-echo'), '--tcp', String(port), '--udp', String(port), '--drain', '0',
  ], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...toolEnv(), POD_NAME: origin.label } });
  t.after(() => child.kill('SIGKILL'));
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
      if (text.includes(`UDP port ${port}`)) resolve();
    });
    child.on('close', code => reject(new Error(`the server in ${origin.label} ended (${code})`)));
  });
}

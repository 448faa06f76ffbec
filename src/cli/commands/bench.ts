import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { repositoryRoot } from '../../cluster/root.ts';
import { CirriError } from '../../std/errors.ts';

export function register(program: Command): void {
  program.command('bench')
    .summary('measure speed beside iptables, nftables and other CNI plugins')
    .description(`Measures connections to a service beside iptables and nftables, and plain routing; with --cni, the set-up of pods beside the
standard plugins; with --policy, what policies cost: compiling them, one pod or policy more, a decision, a new connection.
Takes its own namespaces and leaves nothing behind but the figures in .cache/bench.`)
    .option('--rounds <n>', 'how often each candidate is measured', positive, 11)
    .option('--secs <s>', 'seconds of one burst (0.25; 3 with --l7)', positive)
    .option('--services <n>', 'services in place', positive, 10_000)
    .option('--modes <list>', 'crr: connect, request, close; rr: request on a kept connection', 'crr,rr')
    .option('--cni', 'measure CNI ADD and DEL instead')
    .option('--programming', 'measure how services get into the kernel instead: all from nothing, one more, one endpoint changed; also with 100,000')
    .option('--policy', 'measure policy instead: 10,000 pods, 1,000 namespaces, 2,000 policies')
    .option('--observability', 'measure what events cost instead: none, per connection, per packet')
    .option('--dns', 'measure DNS look-ups under policy instead, beside pods without; in a cluster of its own')
    .option('--l7', 'measure the layer 7 proxy instead, beside HAProxy and nginx with the same rules; then all of them and the kernel in a cluster of its own')
    .option('--l7-kernel', 'the second part of --l7 alone')
    .option('--iptables', 'with --policy: also 1,000 rules of iptables on one pod')
    .option('-o, --output <format>', 'json')
    .addHelpText('after', `
A run counts only when the same thing measured twice gives the same (A/A pair); a bad one is repeated up to three times.
Ends with 1 when a target is missed.

Examples:
  sudo ./cirri bench
  sudo ./cirri bench --services 1000 --rounds 5
  sudo ./cirri bench --cni
  sudo ./cirri bench --programming --rounds 3
  sudo ./cirri bench --policy --iptables
  sudo ./cirri bench --observability
  sudo ./cirri bench --dns --rounds 31
  sudo ./cirri bench --l7 --rounds 5`)
    .action(async (options: { rounds: number; secs?: number; services: number; modes: string; cni?: true; policy?: true; programming?: true; observability?: true; dns?: true; l7?: true; l7Kernel?: true; iptables?: true; output?: string }) => {
      if (process.getuid?.() !== 0) throw new CirriError('ERR_NOT_ROOT', 'network namespaces and kernel programs take root', { mend: 'run the command with sudo' });
      const args = [
        `--rounds=${options.rounds}`, ...(options.secs === undefined ? [] : [`--secs=${options.secs}`]), `--services=${options.services}`, `--modes=${options.modes}`,
        ...(['cni', 'policy', 'programming', 'observability', 'dns', 'l7', 'iptables'] as const).filter(name => options[name]).map(name => `--${name}`), ...(options.l7Kernel ? ['--l7-kernel'] : []), ...(options.output === undefined ? [] : [`--output=${options.output}`]),
      ];
      const child = spawn(process.execPath, [join(repositoryRoot, 'tools', 'bench', 'run.ts'), ...args], { stdio: 'inherit' });
      // It takes down what it has set up: that is waited for. A terminal's Ctrl-C reaches both.
      process.on('SIGINT', () => {}).on('SIGTERM', () => child.kill('SIGTERM'));
      process.exitCode = await new Promise<number>(resolve => void child.on('exit', (code, signal) => resolve(code ?? (signal ? 130 : 1))));
    });
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('a number above 0');
  return value;
}

import type { Command } from 'commander';
import { createProgress, duration } from '../../cluster/progress.ts';
import { bringUp } from '../../cluster/up.ts';
import { CirriError } from '../../std/errors.ts';
import { ownInstance } from '../context.ts';
import { line, stdoutPaint } from '../output.ts';

interface Flags {
  readonly nodes?: string;
  readonly routing?: string;
  readonly demo: boolean;
  readonly policyMode?: string;
  readonly audit?: boolean;
  readonly timeout: string;
}

export function register(program: Command): void {
  program.command('up')
    .summary('start a cluster on this machine, or repair the one that is there')
    .description('Starts a cluster of nodes that are network namespaces of this machine: an embedded Kubernetes API, an agent and a kubelet a node, DNS and a demo application. Run again, it changes nothing, or repairs what died.')
    .option('--nodes <n>', 'how many nodes (default 2)')
    .option('--routing <mode>', 'between nodes: tunnel (VXLAN) or native')
    .option('--no-demo', 'leave the demo application out')
    .option('--policy-mode <mode>', 'default: pods without a policy are open; always: closed; never: no policy is enforced')
    .option('--audit', 'denials are reported but pass')
    .option('--timeout <seconds>', 'how long to wait until all is ready', '120')
    .addHelpText('after', `
Examples:
  sudo ./cirri up
  sudo ./cirri up --nodes 3 --routing native --no-demo
  CIRRI_INSTANCE=second sudo -E ./cirri up     another cluster beside the first`)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { instance, paths } = ownInstance();
  const startedAt = performance.now();
  const { record, changed } = await bringUp({
    instance,
    paths,
    demo: flags.demo,
    timeoutMs: Number(flags.timeout) * 1000,
    ...(flags.nodes !== undefined && { nodes: number('--nodes', flags.nodes) }),
    ...(flags.routing !== undefined && { routing: oneOf('--routing', flags.routing, ['tunnel', 'native'] as const) }),
    ...(flags.policyMode !== undefined && { policyMode: oneOf('--policy-mode', flags.policyMode, ['default', 'always', 'never'] as const) }),
    ...(flags.audit !== undefined && { audit: flags.audit }),
  }, createProgress(process.stderr));
  const paint = stdoutPaint();
  const prefix = instance === 'cirri' ? '' : `CIRRI_INSTANCE=${instance} `;
  line();
  line(changed
    ? `${paint.good('Cluster')} ${paint.strong(instance)} ${paint.good(`is up`)} (${duration(performance.now() - startedAt)})`
    : `Cluster ${paint.strong(instance)} was up already; nothing changed (${duration(performance.now() - startedAt)})`);
  line(`  nodes       ${record.nodes.map(node => `${node.name} ${node.underlay4}`).join(', ')} (${record.routing} routing)`);
  line(`  pods        ${record.clusterCidr4}, ${record.clusterCidr6}; services ${record.serviceCidr4}`);
  line(`  Kubernetes  https://127.0.0.1:${record.apiserver.port}, kubeconfig ${paths.kubeconfig}`);
  line(`  state       ${paths.state}, logs in ${paths.logs}`);
  line();
  line('Next:');
  line(`  export KUBECONFIG=${paths.kubeconfig}; kubectl get pods -A -o wide`);
  if (flags.demo) line(`  ${prefix}./cirri probe --from demo/stranger --to demo/api --port 80`);
  line(`  ${prefix}./cirri observe --verdict DROPPED --last 5`);
}

function number(flag: string, text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new CirriError('ERR_FLAG', `${flag} must be a number, not "${text}"`);
  return Number(text);
}

function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find(word => word === value);
  if (found === undefined) throw new CirriError('ERR_FLAG', `${flag} must be ${allowed.join(' or ')}, not "${value}"`);
  return found;
}

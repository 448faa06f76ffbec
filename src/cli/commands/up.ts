import type { Command } from 'commander';
import { createProgress, duration } from '../../cluster/progress.ts';
import { settingOf, settingText } from '../../cluster/settings.ts';
import { bringUp } from '../../cluster/up.ts';
import { readValuesFile } from '../../cluster/values-file.ts';
import { parseSet, type Assignment } from '../../cluster/values.ts';
import { CirriError } from '../../std/errors.ts';
import { ownInstance } from '../context.ts';
import { collect } from '../options.ts';
import { line, stdoutPaint } from '../output.ts';

interface Flags {
  readonly nodes?: string;
  readonly routing?: string;
  readonly demo: boolean;
  readonly policyMode?: string;
  readonly audit?: boolean;
  readonly set: readonly string[];
  readonly values: readonly string[];
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
    .option('--set <key=value>', "a setting, by its name in upstream's Helm chart; repeatable, and a,b lists", collect, [])
    .option('-f, --values <file>', 'settings from a Helm values file; repeatable, the last one wins, --set after all of them', collect, [])
    .option('--timeout <seconds>', 'how long to wait until all is ready', '120')
    .addHelpText('after', `
Examples:
  sudo ./cirri up
  sudo ./cirri up --nodes 3 --routing native --no-demo
  sudo ./cirri up --set loadBalancer.algorithm=maglev,maglev.tableSize=4093
  sudo ./cirri up -f values.yaml --set ipMasqAgent.enabled=true
  CIRRI_INSTANCE=second sudo -E ./cirri up     another cluster beside the first`)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { instance, paths } = ownInstance();
  const startedAt = performance.now();
  const { record, changed, reset, warnings } = await bringUp({
    instance,
    paths,
    demo: flags.demo,
    timeoutMs: Number(flags.timeout) * 1000,
    ...(flags.nodes !== undefined && { nodes: number('--nodes', flags.nodes) }),
    values: valuesOf(flags),
  }, createProgress(process.stderr));
  const paint = stdoutPaint();
  for (const warning of warnings) process.stderr.write(`cirri: ${warning}\n`);
  const prefix = instance === 'cirri' ? '' : `CIRRI_INSTANCE=${instance} `;
  line();
  line(changed
    ? `${paint.good('Cluster')} ${paint.strong(instance)} ${paint.good(`is up`)} (${duration(performance.now() - startedAt)})`
    : `Cluster ${paint.strong(instance)} was up already; nothing changed (${duration(performance.now() - startedAt)})`);
  line(`  nodes       ${record.nodes.map(node => `${node.name} ${node.underlay4}`).join(', ')} (${record.routing} routing)`);
  for (const name of reset) line(`  setting     ${name} is now ${settingText(settingOf(record, name))}`);
  line(`  pods        ${record.clusterCidr4}, ${record.clusterCidr6}; services ${record.serviceCidr4}; load balancers ${record.loadBalancerCidr4}`);
  line(`  Kubernetes  https://127.0.0.1:${record.apiserver.port}, kubeconfig ${paths.kubeconfig}`);
  line(`  state       ${paths.state}, logs in ${paths.logs}`);
  line();
  line('Next:');
  line(`  export KUBECONFIG=${paths.kubeconfig}; kubectl get pods -A -o wide`);
  if (flags.demo) line(`  ${prefix}./cirri probe --from demo/stranger --to demo/api --port 80`);
  line(`  ${prefix}./cirri observe --verdict DROPPED --last 5`);
  line(`  ${prefix}./hubble observe -f`);
  line(`  ${prefix}./cirri ui`);
  line('./hubble and ./cilium take the commands of Hubble and of Cilium by their names.');
}

function number(flag: string, text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new CirriError('ERR_FLAG', `${flag} must be a number, not "${text}"`);
  return Number(text);
}

/** Files first, then --set, then the flags that have a name of their own. */
function valuesOf(flags: Flags): Assignment[] {
  const own = [['routingMode', flags.routing, '--routing'], ['policyEnforcementMode', flags.policyMode, '--policy-mode'], ['policyAuditMode', flags.audit, '--audit']] as const;
  return [
    ...flags.values.flatMap(readValuesFile),
    ...flags.set.flatMap(parseSet),
    ...own.flatMap(([path, value, where]) => (value === undefined ? [] : [{ path, value, where }])),
  ];
}

import type { Command } from 'commander';
import { connect } from '../../policy/connection.ts';
import { resolveEnd, resolvePort } from '../../policy/ends.ts';
import { safe } from '../../flows/print/fields.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { connectionJson, printLeg } from './policy-print.ts';
import { addSourceOptions, loadWorld, type SourceFlags } from './policy-world.ts';

export interface ConnectionFlags extends SourceFlags {
  readonly from?: string;
  readonly to?: string;
  readonly port?: string;
  readonly protocol?: string;
  readonly exitCode?: boolean;
}

export const endHelp = `
Ends: NS/POD, NS/WORKLOAD, "service NS/NAME", NAME.NS.svc, an address, a prefix, node:NAME, or world, host, remote-node, kube-apiserver, …`;

export function addConnectionOptions(command: Command): Command {
  return addSourceOptions(command)
    .option('--from <end>', 'who connects')
    .option('--to <end>', 'to whom')
    .option('-p, --port <port>', '80, 53/UDP or a name')
    .option('--protocol <protocol>', 'TCP, UDP, SCTP, ICMP or ICMPv6 (default TCP)');
}

export function register(policy: Command): void {
  addConnectionOptions(policy.command('evaluate'))
    .summary('would this connection be allowed, and by which rule')
    .description('Allow or deny at each end, the rule that decides, and the file and line where it stands. Nothing is sent.')
    .option('--exit-code', 'exit with 1 unless it is allowed')
    .addHelpText('after', `
${endHelp.trim()}

Examples:
  ./cirri policy evaluate --from demo/frontend --to "service demo/api" --port 80
  ./cirri policy evaluate -f manifests/ --from shop/web --to 10.0.0.7 --port 5432
  ./cirri policy evaluate -f manifests/ --from world --to shop/web --port 443 -o json`)
    .action(async (flags: ConnectionFlags) => {
      if (flags.from === undefined || flags.to === undefined) throw new CirriError('ERR_FLAG', 'from whom, and to whom?', { mend: '--from NS/POD --to NS/POD --port 80' });
      const world = await loadWorld(flags);
      const to = resolveEnd(world, flags.to, flags.namespace);
      const connection = connect(world, resolveEnd(world, flags.from, flags.namespace), to, resolvePort(to, flags.port, flags.protocol));
      if (flags.exitCode && connection.verdict !== 'allow') process.exitCode = 1;
      if (printStructured(flags.output, connectionJson(connection))) return;
      const paint = stdoutPaint();
      for (const note of connection.notes) line(paint.faint(safe(note)));
      connection.legs.forEach(leg => printLeg(leg, paint));
    });
}

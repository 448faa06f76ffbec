import type { Command } from 'commander';
import { connect } from '../../policy/connection.ts';
import { namedTarget, resolveEnd, resolvePort } from '../../policy/ends.ts';
import { safe } from '../../flows/print/fields.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { connectionJson, printLeg } from './policy-print.ts';
import { addRequestOptions, requestOf, type RequestFlags } from './policy-request.ts';
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
  addRequestOptions(addConnectionOptions(policy.command('evaluate')))
    .summary('would this connection be allowed, and by which rule')
    .description('Allow or deny at each end, the rule that decides, and the file and line where it stands. Nothing is sent.')
    .option('--exit-code', 'exit with 1 unless it is allowed (what is in audit is)')
    .option('--fqdn <name>', 'the pod was told the address of --to for this name (alone: of any address)')
    .addHelpText('after', `
${endHelp.trim()}

Examples:
  ./cirri policy evaluate --from demo/frontend --to "service demo/api" --port 80
  ./cirri policy evaluate -f manifests/ --from shop/web --to 10.0.0.7 --port 5432
  ./cirri policy evaluate -f manifests/ --from world --to shop/web --port 443 -o json
  ./cirri policy evaluate -f manifests/ --from shop/web --to shop/api --port 80 --http 'GET /v1/items' -H 'X-Token: yes'
  ./cirri policy evaluate -f manifests/ --from shop/web --to kube-system/kube-dns --port 53/UDP --dns api.example.com
  ./cirri policy evaluate -f manifests/ --from shop/web --to api.example.com --port 443`)
    .action(async (flags: EvaluateFlags) => {
      const destination = flags.to ?? flags.fqdn;
      if (flags.from === undefined || destination === undefined) throw new CirriError('ERR_FLAG', 'from whom, and to whom?', { mend: '--from NS/POD --to NS/POD --port 80' });
      const request = requestOf(flags);
      const world = await loadWorld(flags);
      const found = resolveEnd(world, destination, flags.namespace);
      const to = flags.to !== undefined && flags.fqdn !== undefined ? namedTarget(world, found, flags.fqdn) : found;
      const connection = connect(world, resolveEnd(world, flags.from, flags.namespace), to, resolvePort(to, flags.port, flags.protocol), request);
      if (flags.exitCode && connection.verdict !== 'allow' && connection.verdict !== 'audit') process.exitCode = 1;
      if (printStructured(flags.output, connectionJson(world, connection))) return;
      const paint = stdoutPaint();
      for (const note of connection.notes) line(paint.faint(safe(note)));
      connection.legs.forEach(leg => printLeg(world, leg, paint));
    });
}

interface EvaluateFlags extends ConnectionFlags, RequestFlags {
  readonly fqdn?: string;
}

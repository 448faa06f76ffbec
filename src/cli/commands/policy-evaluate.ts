import type { Command } from 'commander';
import { connect, type Connection } from '../../policy/connection.ts';
import { resolveEnd, resolvePort } from '../../policy/ends.ts';
import type { HttpRequest } from '../../policy/requests.ts';
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
    .option('--exit-code', 'exit with 1 unless it is allowed (what is in audit is)')
    .option('--http <request>', "also ask HTTP rules about a request: 'GET /path'")
    .option('-H, --header <header>', "with --http: 'Name: value' (repeat for more)", (value: string, list: readonly string[] = []) => [...list, value])
    .addHelpText('after', `
${endHelp.trim()}

Examples:
  ./cirri policy evaluate --from demo/frontend --to "service demo/api" --port 80
  ./cirri policy evaluate -f manifests/ --from shop/web --to 10.0.0.7 --port 5432
  ./cirri policy evaluate -f manifests/ --from world --to shop/web --port 443 -o json
  ./cirri policy evaluate -f manifests/ --from shop/web --to shop/api --port 80 --http 'GET /v1/items' -H 'X-Token: yes'`)
    .action(async (flags: EvaluateFlags) => {
      if (flags.from === undefined || flags.to === undefined) throw new CirriError('ERR_FLAG', 'from whom, and to whom?', { mend: '--from NS/POD --to NS/POD --port 80' });
      const request = requestOf(flags);
      const world = await loadWorld(flags, request ? { provides: { proxy: true } } : {});
      const to = resolveEnd(world, flags.to, flags.namespace);
      const asked = connect(world, resolveEnd(world, flags.from, flags.namespace), to, resolvePort(to, flags.port, flags.protocol), request);
      const connection = request && asksProxy(asked) ? { ...asked, notes: [...asked.notes, unproxiedNote] } : asked;
      if (flags.exitCode && connection.verdict !== 'allow' && connection.verdict !== 'audit') process.exitCode = 1;
      if (printStructured(flags.output, connectionJson(world, connection))) return;
      const paint = stdoutPaint();
      for (const note of connection.notes) line(paint.faint(safe(note)));
      connection.legs.forEach(leg => printLeg(world, leg, paint));
    });
}

interface EvaluateFlags extends ConnectionFlags {
  readonly http?: string;
  readonly header?: readonly string[];
}

const unproxiedNote = 'the verdict counts HTTP rules as if a proxy carried them out; there is none yet, and the cluster denies what only they would allow';

function asksProxy({ legs }: Connection): boolean {
  return legs.some(leg => leg.steps.some(step => step.request !== undefined));
}

function requestOf({ http, header = [] }: EvaluateFlags): HttpRequest | undefined {
  if (http === undefined) {
    if (header.length > 0) throw new CirriError('ERR_FLAG', '--header is about a request', { mend: "add --http 'GET /path'" });
    return undefined;
  }
  const [, method, path] = /^([A-Za-z]+) +(\/\S*)$/.exec(http.trim()) ?? [];
  if (method === undefined || path === undefined) throw new CirriError('ERR_FLAG', `"${http}" is no request`, { mend: "a method and a path: --http 'GET /path'" });
  const headers = header.map(text => {
    const [, name, value] = /^([^\s:]+): *(.*)$/.exec(text) ?? [];
    if (name === undefined) throw new CirriError('ERR_FLAG', `"${text}" is no header`, { mend: "-H 'Name: value'" });
    return [name, value!] as const;
  });
  return { method, path, headers: Object.fromEntries(headers) };
}

import type { Command } from 'commander';
import { auditAnnotation } from '../../agent/audit.ts';
import { safe } from '../../flows/print/fields.ts';
import { resources } from '../../kube/resources.ts';
import { waitFor } from '../../std/async.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext, type Context } from '../context.ts';
import { endpointReports, oneEndpoint, type EndpointReport } from '../endpoints.ts';
import { line, printStructured } from '../output.ts';

/** `cirri endpoint config`, in the spelling of `cilium-dbg endpoint config`. */
export function registerConfig(endpoint: Command): void {
  endpoint.command('config')
    .description('How policy acts on one endpoint: in audit mode what it denies passes, and is reported with the verdict AUDIT. The setting is an annotation of the pod (policy.cirri.io/audit) and stays with it; a namespace is set with kubectl annotate.')
    .argument('<endpoint>', 'NS/POD or ID, as for endpoint get')
    .argument('[option]', 'PolicyAuditMode=Enabled or PolicyAuditMode=Disabled')
    .option('-o, --output <format>', 'json or yaml')
    .addHelpText('after', `
Examples:
  ./cirri endpoint config demo/api-0
  ./cirri endpoint config demo/api-0 PolicyAuditMode=Enabled
  kubectl annotate namespace demo policy.cirri.io/audit=true`)
    .action(async (name: string, option: string | undefined, flags: { output?: string }) => {
      const context = openContext();
      try {
        const row = oneEndpoint(await endpointReports(context), name);
        const shown = option === undefined ? row : await setAudit(context, row, auditFromOption(option));
        if (printStructured(flags.output, { endpoint: `${shown.namespace}/${shown.podName}`, PolicyAuditMode: state(shown), ...(shown.audit === undefined ? {} : { by: shown.audit }) })) return;
        line(`PolicyAuditMode : ${state(shown)}${shown.audit === undefined || shown.audit === 'pod' ? '' : ` (by the ${shown.audit === 'cluster' ? 'cluster: cirri up --audit' : `namespace ${safe(shown.namespace)}`})`}`);
      } finally {
        context.client.close();
      }
    });
}

/** True for Enabled. Upstream takes any case, and true and false. */
export function auditFromOption(option: string): boolean {
  const [, value] = /^PolicyAuditMode=(.+)$/i.exec(option) ?? [];
  if (value !== undefined && /^(enabled?|true|on)$/i.test(value)) return true;
  if (value !== undefined && /^(disabled?|false|off)$/i.test(value)) return false;
  throw new CirriError('ERR_FLAG', `${option} is no setting of an endpoint`, { mend: 'write PolicyAuditMode=Enabled or PolicyAuditMode=Disabled' });
}

function state({ audit }: EndpointReport): 'Enabled' | 'Disabled' {
  return audit === undefined ? 'Disabled' : 'Enabled';
}

/** Writes the annotation and waits until the node's kernel has it: what is printed then holds. */
async function setAudit(context: Context, { namespace, podName, audit }: EndpointReport, wanted: boolean): Promise<EndpointReport> {
  await context.client.patch(resources.pods, podName, namespace, { metadata: { annotations: { [auditAnnotation]: wanted ? 'true' : null } } }, { type: 'merge' });
  const done = (row: EndpointReport) => (wanted ? row.audit !== undefined : row.audit !== 'pod');
  return waitFor(`the node of ${namespace}/${podName} to take PolicyAuditMode=${wanted ? 'Enabled' : 'Disabled'} (now ${audit === undefined ? 'Disabled' : 'Enabled'})`, async () => {
    const row = oneEndpoint(await endpointReports(context), `${namespace}/${podName}`);
    return done(row) && row;
  }, { timeoutMs: 10_000, everyMs: 50 });
}

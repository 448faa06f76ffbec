import type { AuditReason } from '../agent/audit.ts';
import type { Endpoint } from '../features/endpoints/endpoint.ts';
import { CirriError } from '../std/errors.ts';
import { askAgents } from './agents.ts';
import type { Context } from './context.ts';

/** An endpoint as its agent reports it. */
export type EndpointReport = Endpoint & { readonly node: string; readonly sets?: { readonly ingress: number; readonly egress: number }; readonly audit?: AuditReason };

/** Endpoints of all nodes that answer, by node and number. */
export async function endpointReports(context: Context): Promise<EndpointReport[]> {
  const answers = await askAgents<Omit<EndpointReport, 'node'>[]>(context, '/v1/endpoints');
  return answers.flatMap(({ node, value }) => value.map(row => ({ node, ...row }))).sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : a.id - b.id));
}

/** The endpoint that a text names, in upstream's forms or as NS/POD. Pure. */
export function oneEndpoint(rows: readonly EndpointReport[], name: string): EndpointReport {
  const is = selectorOf(name);
  const found = rows.filter(is);
  const [first] = found;
  if (!first) throw new CirriError('ERR_NO_ENDPOINT', `there is no endpoint ${name}`, { mend: 'cirri endpoint list' });
  if (found.length > 1) {
    throw new CirriError('ERR_AMBIGUOUS', `${name} is an endpoint on several nodes: ${found.map(row => `${row.namespace}/${row.podName} on ${row.node}`).join(', ')}`, { mend: 'name it as NS/POD' });
  }
  return first;
}

function selectorOf(name: string): (row: EndpointReport) => boolean {
  const [, kind, rest] = /^(ipv4|ipv6|pod-name|cep-name|container-id|cilium-local):(.+)$/.exec(name) ?? [];
  const pod = (text: string, separator: string) => (row: EndpointReport) => `${row.namespace}${separator}${row.podName}` === text;
  switch (kind) {
    case 'ipv4': return row => row.ipv4 === rest;
    case 'ipv6': return row => row.ipv6 === rest;
    case 'pod-name': return pod(rest!, ':');
    case 'cep-name': return pod(rest!, '/');
    case 'container-id': return row => row.containerId.startsWith(rest!);
    case 'cilium-local': return row => String(row.id) === rest;
    default: return name.includes('/') ? pod(name, '/') : row => String(row.id) === name;
  }
}

import { objectKey } from '../../kube/reflector.ts';
import type { EndpointSlice, Service } from '../../kube/types.ts';
import { nodeContext } from '../../features/services/context.ts';
import { ServiceDerivation } from '../../features/services/desired.ts';
import type { HostPortInput, RedirectInput } from '../../lb/local-rows.ts';
import { endpointText, protocolNumbers, rowFlag, rowKey, scope, serving } from '../../lb/rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';
import { defaultSettings } from '../../model/settings.ts';
import type { Settings } from '../../model/settings.ts';
import { outcome, type Outcome } from '../../policy/conformance/case.ts';
import { isIPv4, parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';
import { Table } from '../../table/table.ts';

/** Kind `service-flow`: what becomes of a packet to a service's address, on one node. */
export interface ServiceFlowCase {
  readonly cluster: {
    readonly nodes: readonly { readonly name: string; readonly ips: readonly string[]; readonly this_node?: boolean }[];
    readonly pod_cidr: string;
  };
  readonly services: readonly Service[];
  readonly endpointslices: readonly EndpointSlice[];
  readonly options?: { readonly nodeport_addresses?: string | readonly string[] };
  readonly probes: readonly ServiceProbe[];
}

interface ServiceProbe {
  readonly name?: string;
  readonly from: { readonly ip: string };
  readonly to: { readonly ip: string };
  readonly port: number;
  readonly protocol: string;
  readonly expect: { readonly verdict: Verdict; readonly backends?: readonly string[]; readonly masquerade?: boolean };
}

type Verdict = 'forward' | 'reject' | 'drop' | 'not-a-service';

interface Answer {
  readonly verdict: Verdict;
  readonly row?: ServiceRow;
}

const masqueradeReason = 'masquerade of clients inside the cluster: kube-proxy hides them behind the node, here they keep their address and the answer finds its way without';

/** Objects → the node's rows → each packet, as the programs look rows up. */
export function runServiceFlow(testCase: ServiceFlowCase): Outcome {
  const node = testCase.cluster.nodes.find(n => n.this_node) ?? testCase.cluster.nodes[0]!;
  const rows = rowsOf(testCase, node);
  const podPrefix = parsePrefix(testCase.cluster.pod_cidr);
  let passed = 0;
  const failures: string[] = [];
  const skipped: string[] = [];
  for (const probe of testCase.probes) {
    const client = node.ips.includes(probe.from.ip) ? 'node' : prefixHas(podPrefix, parseAddr(probe.from.ip)) ? 'pod' : 'outside';
    const answer = answerOf(rows, probe, client);
    const difference = differenceOf(answer, probe);
    if (difference) failures.push(`${probe.name ?? probe.to.ip}: ${difference}`);
    else passed++;
    if (probe.expect.masquerade === undefined || answer.verdict !== 'forward') continue;
    if (client !== 'outside' && probe.expect.masquerade) {
      skipped.push(masqueradeReason);
      continue;
    }
    const isMasqueraded = client === 'outside' && serving(answer.row!).some(b => b.nodeName !== node.name);
    if (isMasqueraded === probe.expect.masquerade) passed++;
    else failures.push(`${probe.name ?? probe.to.ip}: expected masquerade ${probe.expect.masquerade}, found ${isMasqueraded}`);
  }
  return outcome(passed, failures, skipped);
}

function rowsOf(testCase: ServiceFlowCase, node: { readonly name: string; readonly ips: readonly string[] }): Table<ServiceRow> {
  const services = new Table<Service>('services', objectKey);
  const slices = new Table<EndpointSlice>('endpointslices', objectKey);
  services.upsert(...testCase.services);
  slices.upsert(...testCase.endpointslices);
  const context = nodeContext({ nodeName: node.name, addresses: node.ips, settings: settingsOf(testCase, node), mayServe: () => undefined });
  const derivation = new ServiceDerivation({
    services, slices, hostPorts: new Table<HostPortInput>('hostports', h => h.key), redirects: new Table<RedirectInput>('redirects', r => r.key),
    external: new Table<{ readonly key: string }>('external', r => r.key),
  }, () => context.current);
  derivation.step();
  return derivation.table;
}

/** kube-proxy's ways in Cilium's words: cluster IPs answer everybody, and `--nodeport-addresses=primary` is one address of a family. */
function settingsOf({ options }: ServiceFlowCase, node: { readonly ips: readonly string[] }): Settings {
  const asked = options?.nodeport_addresses;
  const primary = [true, false].flatMap(v4 => node.ips.find(ip => isIPv4(parseAddr(ip)) === v4) ?? []);
  const addresses = asked === undefined ? [] : typeof asked === 'string' ? primary : asked;
  return { ...defaultSettings, nodePort: { ...defaultSettings.nodePort, addresses }, bpf: { ...defaultSettings.bpf, lbExternalClusterIP: true } };
}

/** The programs' look-up: the external row first; with two scopes, clients inside go on to theirs. */
function answerOf(rows: Table<ServiceRow>, probe: ServiceProbe, client: 'node' | 'pod' | 'outside'): Answer {
  const frontend = endpointText(parseAddr(probe.to.ip), probe.port, probe.protocol);
  const first = protocolNumbers[probe.protocol] === undefined ? undefined : rows.get(rowKey(frontend, scope.external));
  const has = (flag: number) => ((first?.flags ?? 0) & flag) !== 0;
  if (!first || (client === 'outside' && !has(rowFlag.routable)) || (client !== 'node' && has(rowFlag.hostOnly))) return { verdict: 'not-a-service' };
  if (client === 'outside' && has(rowFlag.sourceRanges)) {
    const isNamed = first.sources.some(text => prefixHas(parsePrefix(text), parseAddr(probe.from.ip)));
    if (isNamed === has(rowFlag.sourceDeny)) return { verdict: 'drop' };
  }
  const row = client !== 'outside' && has(rowFlag.twoScopes) ? rows.get(rowKey(frontend, scope.internal))! : first;
  if (serving(row).length > 0) return { verdict: 'forward', row };
  return { verdict: (row.flags & rowFlag.silent) !== 0 ? 'drop' : 'reject', row };
}

function differenceOf({ verdict, row }: Answer, { expect }: ServiceProbe): string | undefined {
  if (verdict !== expect.verdict) return `expected ${expect.verdict}, found ${verdict}`;
  if (verdict !== 'forward' || !expect.backends) return undefined;
  const found = serving(row!).map(b => b.key.replace(/\/\w+$/, '')).sort().join(', ');
  const wanted = [...expect.backends].sort().join(', ');
  return found === wanted ? undefined : `expected ${wanted}, found ${found}`;
}

import { loadBalancerRanges, type ClusterRecord, type NodeRecord } from '../model/cluster.ts';
import { parsePrefix, prefixContains } from '../std/ip.ts';
import { defaultChoices, type Choices } from './settings.ts';

export const maxNodes = 64;

/** What was not chosen is as by default. */
export interface RecordOptions extends Partial<Choices> {
  readonly instance: string;
  readonly version: string;
  readonly nodes: number;
  /** Third byte of 172.30.X.0/24 and 172.31.X.0/24, chosen so that nothing on the machine has them. */
  readonly subnet: number;
  /** Port on 127.0.0.1. */
  readonly apiserverPort: number;
}

/** The record of a new cluster: every name and address follows from these few choices. Pure. */
export function makeRecord(options: RecordOptions): ClusterRecord {
  const { instance, subnet } = options;
  const prefix6 = `fdc1:${subnet}`;
  return {
    instance,
    version: options.version,
    nodes: Array.from({ length: options.nodes }, (_, i) => makeNode(i + 1, subnet)),
    underlay: {
      bridge: `${instance}0`,
      prefix4: `172.30.${subnet}.0/24`,
      prefix6: `${prefix6}::/64`,
      host4: `172.30.${subnet}.1`,
      host6: `${prefix6}::1`,
    },
    serviceCidr4: '10.96.0.0/16',
    serviceCidr6: 'fd00:10:96::/112',
    ...loadBalancerRanges(subnet),
    clusterCidr4: '10.244.0.0/16',
    clusterCidr6: 'fd00:10:244::/48',
    apiserver: { port: options.apiserverPort },
    dnsIp4: '10.96.0.10',
    dnsIp6: 'fd00:10:96::a',
    clusterDomain: 'cluster.local',
    clusterName: 'default',
    settings: options.settings ?? defaultChoices.settings,
    routing: options.routing ?? defaultChoices.routing,
    policyMode: options.policyMode ?? defaultChoices.policyMode,
    audit: options.audit ?? defaultChoices.audit,
  };
}


function makeNode(index: number, subnet: number): NodeRecord {
  return {
    name: `node${index}`,
    index,
    underlay4: `172.30.${subnet}.${10 + index}`,
    underlay6: `fdc1:${subnet}::${10 + index}`,
    podCidr4: `10.244.${index}.0/24`,
    podCidr6: `fd00:10:244:${index.toString(16)}::/64`,
    routerIp4: `10.244.${index}.1`,
    routerIp6: `fd00:10:244:${index.toString(16)}::1`,
  };
}

/** The device on the host's side of a node's veth. */
export function hostDevice(instance: string, node: Pick<NodeRecord, 'index'>): string {
  return `${instance}-n${node.index}`;
}

/**
 * The lowest X for which nothing listed lies in 172.30.X.0/24 (nodes) and 172.31.X.0/24 (load balancer addresses), nor holds
 * them. `taken` are addresses or prefixes, as text; default routes hold everything and count for nothing.
 */
export function freeSubnet(taken: Iterable<string>): number | undefined {
  const used = [...taken].filter(text => text !== '').map(parsePrefix).filter(({ bits }) => bits > shortestThatCounts);
  const isFree = (text: string) => {
    const wanted = parsePrefix(text);
    return !used.some(prefix => prefixContains(prefix, wanted) || prefixContains(wanted, prefix));
  };
  for (let x = 1; x < 255; x++) if (isFree(`172.30.${x}.0/24`) && isFree(`172.31.${x}.0/24`)) return x;
  return undefined;
}

/** /7 of IPv4 in the 16-byte form: 0.0.0.0/0, and the halves of it that VPNs use in its stead. */
const shortestThatCounts = 96 + 7;

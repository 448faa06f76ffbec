import type { Flow, FlowConnection, FlowEndpoint, FlowRule, TcpFlag } from '../model/flow.ts';
import type { FlowView } from '../flows/consumer.ts';

/** What a number of a batch stands for. Numbers count from 1 in the order in which entries are sent, for each table by itself. */
export interface DictionaryEntries {
  /** All earlier numbers are forgotten: the next entry of each table is number 1 again. */
  readonly reset?: boolean;
  readonly labels?: readonly (readonly string[])[];
  readonly names?: readonly (readonly string[])[];
  readonly ends?: readonly EndEntry[];
  readonly kinds?: readonly KindEntry[];
  readonly decisions?: readonly DecisionEntry[];
  readonly services?: readonly ServiceEntry[];
}

export interface EndEntry {
  readonly ip: string;
  readonly identity: number;
  readonly id: number;
  readonly namespace?: string;
  readonly podName?: string;
  readonly clusterName?: string;
  readonly workloads?: FlowEndpoint['workloads'];
  /** Numbers of label sets and name sets, 0: none. */
  readonly labels: number;
  readonly names: number;
}

/** What a flow is, apart from who, when and how much: some hundred different ones on a node. */
export interface KindEntry extends Partial<Pick<Flow, (typeof kindFields)[number]>> {
  readonly end?: FlowConnection['end'];
  readonly packetless?: true;
  readonly nodeLabels?: readonly string[];
}

export const kindFields = [
  'nodeName', 'type', 'subType', 'verdict', 'dropReason', 'dropReasonCode', 'observationPoint', 'traceReason', 'direction', 'isReply', 'ipVersion', 'protocol',
  'tcpFlags', 'icmpType', 'icmpCode', 'sctpChunkType', 'encrypted', 'authType', 'policyMatch', 'shadow', 'interfaceName', 'interfaceIndex', 'summary',
] as const satisfies readonly (keyof Flow)[];

/** Who decided. */
export interface DecisionEntry {
  readonly rule?: FlowRule;
  readonly egressAllowedBy?: Flow['egressAllowedBy'];
  readonly ingressAllowedBy?: Flow['ingressAllowedBy'];
  readonly egressDeniedBy?: Flow['egressDeniedBy'];
  readonly ingressDeniedBy?: Flow['ingressDeniedBy'];
  readonly policyLog?: readonly string[];
}

export type ServiceEntry = NonNullable<Flow['service']>;

/** Entries of each table that a batch needs. */
export interface DictionarySize {
  readonly labels: number;
  readonly names: number;
  readonly ends: number;
  readonly kinds: number;
  readonly decisions: number;
  readonly services: number;
}

export const emptySize: DictionarySize = { labels: 0, names: 0, ends: 0, kinds: 0, decisions: 0, services: 0 };

/** One table of values that are known by a key, and mostly by the object itself. */
class Numbered<T> {
  readonly entries: T[] = [];
  readonly #byKey = new Map<string, number>();

  number(key: string, make: () => T): number {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const number = this.entries.push(make());
    this.#byKey.set(key, number);
    return number;
  }
}

/** More ends than a node sees in an hour, unless the world comes: then a new dictionary is begun and the old one forgotten. */
const mostEntries = 16_384;

/** Numbers for what flows have in common. Bounded: when `isFull`, the feed goes on with a new one. */
export class FlowDictionary {
  readonly #labels = new Numbered<readonly string[]>();
  readonly #names = new Numbered<readonly string[]>();
  readonly #ends = new Numbered<EndEntry>();
  readonly #kinds = new Numbered<KindEntry>();
  readonly #decisions = new Numbered<DecisionEntry>();
  readonly #services = new Numbered<ServiceEntry>();
  readonly #endOf = new WeakMap<FlowEndpoint, number>();
  readonly #labelsOf = new WeakMap<readonly string[], number>();
  readonly #ruleOf = new WeakMap<FlowRule, number>();
  readonly #serviceOf = new WeakMap<ServiceEntry, number>();

  get isFull(): boolean {
    const { labels, names, ends, kinds, decisions, services } = this.size;
    return Math.max(labels, names, ends, kinds, decisions, services) >= mostEntries;
  }

  get size(): DictionarySize {
    return {
      labels: this.#labels.entries.length, names: this.#names.entries.length, ends: this.#ends.entries.length,
      kinds: this.#kinds.entries.length, decisions: this.#decisions.entries.length, services: this.#services.entries.length,
    };
  }

  /** Entries that `to` has and `from` has not. */
  between(from: DictionarySize, to: DictionarySize): DictionaryEntries {
    return {
      labels: this.#labels.entries.slice(from.labels, to.labels),
      names: this.#names.entries.slice(from.names, to.names),
      ends: this.#ends.entries.slice(from.ends, to.ends),
      kinds: this.#kinds.entries.slice(from.kinds, to.kinds),
      decisions: this.#decisions.entries.slice(from.decisions, to.decisions),
      services: this.#services.entries.slice(from.services, to.services),
    };
  }

  end(end: FlowEndpoint): number {
    let number = this.#endOf.get(end);
    if (number === undefined) this.#endOf.set(end, (number = this.#newEnd(end)));
    return number;
  }

  #newEnd(end: FlowEndpoint): number {
    const labels = this.#labelSet(end.labels);
    const names = end.names && end.names.length > 0 ? this.#names.number(end.names.join('\n'), () => end.names!) : 0;
    const { ip, identity, id, namespace, podName, clusterName } = end;
    const workloads = end.workloads && end.workloads.length > 0 ? end.workloads : undefined;
    const key = [ip, identity, id, namespace, podName, clusterName, labels, names, workloads?.map(({ kind, name }) => `${kind}/${name}`).join()].join('\n');
    return this.#ends.number(key, () => ({
      ip, identity, id, labels, names,
      ...(namespace !== undefined && { namespace }), ...(podName !== undefined && { podName }), ...(clusterName !== undefined && { clusterName }), ...(workloads && { workloads }),
    }));
  }

  #labelSet(labels: readonly string[]): number {
    if (labels.length === 0) return 0;
    let number = this.#labelsOf.get(labels);
    if (number === undefined) this.#labelsOf.set(labels, (number = this.#labels.number(labels.join('\n'), () => labels)));
    return number;
  }

  kind(flow: FlowView): number {
    const end = flow.connection?.end;
    const labels = flow.nodeLabels ? this.#labelSet(flow.nodeLabels) : 0;
    // In l7 flows the summary is the flow's own and kept with its details; in others the fields here decide it.
    const key = `${flow.type}|${flow.verdict}|${flow.direction}|${flow.isReply}|${flow.ipVersion}|${flow.protocol}|${flow.tcpFlags ? flagBits(flow.tcpFlags) : -1}|${flow.observationPoint}|${flow.traceReason}|${flow.dropReasonCode}|${flow.dropReason}|${flow.subType}|${flow.icmpType}|${flow.icmpCode}|${flow.policyMatch}|${flow.shadow}|${flow.interfaceName}|${flow.interfaceIndex}|${flow.encrypted}|${flow.authType}|${flow.sctpChunkType}|${end}|${flow.packetless}|${flow.nodeName}|${labels}`;
    return this.#kinds.number(key, () => {
      const entry = Object.fromEntries(kindFields.filter(field => field !== 'summary' || flow.type !== 'l7').map(field => [field, flow[field]]).filter(([, value]) => value !== undefined));
      return { ...entry, ...(end && { end }), ...(flow.packetless && { packetless: true }), ...(labels > 0 && { nodeLabels: flow.nodeLabels! }) } as KindEntry;
    });
  }

  /** 0 where nobody decided. */
  decision(flow: Flow): number {
    const { rule } = flow;
    if (rule && flow.egressAllowedBy === undefined && flow.ingressAllowedBy === undefined && flow.egressDeniedBy === undefined && flow.ingressDeniedBy === undefined && flow.policyLog === undefined) {
      let number = this.#ruleOf.get(rule);
      if (number === undefined) this.#ruleOf.set(rule, (number = this.#newDecision({ rule })));
      return number;
    }
    const entry = Object.fromEntries(decisionFields.map(field => [field, flow[field]]).filter(([, value]) => value !== undefined)) as DecisionEntry;
    return Object.keys(entry).length === 0 ? 0 : this.#newDecision(entry);
  }

  #newDecision(entry: DecisionEntry): number {
    return this.#decisions.number(JSON.stringify(entry), () => entry);
  }

  service(service: Flow['service']): number {
    if (!service) return 0;
    let number = this.#serviceOf.get(service);
    if (number === undefined) {
      const { namespace, name, ip, port } = service;
      this.#serviceOf.set(service, (number = this.#services.number([namespace, name, ip, port].join('\n'), () => ({ namespace, name, ip, port }))));
    }
    return number;
  }
}

const decisionFields = ['rule', 'egressAllowedBy', 'ingressAllowedBy', 'egressDeniedBy', 'ingressDeniedBy', 'policyLog'] as const satisfies readonly (keyof DecisionEntry)[];

const flagNumbers: Readonly<Record<TcpFlag, number>> = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128, NS: 256 };

function flagBits(flags: readonly TcpFlag[]): number {
  let bits = 0;
  for (const flag of flags) bits |= flagNumbers[flag];
  return bits;
}

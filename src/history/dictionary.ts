import type { Flow, FlowConnection, FlowEndpoint, FlowL7, FlowPolicy, FlowRule, TcpFlag } from '../model/flow.ts';
import type { FlowView } from '../flows/consumer.ts';
import type { KnownRule } from '../flows/known.ts';
import type { L7Saying } from '../flows/l7-saying.ts';
import { ColumnView } from '../flows/view.ts';

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
  /** Details (row.ts) that many flows have, as JSON. */
  readonly sayings?: readonly string[];
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
  readonly sayings: number;
}

export const emptySize: DictionarySize = { labels: 0, names: 0, ends: 0, kinds: 0, decisions: 0, services: 0, sayings: 0 };

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

/** Kinds found again without their key: each at a place that a few of its fields give. A power of two. */
const placesOfKinds = 512;

interface SeenKind extends Pick<FlowView, Exclude<(typeof kindFields)[number], 'summary'> | 'packetless' | 'nodeLabels'> {
  readonly number: number;
  readonly end: FlowConnection['end'] | undefined;
}

interface SeenDecision {
  readonly number: number;
  readonly list: readonly FlowPolicy[] | undefined;
  readonly log: readonly string[] | undefined;
}

/** Most are compared by identity: the pipeline has one object for each word and each list. */
function isKind(kind: SeenKind, flow: FlowView, end: FlowConnection['end'] | undefined): boolean {
  return kind.tcpFlags === flow.tcpFlags && kind.type === flow.type && kind.verdict === flow.verdict && kind.direction === flow.direction && kind.isReply === flow.isReply
    && kind.interfaceIndex === flow.interfaceIndex && kind.ipVersion === flow.ipVersion && kind.protocol === flow.protocol && kind.observationPoint === flow.observationPoint
    && kind.traceReason === flow.traceReason && kind.end === end && kind.dropReasonCode === flow.dropReasonCode && kind.policyMatch === flow.policyMatch && kind.shadow === flow.shadow
    && kind.icmpType === flow.icmpType && kind.icmpCode === flow.icmpCode && kind.packetless === flow.packetless && kind.nodeLabels === flow.nodeLabels && kind.encrypted === flow.encrypted
    && kind.interfaceName === flow.interfaceName && kind.nodeName === flow.nodeName && kind.subType === flow.subType && kind.authType === flow.authType
    && kind.sctpChunkType === flow.sctpChunkType && kind.dropReason === flow.dropReason;
}

/** Of the pipeline's own flows. */
interface ViewKind extends Pick<FlowView, 'ipVersion' | 'interfaceName' | 'nodeLabels'> {
  readonly key: Int32Array;
  readonly number: number;
}

const kindKeyWords = 7;

function isSameKey(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < kindKeyWords; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Details that nothing else is said in. */
export function detailsText(l7: FlowL7, inKernel: boolean): string {
  return JSON.stringify(inKernel ? { l7, inKernel } : { l7 });
}

/** More ends than a node sees in an hour, unless the world comes: then a new dictionary is begun and the old one forgotten. */
const mostEntries = 16_384;
/** Characters of all sayings. */
const mostSayingsLength = 1 << 20;

let dictionaries = 0;

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
  readonly #ruleOf = new WeakMap<FlowRule, (SeenDecision | undefined)[]>();
  readonly #seenKinds: (SeenKind | undefined)[] = new Array<SeenKind | undefined>(placesOfKinds);
  readonly #serviceOf = new WeakMap<ServiceEntry, number>();
  readonly #serial = ++dictionaries;
  readonly #sayings = new Numbered<string>();
  #sayingsLength = 0;
  readonly #kindKey = new Int32Array(kindKeyWords);
  readonly #viewKinds: (ViewKind | undefined)[] = new Array<ViewKind | undefined>(placesOfKinds);
  readonly #decidedBy = new WeakMap<KnownRule, number[]>();
  /** The last two ends: a request's are its answer's. */
  #endA: FlowEndpoint | undefined;
  #endB: FlowEndpoint | undefined;
  #numberA = 0;
  #numberB = 0;

  get isFull(): boolean {
    const { labels, names, ends, kinds, decisions, services, sayings } = this.size;
    return Math.max(labels, names, ends, kinds, decisions, services, sayings) >= mostEntries || this.#sayingsLength >= mostSayingsLength;
  }

  get size(): DictionarySize {
    return {
      labels: this.#labels.entries.length, names: this.#names.entries.length, ends: this.#ends.entries.length,
      kinds: this.#kinds.entries.length, decisions: this.#decisions.entries.length, services: this.#services.entries.length,
      sayings: this.#sayings.entries.length,
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
      sayings: this.#sayings.entries.slice(from.sayings, to.sayings),
    };
  }

  end(end: FlowEndpoint): number {
    if (end === this.#endA) return this.#numberA;
    if (end === this.#endB) return this.#numberB;
    let number = this.#endOf.get(end);
    if (number === undefined) this.#endOf.set(end, (number = this.#newEnd(end)));
    this.#endB = this.#endA;
    this.#numberB = this.#numberA;
    this.#endA = end;
    this.#numberA = number;
    return number;
  }

  /**
   * What is said for the second time has a number from then on; 0 before. URLs are whatever clients ask for: what is asked for once is
   * sent with its flow and forgotten.
   */
  saying(saying: L7Saying, inKernel: boolean): number {
    if (saying.numberedBy === this.#serial) return saying.number;
    if (saying.told++ === 0) return 0;
    saying.number = this.#sayings.number(detailsText(saying.l7, inKernel), () => {
      const text = detailsText(saying.l7, inKernel);
      this.#sayingsLength += text.length;
      return text;
    });
    saying.numberedBy = this.#serial;
    return saying.number;
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

  /** `end`: how the flow's connection ended, if it tells. */
  kind(flow: FlowView, end: FlowConnection['end'] | undefined): number {
    return flow instanceof ColumnView ? this.#viewKind(flow, end) : this.#kind(flow, end);
  }

  /** The same, found by the record's own words. */
  #viewKind(view: ColumnView, end: FlowConnection['end'] | undefined): number {
    const key = this.#kindKey;
    view.kindKey(key);
    let hash = 0;
    for (let i = 0; i < kindKeyWords; i++) hash = Math.imul(hash ^ key[i]!, 0x9e3779b1);
    const place = (hash ^ (hash >>> 16)) & (placesOfKinds - 1);
    const { ipVersion, interfaceName, nodeLabels } = view;
    const known = this.#viewKinds[place];
    if (known !== undefined && known.ipVersion === ipVersion && known.interfaceName === interfaceName && known.nodeLabels === nodeLabels && isSameKey(known.key, key)) return known.number;
    const number = this.#kind(view, end);
    this.#viewKinds[place] = { key: key.slice(), ipVersion, interfaceName, nodeLabels, number };
    return number;
  }

  #kind(flow: FlowView, end: FlowConnection['end'] | undefined): number {
    const seen = this.#seenKinds;
    const place = (flow.direction.length + 3 * flow.verdict.length + 5 * flow.type.length + 7 * flow.protocol.length + (flow.tcpFlags?.length ?? 0) * 16 + (flow.interfaceIndex ?? 0) * 13 + (flow.isReply === true ? 29 : 0)) & (placesOfKinds - 1);
    const known = seen[place];
    if (known !== undefined && isKind(known, flow, end)) return known.number;
    const number = this.#newKind(flow, end);
    seen[place] = {
      number, end, type: flow.type, verdict: flow.verdict, direction: flow.direction, isReply: flow.isReply, ipVersion: flow.ipVersion, protocol: flow.protocol, tcpFlags: flow.tcpFlags,
      observationPoint: flow.observationPoint, traceReason: flow.traceReason, dropReasonCode: flow.dropReasonCode, icmpType: flow.icmpType, icmpCode: flow.icmpCode, policyMatch: flow.policyMatch,
      shadow: flow.shadow, interfaceIndex: flow.interfaceIndex, interfaceName: flow.interfaceName, encrypted: flow.encrypted, packetless: flow.packetless, nodeLabels: flow.nodeLabels,
      nodeName: flow.nodeName, subType: flow.subType, authType: flow.authType, sctpChunkType: flow.sctpChunkType, dropReason: flow.dropReason,
    };
    return number;
  }

  #newKind(flow: FlowView, end: FlowConnection['end'] | undefined): number {
    const labels = flow.nodeLabels ? this.#labelSet(flow.nodeLabels) : 0;
    // In l7 flows the summary is the flow's own and kept with its details; in others the fields here decide it.
    const key = `${flow.type}|${flow.verdict}|${flow.direction}|${flow.isReply}|${flow.ipVersion}|${flow.protocol}|${flow.tcpFlags ? flagBits(flow.tcpFlags) : -1}|${flow.observationPoint}|${flow.traceReason}|${flow.dropReasonCode}|${flow.dropReason}|${flow.subType}|${flow.icmpType}|${flow.icmpCode}|${flow.policyMatch}|${flow.shadow}|${flow.interfaceName}|${flow.interfaceIndex}|${flow.encrypted}|${flow.authType}|${flow.sctpChunkType}|${end}|${flow.packetless}|${flow.nodeName}|${labels}`;
    return this.#kinds.number(key, () => {
      const entry = Object.fromEntries(kindFields.filter(field => field !== 'summary' || flow.type !== 'l7').map(field => [field, flow[field]]).filter(([, value]) => value !== undefined));
      return { ...entry, ...(end && { end }), ...(flow.packetless && { packetless: true }), ...(labels > 0 && { nodeLabels: flow.nodeLabels! }) } as KindEntry;
    });
  }

  /** 0 where nobody decided. Flows share the objects of rules and of lists of policies. */
  decision(flow: Flow): number {
    return flow instanceof ColumnView ? this.#viewDecision(flow) : this.#decision(flow);
  }

  #viewDecision(view: ColumnView): number {
    const { decidedBy } = view;
    if (decidedBy === undefined) return 0;
    let known = this.#decidedBy.get(decidedBy);
    if (known === undefined) this.#decidedBy.set(decidedBy, (known = []));
    return (known[view.decision] ??= this.#decision(view));
  }

  #decision(flow: Flow): number {
    const { rule, egressAllowedBy, ingressAllowedBy, egressDeniedBy, ingressDeniedBy, policyLog } = flow;
    const list = egressAllowedBy ?? ingressAllowedBy ?? egressDeniedBy ?? ingressDeniedBy;
    if (rule === undefined) return list === undefined && policyLog === undefined ? 0 : this.#newDecision(flow);
    const place = egressAllowedBy ? 1 : ingressAllowedBy ? 2 : egressDeniedBy ? 3 : ingressDeniedBy ? 4 : 0;
    let known = this.#ruleOf.get(rule);
    const found = known?.[place];
    if (found && found.list === list && found.log === policyLog) return found.number;
    const number = this.#newDecision(flow);
    if ([egressAllowedBy, ingressAllowedBy, egressDeniedBy, ingressDeniedBy].filter(Boolean).length > 1) return number;
    if (known === undefined) this.#ruleOf.set(rule, (known = []));
    known[place] = { number, list, log: policyLog };
    return number;
  }

  #newDecision(flow: Flow): number {
    const entry = Object.fromEntries(decisionFields.map(field => [field, flow[field]]).filter(([, value]) => value !== undefined)) as DecisionEntry;
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

import type { Flow, FlowEndpoint } from '../model/flow.ts';

/** How an end is named in a label: the first of a list that is not empty. */
export const contextIdentifiers = ['identity', 'namespace', 'pod', 'pod-name', 'dns', 'ip', 'reserved-identity', 'workload', 'workload-name', 'app'] as const;
export type ContextIdentifier = (typeof contextIdentifiers)[number];

const endLabels = ['ip', 'pod', 'namespace', 'workload', 'workload_kind', 'app'] as const;
type EndLabel = (typeof endLabels)[number];

/** The labels of `labelsContext`, in upstream's order. */
export const contextLabels = [...endLabels.map(name => `source_${name}` as const), ...endLabels.map(name => `destination_${name}` as const), 'traffic_direction'] as const;
export type ContextLabel = (typeof contextLabels)[number];

/** Hubble's context options, parsed. An absent list is one that was not given. */
export interface ContextOptions {
  readonly source?: readonly ContextIdentifier[];
  readonly sourceEgress?: readonly ContextIdentifier[];
  readonly sourceIngress?: readonly ContextIdentifier[];
  readonly destination?: readonly ContextIdentifier[];
  readonly destinationEgress?: readonly ContextIdentifier[];
  readonly destinationIngress?: readonly ContextIdentifier[];
  readonly labels?: readonly ContextLabel[];
}

/** The values that a pair of ends has in a plugin's context labels. One object for each combination: families hang their series on it. */
export interface LabelNode {
  /** In the order of `LabelContext.names`. */
  readonly values: readonly string[];
  /** One place for each family, by its number. */
  readonly slots: unknown[];
  /** There are too many combinations: what belongs to this one is counted together. */
  readonly overflow: boolean;
}

/** Of metrics that have no context labels. */
export const plainNode: LabelNode = { values: [], slots: [], overflow: false };

/** What one end, in one role, contributes: interned by its values. */
interface Part {
  readonly values: readonly string[];
  /** Pods that this names, `namespace/name`; empty when it names no pod. */
  readonly pods: Set<string>;
  /** Of a source: nodes by direction and destination. */
  readonly pairs: readonly [Map<Part, LabelNode>, Map<Part, LabelNode>, Map<Part, LabelNode>];
}

type Role = 'source' | 'destination';
type PartsByDirection = [Part | undefined, Part | undefined, Part | undefined];

const directions = ['UNKNOWN', 'INGRESS', 'EGRESS'] as const;

/**
 * The context labels of one set of options. What an end is called is worked out once and kept with the end, so that a flow costs
 * two look-ups by object, and none when it has the ends of the one before it:
 *
 *     source end ─► part ─┐
 *                         ├─► node (values, and the series that have them)
 *     destination ─► part ┘
 */
export class LabelContext {
  readonly names: readonly string[];
  readonly #options: ContextOptions;
  readonly #limit: number;
  readonly #directed: boolean;
  readonly #none: LabelNode;
  readonly #overflow: LabelNode;
  readonly #nodes = new Map<string, LabelNode>();
  readonly #interned: Readonly<Record<Role, Map<string, Part>>> = { source: new Map(), destination: new Map() };
  #known: Record<Role, WeakMap<FlowEndpoint, PartsByDirection>> = { source: new WeakMap(), destination: new WeakMap() };
  #last: { source: FlowEndpoint | undefined; destination: FlowEndpoint | undefined; direction: number; node: LabelNode };

  /** `limit`: combinations that are told apart. */
  constructor(options: ContextOptions, limit: number) {
    this.#options = options;
    this.#limit = limit;
    const { source, sourceEgress, sourceIngress, destination, destinationEgress, destinationIngress, labels } = options;
    const byDirection = [sourceEgress, sourceIngress, destinationEgress, destinationIngress].some(list => list !== undefined);
    this.names = [
      ...contextLabels.filter(label => labels?.includes(label)),
      ...(source ?? sourceEgress ?? sourceIngress ? ['source'] : []),
      ...(destination ?? destinationEgress ?? destinationIngress ? ['destination'] : []),
    ];
    this.#directed = byDirection || labels?.includes('traffic_direction') === true;
    this.#none = { values: [], slots: [], overflow: false };
    this.#overflow = { values: this.names.map(() => overflowValue), slots: [], overflow: true };
    this.#last = { source: undefined, destination: undefined, direction: 0, node: this.#none };
  }

  /** `inverted`: as a request to which this flow is the answer. */
  of(flow: Flow, inverted = false): LabelNode {
    if (this.names.length === 0) return this.#none;
    const source = inverted ? flow.destination : flow.source;
    const destination = inverted ? flow.source : flow.destination;
    const direction = this.#directed ? directionIndex(flow.direction) : 0;
    const last = this.#last;
    if (last.source === source && last.destination === destination && last.direction === direction) return last.node;
    last.node = this.#find(source, destination, direction);
    last.source = source;
    last.destination = destination;
    last.direction = direction;
    return last.node;
  }

  /** Every node that there is. */
  *nodes(): Iterable<LabelNode> {
    yield this.#none;
    yield* this.#nodes.values();
  }

  /** The nodes that name this pod and no other that is left. What hangs on them is over. */
  forgetPod(pod: string): LabelNode[] {
    const gone: LabelNode[] = [];
    const parts = new Set<Part>();
    for (const interned of Object.values(this.#interned)) {
      for (const [key, part] of interned) {
        if (!part.pods.delete(pod) || part.pods.size > 0) continue;
        parts.add(part);
        interned.delete(key);
      }
    }
    if (parts.size === 0) return gone;
    const drop = (node: LabelNode) => {
      if (!node.overflow) gone.push(node);
      this.#nodes.delete(nodeKey(node.values));
    };
    for (const part of parts) for (const pairs of part.pairs) for (const node of pairs.values()) drop(node);
    for (const source of this.#interned.source.values()) {
      for (const pairs of source.pairs) {
        for (const [destination, node] of pairs) {
          if (!parts.has(destination)) continue;
          drop(node);
          pairs.delete(destination);
        }
      }
    }
    // Ends that lead to parts which are gone are looked up anew.
    this.#known = { source: new WeakMap(), destination: new WeakMap() };
    this.#last = { source: undefined, destination: undefined, direction: 0, node: this.#none };
    return gone;
  }

  #find(source: FlowEndpoint, destination: FlowEndpoint, direction: number): LabelNode {
    const from = this.#part('source', source, direction);
    const to = this.#part('destination', destination, direction);
    const pairs = from.pairs[direction as 0 | 1 | 2];
    const known = pairs.get(to);
    if (known) return known;
    const node = this.#intern(this.#join(from, to, direction));
    // Pairs beyond the limit are not remembered either.
    if (!node.overflow) pairs.set(to, node);
    return node;
  }

  #intern(values: readonly string[]): LabelNode {
    const key = nodeKey(values);
    const known = this.#nodes.get(key);
    if (known) return known;
    if (this.#nodes.size >= this.#limit) return this.#overflow;
    const node: LabelNode = { values, slots: [], overflow: false };
    this.#nodes.set(key, node);
    return node;
  }

  #part(role: Role, end: FlowEndpoint, direction: number): Part {
    const known = this.#known[role];
    let parts = known.get(end);
    if (!parts) known.set(end, parts = [undefined, undefined, undefined]);
    return (parts[direction as 0 | 1 | 2] ??= this.#internPart(role, end, direction));
  }

  #internPart(role: Role, end: FlowEndpoint, direction: number): Part {
    const { values, namesPod } = this.#valuesOf(role, end, direction);
    const interned = this.#interned[role];
    const key = nodeKey(values);
    let part = interned.get(key);
    if (!part) {
      part = { values, pods: new Set(), pairs: [new Map(), new Map(), new Map()] };
      if (interned.size < this.#limit) interned.set(key, part);
    }
    if (namesPod && end.podName !== undefined) part.pods.add(`${end.namespace ?? ''}/${end.podName}`);
    return part;
  }

  /** The labels of this role that `labelsContext` asks for, then the one of its own context, if there is one. */
  #valuesOf(role: Role, end: FlowEndpoint, direction: number): { readonly values: readonly string[]; readonly namesPod: boolean } {
    const values: string[] = [];
    let namesPod = false;
    for (const label of endLabels) {
      if (!this.#options.labels?.includes(`${role}_${label}`)) continue;
      values.push(endLabel(end, label));
      namesPod ||= label === 'ip' || label === 'pod';
    }
    if (this.names.includes(role)) {
      const found = this.#identifiers(role, direction).map(identifier => ({ identifier, value: identify(end, identifier) })).find(({ value }) => value !== '');
      values.push(found?.value ?? '');
      namesPod ||= found !== undefined && ['ip', 'pod', 'pod-name'].includes(found.identifier);
    }
    return { values, namesPod };
  }

  #identifiers(role: Role, direction: number): readonly ContextIdentifier[] {
    const own = direction === 0 ? undefined : this.#options[`${role}${direction === 1 ? 'Ingress' : 'Egress'}`];
    return own ?? this.#options[role] ?? [];
  }

  /** From the order in which parts have them to that of `names`. */
  #join(from: Part, to: Part, direction: number): readonly string[] {
    const sources = this.names.includes('source') ? from.values.slice(0, -1) : from.values;
    const destinations = this.names.includes('destination') ? to.values.slice(0, -1) : to.values;
    return [
      ...sources, ...destinations,
      ...(this.names.includes('traffic_direction') ? [directions[direction]!.toLowerCase()] : []),
      ...(this.names.includes('source') ? [from.values.at(-1)!] : []),
      ...(this.names.includes('destination') ? [to.values.at(-1)!] : []),
    ];
  }
}

/** In the labels of what is counted together because it would be too many series. */
export const overflowValue = 'overflow';

function nodeKey(values: readonly string[]): string {
  return values.join('\0');
}

function directionIndex(direction: Flow['direction']): number {
  return direction === 'INGRESS' ? 1 : direction === 'EGRESS' ? 2 : 0;
}

function endLabel(end: FlowEndpoint, label: EndLabel): string {
  switch (label) {
    case 'ip': return end.ip;
    case 'pod': return end.podName ?? '';
    case 'namespace': return end.namespace ?? '';
    case 'workload': return end.workloads?.[0]?.name ?? '';
    case 'workload_kind': return end.workloads?.[0]?.kind ?? '';
    case 'app': return appOf(end.labels);
  }
}

function identify(end: FlowEndpoint, identifier: ContextIdentifier): string {
  switch (identifier) {
    case 'identity': return end.labels.join(',');
    case 'namespace': return end.namespace ?? '';
    case 'pod': return end.podName === undefined ? '' : inNamespace(end, end.podName);
    case 'pod-name': return end.podName ?? '';
    case 'dns': return end.names?.join(',') ?? '';
    case 'ip': return end.ip;
    case 'reserved-identity': return reservedOf(end.labels);
    case 'workload': return end.workloads?.[0] === undefined ? '' : inNamespace(end, end.workloads[0].name);
    case 'workload-name': return end.workloads?.[0]?.name ?? '';
    case 'app': return appOf(end.labels);
  }
}

function inNamespace(end: FlowEndpoint, name: string): string {
  return end.namespace === undefined ? name : `${end.namespace}/${name}`;
}

/** The API server's label goes before the world's, which it bears as well. */
function reservedOf(labels: readonly string[]): string {
  return labels.find(label => label === 'reserved:kube-apiserver') ?? labels.find(label => label.startsWith('reserved:')) ?? '';
}

const appLabels = ['k8s:app.kubernetes.io/name=', 'k8s:k8s-app=', 'k8s:app='];

function appOf(labels: readonly string[]): string {
  for (const prefix of appLabels) {
    const label = labels.find(each => each.startsWith(prefix) && each.length > prefix.length);
    if (label !== undefined) return label.slice(prefix.length);
  }
  return '';
}

import { formatAddr, isIPv4, parseAddr } from '../std/ip.ts';
import type { Addr } from '../std/ip.ts';
import { endpointText } from './rows.ts';
import type { BackendRow } from './rows.ts';

/** The parts of an EndpointSlice that load balancing reads. */
export interface SliceInput {
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> | undefined } | undefined;
  readonly addressType: string;
  readonly endpoints: readonly EndpointInput[] | null;
  readonly ports?: readonly { readonly name?: string | undefined; readonly port?: number | undefined; readonly protocol?: string | undefined }[] | null | undefined;
}

export interface EndpointInput {
  readonly addresses: readonly string[];
  readonly conditions?: { readonly ready?: boolean | null; readonly serving?: boolean | null; readonly terminating?: boolean | null } | undefined;
  readonly nodeName?: string | undefined;
  readonly hints?: { readonly forZones?: readonly { readonly name: string }[] | undefined; readonly forNodes?: readonly { readonly name: string }[] | undefined } | undefined;
}

export type Family = 'IPv4' | 'IPv6';

/** Where this node is, for traffic policies and topology. */
export interface NodePlace {
  readonly name: string;
  readonly zone: string | undefined;
  /** Texts of the node's own addresses: an endpoint that names no node and has one of them is here. */
  readonly addresses: ReadonlySet<string>;
}

/** How close endpoints are preferred, where the control plane has given hints: as Service's `trafficDistribution`. */
export type Closeness = 'node' | 'zone' | undefined;

/** JSON object on a slice: address → weight. The operator copies the pods' `service.cirri.io/weight` into it. */
export const weightsAnnotation = 'service.cirri.io/weights';

type Hints = EndpointInput['hints'];

/** Who may serve one port of a service in one family, by traffic policy. Each list is sorted by key and made once. */
export class PortEndpoints {
  readonly #all: readonly BackendRow[];
  readonly #hints: ReadonlyMap<string, Hints> | undefined;
  readonly #closeness: Closeness;
  readonly #place: NodePlace;
  #cluster: readonly BackendRow[] | undefined;
  #local: readonly BackendRow[] | undefined;

  constructor(slices: readonly SliceInput[], port: { readonly family: Family; readonly name: string; readonly protocol: string }, place: NodePlace, closeness: Closeness) {
    this.#place = place;
    this.#closeness = closeness;
    const hints = closeness === undefined ? undefined : new Map<string, Hints>();
    this.#all = unique(candidatesOf(slices, port, hints));
    this.#hints = hints;
  }

  /** True when somebody serves somewhere: with an empty list, only the traffic policy is the reason. */
  get hasAny(): boolean {
    return this.#all.some(row => row.state !== 'maintenance');
  }

  /** Traffic policy Cluster: all, or the close ones; those on their way out are in the list, for their connections. */
  get cluster(): readonly BackendRow[] {
    return (this.#cluster ??= this.#close());
  }

  /** Traffic policy Local: only this node's. */
  get local(): readonly BackendRow[] {
    return (this.#local ??= this.#all.filter(row => (row.nodeName === '' ? this.#place.addresses.has(formatAddr(row.addr)) : row.nodeName === this.#place.name)));
  }

  /**
   * Hints count only when every endpoint that is ready has some, and some are for this node or its zone: else the control plane
   * is in the middle of a change, or somebody would be without endpoints (KEP-2433, KEP-3015; kube-proxy does the same).
   */
  #close(): readonly BackendRow[] {
    const hints = this.#hints;
    if (!hints) return this.#all;
    const ready = this.#all.filter(row => row.state === 'active');
    const { name, zone } = this.#place;
    const near = (this.#closeness === 'node' && hinted(ready, row => hints.get(row.key)?.forNodes, name)) || (zone !== undefined && hinted(ready, row => hints.get(row.key)?.forZones, zone));
    if (!near) return this.#all;
    return this.#all.filter(row => row.state !== 'active' || near(row));
  }
}

function hinted(ready: readonly BackendRow[], hintsOf: (row: BackendRow) => readonly { readonly name: string }[] | undefined, place: string): ((row: BackendRow) => boolean) | undefined {
  const isFor = (row: BackendRow) => hintsOf(row)?.some(h => h.name === place) ?? false;
  return ready.every(row => (hintsOf(row)?.length ?? 0) > 0) && ready.some(isFor) ? isFor : undefined;
}

/** As they stand in the slices; the innermost loop of all. Hints of those that are ready go into `hints`. */
function candidatesOf(slices: readonly SliceInput[], wanted: { readonly family: Family; readonly name: string; readonly protocol: string }, hints: Map<string, Hints> | undefined): BackendRow[] {
  const rows: BackendRow[] = [];
  for (const slice of slices) {
    if (slice.addressType !== wanted.family) continue;
    const port = portOf(slice, wanted.name, wanted.protocol);
    if (port === undefined) continue;
    const weights = weightsOf(slice);
    const suffix = `:${port}/${wanted.protocol}`;
    for (const endpoint of slice.endpoints ?? []) {
      const state = stateOf(endpoint);
      if (state === undefined) continue;
      // All addresses of an endpoint are as good as each other (discovery.k8s.io/v1); kube-proxy takes the first, Cilium all.
      for (const text of endpoint.addresses) {
        const addr = addrOf(text);
        if (!addr || familyOf(addr) !== wanted.family) continue;
        // An IPv4 address has only one text, so there is nothing to format.
        const key = wanted.family === 'IPv4' ? text + suffix : endpointText(addr, port, wanted.protocol);
        const weight = weights?.get(text);
        const nodeName = endpoint.nodeName ?? '';
        if (weight === undefined || weight === 1) rows.push({ key, addr, port, state, nodeName });
        else rows.push(weight === 0 ? { key, addr, port, state: state === 'active' ? 'maintenance' : state, nodeName } : { key, addr, port, state, nodeName, weight });
        if (hints && state === 'active') hints.set(key, endpoint.hints);
      }
    }
  }
  return rows;
}

function portOf({ ports }: SliceInput, name: string, protocol: string): number | undefined {
  for (const port of ports ?? []) if ((port.name ?? '') === name && (port.protocol ?? 'TCP') === protocol) return isPort(port.port) ? port.port : undefined;
  return undefined;
}

/** The maps have 16 bits for it: another number would be another port there. */
export function isPort(port: unknown): port is number {
  return Number.isInteger(port) && (port as number) > 0 && (port as number) < 65_536;
}

/** Sorted by key. While an endpoint moves between slices it stands in both; the better word counts. */
function unique(rows: BackendRow[]): readonly BackendRow[] {
  if (rows.every((row, i) => i === 0 || rows[i - 1]!.key < row.key)) return rows;
  rows.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : goodness[b.state] - goodness[a.state]));
  return rows.some((row, i) => i > 0 && row.key === rows[i - 1]!.key) ? rows.filter((row, i) => i === 0 || row.key !== rows[i - 1]!.key) : rows;
}

const goodness = { active: 2, maintenance: 1, terminating: 0 } as const;

/** An empty slice too says that its family is served. */
export function hasFamily(slices: readonly SliceInput[], family: Family): boolean {
  return slices.some(slice => slice.addressType === family);
}

/** Undefined where a slice has none. What cannot be read counts as absent: all are equal then. */
function weightsOf(slice: SliceInput): ReadonlyMap<string, number> | undefined {
  const text = slice.metadata?.annotations?.[weightsAnnotation];
  if (text === undefined) return undefined;
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return new Map(entries.filter((e): e is [string, number] => Number.isInteger(e[1]) && (e[1] as number) >= 0 && (e[1] as number) <= 65_535));
  } catch {
    return undefined;
  }
}

/** Undefined for what is no address: `None`, or a name where there should be a number. */
export function addrOf(text: string): Addr | undefined {
  if (text === '' || text.toLowerCase() === 'none') return undefined;
  try {
    return parseAddr(text);
  } catch {
    return undefined;
  }
}

export function familyOf(addr: Addr): Family {
  return isIPv4(addr) ? 'IPv4' : 'IPv6';
}

/** Absent conditions read as the API says: ready unless told otherwise, serving as ready, not terminating. */
export function stateOf(endpoint: EndpointInput): 'active' | 'terminating' | undefined {
  const { ready, serving: serves, terminating } = endpoint.conditions ?? {};
  const isReady = ready ?? true;
  if (isReady) return 'active';
  return (serves ?? isReady) && (terminating ?? false) ? 'terminating' : undefined;
}

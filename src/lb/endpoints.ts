import { isIPv4, parseAddr } from '../std/ip.ts';
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

interface Candidate {
  readonly row: BackendRow;
  readonly isLocal: boolean;
  readonly hints: EndpointInput['hints'];
}

/** Who may serve one port of a service in one family, by traffic policy. Each list is sorted by key and made once. */
export class PortEndpoints {
  readonly #candidates: readonly Candidate[];
  readonly #closeness: Closeness;
  readonly #place: NodePlace;
  #cluster: readonly BackendRow[] | undefined;
  #local: readonly BackendRow[] | undefined;

  constructor(slices: readonly SliceInput[], port: { readonly family: Family; readonly name: string; readonly protocol: string }, place: NodePlace, closeness: Closeness) {
    this.#place = place;
    this.#closeness = closeness;
    this.#candidates = candidatesOf(slices, port, place);
  }

  /** True when somebody serves somewhere: with an empty list, only the traffic policy is the reason. */
  get hasAny(): boolean {
    return this.#candidates.some(c => c.row.state !== 'maintenance');
  }

  /** Traffic policy Cluster: all, or the close ones; those on their way out are in the list, for their connections. */
  get cluster(): readonly BackendRow[] {
    return (this.#cluster ??= this.#close().map(c => c.row));
  }

  /** Traffic policy Local: only this node's. */
  get local(): readonly BackendRow[] {
    return (this.#local ??= this.#candidates.filter(c => c.isLocal).map(c => c.row));
  }

  /**
   * Hints count only when every endpoint that is ready has some, and some are for this node or its zone: else the control plane
   * is in the middle of a change, or somebody would be without endpoints (KEP-2433, KEP-3015; kube-proxy does the same).
   */
  #close(): readonly Candidate[] {
    if (this.#closeness === undefined) return this.#candidates;
    const ready = this.#candidates.filter(c => c.row.state === 'active');
    const { name, zone } = this.#place;
    const near = (this.#closeness === 'node' && hinted(ready, c => c.hints?.forNodes, name)) || (zone !== undefined && hinted(ready, c => c.hints?.forZones, zone));
    if (!near) return this.#candidates;
    return this.#candidates.filter(c => c.row.state !== 'active' || near(c));
  }
}

function hinted(ready: readonly Candidate[], hintsOf: (c: Candidate) => readonly { readonly name: string }[] | undefined, place: string): ((c: Candidate) => boolean) | undefined {
  const isFor = (c: Candidate) => hintsOf(c)?.some(h => h.name === place) ?? false;
  return ready.every(c => (hintsOf(c)?.length ?? 0) > 0) && ready.some(isFor) ? isFor : undefined;
}

function candidatesOf(slices: readonly SliceInput[], wanted: { readonly family: Family; readonly name: string; readonly protocol: string }, place: NodePlace): readonly Candidate[] {
  const byKey = new Map<string, Candidate>();
  for (const slice of slices) {
    if (slice.addressType !== wanted.family) continue;
    const port = slice.ports?.find(p => (p.name ?? '') === wanted.name && (p.protocol ?? 'TCP') === wanted.protocol)?.port;
    if (port === undefined || port === null) continue;
    const weights = weightsOf(slice);
    for (const endpoint of slice.endpoints ?? []) {
      const state = stateOf(endpoint);
      if (state === undefined) continue;
      // All addresses of an endpoint are as good as each other (discovery.k8s.io/v1); kube-proxy takes the first, Cilium all.
      for (const text of endpoint.addresses) {
        const addr = addrOf(text);
        if (!addr || familyOf(addr) !== wanted.family) continue;
        // An IPv4 address has only one text, so there is nothing to format; this is the innermost loop of all.
        const key = wanted.family === 'IPv4' ? `${text}:${port}/${wanted.protocol}` : endpointText(addr, port, wanted.protocol);
        // While an endpoint moves between slices it stands in both; the better word counts.
        if (byKey.get(key)?.row.state === 'active') continue;
        const weight = weights?.get(text);
        const row: BackendRow = { key, addr, port, state: weight === 0 && state === 'active' ? 'maintenance' : state, nodeName: endpoint.nodeName ?? '' };
        byKey.set(key, {
          row: weight === undefined || weight <= 1 ? row : { ...row, weight },
          isLocal: endpoint.nodeName === undefined ? place.addresses.has(text) : endpoint.nodeName === place.name,
          hints: endpoint.hints,
        });
      }
    }
  }
  return [...byKey.values()].sort((a, b) => (a.row.key < b.row.key ? -1 : 1));
}

/** Families of the slices there are: an empty slice says that its family is served. */
export function familiesOf(slices: readonly SliceInput[]): ReadonlySet<string> {
  return new Set(slices.map(slice => slice.addressType));
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

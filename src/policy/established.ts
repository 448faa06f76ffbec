/**
 * Which established connections a change of policies would end. After a change the kernel judges the forward packets of a
 * connection again, at each end, and its replies never; so the direction in which it was opened is decided here in the world
 * as it is and in the world as it would be.
 */
import type { ConntrackRow } from '../model/kernel-reports.ts';
import { leg } from './connection.ts';
import type { Leg, Step } from './connection.ts';
import { identityEnd, podEnd } from './ends.ts';
import type { End } from './ends.ts';
import { protocols } from './policy.ts';
import type { World } from './world.ts';

/** A connection whose verdict changes from allow to deny. */
export interface CutConnection {
  readonly row: ConntrackRow;
  readonly from: string;
  readonly to: string;
  /** The end that would deny it. */
  readonly step: Step;
}

export interface EstablishedPreview {
  readonly ends: readonly CutConnection[];
  /** Denied from now on, and spared by `policy.cirri.io/established: keep`. */
  readonly kept: readonly CutConnection[];
  /** All that were looked at, without those that are closing already. */
  readonly total: number;
}

/** `nodes`: addresses of nodes beside those that Node objects tell, such as their routers'. */
export function previewEstablished(before: World, after: World, rows: readonly ConntrackRow[], nodes: ReadonlyMap<string, string> = new Map()): EstablishedPreview {
  const open = mergeNodes(rows).filter(row => !row.closing);
  const [was, is] = [endsOf(before, nodes), endsOf(after, nodes)];
  const ends: CutConnection[] = [];
  const kept: CutConnection[] = [];
  for (const row of open) {
    if (legOf(before, was, row).verdict === 'deny') continue;
    const next = legOf(after, is, row);
    const denying = next.steps.filter(step => step.verdict === 'deny');
    if (denying.length === 0) continue;
    const final = denying.find(step => !step.keepEstablished);
    (final ? ends : kept).push({ row, from: next.from.text, to: next.to.text, step: final ?? denying[0]! });
  }
  return { ends, kept, total: open.length };
}

/** A connection between two nodes is in the tables of both. */
function mergeNodes(rows: readonly ConntrackRow[]): readonly ConntrackRow[] {
  const found = new Map<string, ConntrackRow>();
  for (const row of rows) {
    const key = `${row.protocol} ${row.source} ${row.sourcePort} ${row.destination} ${row.destinationPort}`;
    const known = found.get(key);
    found.set(key, known === undefined ? row : {
      ...known, ...row, closing: known.closing && row.closing, bytes: Math.max(known.bytes, row.bytes),
      ...(known.sourceEndpoint !== undefined && { sourceEndpoint: known.sourceEndpoint }), ...(known.destinationEndpoint !== undefined && { destinationEndpoint: known.destinationEndpoint }),
    });
  }
  return [...found.values()];
}

function endsOf(world: World, nodes: ReadonlyMap<string, string>): (endpoint: string | undefined, address: string) => End {
  const known = new Map<string, End>();
  for (const [address, node] of nodes) known.set(address, { type: 'node', text: `node:${node}`, node });
  for (const { name, addresses } of world.scenario.nodes) for (const address of addresses) known.set(address, { type: 'node', text: `node:${name}`, node: name });
  for (const pod of world.scenario.pods) {
    const end = podEnd(pod);
    known.set(`${pod.namespace}/${pod.name}`, end);
    if (!pod.hostNetwork) for (const address of pod.addresses) known.set(address, end);
  }
  return (endpoint, address) => (endpoint === undefined ? undefined : known.get(endpoint)) ?? known.get(address) ?? identityEnd(address, world.identityOfPrefix(address), address);
}

function legOf(world: World, endOf: ReturnType<typeof endsOf>, row: ConntrackRow): Leg {
  const { protocol } = row;
  // What the table has as the port of an echo is its number: policies ask for the type.
  const port = protocol === protocols.ICMP ? 8 : protocol === protocols.ICMPV6 ? 128 : row.destinationPort;
  return leg(world, endOf(row.sourceEndpoint, row.source), endOf(row.destinationEndpoint, row.destination), protocol, port);
}

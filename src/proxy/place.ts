import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { instanceFromEnv, parseRecord } from '../model/cluster.ts';
import { proxyWorkerSocket } from '../model/l7-proxy.ts';
import type { L7Set } from '../model/l7.ts';
import { waitFor } from '../std/async.ts';
import { CirriError } from '../std/errors.ts';
import { isIPv4, parseAddr } from '../std/ip.ts';
import { ownAddress, type SocketAddress } from '../sys/net.ts';
import { connectTo, listenOn } from '../sys/streams.ts';
import type { Admission } from './host.ts';
import { useNameTables } from './dns/tables.ts';
import { KernelNames } from './kernel-names.ts';
import { KernelRows } from './rows.ts';
import { connectAsClient, listenForRedirects } from './sockets.ts';
import type { Rows } from './worker.ts';

/** Where a worker stands: what it is asked at, what gives it connections, and where it goes with them. */
export interface Place {
  readonly name: string;
  readonly number: number;
  readonly socketPath: string;
  readonly l7Socket: string;
  readonly maxConnections: number;
  readonly idleMs: number;
  /** Headers that flows bear. */
  readonly headers: readonly string[];
  readonly rows: Rows;
  readSet(number: number): L7Set;
  /** Numbers of sets that are there, some of them: connections may come with others. */
  someSets(): readonly number[];
  connect(about: Admission): number;
  /** New listening sockets. */
  listen(): readonly number[];
  /** Connections go to these sockets from now on. */
  publish(listeners: readonly number[]): void;
}

/** Enough to know which protocols are in use. */
const mostRead = 256;

/** A node's, behind the datapath. Waits for the agent to make the maps. */
export async function nodePlace(node: string, number: number, signal: AbortSignal): Promise<Place> {
  const { paths } = instanceFromEnv(process.env);
  const { settings: { l7, dns } } = parseRecord(readFileSync(paths.clusterJson, 'utf8'));
  const { maps, programs, proxySocket, l7Socket, l7Sets } = paths.node(node);
  const rows = await waitFor('the agent to make the node\'s maps', () => KernelRows.open(maps), { timeoutMs: 3_600_000, everyMs: 50, signal });
  useNameTables(new KernelNames({ maps, programs, settings: dns }));
  return {
    name: node, number, socketPath: proxyWorkerSocket(proxySocket, number), l7Socket, rows,
    maxConnections: l7.maxConnections, idleMs: l7.idleTimeoutSeconds * 1000, headers: l7.headers,
    readSet: set => JSON.parse(readFileSync(join(l7Sets, `${set}.json`), 'utf8')) as L7Set,
    // The agent makes the folder with the first of them.
    someSets: () => (existsSync(l7Sets) ? readdirSync(l7Sets) : []).flatMap(name => (name.endsWith('.json') ? [Number(name.slice(0, -5))] : [])).slice(0, mostRead),
    connect: connectAsClient,
    listen: listenForRedirects,
    publish: listeners => {
      for (const fd of listeners) rows.setListener(number, !isIPv4(ownAddress(fd)!.addr), fd);
    },
  };
}

export interface StandaloneOptions {
  /** ADDRESS:PORT, both. */
  readonly listen: string;
  readonly upstream: string;
  /** Files with one L7Set each. The first holds; the others are loaded, as those of other services would be. */
  readonly sets: readonly string[];
  readonly socket: string;
  readonly records: string;
}

/** In front of one server, without a datapath: to measure it, and to test it. */
export function standalonePlace(options: StandaloneOptions): Place {
  const upstream = parseSocketAddress(options.upstream);
  const row = {
    generation: 0, flags: 0, sourceIdentity: 0, destinationIdentity: 0, sourceEndpoint: 0, destinationEndpoint: 0,
    egressL7: 0, ingressL7: options.sets.length > 0 ? 1 : 0, egressRule: 0, ingressRule: 0, service: 0,
  };
  return {
    name: options.listen, number: 0, socketPath: options.socket, l7Socket: options.records, maxConnections: 16_384, idleMs: 3_600_000, headers: [],
    rows: { generation: () => 0, lookup: () => row, delete: () => {} },
    readSet: set => JSON.parse(readFileSync(options.sets[set - 1]!, 'utf8')) as L7Set,
    someSets: () => options.sets.slice(0, 1).map((_, i) => i + 1),
    connect: () => connectTo(upstream),
    listen: () => [listenOn(parseSocketAddress(options.listen))],
    publish: () => {},
  };
}

function parseSocketAddress(text: string): SocketAddress {
  const colon = text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) throw new CirriError('ERR_USAGE', `"${text}" is not ADDRESS:PORT`);
  return { addr: parseAddr(text.slice(0, colon).replace(/^\[|\]$/g, '')), port };
}

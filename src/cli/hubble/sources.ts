import { Nodes } from '../../relay/nodes.ts';
import { CirriError } from '../../std/errors.ts';
import { silentLogger } from '../../std/log.ts';
import type { Context } from '../context.ts';
import { ownRelay, type HubbleServer } from './server.ts';

export interface SourceOptions {
  /** The cluster whose relay is asked, and whose agents when it does not answer. */
  readonly context?: Context;
  /** Another server, by its address: then that one and nobody else. */
  readonly server?: HubbleServer;
  readonly signal: AbortSignal;
  /** Where it is said that the agents are asked instead of the relay. */
  readonly complain?: (text: string) => void;
}

/** Who is asked: one server, or every agent of the cluster. */
export interface Sources {
  readonly nodes: Nodes;
  /** Undefined when the agents are asked themselves. */
  readonly server: HubbleServer | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  close(): void;
}

/** Retries while one follows: this command has somebody who waits before it. */
const times = { healthMs: 5_000, retryMs: 2_000 };
/** A socket of this machine answers at once, or nobody is there. */
const localMs = 2_000;

/** Connects. Throws a CirriError when nobody answers. */
export async function openSources(options: SourceOptions): Promise<Sources> {
  const { context, signal, complain = text => void process.stderr.write(`${text}\n`) } = options;
  const server = options.server ?? (context && ownRelay(context));
  if (!server) throw new Error('neither a server nor a cluster');
  const asked = new Nodes({ log: silentLogger }, times);
  asked.upsert({ name: server.address, address: server.address, serverName: undefined, target: () => server.target });
  await asked.settled(options.server ? server.timeoutMs : localMs, signal);
  if (asked.all[0]!.state === 'connected' || signal.aborted) return { nodes: asked, server, metadata: server.metadata, close: () => asked.close() };
  const why = asked.all[0]!.error || `no answer within ${server.timeoutMs} ms`;
  asked.close();
  if (options.server || !context) throw new CirriError('ERR_HUBBLE_SERVER', `failed to connect to '${server.address}': ${why}`, { mend: 'check the address, and whether the server speaks TLS (--tls)' });
  complain('cirri: the relay does not answer: asking the agents of all nodes directly');
  return openAgents(context, signal);
}

async function openAgents({ record, paths }: Context, signal: AbortSignal): Promise<Sources> {
  const nodes = new Nodes({ log: silentLogger }, times);
  for (const { name } of record.nodes) {
    const { hubbleSocket } = paths.node(name);
    nodes.upsert({ name, address: `unix://${hubbleSocket}`, serverName: undefined, target: () => ({ socketPath: hubbleSocket }) });
  }
  await nodes.settled(localMs, signal);
  if (nodes.all.every(node => node.state !== 'connected') && !signal.aborted) {
    nodes.close();
    throw new CirriError('ERR_FLOWS', 'no agent answers', { mend: record.settings.hubble.enabled ? 'cirri status' : 'cirri config set hubble.enabled=true' });
  }
  return { nodes, server: undefined, metadata: {}, close: () => nodes.close() };
}

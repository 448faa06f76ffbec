import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { createFlowPipeline, type FlowPipeline } from '../flows/pipeline.ts';
import { emptyLookups, type FlowLookups } from '../flows/enrich.ts';
import { RpcClient, type CallSettings } from '../rpc/client.ts';
import { AgentEvents } from './agent-events.ts';
import { peerServerName } from './names.ts';
import type { PeerNode, PeerSource } from './peer.ts';
import { FlowRate } from './rate.ts';
import type { HubbleServerDependencies } from './server.ts';
import { silentLogger } from '../std/log.ts';

/** A ring that a test fills. */
export class TestRing {
  #records: DataView[] = [];

  push(...records: readonly DataView[]): void {
    this.#records.push(...records);
  }

  drain(take: (bytes: DataView, at: number, length: number) => void, limit: number): number {
    const records = this.#records.splice(0, limit);
    for (const record of records) take(record, 0, record.byteLength);
    return records.length;
  }
}

/** Nodes that a test adds and takes away. */
export class TestPeers implements PeerSource {
  nodes: readonly PeerNode[] = [];
  readonly #watchers = new Set<() => void>();

  list(): readonly PeerNode[] {
    return this.nodes;
  }

  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => void this.#watchers.delete(onChange);
  }

  set(...nodes: readonly PeerNode[]): void {
    this.nodes = nodes;
    for (const watcher of this.#watchers) watcher();
  }
}

/** What a server of a node needs, with rings to fill and a clock that is the wall's, or stands still. */
export function testParts(lookups: Partial<FlowLookups> = {}, fixed?: { readonly monotonicNs: bigint; readonly wallNs: bigint }): HubbleServerDependencies & { readonly drops: TestRing; readonly flows: TestRing; readonly peers: TestPeers; readonly pipeline: FlowPipeline; lost: { flows: number; drops: number }; /** Moves the clock. */ skewNs: bigint } {
  const [drops, flows] = [new TestRing(), new TestRing()];
  const now = () => (fixed ? Number(fixed.wallNs) : (performance.timeOrigin + performance.now()) * 1e6);
  const parts = { lost: { flows: 0, drops: 0 }, skewNs: 0n };
  const clock = { monotonicNs: () => (fixed?.monotonicNs ?? process.hrtime.bigint()) + parts.skewNs, wallNs: () => (fixed?.wallNs ?? BigInt(Date.now()) * 1_000_000n) + parts.skewNs };
  const pipeline = createFlowPipeline({ rings: { drops, flows }, lookups: { ...emptyLookups, ...lookups }, nodeName: 'n1', capacity: 4096, lost: () => parts.lost, clock });
  return {
    pipeline, drops, flows, now, agentEvents: new AgentEvents(now), rate: new FlowRate(() => pipeline.stats.flows, now), log: silentLogger, peers: new TestPeers(),
    node: () => ({ name: 'n1', version: '1.2.3', address: '172.30.0.2:4244', state: 1, tls: { enabled: true, serverName: peerServerName('n1', 'default') } }),
    get lost() { return parts.lost; },
    set lost(value) { parts.lost = value; },
    get skewNs() { return parts.skewNs; },
    set skewNs(value) { parts.skewNs = value; },
  };
}

/** Calls in messages rather than bytes. */
export class TypedClient {
  readonly rpc: RpcClient;

  constructor(rpc: RpcClient) {
    this.rpc = rpc;
  }

  async unary<I extends DescMessage, O extends DescMessage>(path: string, types: readonly [I, O], request: MessageInitShape<I>, settings: CallSettings = {}): Promise<MessageShape<O>> {
    return fromBinary(types[1], await this.rpc.unary(path, toBinary(types[0], create(types[0], request)), settings));
  }

  async *stream<I extends DescMessage, O extends DescMessage>(path: string, types: readonly [I, O], request: MessageInitShape<I>, settings: CallSettings = {}): AsyncGenerator<MessageShape<O>> {
    for await (const bytes of this.rpc.stream(path, toBinary(types[0], create(types[0], request)), settings)) yield fromBinary(types[1], bytes);
  }
}

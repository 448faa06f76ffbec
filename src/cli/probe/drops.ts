import type { Flow } from '../../model/flow.ts';
import { delay } from '../../std/async.ts';
import { errorText } from '../../std/errors.ts';
import type { Context } from '../context.ts';
import { openFlowStream } from '../flow-stream.ts';
import type { End } from './protocol.ts';

/** Clocks are one machine's, but each agent measures its offset for itself. */
const clockSlackMs = 20;
const keep = 40_000;
const reconnectMs = 100;

/**
 * Every drop of every node, from before the first probe to the end. A drop may be seen before the probe has said which port it
 * got, so drops wait for probes as probes wait for drops.
 */
export class DropWatch {
  readonly #stop = new AbortController();
  readonly #seen = new Map<string, Flow>();
  readonly #waiting = new Map<string, (flow: Flow) => void>();
  /** Resolves when every agent that answers is being listened to. */
  readonly ready: Promise<void>;

  constructor(context: Context) {
    const first = context.record.nodes.map(node => this.#follow(node.name, context.paths.node(node.name).agentSocket));
    this.ready = Promise.all(first).then(() => {});
  }

  /** Resolves when the agent is heard, or known to be away; goes on in the background, also across the agent's restarts. */
  #follow(node: string, socket: string): Promise<void> {
    const { signal } = this.#stop;
    return new Promise(resolve => {
      const loop = async () => {
        let since: string | undefined;
        for (let complained = false; !signal.aborted; ) {
          const query = { whitelist: [{ event_type: [{ type: 1 }] }], follow: true, ...(since !== undefined && { since }) };
          const stream = openFlowStream(socket, query, { onFlows: flows => flows.forEach(flow => this.#take(flow)) }, signal);
          try {
            await stream.opened;
            resolve();
            complained = true;
            await stream.ended;
          } catch (error) {
            if (signal.aborted) return;
            if (!complained) process.stderr.write(`cirri: drops on ${node} are not seen: ${errorText(error)}\n`);
            complained = true;
          }
          resolve();
          since = new Date(Date.now() - clockSlackMs).toISOString();
          await delay(reconnectMs, signal).catch(() => {});
        }
      };
      void loop();
    });
  }

  /**
   * Calls `onDrop` when the packet from this source is, or was already, dropped after `since`. Returns how to stop waiting. With
   * many probes at once the kernel gives one port to connections that differ in their `destination`; one that a service stands
   * for is not the destination that is seen.
   */
  expect(protocol: string, source: End, since: Date, onDrop: (flow: Flow) => void, destination?: End): () => void {
    const key = keyOf(protocol, source, destination);
    const earlier = this.#seen.get(key);
    if (earlier && Date.parse(earlier.time) >= since.getTime() - clockSlackMs) {
      onDrop(earlier);
      return () => {};
    }
    this.#waiting.set(key, onDrop);
    return () => void this.#waiting.delete(key);
  }

  close(): void {
    this.#stop.abort();
  }

  #take(flow: Flow): void {
    const source = { ip: flow.source.ip, port: flow.sourcePort ?? 0 };
    const destination = { ip: flow.destination.ip, port: flow.destinationPort ?? 0 };
    for (const key of [keyOf(flow.protocol, source), keyOf(flow.protocol, source, destination)]) {
      this.#seen.set(key, flow);
      if (this.#seen.size > keep) this.#seen.delete(this.#seen.keys().next().value!);
      this.#waiting.get(key)?.(flow);
    }
  }
}

function keyOf(protocol: string, source: End, destination?: End): string {
  return `${protocol.startsWith('ICMP') ? 'ICMP' : protocol} ${source.ip} ${source.port}${destination ? ` ${destination.ip} ${destination.port}` : ''}`;
}

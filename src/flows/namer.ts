import { flag, slotWords, type Columns } from './columns.ts';
import { layout } from './decode.ts';
import { DnsObserver } from './dns-flows.ts';
import type { DnsMessage } from './dns.ts';
import { EndRegistry } from './ends.ts';
import type { FlowLookups } from './enrich.ts';
import { EventType } from './event.ts';
import { RuleRegistry, ServiceRegistry } from './known.ts';
import type { NameCache } from './name-cache.ts';

export interface NamerDependencies {
  readonly lookups: FlowLookups;
  readonly names: NameCache;
  readonly clock: { readonly monotonicNs: () => bigint; readonly wallNs: () => bigint };
}

const word = {
  source: layout.source / 4, destination: layout.destination / 4, sourceIdentity: layout.sourceIdentity / 4, destinationIdentity: layout.destinationIdentity / 4,
  sourceEndpoint: layout.sourceEndpoint / 4, destinationEndpoint: layout.destinationEndpoint / 4, rule: layout.rule / 4, service: layout.service / 4,
} as const;

/** The wall clock is steered; the offset to the monotonic one is taken again this often. */
const clockRefreshNs = 10e9;
const nameSweepNs = 60e9;
const secondNs = 1e9;

/** Puts to flows what is known at their moment: wall clock, ends, rule, service. */
export class Namer {
  readonly ends: EndRegistry;
  readonly #columns: Columns;
  readonly #lookups: FlowLookups;
  readonly #clock: NamerDependencies['clock'];
  readonly #rules: RuleRegistry;
  readonly #services: ServiceRegistry;
  readonly #names: NameCache;
  readonly #dns: DnsObserver;
  readonly #messages = new Map<number, DnsMessage>();
  #offsetSeconds = 0;
  #offsetNanos = 0;
  #clockTakenNs = -Infinity;
  #namesSweptNs = 0;
  #sequence = 0;

  constructor(columns: Columns, dependencies: NamerDependencies) {
    this.#columns = columns;
    this.#lookups = dependencies.lookups;
    this.#clock = dependencies.clock;
    this.#names = dependencies.names;
    this.#dns = new DnsObserver(this.#names);
    this.ends = new EndRegistry(dependencies.lookups);
    this.#rules = new RuleRegistry(dependencies.lookups);
    this.#services = new ServiceRegistry(dependencies.lookups);
    this.refresh(Number(this.#clock.monotonicNs()));
  }

  /** Before a turn's flows. */
  refresh(nowNs: number): void {
    this.ends.refresh(nowNs);
    this.#rules.refresh(nowNs);
    this.#services.refresh(nowNs);
    if (nowNs - this.#namesSweptNs >= nameSweepNs) {
      this.#names.expire(nowNs);
      this.#namesSweptNs = nowNs;
    }
    if (nowNs - this.#clockTakenNs < clockRefreshNs) return;
    const offset = this.#clock.wallNs() - this.#clock.monotonicNs();
    this.#offsetNanos = Number(((offset % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
    this.#offsetSeconds = Number((offset - BigInt(this.#offsetNanos)) / 1_000_000_000n);
    this.#clockTakenNs = nowNs;
  }

  /** A DNS message whose turn comes with its slot's. */
  expect(slot: number, message: DnsMessage): void {
    this.#messages.set(slot, message);
  }

  /** Slots in the order of time. */
  name(slots: readonly number[]): void {
    const nodeLabels = this.#lookups.nodeLabels?.();
    this.ends.namesChanged(this.#names.revision);
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      this.#columns.nodeLabels[slot] = nodeLabels;
      this.#nameOne(slot);
    }
  }

  #nameOne(slot: number): void {
    const columns = this.#columns;
    const { words } = columns;
    const at = slot * slotWords;
    this.#setTime(slot);
    columns.sequences[slot] = this.#sequence++;
    const [sourceId, destinationId] = [words[at + word.sourceEndpoint]!, words[at + word.destinationEndpoint]!];
    columns.sources[slot] = this.ends.end(words, at + word.source, words[at + word.sourceIdentity]!, sourceId, destinationId);
    columns.destinations[slot] = this.ends.end(words, at + word.destination, words[at + word.destinationIdentity]!, destinationId, sourceId);
    const rule = words[at + word.rule]! >>> 0;
    columns.rules[slot] = rule === 0 ? undefined : this.#rules.rule(rule);
    columns.services[slot] = this.#serviceOf(slot, at);
    if (this.#messages.size > 0) this.#readDns(slot);
  }

  #readDns(slot: number): void {
    const columns = this.#columns;
    const message = this.#messages.get(slot);
    if (message === undefined) return;
    this.#messages.delete(slot);
    const client = message.isResponse ? columns.destinations[slot]! : columns.sources[slot]!;
    const clientPort = columns.port(slot, message.isResponse ? layout.destinationPort : layout.sourcePort);
    columns.l7[slot] = this.#dns.observe(message, { clientIp: client.ip, clientPort, endpoint: client.id, timeNs: columns.times[slot]! });
    this.ends.namesChanged(this.#names.revision);
  }

  #serviceOf(slot: number, at: number) {
    const columns = this.#columns;
    const protocol = columns.byte(slot, layout.protocol);
    if (columns.hasService(slot)) return this.#services.service(columns.words, at + word.service, columns.port(slot, layout.servicePort), protocol);
    // A drop before translation (no backend) still has the service as its destination.
    if (columns.byte(slot, layout.type) !== EventType.drop || columns.byte(slot, layout.flags) & flag.reply) return undefined;
    return this.#services.service(columns.words, at + word.destination, columns.port(slot, layout.destinationPort), protocol);
  }

  #setTime(slot: number): void {
    const time = this.#columns.times[slot]!;
    let seconds = Math.floor(time / secondNs);
    let nanos = time - seconds * secondNs + this.#offsetNanos;
    if (nanos >= secondNs) {
      nanos -= secondNs;
      seconds++;
    }
    this.#columns.seconds[slot] = seconds + this.#offsetSeconds;
    this.#columns.nanos[slot] = nanos;
  }
}

import { flag, slotWords, type Columns } from './columns.ts';
import { layout } from './decode.ts';
import { DnsObserver } from './dns-flows.ts';
import type { DnsMessage } from '../model/dns.ts';
import { EndRegistry } from './ends.ts';
import type { FlowLookups } from './enrich.ts';
import { RuleRegistry, ServiceRegistry } from './known.ts';
import { L7Saying } from './l7-saying.ts';
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
  /** Wall clock, and the monotonic clock's time at which that second began. */
  #second = 0;
  #secondNs = Infinity;
  readonly #labels: { readonly from: number; readonly labels: readonly string[] | undefined }[] = [];

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
    this.#secondNs = Infinity;
  }

  /** A DNS message whose turn comes with its slot's. */
  expect(slot: number, message: DnsMessage): void {
    this.#messages.set(slot, message);
  }

  /** The first `count` slots, in the order of time. */
  name(slots: Uint32Array, count: number): void {
    this.#noteLabels();
    this.ends.namesChanged(this.#names.revision);
    for (let i = 0; i < count; i++) this.#nameOne(slots[i]!);
  }

  /** The node's labels when it told the flow of that number. */
  nodeLabels(sequence: number): readonly string[] | undefined {
    for (let i = this.#labels.length - 1; i >= 0; i--) if (this.#labels[i]!.from <= sequence) return this.#labels[i]!.labels;
    return undefined;
  }

  #noteLabels(): void {
    const labels = this.#lookups.nodeLabels?.();
    if (labels === this.#labels.at(-1)?.labels) return;
    this.#labels.push({ from: this.#sequence, labels });
    // Nobody changes a node's labels more often than its history is long.
    if (this.#labels.length > 64) this.#labels.shift();
  }

  #nameOne(slot: number): void {
    const columns = this.#columns;
    const { words } = columns;
    const at = slot * slotWords;
    this.#setTime(slot);
    columns.sequences[slot] = this.#sequence++;
    const sourceId = words[at + word.sourceEndpoint]!;
    const destinationId = words[at + word.destinationEndpoint]!;
    columns.sources[slot] = this.ends.end(words, at + word.source, words[at + word.sourceIdentity]!, sourceId, destinationId);
    columns.destinations[slot] = this.ends.end(words, at + word.destination, words[at + word.destinationIdentity]!, destinationId, sourceId);
    const rule = words[at + word.rule]!;
    if (rule !== 0) columns.rules[slot] = this.#rules.rule(rule >>> 0);
    if (columns.mayHaveService(slot)) columns.services[slot] = this.#serviceOf(slot, at);
    if (this.#messages.size > 0) this.#readDns(slot);
  }

  #readDns(slot: number): void {
    const columns = this.#columns;
    const message = this.#messages.get(slot);
    if (message === undefined) return;
    this.#messages.delete(slot);
    const client = message.isResponse ? columns.destinations[slot]! : columns.sources[slot]!;
    const clientPort = columns.port(slot, message.isResponse ? layout.destinationPort : layout.sourcePort);
    const said = this.#dns.observe(message, { clientIp: client.ip, clientPort, endpoint: client.id, timeNs: columns.times[slot]! });
    columns.writeL7(slot, new L7Saying(said), -1, 0, 0, undefined);
    this.ends.namesChanged(this.#names.revision);
  }

  #serviceOf(slot: number, at: number) {
    const columns = this.#columns;
    const protocol = columns.byte(slot, layout.protocol);
    if (columns.hasService(slot)) return this.#services.service(columns.words, at + word.service, columns.port(slot, layout.servicePort), protocol);
    // A drop before translation (no backend) still has the service as its destination.
    if (columns.byte(slot, layout.flags) & flag.reply) return undefined;
    return this.#services.service(columns.words, at + word.destination, columns.port(slot, layout.destinationPort), protocol);
  }

  #setTime(slot: number): void {
    const columns = this.#columns;
    let nanos = columns.times[slot]! - this.#secondNs;
    if (!(nanos >= 0 && nanos < secondNs)) {
      this.#startSecond(columns.times[slot]!);
      nanos = columns.times[slot]! - this.#secondNs;
    }
    columns.seconds[slot] = this.#second;
    columns.nanos[slot] = nanos;
  }

  /** The wall clock's second that a moment of the monotonic clock lies in, and when it began. */
  #startSecond(timeNs: number): void {
    const whole = Math.floor(timeNs / secondNs);
    const over = timeNs - whole * secondNs + this.#offsetNanos >= secondNs ? 1 : 0;
    this.#second = whole + this.#offsetSeconds + over;
    this.#secondNs = (whole + over) * secondNs - this.#offsetNanos;
  }
}

import type { Flow, FlowPolicy, FlowRule } from '../model/flow.ts';
import { formatAddr } from '../std/ip.ts';
import { Protocol } from './event.ts';
import type { FlowLookups } from './enrich.ts';
import { WordMap } from './word-map.ts';

/** A rule with the policies behind it: its own, or for a default denial all that turned it on. Shared and immutable. */
export interface KnownRule {
  readonly rule: FlowRule;
  readonly policies: readonly FlowPolicy[];
  readonly log?: readonly string[];
}

type Service = NonNullable<Flow['service']>;

/** Rules that flows name, by number. One that has gone keeps its name: its last verdicts are read after it. */
export class RuleRegistry {
  readonly #lookups: FlowLookups;
  readonly #capacity: number;
  readonly #known = new Map<number, { known: KnownRule | undefined; revision: number }>();
  #revision = 0;

  constructor(lookups: FlowLookups, capacity = 16_384) {
    this.#lookups = lookups;
    this.#capacity = capacity;
  }

  refresh(nowNs: number): void {
    this.#revision = this.#lookups.ruleRevision?.() ?? Math.floor(nowNs / 1e9);
  }

  rule(id: number): KnownRule | undefined {
    const entry = this.#known.get(id);
    if (entry?.revision === this.#revision) return entry.known;
    const known = this.#describe(id);
    if (entry) {
      entry.revision = this.#revision;
      if (known !== undefined && !sameRule(known, entry.known)) entry.known = known;
      return entry.known;
    }
    if (this.#known.size >= this.#capacity) this.#known.clear();
    this.#known.set(id, { known, revision: this.#revision });
    return known;
  }

  #describe(id: number): KnownRule | undefined {
    const rule = this.#lookups.rule(id);
    if (!rule) return undefined;
    const log = this.#lookups.logOf?.(id);
    return { rule, policies: this.#lookups.policiesOf?.(id) ?? ownPolicy(rule), ...(log && log.length > 0 && { log }) };
  }
}

function ownPolicy(rule: FlowRule): readonly FlowPolicy[] {
  return rule.kind === 'default' ? [] : [{ name: rule.name, ...(rule.namespace !== undefined && { namespace: rule.namespace }), kind: rule.kind }];
}

function sameRule(a: KnownRule, b: KnownRule | undefined): boolean {
  return b !== undefined && a.rule.because === b.rule.because && a.rule.effect === b.rule.effect && a.log?.join() === b.log?.join() &&
    a.policies.length === b.policies.length && a.policies.every((policy, i) => policy.revision === b.policies[i]!.revision && policy.name === b.policies[i]!.name && policy.labels?.join() === b.policies[i]!.labels?.join());
}

interface KnownService {
  service: Service | undefined;
  revision: number;
}

/** Services by address, port and protocol. */
export class ServiceRegistry {
  readonly #lookups: FlowLookups;
  readonly #entries: WordMap<KnownService>;
  #last: KnownService | undefined;
  readonly #key = new Int32Array(5);
  readonly #keyBytes = new Uint8Array(this.#key.buffer, 0, 16);
  #revision = 0;

  constructor(lookups: FlowLookups, capacity = 4_096) {
    this.#lookups = lookups;
    this.#entries = new WordMap(capacity, 5);
  }

  /** Services say nothing when they change: each is asked for again once a second at most. */
  refresh(nowNs: number): void {
    this.#revision = Math.floor(nowNs / 1e9);
  }

  service(words: Int32Array, at: number, port: number, protocol: number): Service | undefined {
    const name = protocol === Protocol.tcp ? 'TCP' : protocol === Protocol.udp ? 'UDP' : protocol === Protocol.sctp ? 'SCTP' : undefined;
    if (name === undefined) return undefined;
    const key = this.#key;
    const tail = (port << 8) | protocol;
    const isLast = key[3] === words[at + 3] && key[4] === tail && key[2] === words[at + 2] && key[1] === words[at + 1] && key[0] === words[at];
    if (!isLast) {
      for (let i = 0; i < 4; i++) key[i] = words[at + i]!;
      key[4] = tail;
    }
    const entry = isLast ? this.#last : this.#entries.get(key);
    this.#last = entry;
    if (entry?.revision === this.#revision) return entry.service;
    const ip = formatAddr(this.#keyBytes.slice());
    const found = this.#lookups.serviceByAddr(ip, port, name);
    if (entry === undefined) {
      const service = found && { namespace: found.namespace, name: found.name, ip, port };
      this.#last = { service, revision: this.#revision };
      this.#entries.set(key, this.#last);
      return service;
    }
    entry.revision = this.#revision;
    // One that has gone keeps its name while its last connections end.
    if (found && (found.name !== entry.service?.name || found.namespace !== entry.service.namespace)) entry.service = { namespace: found.namespace, name: found.name, ip, port };
    return entry.service;
  }
}

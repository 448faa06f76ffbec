import type { CidrGroup, PolicyEngine, Service, SetDelta } from '../policy/compile.ts';
import type { Policy } from '../policy/policy.ts';

/** What a pass has to bring into the kernel: subjects to compile again, by `subjectText`, and what changes in sets that stay. */
export interface EngineChange {
  readonly stale: ReadonlySet<string>;
  readonly deltas: readonly SetDelta[];
}

export const noChange: EngineChange = { stale: new Set(), deltas: [] };

/** The engine as those see it who feed it; remembers what their changes come to until the next pass takes it. */
export class EngineChanges {
  readonly #engine: PolicyEngine;
  #stale = new Set<string>();
  #deltas: SetDelta[] = [];

  constructor(engine: PolicyEngine) {
    this.#engine = engine;
  }

  take(): EngineChange {
    if (this.#stale.size === 0 && this.#deltas.length === 0) return noChange;
    const change = { stale: this.#stale, deltas: this.#deltas };
    this.#stale = new Set();
    this.#deltas = [];
    return change;
  }

  upsertPolicy(policy: Policy): void {
    this.#note(this.#engine.upsertPolicy(policy));
  }

  removePolicy(address: string): void {
    this.#note(this.#engine.removePolicy(address));
  }

  setService(key: string, service: Service | undefined): void {
    this.#note(this.#engine.setService(key, service));
  }

  setCidrGroup(name: string, group: CidrGroup | undefined): void {
    this.#note(this.#engine.setCidrGroup(name, group));
  }

  setSecret(key: string, entries: Readonly<Record<string, string>> | undefined): void {
    this.#note(this.#engine.setSecret(key, entries));
  }

  l7Conflicts(): ReturnType<PolicyEngine['l7Conflicts']> {
    return this.#engine.l7Conflicts();
  }

  secretKeys(): readonly string[] {
    return this.#engine.secretKeys();
  }

  upsertIdentity(...identity: Parameters<PolicyEngine['upsertIdentity']>): void {
    this.#deltas.push(...this.#engine.upsertIdentity(...identity));
  }

  removeIdentity(id: number): void {
    this.#deltas.push(...this.#engine.removeIdentity(id));
  }

  cidrPrefixes(): readonly string[] {
    return this.#engine.cidrPrefixes();
  }

  get prefixRevision(): number {
    return this.#engine.prefixRevision;
  }

  fqdnSelectors(): readonly string[] {
    return this.#engine.fqdnSelectors();
  }

  nameSelectors(): readonly string[] {
    return this.#engine.nameSelectors();
  }

  get nameRevision(): number {
    return this.#engine.nameRevision;
  }

  networkPrefixes(): readonly string[] {
    return this.#engine.networkPrefixes();
  }

  #note(stale: ReadonlySet<string>): void {
    for (const text of stale) this.#stale.add(text);
  }
}

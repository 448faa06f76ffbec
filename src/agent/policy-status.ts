import type { KubeClient } from '../kube/client.ts';
import { isNotFound } from '../kube/errors.ts';
import type { Resource } from '../kube/resources.ts';
import type { KubeObject } from '../kube/types.ts';
import { policyWays, saysTheSame, type PolicyNodeStatus } from '../model/policy-status.ts';
import { policyAddress } from '../policy/policy.ts';
import { delay, Signal } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';
import type { PolicyReport } from './policy-inputs.ts';

export interface PolicyStatusOptions {
  readonly nodeName: string;
  /** Patches a second at most: two thousand policies of a new node are told within a minute, and the API serves others meanwhile. */
  readonly perSecond?: number;
  /** What happens within this time is told once. */
  readonly gatherMs?: number;
}

export interface PolicyStatusDependencies {
  readonly client: Pick<KubeClient, 'patch'>;
  /** The kinds that have a status. */
  readonly sources: readonly { readonly resource: Resource; readonly table: Pick<Table<KubeObject>, 'rows' | 'watch'> }[];
  readonly reports: () => readonly PolicyReport[];
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly now?: () => Date;
}

/** What this node has to say of one object. */
interface Word {
  readonly resource: Resource;
  readonly object: KubeObject;
  readonly status: PolicyNodeStatus;
}

/**
 * Tells the API, policy by policy, what this node enforces. Level-triggered: what the node would say is compared with what
 * the object already has, so that a restart and a pass without news write nothing. A version that a pass will load in a
 * moment is not told of before.
 */
export class PolicyStatusWriter {
  readonly #options: Required<PolicyStatusOptions>;
  readonly #deps: PolicyStatusDependencies;
  readonly #mark = new Signal();
  /** Written and not yet seen back: the watch takes a moment. By uid. */
  readonly #written = new Map<string, PolicyNodeStatus>();
  /** When the next patch may go (`performance.now`), over all turns. */
  #notBefore = 0;
  /** Patches sent since the start. */
  patches = 0;

  constructor(options: PolicyStatusOptions, dependencies: PolicyStatusDependencies) {
    this.#options = { perSecond: 50, gatherMs: 200, ...options };
    this.#deps = dependencies;
    for (const { table } of dependencies.sources) table.watch(() => this.mark());
  }

  /** Something may have changed; call as often as you like. */
  mark(): void {
    this.#mark.mark();
  }

  async run(): Promise<void> {
    const { signal, log } = this.#deps;
    const { gatherMs } = this.#options;
    let failed = false;
    while (!signal.aborted) {
      await this.#mark.wait(failed ? { timeoutMs: 5_000, signal } : { signal });
      await delay(gatherMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.#tell(this.#words());
        failed = false;
      } catch (error) {
        // The API may be away; what is in force stays in force, and the objects are told later.
        if (!failed) log.warn('the state of policies could not be written to the API', { error: errorText(error) });
        failed = true;
      }
    }
  }

  #words(): Word[] {
    const reports = new Map(this.#deps.reports().map(report => [report.address, report] as const));
    const seen = new Set<string>();
    const words: Word[] = [];
    for (const { resource, table } of this.#deps.sources) {
      for (const object of table.rows()) {
        const { name, namespace, uid = '' } = object.metadata;
        seen.add(uid);
        const report = reports.get(policyAddress({ kind: resource.kind, name, ...(namespace === undefined ? {} : { namespace }) }));
        if (!report || report.pending || report.uid !== uid || report.resourceVersion !== object.metadata.resourceVersion) continue;
        const status = this.#statusOf(object, report);
        const own = ownStatus(object, this.#options.nodeName);
        const written = this.#written.get(uid);
        if (own && written && saysTheSame(own, written)) this.#written.delete(uid);
        const present = written ?? own;
        if (present && saysTheSame(present, status)) continue;
        words.push({ resource, object, status });
      }
    }
    for (const uid of this.#written.keys()) if (!seen.has(uid)) this.#written.delete(uid);
    return words;
  }

  #statusOf(object: KubeObject, report: PolicyReport): PolicyNodeStatus {
    const ways = policyWays(object.metadata);
    return {
      enforcing: report.enforced,
      ok: report.enforced,
      ...(report.error === undefined ? {} : { error: report.error.slice(0, 2_000) }),
      ...(object.metadata.generation === undefined ? {} : { observedGeneration: object.metadata.generation }),
      ...(Object.keys(ways).length === 0 ? {} : { annotations: ways }),
      lastUpdated: (this.#deps.now?.() ?? new Date()).toISOString().replace(/\.\d+Z$/, 'Z'),
    };
  }

  async #tell(words: readonly Word[]): Promise<void> {
    const { perSecond } = this.#options;
    const together = Math.max(1, Math.round(perSecond / 10));
    for (let i = 0; i < words.length; i += together) {
      const some = words.slice(i, i + together);
      const waitMs = this.#notBefore - performance.now();
      if (waitMs > 0) await delay(waitMs, this.#deps.signal);
      this.#notBefore = Math.max(this.#notBefore, performance.now()) + some.length * 1_000 / perSecond;
      await Promise.all(some.map(word => this.#patch(word)));
    }
  }

  async #patch({ resource, object, status }: Word): Promise<void> {
    const { name, namespace, uid = '' } = object.metadata;
    // A merge would leave the error of before, and old annotations.
    const whole = { error: null, annotations: null, ...status };
    this.patches++;
    try {
      // With the uid the object of the same name that somebody has made since is not told of its predecessor's state.
      const patch = { ...(uid === '' ? {} : { metadata: { uid } }), status: { nodes: { [this.#options.nodeName]: whole } } };
      await this.#deps.client.patch(resource, name, namespace, patch, { type: 'merge', subresource: 'status' });
      this.#written.set(uid, status);
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

function isConflict(error: unknown): boolean {
  return (error as { readonly status?: unknown }).status === 409;
}

function ownStatus(object: KubeObject, nodeName: string): PolicyNodeStatus | undefined {
  return (object.status as { readonly nodes?: Readonly<Record<string, PolicyNodeStatus>> } | undefined)?.nodes?.[nodeName];
}

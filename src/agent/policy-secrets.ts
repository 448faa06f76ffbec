import type { KubeClient } from '../kube/client.ts';
import { reflect, type Reflector } from '../kube/reflector.ts';
import { resources } from '../kube/resources.ts';
import type { KubeObject } from '../kube/types.ts';
import type { Logger } from '../std/log.ts';
import type { Changes } from '../table/table.ts';
import type { EngineChanges } from './engine-changes.ts';

export interface PolicySecretsDependencies {
  readonly engine: Pick<EngineChanges, 'secretKeys' | 'setSecret'>;
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** How long a new agent waits for the first answer about Secrets before it goes on without them. */
  readonly patienceMs?: number;
}

interface Watched {
  readonly reflector: Reflector<KubeObject>;
  readonly changes: Changes<KubeObject>;
  stop(): void;
}

/** The Secrets that policies name, each watched by itself: no other is ever read, or kept once no policy names it any more. */
export class PolicySecrets {
  readonly #deps: PolicySecretsDependencies;
  readonly #watched = new Map<string, Watched>();
  readonly #marks = new Set<() => void>();
  #ready = false;
  #patience: NodeJS.Timeout | undefined;

  constructor(dependencies: PolicySecretsDependencies) {
    this.#deps = dependencies;
  }

  /** Asks for a pass when a Secret has changed. */
  watch(onMark: () => void): () => void {
    this.#marks.add(onMark);
    return () => this.#marks.delete(onMark);
  }

  /**
   * False until the Secrets of the first list of policies have been read: what an earlier agent put in place knows more than one
   * that takes them for missing.
   */
  get ready(): boolean {
    return this.#ready;
  }

  /** Brings the engine level with the Secrets; `policiesRead`: the first lists of policies are complete. */
  refresh(policiesRead: boolean): void {
    const wanted = new Set(this.#deps.engine.secretKeys());
    for (const [key, { stop }] of this.#watched) {
      if (wanted.has(key)) continue;
      stop();
      this.#watched.delete(key);
      this.#deps.engine.setSecret(key, undefined);
    }
    for (const key of wanted) if (!this.#watched.has(key)) this.#watched.set(key, this.#start(key));
    for (const [key, { reflector, changes }] of this.#watched) {
      if (!changes.pending) continue;
      changes.take();
      const object = reflector.table.get(key);
      this.#deps.engine.setSecret(key, object && entriesOf(object));
    }
    if (!this.#ready && policiesRead) this.#settle();
  }

  #settle(): void {
    if ([...this.#watched.values()].every(({ reflector }) => reflector.table.synced)) {
      this.#ready = true;
      clearTimeout(this.#patience);
      return;
    }
    this.#patience ??= setTimeout(() => {
      this.#deps.log.warn('Secrets that policies name could not be read in time: what needs them is denied', { secrets: [...this.#watched.keys()].join(', ') });
      this.#ready = true;
      this.#mark();
    }, this.#deps.patienceMs ?? 5_000).unref();
  }

  #start(key: string): Watched {
    const { client, signal, log } = this.#deps;
    const own = new AbortController();
    const [namespace, name] = key.split('/') as [string, string];
    const reflector = reflect<KubeObject>({ client, resource: resources.secrets, namespace, fieldSelector: `metadata.name=${name}`, signal: AbortSignal.any([signal, own.signal]), log });
    const forget = reflector.table.watch(() => this.#mark());
    return {
      reflector, changes: reflector.table.changes(),
      stop: () => {
        own.abort();
        forget();
      },
    };
  }

  #mark(): void {
    for (const mark of this.#marks) mark();
  }
}

/** As text: certificates, keys and the values of headers are. */
function entriesOf(object: KubeObject): Readonly<Record<string, string>> {
  const data = (object['data'] ?? {}) as Readonly<Record<string, unknown>>;
  return Object.fromEntries(Object.entries(data).flatMap(([name, value]) => (typeof value === 'string' ? [[name, Buffer.from(value, 'base64').toString('utf8')]] : [])));
}

import { Signal } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import { silentLogger } from '../std/log.ts';
import type { Logger } from '../std/log.ts';
import type { KubeClient } from './client.ts';
import { isNotFound } from './errors.ts';
import { resources } from './resources.ts';
import type { KubeObject, ObjectReference } from './types.ts';

export type EventType = 'Normal' | 'Warning';

export interface EventRecorder {
  /** Says something about an object to whoever runs `kubectl describe`. Returns at once; what cannot be written is counted. */
  record(about: KubeObject, type: EventType, reason: string, message: string): void;
  /** Events not written: over the rate, over the queue, or refused. */
  readonly dropped: number;
}

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  /** The one who speaks: `cirri-agent`, `deployment-controller`. */
  readonly component: string;
  readonly host?: string;
  readonly signal: AbortSignal;
  readonly log?: Logger;
  readonly now?: () => number;
}

/** Per object, as upstream: a burst, then one more every five minutes. */
const burstPerObject = 25;
const refillMs = 300_000;
const queueBound = 1_000;
const rememberedBound = 4_096;

interface Known {
  readonly name: string;
  readonly namespace: string;
  readonly event: KubeObject;
  count: number;
  lastMs: number;
  /** Stands in the API already: the next write is a patch. */
  created: boolean;
}

/**
 * core/v1 Events: the same words about the same object become one Event with a count. Writing happens apart from the caller,
 * one request at a time; repetitions that come meanwhile are one patch.
 */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const recorder = new Recorder(options);
  void recorder.run();
  return recorder;
}

class Recorder implements EventRecorder {
  dropped = 0;
  readonly #options: EventRecorderOptions;
  readonly #now: () => number;
  readonly #log: Logger;
  /** In order of last use: the oldest is forgotten first. */
  readonly #known = new Map<string, Known>();
  readonly #budget = new Map<string, { tokens: number; atMs: number }>();
  readonly #queue = new Set<Known>();
  readonly #signal = new Signal();
  #sequence = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#log = options.log ?? silentLogger;
  }

  record(about: KubeObject, type: EventType, reason: string, message: string): void {
    const subject = about.metadata.uid ?? `${about.kind}/${about.metadata.namespace}/${about.metadata.name}`;
    if (!this.#spend(subject) || this.#queue.size >= queueBound) {
      this.dropped++;
      return;
    }
    const key = `${subject}\0${type}\0${reason}\0${message}`;
    const known = this.#known.get(key) ?? this.#introduce(about, type, reason, message);
    known.count++;
    known.lastMs = this.#now();
    this.#known.delete(key);
    this.#known.set(key, known);
    forgetOldest(this.#known, rememberedBound);
    this.#queue.add(known);
    this.#signal.mark();
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      const next = this.#queue.values().next();
      if (next.done) {
        await this.#signal.wait({ signal });
        continue;
      }
      this.#queue.delete(next.value);
      await this.#write(next.value);
    }
  }

  async #write(known: Known): Promise<void> {
    try {
      await (known.created ? this.#repeat(known) : this.#create(known));
    } catch (error) {
      // An event is a courtesy: one attempt, and never in the way of the work that it tells about.
      this.dropped++;
      this.#log.debug('event not written', { error: errorText(error) });
    }
  }

  async #create(known: Known): Promise<void> {
    await this.#options.client.create(resources.events, { ...known.event, count: known.count, lastTimestamp: timestamp(known.lastMs) });
    known.created = true;
  }

  async #repeat(known: Known): Promise<void> {
    const change = { count: known.count, lastTimestamp: timestamp(known.lastMs) };
    try {
      await this.#options.client.patch(resources.events, known.name, known.namespace, change, { type: 'merge' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.#create(known);
    }
  }

  #introduce(about: KubeObject, type: EventType, reason: string, message: string): Known {
    const { component, host } = this.#options;
    // Events about what has no namespace live in `default`, as upstream's do.
    const namespace = about.metadata.namespace ?? 'default';
    const name = `${about.metadata.name}.${this.#now().toString(16)}${(this.#sequence++).toString(16).padStart(4, '0')}`;
    const event: KubeObject = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: referenceTo(about),
      type,
      reason,
      message: message.slice(0, 1024),
      source: { component, ...(host === undefined ? {} : { host }) },
      reportingComponent: component,
      reportingInstance: host ?? '',
      firstTimestamp: timestamp(this.#now()),
    };
    return { name, namespace, event, count: 0, lastMs: this.#now(), created: false };
  }

  #spend(subject: string): boolean {
    const now = this.#now();
    const budget = this.#budget.get(subject) ?? { tokens: burstPerObject, atMs: now };
    const tokens = Math.min(burstPerObject, budget.tokens + (now - budget.atMs) / refillMs);
    const allowed = tokens >= 1;
    this.#budget.delete(subject);
    this.#budget.set(subject, { tokens: allowed ? tokens - 1 : tokens, atMs: now });
    forgetOldest(this.#budget, rememberedBound);
    return allowed;
  }
}

export function referenceTo(object: KubeObject): ObjectReference {
  const { apiVersion, kind, metadata: { namespace, name, uid, resourceVersion } } = object;
  return {
    apiVersion, kind, name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/** metav1.Time: whole seconds, UTC. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

function forgetOldest(map: Map<string, unknown>, bound: number): void {
  for (const key of map.keys()) {
    if (map.size <= bound) return;
    map.delete(key);
  }
}

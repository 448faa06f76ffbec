/** Events about pods and the node. A repeated one counts up instead of coming again; a full queue drops and says how many. */
import { isNotFound } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { KubeObject } from '../kube/types.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';

export interface EventTarget {
  readonly kind: 'Pod' | 'Node';
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  /** `spec.containers{web}` */
  readonly fieldPath?: string;
}

export interface Recorder {
  event(about: EventTarget, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

interface Seen {
  readonly name: string;
  readonly namespace: string;
  count: number;
  at: number;
}

const repeatWindowMs = 10 * 60_000;
const queueLimit = 1000;

export class EventRecorder implements Recorder {
  readonly #client: Pick<KubeClient, 'create' | 'patch'>;
  readonly #host: string;
  readonly #log: Logger;
  readonly #seen = new Map<string, Seen>();
  readonly #queue: (() => Promise<unknown>)[] = [];
  #sending = false;
  #dropped = 0;

  constructor(client: Pick<KubeClient, 'create' | 'patch'>, host: string, log: Logger) {
    this.#client = client;
    this.#host = host;
    this.#log = log;
  }

  event(about: EventTarget, type: 'Normal' | 'Warning', reason: string, message: string): void {
    if (this.#queue.length >= queueLimit) {
      this.#dropped++;
      return;
    }
    const now = new Date();
    const key = [about.uid, about.fieldPath, type, reason, message].join('\0');
    const seen = this.#seen.get(key);
    if (seen && now.getTime() - seen.at < repeatWindowMs) {
      seen.count++;
      seen.at = now.getTime();
      const { count } = seen;
      this.#push(() => this.#repeat(seen, count, now, about, type, reason, message));
      return;
    }
    const namespace = about.namespace ?? 'default';
    const fresh: Seen = { name: `${about.name.slice(0, 200)}.${now.getTime().toString(16)}${Math.floor(Math.random() * 65536).toString(16).padStart(4, '0')}`, namespace, count: 1, at: now.getTime() };
    this.#forgetOld(now.getTime());
    this.#seen.set(key, fresh);
    this.#push(() => this.#client.create(resources.events, this.#object(fresh, now, about, type, reason, message)));
  }

  async #repeat(seen: Seen, count: number, now: Date, about: EventTarget, type: string, reason: string, message: string): Promise<void> {
    try {
      await this.#client.patch(resources.events, seen.name, seen.namespace, { count, lastTimestamp: seconds(now) }, { type: 'merge' });
    } catch (error) {
      // The API forgets events after an hour.
      if (!isNotFound(error)) throw error;
      await this.#client.create(resources.events, this.#object(seen, now, about, type, reason, message));
    }
  }

  #object(seen: Seen, now: Date, about: EventTarget, type: string, reason: string, message: string): KubeObject {
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: seen.name, namespace: seen.namespace },
      involvedObject: {
        apiVersion: 'v1', kind: about.kind, name: about.name, uid: about.uid,
        ...(about.namespace ? { namespace: about.namespace } : {}), ...(about.fieldPath ? { fieldPath: about.fieldPath } : {}),
      },
      type, reason, message,
      source: { component: 'kubelet', host: this.#host },
      reportingComponent: 'kubelet',
      reportingInstance: this.#host,
      firstTimestamp: seconds(now),
      lastTimestamp: seconds(now),
      count: seen.count,
    };
  }

  #push(send: () => Promise<unknown>): void {
    this.#queue.push(send);
    if (!this.#sending) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#sending = true;
    for (let send; (send = this.#queue.shift()); ) {
      // An event is a courtesy: one that cannot be delivered is not tried again.
      await send().catch((error: unknown) => this.#log.debug('event not delivered', { error: errorText(error) }));
    }
    this.#sending = false;
    if (this.#dropped > 0) this.#log.warn('events dropped: the queue was full', { dropped: this.#dropped });
    this.#dropped = 0;
  }

  #forgetOld(now: number): void {
    if (this.#seen.size < 2000) return;
    for (const [key, seen] of this.#seen) if (now - seen.at > repeatWindowMs) this.#seen.delete(key);
  }
}

/** Times of core/v1 have no fraction. */
export function seconds(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}

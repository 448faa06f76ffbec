import type { Store } from './store/store.ts';

/** How long an event is kept, as upstream's --event-ttl. */
const eventTtlMs = 3600_000;
const everyMs = 60_000;
const mostAtOnce = 500;

/** Removes old events while the signal is not aborted. */
export function expireEvents(store: Store, now: () => Date, signal: AbortSignal): void {
  const timer = setInterval(() => removeOldEvents(store, now()), everyMs);
  timer.unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}

/** One round. Events renew their time with every repetition, so the last write counts. */
export function removeOldEvents(store: Store, now: Date): number {
  const limit = now.getTime() - eventTtlMs;
  const old = [...store.collection('events').values()].filter(entry => lastSeen(entry.object) < limit).slice(0, mostAtOnce);
  if (old.length > 0) store.transaction(() => old.forEach(entry => store.remove('events', entry.copy())));
  return old.length;
}

function lastSeen(event: { readonly [key: string]: unknown; readonly metadata: { readonly creationTimestamp?: string } }): number {
  const times = [event['lastTimestamp'], event['eventTime'], (event['series'] as { lastObservedTime?: unknown } | undefined)?.lastObservedTime, event.metadata.creationTimestamp];
  return Math.max(...times.map(time => (typeof time === 'string' ? Date.parse(time) || 0 : 0)));
}

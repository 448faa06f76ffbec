import type { KubeObject } from '../kube/types.ts';
import type { Table } from '../table/table.ts';

/** As upstream: last packets are seen after their pod, and the last scrape wants their counts. */
const graceMs = 60_000;

/** Tells of pods that have been gone for a while; one that is back by then, as those of a StatefulSet, is not told of. */
export function watchGonePods(
  options: { readonly onGone: (namespace: string, name: string) => void; readonly graceMs?: number },
  dependencies: { readonly pods: Table<KubeObject>; readonly signal: AbortSignal },
): void {
  const { pods, signal } = dependencies;
  const gone = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  const changes = pods.changes(() => queueMicrotask(take));
  changes.take();
  const take = () => {
    const now = performance.now();
    for (const key of changes.take().deleted) gone.set(key, now + (options.graceMs ?? graceMs));
    schedule();
  };
  /** One timer, for the first that is due: they are in order, as all wait equally long. */
  const schedule = () => {
    const [first] = gone.values();
    if (timer !== undefined || first === undefined || signal.aborted) return;
    timer = setTimeout(() => {
      timer = undefined;
      const now = performance.now();
      for (const [key, due] of gone) {
        if (due > now) break;
        gone.delete(key);
        if (pods.has(key)) continue;
        const [namespace, name] = key.split('/') as [string, string];
        options.onGone(namespace, name);
      }
      schedule();
    }, Math.max(0, first - performance.now()));
    timer.unref();
  };
  signal.addEventListener('abort', () => {
    changes.stop();
    clearTimeout(timer);
  }, { once: true });
}

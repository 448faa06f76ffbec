import type { WebMessage, WebNodeState } from '../../../src/model/web.ts';
import { ApiError, call, getJson, jsonLines } from './api.ts';
import { FlowRing } from './flow-ring.ts';
import { MapWindow } from './map-window.ts';
import { filterParams, place } from './place.ts';
import { session } from './session.ts';
import { Store } from './store.ts';
import type { Flow } from '../../../src/model/flow.ts';
import type { MapInterval } from '../../../src/model/service-map.ts';

export type LiveState =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  /** Nobody looks at a hidden page: it asks for nothing until it is seen again. */
  | { readonly state: 'asleep' }
  | { readonly state: 'lost'; readonly problem: string }
  | { readonly state: 'past'; readonly loading: boolean; readonly problem?: string };

export const liveState = new Store<LiveState>({ state: 'connecting' });
export const cluster = new Store<readonly WebNodeState[]>([]);
export const flows = new FlowRing();
export const map = new MapWindow();
/** Counts up when there are new flows, and when the map has changed. */
export const flowsChanged = new Store(0);
export const mapChanged = new Store(0);

const sleepMs = 30_000;
const firstRetryMs = 500;
const lastRetryMs = 5000;
const pastFlows = 2000;

let running: AbortController | undefined;
let sleepTimer: ReturnType<typeof setTimeout> | undefined;
let shown = '';

/** Keeps what is shown in step with the place: the stream while it is now, the history's answers while it is then. */
export function startLive(): void {
  place.listen(follow);
  document.addEventListener('visibilitychange', () => {
    clearTimeout(sleepTimer);
    if (document.visibilityState === 'visible') {
      if (liveState.value.state === 'asleep') follow(undefined, true);
      return;
    }
    sleepTimer = setTimeout(() => {
      if (liveState.value.state !== 'live' && liveState.value.state !== 'lost') return;
      running?.abort();
      liveState.set({ state: 'asleep' });
    }, sleepMs);
  });
  follow();
}

export function retryNow(): void {
  follow(undefined, true);
}

function follow(_?: unknown, again = false): void {
  const { filter, window, past } = place.value;
  const wanted = JSON.stringify([filter, past]);
  if (!past) map.setWindowSeconds(window);
  if (wanted === shown && !again) return void mapChanged.set(mapChanged.value + 1);
  shown = wanted;
  running?.abort();
  running = new AbortController();
  void (past ? showPast(past, running.signal) : stream(running.signal));
}

async function stream(signal: AbortSignal): Promise<void> {
  let retryMs = firstRetryMs;
  while (!signal.aborted) {
    try {
      liveState.set({ state: 'connecting' });
      const response = await call(`/api/watch?${filterParams(place.value.filter)}&flows=1`, { signal });
      flows.clear();
      liveState.set({ state: 'live' });
      retryMs = firstRetryMs;
      for await (const messages of jsonLines<WebMessage>(response)) {
        if (signal.aborted) return;
        take(messages);
      }
      throw new ApiError(0, 'the stream ended');
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status === 401) return session.set({ state: 'signed-out' });
      liveState.set({ state: 'lost', problem: (error as Error).message });
      // What is wrong with the question does not mend itself.
      if (error instanceof ApiError && error.status === 400) return;
    }
    await new Promise(resolve => setTimeout(resolve, retryMs));
    retryMs = Math.min(lastRetryMs, retryMs * 2);
  }
}

function take(messages: readonly WebMessage[]): void {
  let [newFlows, newMap] = [false, false];
  for (const message of messages) {
    switch (message.type) {
      case 'hello':
        map.clear();
        for (const node of message.nodes) map.nodes.set(node.id, node);
        for (const interval of message.intervals) map.add(interval);
        cluster.set(message.cluster);
        newMap = true;
        break;
      case 'map':
        map.add(message.interval);
        newMap = true;
        break;
      case 'flows':
        flows.add(message.flows);
        flows.left += message.left;
        flows.lost += message.lost;
        newFlows = true;
        break;
      case 'cluster': cluster.set(message.cluster); break;
      case 'skipped': break;
    }
  }
  if (newMap) mapChanged.set(mapChanged.value + 1);
  if (newFlows) flowsChanged.set(flowsChanged.value + 1);
}

async function showPast([since, until]: readonly [string, string], signal: AbortSignal): Promise<void> {
  liveState.set({ state: 'past', loading: true });
  // Nothing of now is shown as of then, not for a moment.
  map.clear();
  flows.clear();
  mapChanged.set(mapChanged.value + 1);
  flowsChanged.set(flowsChanged.value + 1);
  const params = filterParams(place.value.filter);
  params.set('since', since);
  params.set('until', until);
  params.set('last', String(pastFlows));
  const [then, told] = await Promise.allSettled([getJson<MapInterval>(`/api/past-map?${params}`, signal), getJson<{ flows: readonly Flow[] }>(`/api/past-flows?${params}`, signal)]);
  if (signal.aborted) return;
  // What is not known of then is not shown as it is now.
  if (then.status === 'fulfilled') map.show(then.value);
  else map.clear();
  flows.clear();
  if (told.status === 'fulfilled') flows.add(told.value.flows);
  const problem = [then, told].find(answer => answer.status === 'rejected');
  liveState.set({ state: 'past', loading: false, ...(problem && { problem: (problem.reason as Error).message }) });
  mapChanged.set(mapChanged.value + 1);
  flowsChanged.set(flowsChanged.value + 1);
}

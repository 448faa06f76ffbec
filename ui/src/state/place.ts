import type { WebFilter, WebVerdict } from '../../../src/model/web.ts';
import { webVerdicts } from '../../../src/model/web.ts';
import { Store } from './store.ts';

/** Where somebody is: all of it is in the address, so that it can be sent to others and gone back to. */
export interface Place {
  readonly page: Page;
  readonly filter: WebFilter;
  /** Seconds that the live map sums up. */
  readonly window: number;
  /** A map node's id. */
  readonly node?: string;
  /** Two map nodes' ids. */
  readonly pair?: readonly [string, string];
  /** A flow's id: the panel is open. */
  readonly flow?: string;
  /** A policy's address. */
  readonly policy?: string;
  /** The namespace whose matrix is shown. */
  readonly matrix?: string;
  readonly cell?: readonly [string, string];
  /** The interval of the past that is looked at, RFC 3339; absent: now. */
  readonly past?: readonly [string, string];
  /** The map as a table. */
  readonly table?: true;
}

export const pages = ['map', 'flows', 'policies'] as const;
export type Page = (typeof pages)[number];
export const windows = [60, 300, 900] as const;

export function parsePlace(url: URL): Place {
  const text = (name: string) => url.searchParams.get(name) || undefined;
  const pair = (name: string) => {
    const [from, to] = [text(`${name}-from`), text(`${name}-to`)];
    return from !== undefined && to !== undefined ? [from, to] as const : undefined;
  };
  const page = pages.find(name => url.pathname.startsWith(`/${name}`)) ?? 'map';
  const verdict = webVerdicts.find(each => each === text('verdict'));
  const filter = defined<WebFilter>({ namespace: text('namespace'), label: text('label'), verdict: verdict as WebVerdict | undefined, protocol: text('protocol'), text: text('q'), dns: text('dns') === 'true' ? true : undefined, events: text('events') === 'all' ? 'all' : undefined });
  const window = windows.find(seconds => String(seconds) === text('window')) ?? windows[0];
  return defined<Place>({
    page, filter, window, node: text('node'), pair: pair('edge'), flow: text('flow'), policy: text('policy'), matrix: text('matrix'), cell: pair('cell'), past: pair('past'),
    table: text('as') === 'table' ? true : undefined,
  });
}

export function addressOf(place: Place): string {
  const params = new URLSearchParams();
  const put = (name: string, value: string | undefined) => {
    if (value !== undefined && value !== '') params.set(name, value);
  };
  const { filter } = place;
  put('namespace', filter.namespace);
  put('label', filter.label);
  put('verdict', filter.verdict);
  put('protocol', filter.protocol);
  put('q', filter.text);
  put('dns', filter.dns && 'true');
  put('events', filter.events);
  if (place.window !== windows[0]) put('window', String(place.window));
  put('node', place.node);
  for (const [name, pair] of [['edge', place.pair], ['cell', place.cell], ['past', place.past]] as const) {
    put(`${name}-from`, pair?.[0]);
    put(`${name}-to`, pair?.[1]);
  }
  put('flow', place.flow);
  put('policy', place.policy);
  put('matrix', place.matrix);
  if (place.table) put('as', 'table');
  const query = params.toString();
  return `/${place.page}${query === '' ? '' : `?${query}`}`;
}

export const place = new Store<Place>(parsePlace(new URL(globalThis.location.href)));

globalThis.addEventListener('popstate', () => place.set(parsePlace(new URL(location.href))));

/** Goes there. With `replace`, back does not lead to where one was: for what is typed letter by letter. */
export function go(change: { readonly [K in keyof Place]?: Place[K] | undefined }, options: { readonly replace?: boolean } = {}): void {
  const next = defined<Place>({ ...place.value, ...change });
  const address = addressOf(next);
  if (address === location.pathname + location.search) return;
  if (options.replace) history.replaceState(null, '', address);
  else history.pushState(null, '', address);
  place.set(next);
}

export function setFilter(change: { readonly [K in keyof WebFilter]?: WebFilter[K] | undefined }, options: { readonly replace?: boolean } = {}): void {
  go({ filter: defined<WebFilter>({ ...place.value.filter, ...change }), flow: undefined }, options);
}

function defined<T>(value: { readonly [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined && entry !== '')) as T;
}

export function filterParams(filter: WebFilter): URLSearchParams {
  return new URLSearchParams(Object.entries(filter).map(([key, value]) => [key, String(value)]));
}

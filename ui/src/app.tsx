import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { WebSession } from '../../src/model/web.ts';
import { FilterBar } from './filter-bar.tsx';
import { FlowPanel } from './flows/flow-panel.tsx';
import { FlowTable } from './flows/flow-table.tsx';
import { MapPanel } from './map/map-panel.tsx';
import { MapView } from './map/map-view.tsx';
import { Empty } from './parts/empty.tsx';
import { Icon } from './parts/icon.tsx';
import { PoliciesView } from './policies/policies-view.tsx';
import { SignIn } from './sign-in.tsx';
import { cluster, liveState, retryNow, startLive } from './state/live.ts';
import { go, pages, place, type Page } from './state/place.ts';
import { session } from './state/session.ts';
import { useStore } from './state/store.ts';
import { switchTheme, theme } from './state/theme.ts';
import { Help } from './help.tsx';
import { Scrubber } from './time/scrubber.tsx';

const pageNames: Readonly<Record<Page, string>> = { map: 'Map', flows: 'Flows', policies: 'Policies' };

export function App() {
  const now = useStore(session);
  switch (now.state) {
    case 'opening': return <Empty title="Opening …" />;
    case 'unreachable': return <Empty title="The server does not answer">It is asked again every two seconds. <code>cirri status</code> says how the cluster is.</Empty>;
    case 'signed-out': return <SignIn problem={now.problem} />;
    case 'open': return <Opened session={now.session} />;
  }
}

function Opened({ session: mine }: { readonly session: WebSession }) {
  const here = useStore(place);
  const [help, setHelp] = useState(false);
  useEffect(() => startLive(), []);
  useEffect(() => {
    document.title = `${pageNames[here.page]} · ${mine.cluster} · Cirri`;
  }, [here.page, mine.cluster]);
  useKeys(useCallback(() => setHelp(shown => !shown), []));
  return (
    <div class="app">
      <Header session={mine} onHelp={() => setHelp(true)} />
      <FilterBar namespaces={mine.namespaces} />
      <Banner />
      <main class={`page page-${here.page}`}>
        {here.page === 'map' && <div class="split"><MapView cluster={mine.cluster} /><Dock /></div>}
        {here.page === 'flows' && <FlowTable />}
        {here.page === 'policies' && <PoliciesView isScoped={mine.namespaces !== undefined} />}
        {here.page !== 'policies' && (here.flow !== undefined ? <FlowPanel key={here.flow} id={here.flow} /> : <MapPanel />)}
      </main>
      {mine.history && here.page !== 'policies' && <Scrubber />}
      {help && <Help onClose={() => setHelp(false)} />}
    </div>
  );
}

/** The table under the map; its height is the reader's to choose. */
function Dock() {
  const [height, setHeight] = useState(() => Number(recall('cirri-dock')) || 232);
  const drag = useRef<{ readonly y: number; readonly height: number }>(undefined);
  const resize = (next: number) => {
    const bounded = Math.max(0, Math.min(innerHeight - 320, next));
    setHeight(bounded < 60 ? 0 : bounded);
    try {
      localStorage.setItem('cirri-dock', String(bounded < 60 ? 1 : bounded));
    } catch {
      // As it was, next time.
    }
  };
  return (
    <div class="dock" style={{ height: `${Math.max(34, height)}px` }}>
      <div class="dock-grip" role="separator" aria-orientation="horizontal" aria-label="Height of the flow table" aria-valuenow={Math.round(height)} tabIndex={0}
        onPointerDown={event => {
          event.currentTarget.setPointerCapture(event.pointerId);
          drag.current = { y: event.clientY, height };
        }}
        onPointerMove={event => drag.current && resize(drag.current.height + drag.current.y - event.clientY)}
        onPointerUp={() => (drag.current = undefined)}
        onDblClick={() => resize(height > 60 ? 0 : 232)}
        onKeyDown={event => {
          if (event.key === 'ArrowUp') resize(Math.max(60, height) + 32);
          if (event.key === 'ArrowDown') resize(height - 32);
        }} />
      <FlowTable />
    </div>
  );
}

function recall(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function Header({ session: mine, onHelp }: { readonly session: WebSession; readonly onHelp: () => void }) {
  const { page } = useStore(place);
  const colours = useStore(theme);
  return (
    <header class="top">
      <div class="brand"><img src="/assets/icon.svg" alt="" width="22" height="22" /><span>Cirri</span><span class="dim">{mine.cluster}</span></div>
      <nav aria-label="Views">{pages.map(name => <button key={name} type="button" aria-current={name === page ? 'page' : undefined} onClick={() => go({ page: name, flow: undefined, node: undefined, pair: undefined, cell: undefined })}>{pageNames[name]}</button>)}</nav>
      <span class="grow" />
      {mine.namespaces && <span class="tag" title="What your token lets you see">{mine.namespaces.join(', ')}</span>}
      <Connection />
      <button type="button" class="icon-button" title="Keys (?)" aria-label="Keys" onClick={onHelp}><Icon name="keys" /></button>
      <button type="button" class="icon-button" title="Light or dark (t)" aria-label={colours === 'dark' ? 'Light colours' : 'Dark colours'} onClick={switchTheme}><Icon name={colours === 'dark' ? 'sun' : 'moon'} /></button>
    </header>
  );
}

function Connection() {
  const live = useStore(liveState);
  const nodes = useStore(cluster);
  const away = nodes.filter(node => node.state === 'unavailable');
  const text = live.state === 'lost' ? 'Reconnecting …' : live.state === 'connecting' ? 'Connecting …' : live.state === 'asleep' ? 'Asleep' : live.state === 'past' ? 'Looking back' : away.length > 0 ? `${nodes.length - away.length} of ${nodes.length} nodes` : nodes.length === 1 ? '1 node' : `${nodes.length} nodes`;
  const tone = live.state === 'lost' || away.length > 0 ? 'is-bad' : live.state === 'live' ? 'is-good' : 'is-idle';
  return <span class={`connection ${tone}`} role="status" title={away.map(node => `${node.name}: ${node.message ?? 'away'}`).join('\n')}><span class="dot" />{text}</span>;
}

function Banner() {
  const live = useStore(liveState);
  if (live.state === 'lost') return <div class="banner" role="alert">The connection is gone: {live.problem}. What you see is as it was; it is tried again by itself. <button type="button" class="link" onClick={retryNow}>Try now</button></div>;
  if (live.state === 'past' && live.problem !== undefined) return <div class="banner" role="alert">The history does not answer: {live.problem}</div>;
  return null;
}

function useKeys(onHelp: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
      switch (event.key) {
        case '?': onHelp(); break;
        case '/':
          event.preventDefault();
          document.getElementById('search')?.focus();
          break;
        case '1': case '2': case '3': go({ page: pages[Number(event.key) - 1]!, flow: undefined, node: undefined, pair: undefined, cell: undefined }); break;
        case 't': switchTheme(); break;
        case 'l': go({ past: undefined }); break;
        case 'd': go({ filter: { ...place.value.filter, verdict: 'DROPPED' } }); break;
      }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [onHelp]);
}

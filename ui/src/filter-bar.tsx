import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { webProtocols, type WebVerdict } from '../../src/model/web.ts';
import { Icon } from './parts/icon.tsx';
import { map, mapChanged } from './state/live.ts';
import { go, place, setFilter } from './state/place.ts';
import { useStore } from './state/store.ts';

const verdicts: readonly (readonly [WebVerdict, string])[] = [['FORWARDED', 'Forwarded'], ['DROPPED', 'Dropped'], ['AUDIT', 'Audited']];
/** After the last letter: each change asks the nodes anew. */
const typingMs = 350;

/** What map, table and policies are narrowed down to. */
export function FilterBar({ namespaces: allowed }: { readonly namespaces: readonly string[] | undefined }) {
  const { filter, page } = useStore(place);
  const version = useStore(mapChanged);
  const seen = useMemo(() => [...new Set([...map.nodes.values()].flatMap(node => node.namespace ?? []))].sort(), [version]);
  const namespaces = [...new Set([...allowed ?? seen, ...(filter.namespace === undefined ? [] : [filter.namespace])])].sort();
  return (
    <div class="filters" role="search" aria-label="Filters">
      <label><span class="visually-hidden">Namespace</span>
        <select value={filter.namespace ?? ''} onChange={event => setFilter({ namespace: event.currentTarget.value || undefined })}>
          <option value="">All namespaces</option>
          {namespaces.map(name => <option key={name}>{name}</option>)}
        </select>
      </label>
      {page !== 'policies' && (
        <>
          <Typed id="search" icon label="Name, address, port" placeholder="Name, address, port" value={filter.text} onValue={text => setFilter({ text }, { replace: true })} />
          <Typed id="label" label="Label selector" placeholder="app=web, tier in (a, b)" value={filter.label} onValue={label => setFilter({ label }, { replace: true })} />
          <div class="segments" role="group" aria-label="Verdict">
            {verdicts.map(([verdict, name]) => <button key={verdict} type="button" class={`of-${verdict.toLowerCase()}`} aria-pressed={filter.verdict === verdict} onClick={() => setFilter({ verdict: filter.verdict === verdict ? undefined : verdict })}><span class="dot" />{name}</button>)}
          </div>
          <label><span class="visually-hidden">Protocol</span>
            <select value={filter.protocol ?? ''} onChange={event => setFilter({ protocol: event.currentTarget.value || undefined })}>
              <option value="">All protocols</option>
              {webProtocols.map(name => <option key={name}>{name}</option>)}
            </select>
          </label>
        </>
      )}
      {page !== 'policies' && (
        <div class="segments" role="group" aria-label="Also">
          <button type="button" aria-pressed={filter.dns === true} title="Lookups of names too; denied ones are always shown" onClick={() => setFilter({ dns: filter.dns ? undefined : true })}>DNS</button>
          {page === 'flows' && <button type="button" aria-pressed={filter.events === 'all'} title="Every event of a connection, not one for each" onClick={() => setFilter({ events: filter.events ? undefined : 'all' })}>All events</button>}
        </div>
      )}
      <span class="grow" />
      {Object.keys(filter).length > 0 && <button type="button" class="link" onClick={() => go({ filter: {} })}>Clear</button>}
    </div>
  );
}

function Typed({ id, label, placeholder, value = '', icon, onValue }: { readonly id: string; readonly label: string; readonly placeholder: string; readonly value: string | undefined; readonly icon?: true; readonly onValue: (value: string | undefined) => void }) {
  const [text, setText] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // What comes from elsewhere, back and forward and the buttons of panels, is taken over.
  useEffect(() => setText(value), [value]);
  const type = (next: string) => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onValue(next.trim() || undefined), typingMs);
  };
  return (
    <label class="typed">
      <span class="visually-hidden">{label}</span>
      {icon && <Icon name="search" />}
      <input id={id} type="search" placeholder={placeholder} spellcheck={false} autocomplete="off" value={text} onInput={event => type(event.currentTarget.value)} />
    </label>
  );
}

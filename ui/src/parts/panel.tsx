import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Icon } from './icon.tsx';

/** What stands at the side with all of one thing. Esc closes it. */
export function Panel({ title, label, onClose, children }: { readonly title: ComponentChildren; readonly label: string; readonly onClose: () => void; readonly children: ComponentChildren }) {
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && !event.defaultPrevented) onClose();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [onClose]);
  return (
    <aside class="panel" aria-label={label} ref={element}>
      <header><h2>{title}</h2><button type="button" class="icon-button" aria-label="Close" title="Close (Esc)" onClick={onClose}><Icon name="close" /></button></header>
      <div class="panel-body">{children}</div>
    </aside>
  );
}

/** `wide`: the names are as long as sentences, and the values short. */
export function Facts({ rows, wide = false }: { readonly rows: readonly (readonly [string, ComponentChildren])[]; readonly wide?: boolean }) {
  const there = rows.filter(([, value]) => value !== undefined && value !== '' && value !== false && value !== null);
  return <dl class={wide ? 'facts wide' : 'facts'}>{there.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

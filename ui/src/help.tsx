import { useEffect, useRef } from 'preact/hooks';

const keys: readonly (readonly [string, string])[] = [
  ['1 2 3', 'map, flows, policies'], ['/', 'search'], ['d', 'only what was dropped'], ['← ↑ ↓ →  Tab', 'on the map: from node to node; in the table: from flow to flow'], ['Enter', 'open the node'],
  ['Esc', 'close what is open'], ['+ −  f', 'zoom, fit the map'], ['l', 'back to live'], ['t', 'light or dark'], ['?', 'these keys'],
];

export function Help({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current!.showModal(), []);
  return (
    <dialog ref={dialog} class="help" aria-label="Keys" onClose={onClose} onClick={event => event.target === dialog.current && dialog.current?.close()}>
      <h2>Keys</h2>
      <dl>{keys.map(([key, what]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>)}</dl>
      <form method="dialog"><button class="button" type="submit" autofocus>Close</button></form>
    </dialog>
  );
}

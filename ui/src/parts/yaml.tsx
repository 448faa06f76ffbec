import { useState } from 'preact/hooks';
import { Icon } from './icon.tsx';

/** YAML to read and to copy; what a line of it adds stands out. */
export function Yaml({ text, label }: { readonly text: string; readonly label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text).catch(() => selectText());
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <figure class="yaml">
      <figcaption><span>{label}</span><button type="button" class="button small" onClick={() => void copy()}><Icon name={copied ? 'check' : 'copy'} />{copied ? 'Copied' : 'Copy'}</button></figcaption>
      <pre tabIndex={0}><code>{addedLines(text).map(({ line, isAdded }, i) => <span key={i} class={isAdded ? 'added' : ''}>{line}{'\n'}</span>)}</code></pre>
    </figure>
  );
}

function selectText(): void {
  // Without a secure origin there is no clipboard: the text is selected instead, to be copied by hand.
  const code = document.querySelector('.yaml code');
  if (code) getSelection()?.selectAllChildren(code);
}

/** After a comment `# added` the node it stands before, by its indentation. */
function addedLines(text: string): readonly { readonly line: string; readonly isAdded: boolean }[] {
  let depth: number | undefined;
  let isFirst = false;
  return text.trimEnd().split('\n').map(line => {
    const indent = line.length - line.trimStart().length;
    if (/^\s*(- )?# added$/.test(line)) {
      [depth, isFirst] = [indent, true];
      return { line, isAdded: true };
    }
    if (depth !== undefined && !isFirst && indent <= depth) depth = undefined;
    isFirst = false;
    return { line, isAdded: depth !== undefined };
  });
}

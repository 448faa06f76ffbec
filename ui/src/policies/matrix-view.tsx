import type { WebMatrix, WebWhy } from '../../../src/model/web.ts';
import { LegView } from '../flows/explanation.tsx';
import { Empty } from '../parts/empty.tsx';
import { Panel } from '../parts/panel.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { go, place } from '../state/place.ts';
import { useStore } from '../state/store.ts';

const everyMs = 10_000;

/** Who may talk to whom in a namespace, exact for all ports; a cell opens why. */
export function MatrixView({ namespace, namespaces }: { readonly namespace: string; readonly namespaces: readonly string[] }) {
  const answer = useAnswer<WebMatrix>(`/api/matrix?namespace=${encodeURIComponent(namespace)}`, everyMs);
  const { cell } = useStore(place);
  const matrix = answer.value;
  const known = namespaces.includes(namespace) ? namespaces : [namespace, ...namespaces];
  return (
    <article class="matrix">
      <header>
        <h2>Who may talk to whom</h2>
        <label class="dim">in <select value={namespace} onChange={event => go({ matrix: event.currentTarget.value, cell: undefined })}>{known.map(name => <option key={name}>{name}</option>)}</select></label>
      </header>
      {!matrix ? (answer.state === 'failed' ? <Empty title="The matrix cannot be computed">{answer.error}</Empty> : <Empty title="Asking the policies for every pair and port …" />)
        : matrix.parties.filter(party => party.namespace !== undefined).length === 0 ? <Empty title="There are no pods in this namespace" />
        : matrix.cells.length < matrix.parties.length ? <Empty title={`${matrix.parties.length} parties are too many for a picture`}><code>cirri policy matrix --only {namespace} --html matrix.html</code></Empty>
        : <Grid matrix={matrix} cell={cell} />}
      {cell && <WhyPanel namespace={namespace} cell={cell} />}
    </article>
  );
}

function Grid({ matrix: { parties, cells, namespace }, cell }: { readonly matrix: WebMatrix; readonly cell: readonly [string, string] | undefined }) {
  const short = (name: string) => (name.startsWith(`${namespace}/`) ? name.slice(namespace.length + 1) : name);
  return (
    <div class="matrix-scroll">
      <table class="grid">
        <caption class="dim">Rows call columns.</caption>
        <thead><tr><td />{parties.map(party => <th key={party.name} scope="col"><span>{short(party.name)}</span></th>)}</tr></thead>
        <tbody>
          {parties.map((from, i) => (
            <tr key={from.name}>
              <th scope="row">{short(from.name)}</th>
              {parties.map((to, j) => <Cell key={to.name} from={from.name} to={to.name} access={cells[i]![j]!} isChosen={cell?.[0] === from.name && cell[1] === to.name} />)}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="legend dim"><span class="cell all" /> everything <span class="cell some" /> some ports <span class="cell none" /> nothing <span class="cell nobody" /> no policy is asked</p>
    </div>
  );
}

function Cell({ from, to, access, isChosen }: { readonly from: string; readonly to: string; readonly access: string | null; readonly isChosen: boolean }) {
  if (access === null) return <td><span class="cell nobody" /></td>;
  const kind = access === '-' ? 'none' : access.startsWith('all') && !access.includes(',') && !/^all \w/.test(access) ? 'all' : 'some';
  const text = access === '-' ? 'nothing' : access;
  return (
    <td>
      <button type="button" class={`cell ${kind}`} aria-pressed={isChosen} title={`${from} → ${to}: ${text}`} aria-label={`${from} to ${to}: ${text}`} onClick={() => go({ cell: [from, to] })}>
        {kind === 'some' ? shortPorts(access) : kind === 'none' ? '–' : ''}
      </button>
    </td>
  );
}

/** `8080`, `8080 +2`. */
function shortPorts(access: string): string {
  const [first = '', ...more] = access.split(', ');
  const port = first.replace(/\/(TCP|UDP|SCTP)$/, '').replace(/^all /, '');
  return more.length === 0 ? port : `${port} +${more.length}`;
}

function WhyPanel({ namespace, cell: [from, to] }: { readonly namespace: string; readonly cell: readonly [string, string] }) {
  const answer = useAnswer<WebWhy>(`/api/matrix/why?${new URLSearchParams({ namespace, from, to })}`);
  return (
    <Panel title={<>{from} <span class="dim">→</span> {to}</>} label="Why" onClose={() => go({ cell: undefined })}>
      {answer.state === 'loading' ? <Empty title="Asking the policies …" /> : answer.state === 'failed' ? <Empty title="There is no answer">{answer.error}</Empty> : (
        <div class="explanation">
          <p class="because">{answer.value.access === '-' ? 'Nothing is allowed.' : answer.value.access === 'all' ? 'Everything is allowed.' : `Allowed: ${answer.value.access}`}</p>
          <p class="dim">Asked about {answer.value.leg.port}:</p>
          <LegView leg={answer.value.leg} isOnly />
        </div>
      )}
    </Panel>
  );
}

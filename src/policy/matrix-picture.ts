/** The matrix as a picture: an SVG that stands alone. Rows connect to columns. matrix-page.ts is the same as a page. */
import { accessText, accessWords } from './access.ts';
import type { Access } from './access.ts';
import { cellKind, groupCell, groupsOf } from './matrix-groups.ts';
import type { CellKind } from './matrix-groups.ts';
import type { Matrix } from './matrix.ts';

const cell = { width: 76, height: 30 };
const fontSize = 12;
const letterWidth = 6.9;
/** Words in a cell have room for so many letters. */
const cellLetters = 10;
/** More parties than this are drawn by namespace: the picture would be too large for any screen. */
export const pictureParties = 60;

/** What is drawn: labels, cells, and after which rows a line parts namespaces. */
interface Drawing {
  readonly labels: readonly string[];
  readonly cells: readonly (readonly DrawnCell[])[];
  readonly parted: readonly number[];
  readonly note: string;
}

interface DrawnCell { readonly kind: CellKind; readonly text: string; readonly title: string }

export function matrixSvg(matrix: Matrix, title: string): string {
  const { labels, cells, parted, note } = matrix.parties.length > pictureParties ? byNamespace(matrix) : byParty(matrix);
  const longest = Math.max(4, ...labels.map(label => label.length));
  const left = Math.ceil(longest * letterWidth) + 24;
  const slant = Math.ceil(longest * letterWidth * 0.72) + 20;
  const top = 64 + slant;
  const withAudit = cells.flat().some(drawn => drawn.kind === 'audit');
  const width = Math.max(left + labels.length * cell.width + slant, left + (withAudit ? 600 : 420), title.length * 10 + 60);
  const height = top + labels.length * cell.height + 56;
  const columns = labels.map((label, j) => `<text class="label" transform="translate(${left + j * cell.width + cell.width / 2} ${top - 10}) rotate(-45)">${escapeXml(label)}</text>`);
  const rows = labels.map((label, i) => {
    const y = top + i * cell.height;
    return `<text class="label" x="${left - 10}" y="${y + cell.height / 2 + 4}" text-anchor="end">${escapeXml(label)}</text>` + cells[i]!.map((drawn, j) => cellSvg(drawn, left + j * cell.width, y)).join('');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Inter, Helvetica, Arial, sans-serif" font-size="${fontSize}">
<style>${style}</style>
<rect class="paper" width="${width}" height="${height}"/>
<text x="20" y="30" font-size="17" font-weight="600" class="label">${escapeXml(title)}</text>
<text x="20" y="50" class="faint">${escapeXml(note)}</text>
${columns.join('\n')}
${rows.join('\n')}
${lines(parted, labels.length, left, top)}
${legend(left, top + labels.length * cell.height + 22, withAudit)}
</svg>
`;
}

/** Light, and dark where the reader's screen is. */
const style = '.paper{fill:#fff}.label{fill:#1f2933}.faint{fill:#6b7785}.part{stroke:#9aa5b1}.all{fill:#2e7d5b}.some{fill:#e0b04f}.audit{fill:#5c6ec2}.none{fill:#e9ecef}.same{fill:none}.on-all,.on-audit{fill:#fff}.on-some{fill:#1f2933}'
  + '@media (prefers-color-scheme:dark){.paper{fill:#14181d}.label{fill:#e4e9ee}.faint{fill:#98a4b1}.part{stroke:#56616d}.all{fill:#3c9a70}.some{fill:#c9973a}.audit{fill:#7485d8}.none{fill:#262d35}.on-all{fill:#fff}.on-some{fill:#14181d}}';

function byParty({ parties, access }: Matrix): Drawing {
  return {
    labels: parties.map(party => party.name), note: 'each row may connect to the columns on these ports',
    parted: parties.flatMap((party, i) => (i > 0 && parties[i - 1]!.namespace !== party.namespace ? [i] : [])),
    cells: parties.map((from, i) => parties.map((to, j) => partyCell(`${from.name} → ${to.name}`, access[i]![j]))),
  };
}

function partyCell(pair: string, access: Access | undefined): DrawnCell {
  const kind = cellKind(access);
  if (access === undefined || kind === 'same') return { kind, text: '', title: '' };
  return { kind, text: kind === 'none' ? '' : shorten(accessText(access), accessWords(access).length), title: `${pair}: ${kind === 'none' ? 'denied' : accessText(access)}` };
}

function byNamespace(matrix: Matrix): Drawing {
  const groups = groupsOf(matrix.parties);
  return {
    labels: groups.map(group => group.name), parted: [], note: `${matrix.parties.length} workloads by namespace: so many pairs of a row and a column may talk on some port`,
    cells: groups.map(from => groups.map(to => {
      const { kind, allowed, total } = groupCell(matrix, from, to);
      return { kind, text: kind === 'some' ? shareText(allowed, total) : kind === 'all' ? 'all' : '', title: kind === 'same' ? '' : `${from.name} → ${to.name}: ${allowed} of ${total} pairs` };
    })),
  };
}

function shareText(allowed: number, total: number): string {
  const text = `${allowed}/${total}`;
  return text.length <= cellLetters ? text : `${Math.max(1, Math.round((100 * allowed) / total))} %`;
}

function cellSvg({ kind, text, title }: DrawnCell, x: number, y: number): string {
  if (kind === 'same') return '';
  const box = `<rect class="${kind}" x="${x + 1}" y="${y + 1}" width="${cell.width - 2}" height="${cell.height - 2}" rx="4"/>`;
  const label = text === '' ? '' : `<text x="${x + cell.width / 2}" y="${y + cell.height / 2 + 4}" text-anchor="middle" class="on-${kind}">${escapeXml(text)}</text>`;
  return `<g><title>${escapeXml(title)}</title>${box}${label}</g>`;
}

function shorten(full: string, words: number): string {
  const text = full.replaceAll(' (audit)', '');
  if (text.length <= cellLetters) return text;
  const first = text.split(', ')[0]!;
  return words > 1 && first.length <= cellLetters - 3 ? `${first} +${words - 1}` : words === 1 ? '1 range' : `${words} ranges`;
}

/** Between namespaces, and before what is no pod. */
function lines(parted: readonly number[], count: number, left: number, top: number): string {
  return parted.map(i => {
    const [x, y] = [left + i * cell.width, top + i * cell.height];
    return `<path class="part" d="M${left - 8} ${y}h${count * cell.width + 8}M${x} ${top - 8}v${count * cell.height + 8}" stroke-width="1" fill="none"/>`;
  }).join('\n');
}

function legend(x: number, y: number, withAudit: boolean): string {
  return ([['all', 'everything'], ['some', 'some ports'], ['none', 'nothing'], ...(withAudit ? [['audit', 'in audit: passes, and is reported'] as const] : [])] as const)
    .map(([kind, text], i) => `<rect class="${kind}" x="${x + i * 120}" y="${y}" width="16" height="16" rx="3"/><text x="${x + i * 120 + 23}" y="${y + 13}" class="faint">${text}</text>`).join('');
}

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;');
}

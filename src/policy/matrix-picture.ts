/** The matrix as a picture: an SVG that stands alone, and a page around it. Rows connect to columns. */
import { accessText, accessWords, fullAccess, sameAccess } from './access.ts';
import type { Access } from './access.ts';
import type { Matrix, Party } from './matrix.ts';

const cell = { width: 76, height: 30 };
const fontSize = 12;
const letterWidth = 6.9;
const colours = { all: '#2e7d5b', some: '#d9a441', none: '#e9ecef', same: '#ffffff', line: '#ffffff', text: '#1f2933', faint: '#6b7785' };
/** Words in a cell have room for so many letters. */
const cellLetters = 10;

export function matrixSvg(matrix: Matrix, title: string): string {
  const { parties } = matrix;
  const longest = Math.max(4, ...parties.map(p => p.name.length));
  const left = Math.ceil(longest * letterWidth) + 24;
  const slant = Math.ceil(longest * letterWidth * 0.72) + 20;
  const top = 64 + slant;
  const width = left + parties.length * cell.width + slant;
  const height = top + parties.length * cell.height + 56;
  const columns = parties.map((party, j) => {
    const x = left + j * cell.width + cell.width / 2;
    return `<text class="label" transform="translate(${x} ${top - 10}) rotate(-45)">${escapeXml(party.name)}</text>`;
  });
  const rows = parties.map((party, i) => {
    const y = top + i * cell.height;
    const label = `<text class="label" x="${left - 10}" y="${y + cell.height / 2 + 4}" text-anchor="end">${escapeXml(party.name)}</text>`;
    return label + parties.map((to, j) => cellSvg(party, to, matrix.access[i]![j], left + j * cell.width, y)).join('');
  });
  const lines = namespaceLines(parties, left, top);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Inter, Helvetica, Arial, sans-serif" font-size="${fontSize}">
<style>.label{fill:${colours.text}}.on-dark{fill:#fff}.on-light{fill:${colours.text}}.faint{fill:${colours.faint}}</style>
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="20" y="30" font-size="17" font-weight="600" class="label">${escapeXml(title)}</text>
<text x="20" y="50" class="faint">each row may connect to the columns on these ports</text>
${columns.join('\n')}
${rows.join('\n')}
${lines}
${legend(left, top + parties.length * cell.height + 22)}
</svg>
`;
}

function cellSvg(from: Party, to: Party, access: Access | undefined, x: number, y: number): string {
  const box = (fill: string) => `<rect x="${x}" y="${y}" width="${cell.width}" height="${cell.height}" fill="${fill}" stroke="${colours.line}" stroke-width="2" rx="4"/>`;
  if (access === undefined) return box(colours.same);
  const full = sameAccess(access, fullAccess);
  const fill = access.length === 0 ? colours.none : full ? colours.all : colours.some;
  const text = access.length === 0 ? '' : shorten(accessText(access), accessWords(access).length);
  const label = text === '' ? '' : `<text x="${x + cell.width / 2}" y="${y + cell.height / 2 + 4}" text-anchor="middle" class="${full ? 'on-dark' : 'on-light'}">${escapeXml(text)}</text>`;
  return `<g><title>${escapeXml(`${from.name} → ${to.name}: ${access.length === 0 ? 'denied' : accessText(access)}`)}</title>${box(fill)}${label}</g>`;
}

function shorten(text: string, words: number): string {
  if (text.length <= cellLetters) return text;
  const first = text.split(', ')[0]!;
  return words > 1 && first.length <= cellLetters - 3 ? `${first} +${words - 1}` : `${words} ranges`;
}

/** Between namespaces, and before what is no pod. */
function namespaceLines(parties: readonly Party[], left: number, top: number): string {
  const size = { x: parties.length * cell.width, y: parties.length * cell.height };
  return parties.flatMap((party, i) => {
    if (i === 0 || parties[i - 1]!.namespace === party.namespace) return [];
    const [x, y] = [left + i * cell.width, top + i * cell.height];
    return [`<path d="M${left - 8} ${y}h${size.x + 8}M${x} ${top - 8}v${size.y + 8}" stroke="${colours.faint}" stroke-width="1" fill="none"/>`];
  }).join('\n');
}

function legend(x: number, y: number): string {
  return ([['all', 'everything'], ['some', 'some ports'], ['none', 'nothing']] as const)
    .map(([key, text], i) => `<rect x="${x + i * 120}" y="${y}" width="16" height="16" rx="3" fill="${colours[key]}"/><text x="${x + i * 120 + 23}" y="${y + 13}" class="faint">${text}</text>`).join('');
}

/** One file without anything from elsewhere: the picture, and a table that can be searched. */
export function matrixHtml(matrix: Matrix, title: string): string {
  const rows = matrix.parties.flatMap((from, i) => matrix.parties.flatMap((to, j) => {
    const access = matrix.access[i]![j];
    return access === undefined || access.length === 0 ? [] : [`<tr><td>${escapeXml(from.name)}</td><td>${escapeXml(to.name)}</td><td>${escapeXml(accessText(access))}</td></tr>`];
  }));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeXml(title)}</title>
<style>
body{font:14px/1.5 Inter,Helvetica,Arial,sans-serif;color:${colours.text};margin:24px}
.picture{overflow:auto;border:1px solid #e3e7eb;border-radius:8px}
input{font:inherit;padding:6px 10px;margin:20px 0 8px;width:min(420px,100%);border:1px solid #c4ccd4;border-radius:6px}
table{border-collapse:collapse}td,th{text-align:left;padding:4px 16px 4px 0;border-bottom:1px solid #e3e7eb}
</style></head><body>
<div class="picture">${matrixSvg(matrix, title)}</div>
<input type="search" placeholder="search the allowed connections" aria-label="search" oninput="for(const r of document.querySelectorAll('tbody tr'))r.hidden=!r.textContent.toLowerCase().includes(this.value.toLowerCase())">
<table><thead><tr><th>from</th><th>to</th><th>ports</th></tr></thead><tbody>
${rows.join('\n')}
</tbody></table></body></html>
`;
}

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;');
}

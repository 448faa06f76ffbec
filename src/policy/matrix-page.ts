/**
 * The matrix as one HTML file that asks for nothing from elsewhere: a grid that opens and closes by namespace, so that
 * hundreds of workloads stay usable, with details for the cell under the pointer or the keyboard.
 */
import { accessText, accessWords } from './access.ts';
import { cellKind, groupsOf } from './matrix-groups.ts';
import { pageScript, pageStyle } from './matrix-page-parts.ts';
import { escapeXml, pictureParties } from './matrix-picture.ts';
import type { Matrix, Party } from './matrix.ts';

export interface PageOptions {
  /** Why a pair may not talk at all, in a sentence. */
  readonly why?: (from: Party, to: Party) => string;
}

/** What the page's script reads. Equal cells are written once: a large cluster has few kinds of them. */
export interface PageData {
  readonly groups: readonly { readonly name: string; readonly members: readonly number[] }[];
  readonly parties: readonly { readonly name: string; readonly pods: number }[];
  readonly cells: readonly { readonly kind: string; readonly text: string; readonly words: readonly string[]; readonly why?: string }[];
  /** `rows[i][j]`: index in `cells`, of party i to party j. */
  readonly rows: readonly (readonly number[])[];
  /** All namespaces are open at first. */
  readonly open: boolean;
}

export function pageData({ parties, access }: Matrix, options: PageOptions = {}): PageData {
  const cells: PageData['cells'][number][] = [];
  const known = new Map<string, number>();
  const indexOf = (cell: PageData['cells'][number]) => {
    const key = JSON.stringify(cell);
    const found = known.get(key);
    if (found !== undefined) return found;
    known.set(key, cells.length);
    return cells.push(cell) - 1;
  };
  const rows = parties.map((from, i) => parties.map((to, j) => {
    const between = access[i]![j];
    const kind = cellKind(between);
    if (between === undefined || kind === 'same') return indexOf({ kind, text: '', words: [] });
    const why = kind === 'none' ? options.why?.(from, to) : undefined;
    return indexOf({ kind, text: kind === 'none' ? '' : accessText(between), words: kind === 'all' ? ['every port'] : accessWords(between), ...(why !== undefined && { why }) });
  }));
  return { groups: groupsOf(parties), parties: parties.map(({ name, pods }) => ({ name, pods: pods.length })), cells, rows, open: parties.length <= pictureParties };
}

export function matrixHtml(matrix: Matrix, title: string, options: PageOptions = {}): string {
  const page = pageData(matrix, options);
  const data = JSON.stringify(page).replaceAll('<', '\\u003c');
  const hasAudit = page.cells.some(cell => cell.kind === 'audit');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeXml(title)}</title>
<style>${pageStyle}</style></head><body>
<header>
<h1>${escapeXml(title)}</h1>
<p>Each row may connect to the columns. Point at a cell, or move with the arrow keys; a namespace opens and closes by a click or Enter.</p>
<div class="bar">
<input id="search" type="search" placeholder="filter workloads, namespaces, addresses" aria-label="filter">
<button id="open" type="button">open all</button><button id="close" type="button">close all</button>
<span class="legend"><i class="all"></i>everything <i class="some"></i>some ports <i class="none"></i>nothing${hasAudit ? ' <i class="audit"></i>in audit: passes, and is reported' : ''}</span>
</div>
</header>
<main id="grid" tabindex="-1"></main>
<noscript><p>This page needs scripts. Without: cirri policy matrix --list, --svg or -o json.</p></noscript>
<aside id="details" aria-live="polite"></aside>
<script type="application/json" id="data">${data}</script>
<script>${pageScript}</script>
</body></html>
`;
}

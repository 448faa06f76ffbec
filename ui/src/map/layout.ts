import { forceSimulation, forceX, forceY, type SimulationNodeDatum } from 'd3-force';

/**
 * Where everything stands. Two steps: within a namespace, cards stand in columns, callers left of those they call; the namespaces
 * then are boxes that a simulation keeps apart, callers on the left too. What has a place keeps it: a new card takes a free one.
 */
export interface LayoutNode {
  readonly id: string;
  readonly group: string;
}

export interface LayoutLink {
  readonly source: string;
  readonly target: string;
}

/** Places by id: a card's column and row in its box, a box's middle. */
export interface Places {
  readonly cards: Readonly<Record<string, readonly [column: number, row: number]>>;
  readonly boxes: Readonly<Record<string, readonly [x: number, y: number]>>;
}

export const cardWidth = 184;
export const cardHeight = 50;
export const columnStep = cardWidth + 72;
export const rowStep = cardHeight + 20;
export const boxPadding = 22;
export const boxTitle = 30;
const boxGap = 56;
const ticks = 240;

export function layout(nodes: readonly LayoutNode[], links: readonly LayoutLink[], known: Places): Places {
  const groups = new Map<string, LayoutNode[]>();
  for (const node of nodes) groups.set(node.group, [...(groups.get(node.group) ?? []), node]);
  const groupOf = new Map(nodes.map(node => [node.id, node.group] as const));
  const cards: Record<string, readonly [number, number]> = {};
  for (const [group, members] of groups) Object.assign(cards, placeCards(members.map(node => node.id).sort(), links.filter(link => groupOf.get(link.source) === group && groupOf.get(link.target) === group), known.cards));
  const between = [...new Set(links.map(link => `${groupOf.get(link.source)}\n${groupOf.get(link.target)}`))].map(text => text.split('\n') as [string, string]).filter(([from, to]) => from !== to);
  const sizes = new Map([...groups].map(([group, members]) => [group, boxSize(members.map(node => cards[node.id]!))] as const));
  return { cards, boxes: placeBoxes(sizes, between.map(([source, target]) => ({ source, target })), known.boxes) };
}

export function boxSize(cells: readonly (readonly [number, number])[]): { readonly width: number; readonly height: number } {
  const columns = Math.max(...cells.map(([column]) => column)) + 1;
  const rows = Math.max(...cells.map(([, row]) => row)) + 1;
  return { width: (columns - 1) * columnStep + cardWidth + 2 * boxPadding, height: (rows - 1) * rowStep + cardHeight + 2 * boxPadding + boxTitle };
}

// ---- cards in their box ----

function placeCards(ids: readonly string[], links: readonly LayoutLink[], known: Places['cards']): Record<string, readonly [number, number]> {
  const placed: Record<string, readonly [number, number]> = {};
  const taken: (readonly [number, number])[] = [];
  for (const id of ids) {
    const cell = known[id];
    if (!cell || isTaken(cell, taken)) continue;
    placed[id] = cell;
    taken.push(cell);
  }
  const fresh = ids.filter(id => !(id in placed));
  if (fresh.length === 0) return placed;
  const ranks = rankOf(ids, links);
  const rows = Math.max(4, Math.ceil(Math.sqrt(ids.length) * 1.15));
  if (fresh.length === ids.length) return inColumns(ids, links, ranks, rows);
  for (const id of fresh) {
    const wanted = ranks.get(id) ?? 0;
    const cell = freeCell(wanted, rows, taken);
    placed[id] = cell;
    taken.push(cell);
  }
  return placed;
}

/** Rows may be half ones. */
function isTaken([column, row]: readonly [number, number], taken: readonly (readonly [number, number])[]): boolean {
  return taken.some(other => other[0] === column && Math.abs(other[1] - row) < 1);
}

function freeCell(column: number, rows: number, taken: readonly (readonly [number, number])[]): readonly [number, number] {
  for (let away = 0; ; away++) {
    for (const at of away === 0 ? [column] : [column + away, column - away]) {
      for (let row = 0; at >= 0 && row < rows + away; row++) if (!isTaken([at, row], taken)) return [at, row];
    }
  }
}

/** Longest way from those whom nobody calls; a call back to one's caller counts for nothing. */
function rankOf(ids: readonly string[], links: readonly LayoutLink[]): Map<string, number> {
  const out = new Map<string, string[]>(ids.map(id => [id, []]));
  const called = new Set<string>();
  for (const { source, target } of links) {
    if (source === target || !out.has(source) || !out.has(target)) continue;
    out.get(source)!.push(target);
    called.add(target);
  }
  const ranks = new Map<string, number>();
  const order: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const forward: [string, string][] = [];
  const visit = (id: string) => {
    state.set(id, 'open');
    for (const next of out.get(id)!.toSorted()) {
      if (state.get(next) === 'open') continue;
      forward.push([id, next]);
      if (!state.has(next)) visit(next);
    }
    state.set(id, 'done');
    order.push(id);
  };
  for (const id of [...ids.filter(each => !called.has(each)), ...ids]) if (!state.has(id)) visit(id);
  const into = Map.groupBy(forward, ([, to]) => to);
  for (const id of order.reverse()) ranks.set(id, Math.max(0, ...(into.get(id) ?? []).map(([from]) => (ranks.get(from) ?? -1) + 1)));
  return ranks;
}

/** Columns by rank, cut where they are too long; in a column the order that makes lines cross least, as far as a few sweeps find it. */
function inColumns(ids: readonly string[], links: readonly LayoutLink[], ranks: ReadonlyMap<string, number>, rows: number): Record<string, readonly [number, number]> {
  const neighbours = new Map<string, string[]>(ids.map(id => [id, []]));
  for (const { source, target } of links) {
    neighbours.get(source)?.push(target);
    neighbours.get(target)?.push(source);
  }
  const isAlone = (id: string) => neighbours.get(id)!.length === 0;
  // A long chain is folded: a box is about as high as it is wide.
  const longest = Math.max(0, ...ranks.values()) + 1;
  const most = Math.max(4, Math.ceil(Math.sqrt(ids.length)));
  const byRank = Map.groupBy(ids.filter(id => !isAlone(id)), id => Math.floor((ranks.get(id) ?? 0) * Math.min(1, most / longest)));
  const columns = [...byRank].sort(([a], [b]) => a - b).map(([, members]) => members);
  const alone = ids.filter(isAlone);
  if (alone.length > 0) columns.push(alone);
  const position = new Map<string, number>();
  const remember = () => columns.forEach(column => column.forEach((id, i) => position.set(id, i - (column.length - 1) / 2)));
  remember();
  for (let sweep = 0; sweep < 6; sweep++) {
    for (const column of sweep % 2 === 0 ? columns : columns.toReversed()) {
      const middle = new Map(column.map(id => [id, mean(neighbours.get(id)!.map(other => position.get(other) ?? 0)) ?? position.get(id)!] as const));
      column.sort((a, b) => middle.get(a)! - middle.get(b)!);
      column.forEach((id, i) => position.set(id, i - (column.length - 1) / 2));
    }
  }
  const cut = columns.flatMap(column => Array.from({ length: Math.ceil(column.length / rows) }, (_, i) => column.slice(i * rows, (i + 1) * rows)));
  const tallest = Math.max(...cut.map(column => column.length));
  // Short columns stand in the middle; half rows are rows too.
  return Object.fromEntries(cut.flatMap((column, c) => column.map((id, r) => [id, [c, r + (tallest - column.length) / 2] as const] as const)));
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}

// ---- boxes ----

interface Box extends SimulationNodeDatum {
  readonly id: string;
  readonly width: number;
  readonly height: number;
  readonly wantedX: number;
  readonly wantedY: number;
  readonly isKnown: boolean;
  x: number;
  y: number;
}

function placeBoxes(sizes: ReadonlyMap<string, { readonly width: number; readonly height: number }>, links: readonly LayoutLink[], known: Places['boxes']): Record<string, readonly [number, number]> {
  const ids = [...sizes.keys()].sort();
  const ranks = rankOf(ids, links);
  const area = ids.reduce((sum, id) => sum + (sizes.get(id)!.width + boxGap) * (sizes.get(id)!.height + boxGap), 0);
  // About as wide as a screen is: callers first, the outside last, in columns of the height that gives.
  const height = Math.max(Math.sqrt(area / 1.9), ...ids.map(id => sizes.get(id)!.height));
  const order = (id: string) => (id === '~outside' ? Infinity : id === '~nodes' ? -1 : ranks.get(id) ?? 0);
  const columns: string[][] = [];
  let room = 0;
  for (const id of ids.toSorted((a, b) => order(a) - order(b))) {
    const tall = sizes.get(id)!.height + boxGap;
    if (columns.length === 0 || tall > room) {
      columns.push([]);
      room = height + boxGap;
    }
    columns.at(-1)!.push(id);
    room -= tall;
  }
  const boxes: Box[] = [];
  let x = 0;
  for (const members of columns) {
    const width = Math.max(...members.map(id => sizes.get(id)!.width));
    let y = -(members.reduce((sum, id) => sum + sizes.get(id)!.height + boxGap, -boxGap)) / 2;
    for (const id of members) {
      const size = sizes.get(id)!;
      const place = known[id];
      const [wantedX, wantedY] = place ?? [x + width / 2, y + size.height / 2];
      boxes.push({ id, ...size, wantedX, wantedY, isKnown: place !== undefined, x: wantedX, y: wantedY });
      y += size.height + boxGap;
    }
    x += width + boxGap;
  }
  const simulation = forceSimulation(boxes).stop()
    .force('x', forceX<Box>(box => box.wantedX).strength(box => (box.isKnown ? 0.4 : 0.12)))
    .force('y', forceY<Box>(box => box.wantedY).strength(box => (box.isKnown ? 0.4 : 0.06)))
    .force('apart', apart(boxes));
  for (let i = 0; i < ticks; i++) simulation.tick();
  settle(boxes);
  return Object.fromEntries(boxes.map(box => [box.id, [Math.round(box.x), Math.round(box.y)] as const]));
}

/** Boxes that lie over each other are moved apart by the shorter way; whoever has had a place gives way less. */
function apart(boxes: readonly Box[]): () => void {
  return () => {
    for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) push(boxes[i]!, boxes[j]!, 0.5);
  };
}

/** After the last tick nothing may overlap. */
function settle(boxes: readonly Box[]): void {
  for (let round = 0; round < 200; round++) {
    let moved = false;
    for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) moved = push(boxes[i]!, boxes[j]!, 1) || moved;
    if (!moved) return;
  }
}

function push(a: Box, b: Box, share: number): boolean {
  const overlapX = (a.width + b.width) / 2 + boxGap - Math.abs(a.x - b.x);
  const overlapY = (a.height + b.height) / 2 + boxGap - Math.abs(a.y - b.y);
  if (overlapX <= 0.5 || overlapY <= 0.5) return false;
  const weightOfA = a.isKnown === b.isKnown ? 0.5 : a.isKnown ? 0.1 : 0.9;
  if (overlapX < overlapY) {
    const by = overlapX * share * (a.x <= b.x ? -1 : 1);
    a.x += by * weightOfA;
    b.x -= by * (1 - weightOfA);
  } else {
    const by = overlapY * share * (a.y <= b.y ? -1 : 1);
    a.y += by * weightOfA;
    b.y -= by * (1 - weightOfA);
  }
  return true;
}

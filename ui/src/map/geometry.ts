import { boxPadding, boxSize, boxTitle, cardHeight, cardWidth, columnStep, rowStep, type Places } from './layout.ts';
import { groupOf, type Pair, type Scene } from './scene.ts';

export interface Rect { readonly x: number; readonly y: number; readonly width: number; readonly height: number }

export interface Card extends Rect { readonly id: string }

export interface Box extends Rect { readonly group: string }

/** A cubic curve from source to destination. */
export interface Curve {
  readonly pair: Pair;
  readonly points: readonly [x0: number, y0: number, x1: number, y1: number, x2: number, y2: number, x3: number, y3: number];
  readonly bounds: Rect;
}

export interface Geometry {
  readonly cards: ReadonlyMap<string, Card>;
  readonly boxes: readonly Box[];
  readonly curves: readonly Curve[];
  /** Between two boxes all lines as one: what a large map shows from afar. */
  readonly bundles: readonly Curve[];
  readonly bounds: Rect;
}

/** Fewer lines than this are never bundled. */
const manyLines = 250;
const farScale = 0.34;

/** Whether the map is seen from so far that lines between boxes are shown together. */
export function isFar({ curves }: Pick<Geometry, 'curves'>, scale: number): boolean {
  return scale < farScale && curves.length > manyLines;
}

/** Of those that have a place. */
export function geometryOf(scene: Scene, places: Places): Geometry {
  const byGroup = Map.groupBy([...scene.nodes.values()].filter(node => node.id in places.cards && groupOf(node) in places.boxes), groupOf);
  const cards = new Map<string, Card>();
  const boxes: Box[] = [];
  for (const [group, members] of byGroup) {
    const cells = members.map(node => places.cards[node.id]!);
    // The box fits what is shown, in its place among all that has been: cards do not move when others go.
    const { width, height } = boxSize(cells);
    const [minColumn, minRow] = [Math.min(...cells.map(([column]) => column)), Math.min(...cells.map(([, row]) => row))];
    const [middleX, middleY] = places.boxes[group]!;
    const [left, top] = [middleX - width / 2, middleY - height / 2];
    boxes.push({ group, x: left + minColumn * columnStep, y: top + minRow * rowStep, width: width - minColumn * columnStep, height: height - minRow * rowStep });
    members.forEach((node, i) => {
      const [column, row] = cells[i]!;
      cards.set(node.id, { id: node.id, x: left + boxPadding + column * columnStep, y: top + boxPadding + boxTitle + row * rowStep, width: cardWidth, height: cardHeight });
    });
  }
  const asCards = new Map(boxes.map(({ group, ...rect }) => [group, { ...rect, id: group }] as const));
  return { cards, boxes, curves: curvesOf(scene.pairs, cards), bundles: curvesOf(bundled(scene), asCards), bounds: around(boxes) };
}

export function around(rects: readonly Rect[]): Rect {
  if (rects.length === 0) return { x: 0, y: 0, width: 1, height: 1 };
  const [x, y] = [Math.min(...rects.map(r => r.x)), Math.min(...rects.map(r => r.y))];
  return { x, y, width: Math.max(...rects.map(r => r.x + r.width)) - x, height: Math.max(...rects.map(r => r.y + r.height)) - y };
}

/** Pairs of boxes, with the sums of what passes between their nodes. */
function bundled({ nodes, pairs }: Scene): readonly Pair[] {
  const sums = new Map<string, Pair>();
  for (const pair of pairs) {
    const [source, destination] = [groupOf(nodes.get(pair.source)!), groupOf(nodes.get(pair.destination)!)];
    if (source === destination) continue;
    const key = `${source}\n${destination}`;
    const { forwarded, dropped, audited, errors, requests, bytes, rate } = sums.get(key) ?? { forwarded: 0, dropped: 0, audited: 0, errors: 0, requests: 0, bytes: 0, rate: 0 };
    sums.set(key, {
      key, source, destination, edges: [], forwarded: forwarded + pair.forwarded, dropped: dropped + pair.dropped, audited: audited + pair.audited, errors: errors + pair.errors,
      requests: requests + pair.requests, bytes: bytes + pair.bytes, rate: rate + pair.rate,
    });
  }
  return [...sums.values()];
}

interface Port { readonly card: Card; readonly side: 'left' | 'right'; readonly other: Card; offset: number }

/** Lines leave and reach a card spread along its side, in the order of their other ends: they do not cross at the card. */
function curvesOf(pairs: readonly Pair[], cards: ReadonlyMap<string, Card>): Curve[] {
  const ends = pairs.flatMap(pair => {
    const [from, to] = [cards.get(pair.source), cards.get(pair.destination)];
    if (!from || !to || from === to) return [];
    const [leaves, reaches] = sides(from, to);
    return [{ pair, start: { card: from, side: leaves, other: to, offset: 0 } as Port, end: { card: to, side: reaches, other: from, offset: 0 } as Port }];
  });
  const bySide = Map.groupBy(ends.flatMap(({ start, end }) => [start, end]), port => `${port.card.id}\n${port.side}`);
  for (const ports of bySide.values()) {
    ports.sort((a, b) => a.other.y - b.other.y || a.other.x - b.other.x);
    const { height } = ports[0]!.card;
    const step = Math.min(Math.max(9, height / 14), (height - 16) / Math.max(1, ports.length - 1));
    ports.forEach((port, i) => (port.offset = (i - (ports.length - 1) / 2) * step));
  }
  return ends.map(({ pair, start, end }) => curve(pair, start, end));
}

function sides(from: Card, to: Card): readonly ['left' | 'right', 'left' | 'right'] {
  if (to.x >= from.x + from.width) return ['right', 'left'];
  if (to.x + to.width <= from.x) return ['left', 'right'];
  return ['right', 'right'];
}

function curve(pair: Pair, start: Port, end: Port): Curve {
  const [x0, y0] = pointAt(start);
  const [x3, y3] = pointAt(end);
  const reach = start.side === end.side ? 46 + Math.min(60, Math.abs(y3 - y0) / 6) : Math.max(36, Math.min(220, Math.abs(x3 - x0) / 2));
  const x1 = x0 + (start.side === 'right' ? reach : -reach);
  const x2 = x3 + (end.side === 'right' ? reach : -reach);
  const points = [x0, y0, x1, y0, x2, y3, x3, y3] as const;
  const [left, right, top, bottom] = [Math.min(x0, x1, x2, x3), Math.max(x0, x1, x2, x3), Math.min(y0, y3), Math.max(y0, y3)];
  return { pair, points, bounds: { x: left, y: top, width: right - left, height: bottom - top } };
}

function pointAt({ card, side, offset }: Port): readonly [number, number] {
  return [side === 'right' ? card.x + card.width : card.x, card.y + card.height / 2 + offset];
}

export function onCurve([x0, y0, x1, y1, x2, y2, x3, y3]: Curve['points'], t: number): readonly [number, number] {
  const u = 1 - t;
  const [a, b, c, d] = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
  return [a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3];
}

/** The card at a point, or else the line within `reach` of it. */
export function at({ cards, curves }: Pick<Geometry, 'cards' | 'curves'>, x: number, y: number, reach: number): { readonly card?: Card; readonly curve?: Curve } {
  for (const card of cards.values()) if (x >= card.x && x <= card.x + card.width && y >= card.y && y <= card.y + card.height) return { card };
  let [best, nearest] = [undefined as Curve | undefined, reach];
  for (const each of curves) {
    const { bounds } = each;
    if (x < bounds.x - reach || x > bounds.x + bounds.width + reach || y < bounds.y - reach || y > bounds.y + bounds.height + reach) continue;
    const away = distanceTo(each.points, x, y);
    if (away < nearest) [best, nearest] = [each, away];
  }
  return best ? { curve: best } : {};
}

function distanceTo(points: Curve['points'], x: number, y: number): number {
  let nearest = Infinity;
  let [px, py] = onCurve(points, 0);
  for (let i = 1; i <= 24; i++) {
    const [qx, qy] = onCurve(points, i / 24);
    nearest = Math.min(nearest, distanceToSegment(x, y, px, py, qx, qy));
    [px, py] = [qx, qy];
  }
  return nearest;
}

function distanceToSegment(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const t = length === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length));
  return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
}

/** The nearest card from one in a direction: those straight ahead before those aside. */
export function nextCard({ cards }: Geometry, from: Card | undefined, direction: 'left' | 'right' | 'up' | 'down'): Card | undefined {
  const all = [...cards.values()];
  if (!from) return all.sort((a, b) => a.x - b.x || a.y - b.y)[0];
  const ahead = all.flatMap(card => {
    const [dx, dy] = [card.x - from.x, card.y - from.y];
    const forward = direction === 'left' ? -dx : direction === 'right' ? dx : direction === 'up' ? -dy : dy;
    const aside = Math.abs(direction === 'left' || direction === 'right' ? dy : dx);
    return card === from || forward < 8 ? [] : [{ card, cost: forward + aside * 2.2 }];
  });
  return ahead.sort((a, b) => a.cost - b.cost)[0]?.card;
}

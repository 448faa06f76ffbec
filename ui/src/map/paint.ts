import type { MapNode } from '../../../src/model/service-map.ts';
import { rate as rateText } from '../parts/format.ts';
import type { Camera } from './camera.ts';
import { isFar, onCurve, type Rect, type Card, type Curve, type Geometry } from './geometry.ts';
import { groupTitle, type Pair, type Scene } from './scene.ts';
import type { Theme } from './theme.ts';

export interface Highlight {
  /** The node whose neighbours stand out; everything else steps back. */
  readonly focus?: string;
  readonly pair?: string;
  readonly hovered?: string;
  readonly hoveredPair?: string;
  /** Reached by keyboard: has a ring. */
  readonly cursor?: string;
}

/** Below the first, cards have no text; then a name as large as fits; then the sign and the name; then all. */
const textScale = 0.23;
const glyphScale = 0.45;
const detailScale = 0.62;

type Style = 'plain' | 'audited' | 'dropped';

/** One picture of what lies in `view`, of the map's own measures. */
export function paint(canvas: CanvasRenderingContext2D, whole: Geometry, scene: Scene, camera: Camera, view: Rect, theme: Theme, highlight: Highlight): void {
  const isOn = emphasis(whole, highlight);
  const geometry: Geometry = { ...whole, cards: new Map([...whole.cards].filter(([, card]) => meets(card, view))) };
  canvas.save();
  canvas.translate(camera.x, camera.y);
  canvas.scale(camera.scale, camera.scale);
  const curves = (isFar(whole, camera.scale) ? linesFromAfar(whole, isOn) : whole.curves).filter(({ bounds }) => meets(bounds, view));
  paintBoxes(canvas, geometry, camera, theme);
  paintLines(canvas, curves, camera, theme, isOn);
  paintCards(canvas, geometry, scene, camera, theme, highlight, isOn);
  paintTitles(canvas, geometry, camera, theme);
  paintLabels(canvas, curves, geometry, camera, theme, isOn);
  canvas.restore();
}

function meets(a: Rect, b: Rect): boolean {
  return a.x <= b.x + b.width && b.x <= a.x + a.width && a.y <= b.y + b.height && b.y <= a.y + a.height;
}

/** Those of one box, bundles, and whatever is chosen. */
function linesFromAfar({ curves, bundles, boxes, cards }: Geometry, isOn: ReturnType<typeof emphasis>): readonly Curve[] {
  const boxOf = new Map<string, string>();
  for (const card of cards.values()) boxOf.set(card.id, boxes.find(box => card.x >= box.x && card.x <= box.x + box.width && card.y >= box.y && card.y <= box.y + box.height)?.group ?? '');
  const chosen = curves.filter(({ pair }) => isOn.strong(pair));
  if (chosen.length > 0) return chosen;
  return [...curves.filter(({ pair }) => boxOf.get(pair.source) === boxOf.get(pair.destination)), ...bundles];
}

/** Whether a node or line stands out; everything does where nothing is chosen. */
function emphasis({ curves }: Geometry, { focus, pair, hovered, hoveredPair }: Highlight): { readonly node: (id: string) => boolean; readonly pair: (pair: Pair) => boolean; readonly strong: (pair: Pair) => boolean } {
  const centre = hovered ?? focus;
  const line = hoveredPair ?? pair;
  if (line !== undefined && hovered === undefined) {
    const [source, destination] = line.split('\n');
    return { node: id => id === source || id === destination, pair: each => each.key === line, strong: each => each.key === line };
  }
  if (centre === undefined) return { node: () => true, pair: () => true, strong: () => false };
  const near = new Set([centre, ...curves.flatMap(({ pair: { source, destination } }) => (source === centre ? [destination] : destination === centre ? [source] : []))]);
  const touches = (each: Pair) => each.source === centre || each.destination === centre;
  return { node: id => near.has(id), pair: touches, strong: touches };
}

function paintBoxes(canvas: CanvasRenderingContext2D, { boxes }: Geometry, { scale }: Camera, theme: Theme): void {
  canvas.lineWidth = 1 / scale;
  for (const { x, y, width, height } of boxes) {
    canvas.beginPath();
    canvas.roundRect(x, y, width, height, 16);
    canvas.fillStyle = theme.box;
    canvas.fill();
    canvas.strokeStyle = theme.boxLine;
    canvas.stroke();
  }
}

/** Over the lines; they keep a size that can be read, as far as their box has room. */
function paintTitles(canvas: CanvasRenderingContext2D, { boxes }: Geometry, { scale }: Camera, theme: Theme): void {
  canvas.textBaseline = 'alphabetic';
  for (const { group, x, y, width } of boxes) {
    const title = groupTitle(group);
    const size = Math.max(13, Math.min(11.5 / scale, 40, (width - 28) / (title.length * 0.6)));
    canvas.font = `600 ${size}px ${theme.font}`;
    canvas.fillStyle = theme.dim;
    canvas.fillText(shorten(canvas, title, width - 20), x + 20, y + size * 0.75 + 16);
  }
}

interface Stroke { readonly curve: Curve; readonly style: Style; readonly width: number; readonly level: 0 | 1 | 2 }

/** Each curve by itself: a path of a thousand that cross each other takes the rasteriser eight times as long. */
function paintLines(canvas: CanvasRenderingContext2D, curves: readonly Curve[], { scale }: Camera, theme: Theme, isOn: ReturnType<typeof emphasis>): void {
  const strokes = curves.flatMap(curve => stylesOf(curve.pair).map((style): Stroke => ({ curve, style, width: widthOf(curve.pair.rate), level: isOn.strong(curve.pair) ? 2 : isOn.pair(curve.pair) ? 1 : 0 })));
  strokes.sort((a, b) => a.level - b.level || order[a.style] - order[b.style] || a.width - b.width);
  // Many lines are each fainter: together they say where much is.
  const plainAlpha = 0.62 * Math.min(1, Math.max(0.45, (160 / curves.length) ** 0.35));
  canvas.lineCap = 'round';
  let look: Stroke | undefined;
  for (const stroke of strokes) {
    const { style, width, level } = stroke;
    if (look?.style !== style || look.level !== level || look.width !== width) {
      canvas.globalAlpha = level === 0 ? 0.1 : level === 2 ? 1 : style === 'plain' ? plainAlpha : 0.9;
      canvas.strokeStyle = style === 'dropped' ? theme.dropped : style === 'audited' ? theme.audited : level === 2 ? theme.accent : theme.line;
      canvas.lineWidth = Math.max(width, 0.7 / scale) + (level === 2 ? 0.6 : 0);
      canvas.setLineDash(style === 'dropped' ? [7, 5] : []);
      look = stroke;
    }
    canvas.beginPath();
    trace(canvas, stroke.curve, scale);
    canvas.stroke();
  }
  canvas.setLineDash([]);
  canvas.globalAlpha = 1;
}

const order = { plain: 0, audited: 1, dropped: 2 } as const;

/** What was dropped lies over what passed. */
function stylesOf({ forwarded, dropped, audited, requests, bytes }: Pair): readonly Style[] {
  const styles: Style[] = [];
  if (forwarded + requests > 0 || (bytes > 0 && audited + dropped === 0)) styles.push('plain');
  if (audited > 0) styles.push('audited');
  if (dropped > 0) styles.push('dropped');
  return styles.length === 0 ? ['plain'] : styles;
}

/** Four widths, by tens. */
export function widthOf(rate: number): number {
  return rate < 1 ? 1.2 : rate < 10 ? 1.8 : rate < 100 ? 2.6 : 3.6;
}

function trace(path: CanvasRenderingContext2D, { points: [x0, y0, x1, y1, x2, y2, x3, y3] }: Curve, scale: number): void {
  path.moveTo(x0, y0);
  path.bezierCurveTo(x1, y1, x2, y2, x3, y3);
  if (scale < 0.3) return;
  const side = x2 < x3 ? -1 : 1;
  path.moveTo(x3 + side * 7, y3 - 4);
  path.lineTo(x3 + side * 1, y3);
  path.lineTo(x3 + side * 7, y3 + 4);
}

function paintCards(canvas: CanvasRenderingContext2D, { cards }: Geometry, { nodes }: Scene, { scale }: Camera, theme: Theme, highlight: Highlight, isOn: ReturnType<typeof emphasis>): void {
  const chosen = new Set([highlight.focus, highlight.cursor].filter(id => id !== undefined));
  for (const card of cards.values()) {
    const { x, y, width, height, id } = card;
    canvas.globalAlpha = isOn.node(id) ? 1 : 0.28;
    canvas.beginPath();
    canvas.roundRect(x, y, width, height, 10);
    canvas.fillStyle = theme.card;
    canvas.fill();
    const stands = chosen.has(id) || highlight.hovered === id;
    canvas.lineWidth = stands ? 2 : Math.max(1, 0.6 / scale);
    canvas.strokeStyle = stands ? theme.accent : theme.cardLine;
    canvas.stroke();
    if (highlight.cursor === id) paintRing(canvas, card, theme);
    if (scale >= textScale) paintText(canvas, card, nodes.get(id)!, scale, theme);
  }
  canvas.globalAlpha = 1;
}

function paintRing(canvas: CanvasRenderingContext2D, { x, y, width, height }: Card, theme: Theme): void {
  canvas.beginPath();
  canvas.roundRect(x - 4, y - 4, width + 8, height + 8, 13);
  canvas.strokeStyle = theme.accent;
  canvas.lineWidth = 2;
  canvas.stroke();
}

function paintText(canvas: CanvasRenderingContext2D, { x, y, width, height }: Card, node: MapNode, scale: number, theme: Theme): void {
  canvas.textBaseline = 'alphabetic';
  canvas.fillStyle = theme.text;
  if (scale < glyphScale) {
    canvas.font = `600 25px ${theme.font}`;
    canvas.fillText(shorten(canvas, node.name, width - 20), x + 10, y + 34);
    return;
  }
  const hasDetail = scale >= detailScale;
  paintGlyph(canvas, node, x + 24, y + height / 2, theme);
  canvas.fillStyle = theme.text;
  canvas.font = `600 ${hasDetail ? 13.5 : 16}px ${theme.font}`;
  canvas.fillText(shorten(canvas, node.name, width - 54), x + 44, y + (hasDetail ? 22 : 31));
  if (!hasDetail) return;
  canvas.fillStyle = theme.dim;
  canvas.font = `400 11.5px ${theme.font}`;
  canvas.fillText(shorten(canvas, kindText(node), width - 54), x + 44, y + 38);
}

export function kindText(node: MapNode): string {
  switch (node.kind) {
    case 'workload': return node.workloadKind ?? 'Workload';
    case 'pod': return 'Pod';
    case 'name': return 'DNS name';
    case 'cidr': return 'Network';
    case 'node': return 'Node';
    case 'reserved': return node.name === 'world' ? 'Any other address' : 'Reserved';
  }
}

/** A quiet sign for what it is; drawn, since fonts have no such signs everywhere. */
function paintGlyph(canvas: CanvasRenderingContext2D, node: MapNode, x: number, y: number, theme: Theme): void {
  canvas.save();
  canvas.strokeStyle = theme.accent;
  canvas.globalAlpha *= 0.85;
  canvas.lineWidth = 1.6;
  canvas.beginPath();
  switch (node.kind) {
    case 'workload': case 'pod':
      if (node.workloadKind === 'StatefulSet') {
        canvas.ellipse(x, y - 5, 8, 3, 0, 0, 7);
        canvas.moveTo(x - 8, y - 5);
        canvas.lineTo(x - 8, y + 5);
        canvas.ellipse(x, y + 5, 8, 3, 0, Math.PI, 0, true);
        canvas.lineTo(x + 8, y - 5);
        break;
      }
      for (let i = 0; i < 6; i++) canvas.lineTo(x + 9 * Math.cos(Math.PI / 6 + i * Math.PI / 3), y + 9 * Math.sin(Math.PI / 6 + i * Math.PI / 3));
      canvas.closePath();
      break;
    case 'node':
      canvas.roundRect(x - 8, y - 7, 16, 6, 2);
      canvas.roundRect(x - 8, y + 1, 16, 6, 2);
      break;
    default:
      canvas.arc(x, y, 8.5, 0, 7);
      canvas.moveTo(x - 8.5, y);
      canvas.lineTo(x + 8.5, y);
      canvas.moveTo(x, y - 8.5);
      canvas.ellipse(x, y, 3.8, 8.5, 0, -Math.PI / 2, Math.PI * 1.5);
  }
  canvas.stroke();
  canvas.restore();
}

/** How many were dropped, on the line itself: the one thing that is looked for. */
function paintLabels(canvas: CanvasRenderingContext2D, curves: readonly Curve[], { cards }: Geometry, { scale }: Camera, theme: Theme, isOn: ReturnType<typeof emphasis>): void {
  const size = Math.min(26, Math.max(11.5, 10.5 / scale));
  canvas.font = `600 ${size}px ${theme.font}`;
  canvas.textBaseline = 'middle';
  canvas.textAlign = 'center';
  const labels: Rect[] = [];
  for (const { pair, points } of curves) {
    const isStrong = isOn.strong(pair);
    if (!isStrong && (pair.dropped === 0 || scale < 0.22)) continue;
    if (!isOn.pair(pair)) continue;
    const text = pair.dropped > 0 ? `${pair.dropped.toLocaleString('en')} dropped` : scale >= detailScale ? `${portsText(pair)} · ${rateText(pair.rate)}` : '';
    if (text === '') continue;
    const width = canvas.measureText(text).width + size * 1.3;
    const [x, y] = freePlace(points, [...cards.values(), ...labels], width, size * 1.7);
    labels.push({ x: x - width / 2, y: y - size * 0.85, width, height: size * 1.7 });
    canvas.beginPath();
    canvas.roundRect(x - width / 2, y - size * 0.85, width, size * 1.7, size);
    canvas.fillStyle = pair.dropped > 0 ? theme.dropped : theme.card;
    canvas.fill();
    if (pair.dropped === 0) {
      canvas.strokeStyle = theme.cardLine;
      canvas.lineWidth = 1;
      canvas.stroke();
    }
    canvas.fillStyle = pair.dropped > 0 ? theme.badge : theme.text;
    canvas.fillText(text, x, y + size * 0.06);
  }
  canvas.textAlign = 'start';
}

/** On the line, near its middle, where it hides no card or other label as far as there is such a place. */
function freePlace(points: Curve['points'], taken: readonly Rect[], width: number, height: number): readonly [number, number] {
  for (const t of [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.18, 0.82]) {
    const [x, y] = onCurve(points, t);
    const isFree = taken.every(card => x + width / 2 < card.x || x - width / 2 > card.x + card.width || y + height / 2 < card.y || y - height / 2 > card.y + card.height);
    if (isFree) return [x, y];
  }
  return onCurve(points, 0.5);
}

export function portsText({ edges }: Pair): string {
  const [first] = edges;
  if (!first) return '';
  const text = `${first.l7 ?? first.protocol}${first.port === 0 ? '' : ` ${first.port}`}`;
  return edges.length === 1 ? text : `${text} +${edges.length - 1}`;
}

const shortened = new Map<string, string>();

/** With … where it is too long. Remembered: measuring text is what a picture spends its time on. */
function shorten(canvas: CanvasRenderingContext2D, text: string, width: number): string {
  const key = `${canvas.font}\n${Math.round(width)}\n${text}`;
  const known = shortened.get(key);
  if (known !== undefined) return known;
  let short = text;
  if (canvas.measureText(text).width > width) {
    let [low, high] = [0, text.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (canvas.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
      else high = middle - 1;
    }
    short = `${text.slice(0, low)}…`;
  }
  if (shortened.size > 5000) shortened.clear();
  shortened.set(key, short);
  return short;
}

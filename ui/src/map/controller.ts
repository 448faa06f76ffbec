import { fitted, showing, toMap, zoomed, type Camera } from './camera.ts';
import { around, at, geometryOf, isFar, nextCard, type Card, type Geometry } from './geometry.ts';
import type { Highlight } from './paint.ts';
import type { Places } from './layout.ts';
import { Renderer } from './renderer.ts';
import type { Scene } from './scene.ts';
import { readTheme } from './theme.ts';

export interface Hovered {
  readonly node?: string;
  readonly pair?: string;
  /** On the canvas, CSS pixels. */
  readonly x: number;
  readonly y: number;
}

export interface MapEvents {
  onHover(hovered: Hovered | undefined): void;
  onOpenNode(id: string): void;
  onOpenPair(source: string, destination: string): void;
  onClose(): void;
  onCursor(id: string | undefined): void;
}

const emptyScene: Scene = { nodes: new Map(), pairs: [], seconds: 0 };
const clickReach = 5;
const wheelZoom = 0.0016;

/** The map's canvas under mouse, fingers and keys. What it shows is set from outside. */
export class MapController {
  readonly renderer: Renderer;
  readonly #canvas: HTMLCanvasElement;
  readonly #events: MapEvents;
  #scene = emptyScene;
  #geometry: Geometry = geometryOf(emptyScene, { cards: {}, boxes: {} });
  #theme = readTheme();
  #highlight: Highlight = {};
  #camera: Camera = { x: 0, y: 0, scale: 1 };
  #width = 0;
  #height = 0;
  /** Nobody has moved the map yet: it fits itself. */
  #fitsItself = true;
  #hovered: Hovered | undefined;
  #cursor: string | undefined;
  readonly #pointers = new Map<number, { readonly x: number; readonly y: number }>();
  #pressed: { readonly x: number; readonly y: number } | undefined;
  #hasMoved = false;
  readonly #leaving = new AbortController();

  constructor(canvas: HTMLCanvasElement, events: MapEvents) {
    this.#canvas = canvas;
    this.#events = events;
    this.renderer = new Renderer(canvas);
    const options = { signal: this.#leaving.signal };
    canvas.addEventListener('pointerdown', event => this.#press(event), options);
    canvas.addEventListener('pointermove', event => this.#move(event), options);
    canvas.addEventListener('pointerup', event => this.#release(event), options);
    canvas.addEventListener('pointercancel', event => this.#pointers.delete(event.pointerId), options);
    canvas.addEventListener('pointerleave', () => this.#hover(undefined), options);
    canvas.addEventListener('wheel', event => this.#wheel(event), { ...options, passive: false });
    canvas.addEventListener('dblclick', event => this.zoom(1.6, event.offsetX, event.offsetY), options);
    canvas.addEventListener('keydown', event => this.#key(event), options);
    canvas.addEventListener('blur', () => this.#setCursor(undefined), options);
  }

  /** Nobody has moved the map yet. */
  get fitsItself(): boolean {
    return this.#fitsItself;
  }

  get geometry(): Geometry {
    return this.#geometry;
  }

  get camera(): Camera {
    return this.#camera;
  }

  dispose(): void {
    this.#leaving.abort();
    this.renderer.dispose();
  }

  resize(width: number, height: number): void {
    [this.#width, this.#height] = [width, height];
    this.renderer.resize(width, height);
    if (this.#fitsItself) this.fit();
  }

  show(scene: Scene, places: Places): void {
    this.#scene = scene;
    this.#geometry = geometryOf(scene, places);
    this.#paint();
    if (this.#fitsItself) this.fit();
  }

  highlight(highlight: Pick<Highlight, 'focus' | 'pair'>): void {
    const { focus: _, pair: __, ...rest } = this.#highlight;
    this.#highlight = { ...rest, ...highlight };
    this.#paint();
  }

  recolour(): void {
    this.#theme = readTheme();
    this.#paint();
  }

  /** All of it; until somebody moves the map, it goes on doing so. */
  fit(): void {
    this.#fitsItself = true;
    this.#look(fitted(this.#geometry.bounds, this.#width, this.#height), false);
  }

  /** A node and those it talks to. */
  fitAround(id: string): void {
    const near = new Set(this.#scene.pairs.flatMap(({ source, destination }) => (source === id || destination === id ? [source, destination] : [])).concat(id));
    const cards = [...near].flatMap(each => this.#geometry.cards.get(each) ?? []);
    if (cards.length > 0) this.#moved(fitted(around(cards), this.#width, this.#height), false);
  }

  zoom(factor: number, x = this.#width / 2, y = this.#height / 2): void {
    this.#moved(zoomed(this.#camera, factor, x, y));
  }

  #paint(): void {
    this.renderer.show({ geometry: this.#geometry, scene: this.#scene, theme: this.#theme, highlight: this.#highlight });
  }

  #look(camera: Camera, isMoving: boolean): void {
    this.#camera = camera;
    this.renderer.look(camera, isMoving);
  }

  #moved(camera: Camera, isMoving = true): void {
    this.#fitsItself = false;
    this.#look(camera, isMoving);
  }

  // ---- mouse and fingers ----

  #press(event: PointerEvent): void {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    this.#pressed = { x: event.offsetX, y: event.offsetY };
    this.#hasMoved = this.#pointers.size > 1;
  }

  #move(event: PointerEvent): void {
    const before = this.#pointers.get(event.pointerId);
    const now = { x: event.offsetX, y: event.offsetY };
    if (!before) return this.#hoverAt(now.x, now.y);
    this.#pointers.set(event.pointerId, now);
    if (this.#pointers.size === 2) {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)![1];
      const by = Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
      return this.#moved(zoomed(this.#camera, by, (now.x + other.x) / 2, (now.y + other.y) / 2));
    }
    if (!this.#hasMoved && this.#pressed && Math.hypot(now.x - this.#pressed.x, now.y - this.#pressed.y) < clickReach) return;
    this.#hasMoved = true;
    this.#hover(undefined);
    this.#moved({ ...this.#camera, x: this.#camera.x + now.x - before.x, y: this.#camera.y + now.y - before.y });
  }

  #release(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId);
    if (this.#hasMoved) return;
    const { card, curve } = this.#at(event.offsetX, event.offsetY);
    // A panel comes and everything moves: what was pointed at is elsewhere.
    this.#hover(undefined);
    if (card) this.#events.onOpenNode(card.id);
    else if (curve) this.#events.onOpenPair(curve.pair.source, curve.pair.destination);
    else this.#events.onClose();
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    // Two fingers on a touchpad pan; a wheel, or a pinch (which comes with ctrl), zooms.
    const isPan = !event.ctrlKey && event.deltaMode === 0 && event.deltaX !== 0;
    if (isPan) return this.#moved({ ...this.#camera, x: this.#camera.x - event.deltaX, y: this.#camera.y - event.deltaY });
    const delta = event.deltaY * (event.deltaMode === 1 ? 16 : 1) * (event.ctrlKey ? 5 : 1);
    this.zoom(Math.exp(-delta * wheelZoom), event.offsetX, event.offsetY);
  }

  #at(x: number, y: number): ReturnType<typeof at> {
    const [mapX, mapY] = toMap(this.#camera, x, y);
    // From afar, a line between boxes is none that could be pointed at.
    const { cards, curves } = this.#geometry;
    return at(isFar(this.#geometry, this.#camera.scale) ? { cards, curves: [] } : { cards, curves }, mapX, mapY, 7 / this.#camera.scale);
  }

  #hoverAt(x: number, y: number): void {
    const { card, curve } = this.#at(x, y);
    this.#canvas.style.cursor = card || curve ? 'pointer' : 'grab';
    this.#hover(card ? { node: card.id, x, y } : curve ? { pair: curve.pair.key, x, y } : undefined);
  }

  #hover(hovered: Hovered | undefined): void {
    const isSame = this.#hovered?.node === hovered?.node && this.#hovered?.pair === hovered?.pair;
    if (isSame) return;
    this.#hovered = hovered;
    const { hovered: _, hoveredPair: __, ...rest } = this.#highlight;
    this.#highlight = { ...rest, ...(hovered?.node !== undefined && { hovered: hovered.node }), ...(hovered?.pair !== undefined && { hoveredPair: hovered.pair }) };
    this.#paint();
    this.#events.onHover(hovered);
  }

  // ---- keys ----

  #key(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const cursor = this.#cursor === undefined ? undefined : this.#geometry.cards.get(this.#cursor);
    const arrows = { ArrowLeft: 'left', ArrowRight: 'right', ArrowUp: 'up', ArrowDown: 'down' } as const;
    const arrow = arrows[event.key as keyof typeof arrows];
    if (arrow) this.#toCard(nextCard(this.#geometry, cursor, arrow) ?? cursor);
    else if (event.key === 'Tab') {
      const next = this.#inOrder(cursor, event.shiftKey ? -1 : 1);
      // Past the last one, focus goes on to what follows the map.
      if (!next) return this.#setCursor(undefined);
      this.#toCard(next);
    } else if ((event.key === 'Enter' || event.key === ' ') && cursor) this.#events.onOpenNode(cursor.id);
    else if (event.key === '+' || event.key === '=') this.zoom(1.25);
    else if (event.key === '-') this.zoom(0.8);
    else if (event.key === 'f' || event.key === '0') this.fit();
    else if (event.key === 'Escape' && cursor) this.#setCursor(undefined);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #inOrder(cursor: Card | undefined, step: 1 | -1): Card | undefined {
    const cards = [...this.#geometry.cards.values()].sort((a, b) => a.x - b.x || a.y - b.y);
    if (!cursor) return step > 0 ? cards[0] : undefined;
    return cards[cards.findIndex(card => card.id === cursor.id) + step];
  }

  #toCard(card: Card | undefined): void {
    if (!card) return;
    this.#setCursor(card.id);
    this.#moved(showing(this.#camera, card, this.#width, this.#height));
  }

  #setCursor(id: string | undefined): void {
    this.#cursor = id;
    const { cursor: _, ...rest } = this.#highlight;
    this.#highlight = { ...rest, ...(id !== undefined && { cursor: id }) };
    this.#paint();
    this.#events.onCursor(id);
  }
}


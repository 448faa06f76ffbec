import type { Camera } from './camera.ts';
import type { Geometry } from './geometry.ts';
import { paint, type Highlight } from './paint.ts';
import type { Scene } from './scene.ts';
import type { Theme } from './theme.ts';

export interface Picture {
  readonly geometry: Geometry;
  readonly scene: Scene;
  readonly theme: Theme;
  readonly highlight: Highlight;
}

/** A whole picture that takes longer than this is not painted for each frame of a movement. */
const slowMs = 9;
const settleMs = 90;
/** Painted beyond the edges, as a share of the size: a movement has something to bring in. */
const margin = 0.2;

/**
 * Paints when something has changed and not otherwise. A large map is painted once into a layer; while it is moved or zoomed the
 * layer is, and the sharp picture follows when the movement rests.
 */
export class Renderer {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #layer = document.createElement('canvas');
  readonly #layerContext: CanvasRenderingContext2D;
  #layerCamera: Camera | undefined;
  #picture: Picture | undefined;
  #camera: Camera = { x: 0, y: 0, scale: 1 };
  #width = 0;
  #height = 0;
  #ratio = 1;
  #frame = 0;
  #isStale = true;
  #lastMs = 0;
  #movedAt = -Infinity;
  #settle: ReturnType<typeof setTimeout> | undefined;
  /** How long the last paintings took, milliseconds: what tests and the curious read. */
  readonly times: { whole: number; moved: number } = { whole: 0, moved: 0 };

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { alpha: false })!;
    this.#layerContext = this.#layer.getContext('2d', { alpha: false })!;
  }

  resize(width: number, height: number): void {
    this.#ratio = Math.min(2, devicePixelRatio || 1);
    [this.#width, this.#height] = [width, height];
    for (const [canvas, share] of [[this.#canvas, 1], [this.#layer, 1 + 2 * margin]] as const) {
      canvas.width = Math.round(width * share * this.#ratio);
      canvas.height = Math.round(height * share * this.#ratio);
    }
    this.#isStale = true;
    this.#ask();
  }

  show(picture: Picture): void {
    this.#picture = picture;
    this.#isStale = true;
    this.#ask();
  }

  look(camera: Camera, isMoving: boolean): void {
    this.#camera = camera;
    if (isMoving) this.#movedAt = performance.now();
    this.#ask();
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#settle);
  }

  #ask(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    this.#frame = 0;
    if (!this.#picture || this.#width === 0) return;
    const started = performance.now();
    const isMoving = started - this.#movedAt < settleMs;
    const moved = this.#layerCamera === undefined || this.#layerCamera.x !== this.#camera.x || this.#layerCamera.y !== this.#camera.y || this.#layerCamera.scale !== this.#camera.scale;
    const mayWait = isMoving && this.#lastMs > slowMs && this.#layerCamera !== undefined;
    if ((this.#isStale || moved) && !mayWait) this.#paintLayer();
    this.#show();
    const took = performance.now() - started;
    if (mayWait) {
      this.times.moved = took;
      clearTimeout(this.#settle);
      this.#settle = setTimeout(() => this.#ask(), settleMs);
    } else {
      this.times.whole = took;
    }
  }

  #paintLayer(): void {
    const { geometry, scene, theme, highlight } = this.#picture!;
    const started = performance.now();
    const context = this.#layerContext;
    context.setTransform(this.#ratio, 0, 0, this.#ratio, this.#width * margin * this.#ratio, this.#height * margin * this.#ratio);
    context.fillStyle = theme.ground;
    context.fillRect(-this.#width * margin, -this.#height * margin, this.#width * (1 + 2 * margin), this.#height * (1 + 2 * margin));
    const { x, y, scale } = this.#camera;
    const view = { x: (-this.#width * margin - x) / scale, y: (-this.#height * margin - y) / scale, width: this.#width * (1 + 2 * margin) / scale, height: this.#height * (1 + 2 * margin) / scale };
    paint(context, geometry, scene, this.#camera, view, theme, highlight);
    this.#layerCamera = this.#camera;
    this.#isStale = false;
    this.#lastMs = performance.now() - started;
  }

  /** The layer, moved to where the camera is by now. */
  #show(): void {
    const [from, to] = [this.#layerCamera!, this.#camera];
    const by = to.scale / from.scale;
    const context = this.#context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    const isSame = by === 1 && from.x === to.x && from.y === to.y;
    if (!isSame) {
      context.fillStyle = this.#picture!.theme.ground;
      context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    }
    const x = (to.x - from.x * by - this.#width * margin * by) * this.#ratio;
    const y = (to.y - from.y * by - this.#height * margin * by) * this.#ratio;
    context.imageSmoothingEnabled = by !== 1;
    context.drawImage(this.#layer, by === 1 ? Math.round(x) : x, by === 1 ? Math.round(y) : y, this.#layer.width * by, this.#layer.height * by);
  }
}

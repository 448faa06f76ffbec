import type { Rect } from './geometry.ts';

/** What part of the map is seen: screen = map × scale + (x, y), CSS pixels. */
export interface Camera {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
}

export const minScale = 0.06;
export const maxScale = 2;

/** Room for the buttons above. */
const top = 62;

export function fitted(bounds: Rect, width: number, height: number): Camera {
  const margin = Math.min(36, width / 16);
  const [wide, high] = [width - 2 * margin, Math.max(80, height - top - margin)];
  const scale = Math.max(minScale, Math.min(1.15, wide / bounds.width, high / bounds.height));
  return { scale, x: (width - bounds.width * scale) / 2 - bounds.x * scale, y: top + (high - bounds.height * scale) / 2 - bounds.y * scale };
}

/** The point of the map under (x, y) stays there. */
export function zoomed(camera: Camera, factor: number, x: number, y: number): Camera {
  const scale = Math.max(minScale, Math.min(maxScale, camera.scale * factor));
  const by = scale / camera.scale;
  return { scale, x: x - (x - camera.x) * by, y: y - (y - camera.y) * by };
}

export function toMap({ x, y, scale }: Camera, screenX: number, screenY: number): readonly [number, number] {
  return [(screenX - x) / scale, (screenY - y) / scale];
}

/** Moved as little as shows the rectangle whole. */
export function showing(camera: Camera, rect: Rect, width: number, height: number): Camera {
  const margin = 32;
  const left = rect.x * camera.scale + camera.x;
  const top = rect.y * camera.scale + camera.y;
  const by = (start: number, size: number, room: number) => (start < margin ? margin - start : start + size > room - margin ? room - margin - start - size : 0);
  return { ...camera, x: camera.x + by(left, rect.width * camera.scale, width), y: camera.y + by(top, rect.height * camera.scale, height) };
}

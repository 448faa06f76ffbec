/**
 * The cleaned reading of a path (l7-path.ts) by steps of an automaton, as bpf/lib/http_second_reading.h takes them: nothing is written
 * down but the states behind the slashes, to which `.` and `..` lead back.
 */
import { mayDiffer } from './l7-path.ts';

/** Of a request line up to the end of its target: what the kernel keeps of it. */
export const longestLine = 512;
/** Slashes of a path that has two readings. */
export const deepest = 31;

const kinds = { empty: 0, dot: 1, dots: 2, other: 3, dotWithParameters: 4, dotsWithParameters: 5 } as const;

/** Whether the kernel can tell how servers read the path that clean paths up; else it refuses what may be read in two ways. */
export function kernelReadsTwice({ method, path }: { readonly method: string; readonly path: string }): boolean {
  return !mayDiffer(path) || (method.length + 1 + path.length <= longestLine && secondReadingBy(path, 0, () => 0) !== tooDeep);
}

/** A path that leads above the root, or ends a string (%00). */
export const nowhere = Symbol('nowhere');
export const tooDeep = Symbol('too deep');

export function secondReadingBy<State>(path: string, start: State, step: (state: State, byte: number) => State): State | typeof nowhere | typeof tooDeep {
  const behind: State[] = [];
  let state = start;
  let depth = 0;
  let kind: number = kinds.empty;
  /** Ends a segment that leads elsewhere; false: there is no such place. */
  const goes = (): boolean => {
    if (kind === kinds.dot || kind === kinds.dotWithParameters) state = behind[depth]!;
    if (kind === kinds.dots || kind === kinds.dotsWithParameters) {
      if (depth <= 1) return false;
      state = behind[--depth]!;
    }
    return true;
  };
  for (let i = 0; i < path.length; i++) {
    let byte = path.charCodeAt(i);
    if (byte === 0x3f) {
      if (!goes()) return nowhere;
      for (; i < path.length; i++) state = step(state, path.charCodeAt(i));
      return state;
    }
    if (byte === 0x25 && /^[0-9a-fA-F]{2}/.test(path.slice(i + 1))) {
      const plain = Number.parseInt(path.slice(i + 1, i + 3), 16);
      if (plain === 0) return nowhere;
      if (/[A-Za-z0-9._~/\\-]/.test(String.fromCharCode(plain))) {
        byte = plain;
        i += 2;
      }
    }
    if (byte === 0x5c) byte = 0x2f;
    if (byte !== 0x2f) {
      kind = kindAfter(kind, byte);
      state = step(state, byte);
      continue;
    }
    if (depth === 0 || kind === kinds.other) {
      if (depth === deepest) return tooDeep;
      behind[++depth] = state = step(state, byte);
    } else if (!goes()) return nowhere;
    kind = kinds.empty;
  }
  return goes() ? state : nowhere;
}

function kindAfter(kind: number, byte: number): number {
  if (byte === 0x2e) return kind === kinds.empty ? kinds.dot : kind === kinds.dot ? kinds.dots : kind >= kinds.dotWithParameters ? kind : kinds.other;
  if (byte === 0x3b && kind === kinds.dot) return kinds.dotWithParameters;
  if (byte === 0x3b && kind === kinds.dots) return kinds.dotsWithParameters;
  return kind >= kinds.dotWithParameters ? kind : kinds.other;
}

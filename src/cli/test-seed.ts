/** What random tests begin with. Loaded before every test file: it needs little. */
import { CirriError } from '../std/errors.ts';

/** A change is judged by what it changes, and not by luck. */
const usualSeed = 20261129;

export const newSeed = (): number => Math.floor(Math.random() * 2 ** 32);

/** @throws CirriError ERR_SEED */
export function parseSeed(text: string): number {
  const seed = Number(text);
  if (text === '' || !Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) throw new CirriError('ERR_SEED', `CIRRI_SEED=${text} is no whole number from 0 to 4294967295`);
  return seed;
}

/** `given`: CIRRI_SEED. A usual run tries the same each time, a long one something new. */
export function chooseSeed(given: string | undefined, long: boolean): number {
  if (given !== undefined) return parseSeed(given);
  return long ? newSeed() : usualSeed;
}

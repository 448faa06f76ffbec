/** For tests: paths that servers read in two ways, and those that nearly are. */
import fc from 'fast-check';

const pieces = [
  '/', '/', '//', '.', '..', '/..', '/.', '/../', '/./', ';', ';x', '..;a', '.;', '%2e', '%2E%2e', '%2f', '%2F', '%5c', '%5C', '%25', '%3f', '%00', '%', '%4', '%4g', '%%41', '%41', '%7e', '%20', '%C3%A9',
  'a', 'b', 'ab', '?', '?/..', '?%2e', '...', '.a', 'a.', '~', '_', '-', '{', '@', '`', '[', '\xfc',
] as const;

/** They begin with a slash. `but`: pieces that are left out. */
export function oddPaths(but: readonly string[] = [], maxLength = 12): fc.Arbitrary<string> {
  return fc.array(fc.constantFrom(...pieces.filter(piece => !but.includes(piece))), { maxLength }).map(parts => `/${parts.join('')}`);
}

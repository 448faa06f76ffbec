/**
 * A path as a server may read it that cleans paths up. Servers differ: nginx decodes, merges slashes and takes `..` out before it
 * looks a path up, others take it as it stands. Policy must hold for both readings, as the bytes go on unchanged; upstream's proxy
 * matches the cleaned one and rewrites. The query is not touched.
 */

/** `undefined`: there is only one reading; `null`: no client that means well sends this, as it leads above the root or ends a string (%00). */
export function secondReading(path: string): string | undefined | null {
  if (!mayDiffer(path)) return undefined;
  const query = path.indexOf('?');
  const bare = query < 0 ? path : path.slice(0, query);
  if (bare.includes('%00')) return null;
  const cleaned = withoutDots(decoded(bare).replace(/\/{2,}/g, '/'));
  if (cleaned === undefined) return null;
  const whole = query < 0 ? cleaned : cleaned + path.slice(query);
  return whole === path ? undefined : whole;
}

/** One look without a copy: nearly no path has any of it. */
export function mayDiffer(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === 0x3f) return false;
    if (code === 0x25 || code === 0x5c) return true;
    // A segment that begins with a dot, or is empty.
    if (code === 0x2f && i + 1 < path.length && (path.charCodeAt(i + 1) === 0x2e || path.charCodeAt(i + 1) === 0x2f)) return true;
  }
  return false;
}

/** Characters that need no escape, and slashes of both kinds: those that lead somewhere else. Escapes of others stay. */
function decoded(path: string): string {
  const plain = path.replace(/%([0-9a-fA-F]{2})/g, (escape, digits: string) => {
    const char = String.fromCharCode(Number.parseInt(digits, 16));
    return /[A-Za-z0-9._~/\\-]/.test(char) ? char : escape;
  });
  return plain.replaceAll('\\', '/');
}

/** `..;x` is a step up for servers that know parameters of segments. */
function withoutDots(path: string): string | undefined {
  const kept: string[] = [];
  const segments = path.split('/');
  for (const [i, segment] of segments.entries()) {
    const name = segment.startsWith('.') ? segment.replace(/;.*$/, '') : segment;
    const last = i === segments.length - 1;
    if (name === '..') {
      if (kept.length <= 1) return undefined;
      kept.pop();
      if (last) kept.push('');
    } else if (name === '.') {
      if (last) kept.push('');
    } else kept.push(segment);
  }
  return kept.join('/');
}

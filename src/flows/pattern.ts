/**
 * Hubble's name patterns. `*` stands for any run of the characters that names are made of; a final dot is of no matter;
 * case is of none either. The result is the source of a regular expression in RE2's syntax, which is to be run in linear time:
 * with many stars a backtracking engine takes for ever. Errors as upstream words them.
 */
export function fqdnPattern(patterns: readonly string[], fail: (message: string) => Error): string {
  return anyOf(patterns.map(pattern => fqdnSource(pattern, fail)));
}

/** Node names: `cluster/node`; without a slash the cluster is any; `cluster/` and `/node` leave the other half open. */
export function nodeNamePattern(patterns: readonly string[], fail: (message: string) => Error): string {
  return anyOf(patterns.map(pattern => nodeSource(pattern, fail)));
}

const nameChars = '[-0-9_a-z]';
const anyName = `(?:${nameChars}+(?:\\.${nameChars}+)*)`;

function anyOf(sources: readonly string[]): string {
  return `\\A(?:${sources.join('|')})\\z`;
}

function fqdnSource(pattern: string, fail: (message: string) => Error): string {
  const text = pattern.trim().toLowerCase().replace(/\.$/, '');
  if (text === '') throw fail('empty pattern');
  if (text.endsWith('.')) throw fail(`multiple trailing dots in pattern "${pattern}"`);
  return globSource(text, '[-.0-9_a-z]*', fail);
}

function nodeSource(pattern: string, fail: (message: string) => Error): string {
  const text = pattern.toLowerCase();
  if (text === '') throw fail('empty pattern');
  const halves = text.split('/');
  if (halves.length > 2) throw fail(`too many slashes in pattern "${pattern}"`);
  const [cluster, node] = halves.length === 1 ? ['', halves[0]!] : [halves[0]!, halves[1]!];
  const half = (part: string, star: string) => (part === '' ? anyName : globSource(part, star, fail));
  return `${half(cluster, `${nameChars}*`)}/${half(node, '[-.0-9_a-z]*')}`;
}

function globSource(text: string, star: string, fail: (message: string) => Error): string {
  if (text.includes('..')) throw fail(`"${text}" has an empty label`);
  let source = '';
  for (const char of text) {
    if (char === '*') source += star;
    else if (char === '.') source += '\\.';
    else if (/[-0-9_a-z]/.test(char)) source += char;
    else throw fail(`invalid rune in pattern "${text}": ${JSON.stringify(char)}`);
  }
  return source;
}

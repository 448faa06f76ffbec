/**
 * Hubble's name patterns. `*` stands for any run of the characters that names are made of; a final dot is of no matter;
 * case is of none either.
 */
export function globToRegExp(patterns: readonly string[], fail: (message: string) => Error): RegExp {
  return new RegExp(`^(?:${patterns.map(pattern => fqdnSource(pattern, fail)).join('|')})$`);
}

/** Node names: `cluster/node`; without a slash the cluster is any; `cluster/` and `/node` leave the other half open. */
export function nodeNamePattern(patterns: readonly string[], fail: (message: string) => Error): RegExp {
  return new RegExp(`^(?:${patterns.map(pattern => nodeSource(pattern, fail)).join('|')})$`);
}

const nameChars = '[-0-9_a-z]';
const anyName = `${nameChars}+(?:\\.${nameChars}+)*`;

function fqdnSource(pattern: string, fail: (message: string) => Error): string {
  const text = pattern.trim().toLowerCase().replace(/\.$/, '');
  if (text === '') throw fail('empty pattern');
  return globSource(text, '[-.0-9_a-z]*', fail);
}

function nodeSource(pattern: string, fail: (message: string) => Error): string {
  const text = pattern.toLowerCase();
  const slash = text.indexOf('/');
  if (text === '') throw fail('empty pattern');
  const [cluster, node] = slash < 0 ? ['', text] : [text.slice(0, slash), text.slice(slash + 1)];
  const half = (part: string) => (part === '' ? anyName : globSource(part, `${nameChars}*`, fail));
  return `${half(cluster)}/${half(node)}`;
}

function globSource(text: string, star: string, fail: (message: string) => Error): string {
  if (text.includes('..')) throw fail(`"${text}" has an empty label`);
  let source = '';
  for (const char of text) {
    if (char === '*') source += star;
    else if (char === '.') source += '\\.';
    else if (/[-0-9_a-z]/.test(char)) source += char;
    else throw fail(`"${text}" has the character ${JSON.stringify(char)}, which no name has`);
  }
  return source;
}

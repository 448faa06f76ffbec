/** One sample of the text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The samples of the text format 0.0.4, in order; what is no sample is left out. */
export function parseSamples(text: string): Sample[] {
  return text.split('\n').flatMap(line => {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/.exec(line);
    if (!found) return [];
    const [, name, labels = '', value] = found;
    return [{ name: name!, labels: parseLabels(labels), value: parseNumber(value!) }];
  });
}

function parseLabels(text: string): Record<string, string> {
  const unescaped = (value: string) => value.replace(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter));
  return Object.fromEntries([...text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name!, unescaped(value!)]));
}

function parseNumber(text: string): number {
  return text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text);
}

/** Colours by meaning. Plain when there is nobody to see them. */
export interface Paint {
  readonly host: (text: string) => string;
  readonly port: (text: string) => string;
  readonly identity: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly careful: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly strong: (text: string) => string;
}

export function createPaint(colours: boolean): Paint {
  const ansi = (code: string) => (colours ? (text: string) => `\x1b[${code}m${text}\x1b[0m` : (text: string) => text);
  return {
    host: ansi('36'),
    port: ansi('33'),
    identity: ansi('35'),
    good: ansi('32'),
    bad: ansi('31'),
    careful: ansi('33'),
    faint: ansi('2'),
    strong: ansi('1'),
  };
}

/** NO_COLOR and FORCE_COLOR (no-color.org, force-color.org), then whether it is a terminal. */
export function wantsColour(mode: string, stream: { readonly isTTY?: boolean }, env: Readonly<Record<string, string | undefined>>): boolean {
  if (mode === 'always') return true;
  if (mode === 'never' || (env['NO_COLOR'] ?? '') !== '') return false;
  if ((env['FORCE_COLOR'] ?? '') !== '' && env['FORCE_COLOR'] !== '0') return true;
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

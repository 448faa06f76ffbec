/** The colours of the canvas, as the style sheet has them. */
export interface Theme {
  readonly ground: string;
  readonly box: string;
  readonly boxLine: string;
  readonly card: string;
  readonly cardLine: string;
  readonly text: string;
  readonly dim: string;
  readonly line: string;
  readonly accent: string;
  readonly dropped: string;
  readonly audited: string;
  readonly error: string;
  readonly badge: string;
  readonly font: string;
}

const names = { ground: '--ground', box: '--map-box', boxLine: '--map-box-line', card: '--map-card', cardLine: '--map-card-line', text: '--text', dim: '--dim', line: '--map-line', accent: '--accent', dropped: '--dropped', audited: '--audited', error: '--error', badge: '--on-dropped', font: '--font' } as const;

export function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(Object.entries(names).map(([key, name]) => [key, style.getPropertyValue(name).trim()])) as unknown as Theme;
}

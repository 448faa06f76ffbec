import { escapeLabel, type CounterSeries, type Exemplar, type HistogramSeries } from './series.ts';

/** One metric as it is written out. `labels` of a series are `a="b",c="d"`, or empty. */
export type MetricFamily =
  | { readonly name: string; readonly help: string; readonly type: 'counter'; readonly series: Iterable<Pick<CounterSeries, 'labels' | 'value'> & { readonly exemplar?: Exemplar | undefined }> }
  | { readonly name: string; readonly help: string; readonly type: 'gauge'; readonly series: Iterable<{ readonly labels: string; readonly value: number }> }
  | { readonly name: string; readonly help: string; readonly type: 'histogram'; readonly series: Iterable<Pick<HistogramSeries, 'labels' | 'bounds' | 'buckets' | 'count' | 'sum'> & { readonly exemplars?: readonly (Exemplar | undefined)[] }> };

export type Format = 'text' | 'openmetrics';

export const contentTypes: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** What the scraper would rather have; text for who says nothing. */
export function negotiate(accept: string | undefined): Format {
  let best: { readonly format: Format; readonly quality: number } | undefined;
  for (const part of (accept ?? '').split(',')) {
    const [type, ...parameters] = part.split(';').map(each => each.trim());
    const format: Format | undefined = type === 'application/openmetrics-text' ? 'openmetrics' : type === 'text/plain' || type === '*/*' || type === 'text/*' ? 'text' : undefined;
    const quality = Number(parameters.find(each => each.startsWith('q='))?.slice(2) ?? 1);
    if (format !== undefined && quality > 0 && (best === undefined || quality > best.quality)) best = { format, quality };
  }
  return best?.format ?? 'text';
}

/** Lines that are written in one turn of the event loop: some hundred microseconds. */
const linesPerPiece = 500;

/** The whole text at once: for what is known to be small. */
export function expose(families: readonly MetricFamily[], format: Format): string {
  return [...exposition(families, format)].join('');
}

/**
 * Prometheus text format 0.0.4, or OpenMetrics 1.0 (exemplars, `# EOF`, a counter's name without `_total` in its head), in pieces:
 * whoever writes ten thousand series lets others have their turn in between. Families are sorted by name, as client_golang has
 * them; a family without series is left out.
 */
export function* exposition(families: readonly MetricFamily[], format: Format): Generator<string, void, undefined> {
  const lines: string[] = [];
  for (const family of [...families].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    for (const _ of writeFamily(family, format === 'openmetrics', lines)) {
      if (lines.length < linesPerPiece) continue;
      yield `${lines.join('\n')}\n`;
      lines.length = 0;
    }
  }
  if (format === 'openmetrics') lines.push('# EOF');
  if (lines.length > 0) yield `${lines.join('\n')}\n`;
}

/** Yields after each series: all of its lines are there by then. */
function* writeFamily(family: MetricFamily, isOpen: boolean, lines: string[]): Generator<void, void, undefined> {
  const bare = isOpen && family.type === 'counter' ? family.name.replace(/_total$/, '') : family.name;
  const head = [`# HELP ${bare} ${escapeHelp(family.help, isOpen)}`, `# TYPE ${bare} ${family.type}`];
  const name = isOpen && family.type === 'counter' ? `${bare}_total` : family.name;
  for (const series of family.series) {
    lines.push(...head.splice(0));
    if ('buckets' in series) writeHistogram(name, series, isOpen, lines);
    else {
      const exemplar = isOpen && 'exemplar' in series ? exemplarText(series.exemplar) : '';
      lines.push(`${name}${series.labels === '' ? '' : `{${series.labels}}`} ${numberText(series.value)}${exemplar}`);
    }
    yield;
  }
}

function writeHistogram(name: string, series: Extract<MetricFamily, { type: 'histogram' }>['series'] extends Iterable<infer S> ? S : never, isOpen: boolean, lines: string[]): void {
  const { labels, bounds, buckets, exemplars } = series;
  const before = labels === '' ? '' : `${labels},`;
  let sum = 0;
  for (let i = 0; i <= bounds.length; i++) {
    sum += buckets[i] ?? 0;
    const bound = i === bounds.length ? '+Inf' : isOpen ? floatText(bounds[i]!) : numberText(bounds[i]!);
    lines.push(`${name}_bucket{${before}le="${bound}"} ${sum}${isOpen ? exemplarText(exemplars?.[i]) : ''}`);
  }
  const shown = labels === '' ? '' : `{${labels}}`;
  lines.push(`${name}_sum${shown} ${numberText(series.sum)}`, `${name}_count${shown} ${series.count}`);
}

function exemplarText(exemplar: Exemplar | undefined): string {
  return exemplar === undefined ? '' : ` # {${exemplar.labels}} ${numberText(exemplar.value)} ${exemplar.time.toFixed(3)}`;
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

/** OpenMetrics wants canonical numbers in `le`: 1.0 rather than 1. */
function floatText(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function escapeHelp(help: string, isOpen: boolean): string {
  const escaped = help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
  return isOpen ? escaped.replace(/"/g, '\\"') : escaped;
}

export type Samples = readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];

export function gauge(name: string, help: string, samples: Samples): MetricFamily {
  return { name, help, type: 'gauge', series: samples.map(([labels, value]) => ({ labels: labelText(labels), value })) };
}

export function counter(name: string, help: string, samples: Samples): MetricFamily {
  return { name, help, type: 'counter', series: samples.map(([labels, value]) => ({ labels: labelText(labels), value })) };
}

/** Labels of a series that is made at the scrape: names in the order of the alphabet, values escaped. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.keys(labels).sort().map(name => `${name}="${escapeLabel(labels[name]!)}"`).join(',');
}

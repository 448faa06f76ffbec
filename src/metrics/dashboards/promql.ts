/** The label that every target has, from prometheus.yml or from the ServiceMonitor. */
const onNodes = 'node=~"$node"';

/** `sum by (a, b) (rate(metric{node=~"$node",more}[$__rate_interval]))`. */
export function rate(metric: string, by: readonly string[] = [], more = ''): string {
  return `sum${grouping(by)}(rate(${selector(metric, more)}[$__rate_interval]))`;
}

export function selector(metric: string, more = ''): string {
  return `${metric}{${onNodes}${more === '' ? '' : `,${more}`}}`;
}

export function sum(metric: string, by: readonly string[] = [], more = ''): string {
  return `sum${grouping(by)}(${selector(metric, more)})`;
}

export function quantile(q: number, histogram: string, by: readonly string[] = [], more = ''): string {
  return `histogram_quantile(${q}, ${rate(`${histogram}_bucket`, ['le', ...by], more)})`;
}

/** The largest only: a legend of a thousand lines is none. */
export function top(count: number, expression: string): string {
  return `topk(${count}, ${expression})`;
}

/** Part of whole, 0 to 1. Where there is a whole and no part it is 0 and not nothing. */
export function share(part: string, whole: string): string {
  return `(${part} or ${whole} * 0) / (${whole} > 0)`;
}

function grouping(by: readonly string[]): string {
  return by.length === 0 ? ' ' : ` by (${by.join(', ')}) `;
}

/** A run as text and as a picture. Pure. */
import { median, ratio, type Burst, type HarnessResult, type Verdict } from './ratios.ts';

export function tableText(result: HarnessResult, mode: string, base = 'floor:0'): string {
  const cells = result.cells.filter(cell => (result.res[cell]?.[mode] ?? []).length > 0);
  const head = ['cell', 'cpu µs', 'of it agent', 'connect p50 µs', 'p50 µs', 'p99 µs', 'per s', 'errors', `× ${base}`];
  const rows = cells.map(cell => {
    const bursts = result.res[cell]?.[mode] ?? [];
    const of = (pick: (burst: Burst) => number | undefined) => median(bursts.map(burst => pick(burst) ?? 0));
    const times = ratio(result, mode, cell, base);
    return [
      cell, of(b => b.cpu_us).toFixed(1), of(b => b.aux_us).toFixed(1), of(b => b.c50) > 0 ? of(b => b.c50).toFixed(1) : '–', of(b => b.p50).toFixed(1), of(b => b.p99).toFixed(0), of(b => b.rate).toFixed(0),
      String(bursts.reduce((all, b) => all + (b.err ?? 0), 0)), times ? `${times.median.toFixed(2)} (${times.low.toFixed(2)}–${times.high.toFixed(2)})` : '–',
    ];
  });
  const widths = head.map((text, i) => Math.max(text.length, ...rows.map(row => row[i]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((text, i) => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join(' | ')} |`;
  return [line(head), `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)].join('\n');
}

export function verdictText({ mode, what, ratio: found, limit, isUpper, isMet }: Verdict): string {
  const spread = `quarter points ${found.low.toFixed(3)}–${found.high.toFixed(3)}, ${found.rounds} rounds`;
  return `${isMet ? '✓' : '✗'} ${mode}: ${what} = ${found.median.toFixed(3)} (target ${isUpper ? '≤' : '≥'} ${limit}; ${spread})`;
}

/** Processor time an operation, a bar a cell. */
export function chart(result: HarnessResult, modes: readonly string[]): string {
  const bars = modes.flatMap(mode => result.cells
    .filter(cell => (result.res[cell]?.[mode] ?? []).length > 0)
    .map(cell => ({ mode, cell, value: median((result.res[cell]?.[mode] ?? []).map(burst => burst.cpu_us)) })));
  const [left, width, step] = [150, 420, 22];
  const rows = modes.map(mode => {
    const own = bars.filter(bar => bar.mode === mode);
    const most = Math.max(...own.map(bar => bar.value));
    return { mode, own, most };
  });
  let y = 14;
  const parts = rows.flatMap(({ mode, own, most }) => {
    const title = `<text x="8" y="${(y += 18)}" font-weight="bold">${mode}: processor µs an operation (less is better)</text>`;
    const lines = own.map(({ cell, value }) => {
      y += step;
      const length = Math.max(1, Math.round((value / most) * width));
      const colour = cell.startsWith('cirri') ? '#2563eb' : cell.startsWith('floor') ? '#9ca3af' : '#f59e0b';
      return `<text x="${left - 8}" y="${y}" text-anchor="end">${cell}</text><rect x="${left}" y="${y - 12}" width="${length}" height="15" fill="${colour}"/><text x="${left + length + 6}" y="${y}">${value.toFixed(1)}</text>`;
    });
    y += 12;
    return [title, ...lines];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="${y + 10}" font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n${parts.join('\n')}\n</svg>\n`;
}

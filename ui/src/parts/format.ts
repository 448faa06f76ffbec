/** Numbers and times as people read them. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return '0/s';
  if (perSecond < 0.95) return `${trim(perSecond * 60)}/min`;
  return `${short(perSecond)}/s`;
}

export function short(value: number): string {
  if (value < 1000) return trim(value);
  if (value < 999_500) return `${trim(value / 1000)} k`;
  return value < 1e9 ? `${trim(value / 1e6)} M` : `${trim(value / 1e9)} G`;
}

function trim(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value >= 10 || Number.isInteger(value) ? String(Math.round(value * 10) / 10) : value >= 1 ? (Math.round(value * 10) / 10).toString() : value === 0 ? '0' : value.toPrecision(1);
}

export function count(value: number): string {
  return value.toLocaleString('en');
}

export function bytes(value: number): string {
  if (value < 1024) return `${Math.round(value)} B`;
  for (const [unit, size] of [['KiB', 2 ** 10], ['MiB', 2 ** 20], ['GiB', 2 ** 30], ['TiB', 2 ** 40]] as const) if (value < size * 1024 || unit === 'TiB') return `${trim(value / size)} ${unit}`;
  return '';
}

export function nanoseconds(value: number): string {
  if (value < 1e6) return `${trim(value / 1e3)} µs`;
  return value < 1e9 ? `${trim(value / 1e6)} ms` : `${trim(value / 1e9)} s`;
}

export function percent(part: number, whole: number): string {
  if (whole === 0) return '–';
  const share = 100 * part / whole;
  return share === 0 ? '0 %' : share < 0.1 ? '< 0.1 %' : `${trim(share)} %`;
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dayClock = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** `14:03:12.345`, the browser's zone. */
export function time(rfc3339: string): string {
  return `${clock.format(new Date(rfc3339))}.${(/\.(\d{3})/.exec(rfc3339)?.[1] ?? '000')}`;
}

export function dateTime(rfc3339: string): string {
  return dayClock.format(new Date(rfc3339));
}

export function ago(rfc3339: string, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(rfc3339)) / 1000);
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86_400)} d ago`;
}

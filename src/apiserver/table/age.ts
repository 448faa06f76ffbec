/** The age of a time as kubectl prints it: two units while small, one later (apimachinery duration.HumanDuration). */
export function ageOf(time: string, now: Date): string {
  const start = Date.parse(time);
  return Number.isNaN(start) ? '<unknown>' : humanDuration((now.getTime() - start) / 1000);
}

export function humanDuration(seconds: number): string {
  const s = Math.floor(seconds);
  if (s < -1) return '<invalid>';
  if (s < 0) return '0s';
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string) => (small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`);
  const minutes = Math.floor(s / 60);
  const hours = Math.floor(s / 3600);
  const days = Math.floor(hours / 24);
  if (s < 120) return `${s}s`;
  if (minutes < 10) return pair(minutes, 'm', s % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (days < 8) return pair(days, 'd', hours % 24, 'h');
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? pair(years, 'y', days % 365, 'd') : `${years}y`;
}

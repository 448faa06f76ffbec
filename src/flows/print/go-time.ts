import { CirriError } from '../../std/errors.ts';

/** Layouts of times by the names that `--time-format` takes, as Go writes them: how it would print 15:04:05 on 2 January 2006. */
export const timeLayouts: Readonly<Record<string, string>> = {
  StampMilli: 'Jan _2 15:04:05.000',
  StampMicro: 'Jan _2 15:04:05.000000',
  StampNano: 'Jan _2 15:04:05.000000000',
  YearMonthDay: '2006-01-02',
  YearMonthDayHour: '2006-01-02T15Z07:00',
  YearMonthDayHourMinute: '2006-01-02T15:04Z07:00',
  DateTime: '2006-01-02 15:04:05',
  RFC3339: '2006-01-02T15:04:05Z07:00',
  RFC3339Milli: '2006-01-02T15:04:05.000Z07:00',
  RFC3339Micro: '2006-01-02T15:04:05.000000Z07:00',
  RFC3339Nano: '2006-01-02T15:04:05.999999999Z07:00',
  RFC1123: 'Mon, 02 Jan 2006 15:04:05 MST',
  RFC1123Z: 'Mon, 02 Jan 2006 15:04:05 -0700',
};

/** A printer of RFC 3339 times by the name of a layout, or by a layout of one's own in Go's form. All times are UTC. */
export function timeFormatter(format: string): (time: string) => string {
  const layout = Object.entries(timeLayouts).find(([name]) => name.toLowerCase() === format.toLowerCase())?.[1] ?? (/2006|15|04|05/.test(format) ? format : undefined);
  if (layout === undefined) throw new CirriError('ERR_FLAG', `--time-format ${format}: not a layout`, { mend: `known layouts: ${Object.keys(timeLayouts).join(', ')}; or one in Go's form, as 15:04:05.000` });
  const pieces = layout.split(tokens).filter(piece => piece !== '');
  return time => {
    const fields = fieldsOf(time);
    return fields === undefined ? 'N/A' : pieces.map(piece => printPiece(piece, fields)).join('');
  };
}

const tokens = /(2006|January|Monday|Jan|Mon|MST|Z07:00|-0700|-07:00|_2|01|02|03|04|05|15|PM|[.,]0+|[.,]9+)/;
const months = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

interface Fields {
  readonly date: Date;
  readonly time: string;
  /** Nine digits. */
  readonly fraction: string;
}

function fieldsOf(time: string): Fields | undefined {
  const date = new Date(time.replace(/\.\d+/, ''));
  if (Number.isNaN(date.getTime())) return undefined;
  return { date, time: date.toISOString(), fraction: (/\.(\d{1,9})/.exec(time)?.[1] ?? '').padEnd(9, '0') };
}

function printPiece(piece: string, { date, time, fraction }: Fields): string {
  const hour = date.getUTCHours();
  switch (piece) {
    case '2006': return time.slice(0, 4);
    case 'January': return months[date.getUTCMonth()]!;
    case 'Jan': return months[date.getUTCMonth()]!.slice(0, 3);
    case 'Monday': return days[date.getUTCDay()]!;
    case 'Mon': return days[date.getUTCDay()]!.slice(0, 3);
    case '01': return time.slice(5, 7);
    case '02': return time.slice(8, 10);
    case '_2': return String(date.getUTCDate()).padStart(2);
    case '15': return time.slice(11, 13);
    case '03': return String(hour % 12 === 0 ? 12 : hour % 12).padStart(2, '0');
    case '04': return time.slice(14, 16);
    case '05': return time.slice(17, 19);
    case 'PM': return hour < 12 ? 'AM' : 'PM';
    case 'MST': return 'UTC';
    case 'Z07:00': return 'Z';
    case '-0700': return '+0000';
    case '-07:00': return '+00:00';
    default: return /^[.,]0+$/.test(piece) ? piece[0]! + fraction.slice(0, piece.length - 1) : /^[.,]9+$/.test(piece) ? trimmed(piece[0]!, fraction.slice(0, piece.length - 1)) : piece;
  }
}

function trimmed(point: string, digits: string): string {
  const rest = digits.replace(/0+$/, '');
  return rest === '' ? '' : point + rest;
}

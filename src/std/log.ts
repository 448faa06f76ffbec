/**
 * Structured logs: one JSON object a line on stderr, a constant message and fields. `error`: somebody must act; `warn`:
 * degraded, mends itself; `info`: a change of state; `debug`: off unless CIRRI_LOG=debug. Never per packet.
 */
export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
  error(message: string, fields?: object): void;
  /** A logger that adds these fields to every line. */
  with(fields: object): Logger;
}

const order: readonly Level[] = ['debug', 'info', 'warn', 'error'];

export function createLogger(fields: object = {}, write: (line: string) => void = defaultWrite, minimum: Level = levelFromEnv()): Logger {
  const emit = (level: Level, message: string, more: object = {}) => {
    if (order.indexOf(level) < order.indexOf(minimum)) return;
    write(JSON.stringify({ time: new Date().toISOString(), level, message, ...fields, ...more }));
  };
  return {
    debug: (m, f) => emit('debug', m, f),
    info: (m, f) => emit('info', m, f),
    warn: (m, f) => emit('warn', m, f),
    error: (m, f) => emit('error', m, f),
    with: more => createLogger({ ...fields, ...more }, write, minimum),
  };
}

/** A logger for tests that are not about logs. */
export const silentLogger: Logger = createLogger({}, () => {}, 'error');

function defaultWrite(line: string): void {
  process.stderr.write(line + '\n');
}

function levelFromEnv(): Level {
  const level = process.env['CIRRI_LOG'];
  return order.includes(level as Level) ? (level as Level) : 'info';
}

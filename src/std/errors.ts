/**
 * An error that a user can act on. `message` says what was being done; `mend` says what to do about it; `where` names the
 * file, line and field when there is one. Entry points print it without a stack.
 */
export class CirriError extends Error {
  readonly code: string;
  readonly mend: string | undefined;
  readonly where: string | undefined;

  constructor(code: string, message: string, options: { mend?: string; where?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'CirriError';
    this.code = code;
    this.mend = options.mend;
    this.where = options.where;
  }
}

/** The message of anything thrown, with its chain of causes on one line. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  for (let e: unknown = error; e !== undefined && e !== null; e = e instanceof Error ? e.cause : undefined) {
    parts.push(e instanceof Error ? e.message : String(e));
  }
  return parts.join(': ');
}

/** What an entry point prints for an error, one fact a line. */
export function renderError(error: unknown): string {
  const lines = [errorText(error)];
  if (error instanceof CirriError) {
    if (error.where) lines[0] = `${error.where}: ${lines[0]}`;
    if (error.mend) lines.push(`  → ${error.mend}`);
  }
  return lines.join('\n');
}

/** What `up`, `down` and `test` say while they work: a line a step with its duration; on a terminal, a spinner until it is done. */
export interface Progress {
  /** Runs a step. `done` may reword it with what came out. */
  step<T>(title: string, run: () => T | Promise<T>, done?: (result: T) => string | undefined): Promise<T>;
  note(line: string): void;
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

export function createProgress(stream: NodeJS.WriteStream, options: { readonly quiet?: boolean } = {}): Progress {
  const live = stream.isTTY === true && process.env['TERM'] !== 'dumb' && !options.quiet;
  const colour = live && (process.env['NO_COLOR'] ?? '') === '';
  const paint = (code: string, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const running = new Map<symbol, string>();
  let drawn = 0;
  let timer: NodeJS.Timeout | undefined;
  let frame = 0;

  const erase = () => {
    if (drawn > 0) stream.write(`\x1b[${drawn}A\x1b[J`);
    drawn = 0;
  };
  const draw = () => {
    if (!live) return;
    erase();
    for (const title of running.values()) stream.write(`${paint('36', frames[frame % frames.length]!)} ${title}\n`);
    drawn = running.size;
  };
  const write = (line: string) => {
    if (options.quiet) return;
    erase();
    stream.write(line + '\n');
    draw();
  };
  const tick = () => {
    frame++;
    draw();
  };

  return {
    note: write,
    step: async (title, run, done) => {
      const key = Symbol(title);
      const startedAt = performance.now();
      running.set(key, title);
      if (live) timer ??= setInterval(tick, 80).unref();
      draw();
      try {
        const result = await run();
        running.delete(key);
        const text = done?.(result) ?? title;
        write(`${paint('32', '✓')} ${text} ${paint('2', `(${duration(performance.now() - startedAt)})`)}`);
        return result;
      } catch (error) {
        running.delete(key);
        write(`${paint('31', '✗')} ${title} ${paint('2', `(${duration(performance.now() - startedAt)})`)}`);
        throw error;
      } finally {
        if (running.size === 0) {
          clearInterval(timer);
          timer = undefined;
        }
      }
    },
  };
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Transform, type Duplex, type Readable, type Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { makeRaw, openPty, setWindowSize } from '../sys/pty.ts';
import { frame, frameReader } from './frames.ts';

/** A command that runs in a container for somebody who talks with it. */
export interface ExecSession {
  readonly child: ChildProcess;
  readonly input: Writable;
  /** Standard output, and standard error where it is apart. */
  readonly outputs: readonly (readonly [channel: number, stream: Readable])[];
  resize(columns: number, rows: number): void;
  /** When it has ended and all that it said has been read. */
  readonly ended: Promise<number>;
}

const endOfTransmission = Buffer.from([4]);
/** From a request to end until it is not asked any more. */
const graceMs = 3_000;
/** How long the size of a terminal is waited for. */
const sizeMs = 300;

export function pipeSession(file: string, args: readonly string[]): ExecSession {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  return { child, input: child.stdin, outputs: [[1, child.stdout], [2, child.stderr]], resize: () => {}, ended: exitOf(child) };
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/**
 * What a client with a terminal says first is its size. The command is started with it: one that asks at once would otherwise
 * get none. `early` are the frames that came with it.
 */
export function firstSize(socket: Duplex, head: Buffer): Promise<{ readonly size: TerminalSize | undefined; readonly early: Buffer }> {
  const seen: Buffer[] = [];
  return new Promise(resolve => {
    const done = (size?: TerminalSize) => {
      clearTimeout(timer);
      socket.off('data', read).off('close', gone).pause();
      resolve({ size, early: Buffer.concat(seen) });
    };
    const gone = () => done();
    const timer = setTimeout(gone, sizeMs);
    const reader = frameReader((channel, payload) => {
      const size = channel === 4 ? sizeOf(payload) : undefined;
      if (size) done(size);
    });
    const read = (bytes: Buffer) => {
      seen.push(bytes);
      try {
        reader(bytes);
      } catch (error) {
        socket.destroy(error as Error);
      }
    };
    socket.on('data', read).once('close', gone);
    read(head);
  });
}

/**
 * The container's process in a file, with another command and a terminal (OCI runtime specification, `process`): runc sets the
 * size of a terminal before the command starts only when it is written there.
 */
export function describeTerminalProcess(bundle: string, command: readonly string[], size: TerminalSize | undefined): { readonly path: string; [Symbol.dispose](): void } {
  const { process: own } = JSON.parse(readFileSync(`${bundle}/config.json`, 'utf8')) as { readonly process: object };
  const path = `${bundle}/exec-${randomUUID()}.json`;
  writeFileSync(path, JSON.stringify({ ...own, args: command, terminal: true, ...(size && { consoleSize: { height: size.rows, width: size.columns } }) }), { mode: 0o600 });
  return { path, [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

/** runc gets a terminal of ours as the one that controls it, makes the container's own, and passes on what happens to it. */
export function terminalSession(file: string, args: readonly string[], size: TerminalSize | undefined): ExecSession {
  const { master, slave } = openPty();
  let child: ChildProcess;
  try {
    // runc does so itself, but a little later than the first key may come; and it lets the outer terminal end the lines instead of
    // the container's, which has already ended the first ones: two carriage returns. So neither does but `endLines`.
    makeRaw(slave);
    if (size) setWindowSize(master, size);
    child = spawn('setsid', ['--ctty', file, ...args], { stdio: [slave, slave, slave] });
  } catch (error) {
    closeSync(master);
    throw error;
  } finally {
    closeSync(slave);
  }
  const terminal = new ReadStream(master);
  // When nobody has the other end any more, reading fails with EIO: that is its end.
  terminal.on('error', () => terminal.destroy());
  const output = endLines();
  terminal.pipe(output);
  terminal.once('close', () => output.end());
  const silent = new Promise<void>(resolve => output.once('close', () => resolve()));
  return {
    child, input: terminal, outputs: [[1, output]],
    resize: (columns, rows) => {
      if (!terminal.destroyed) setWindowSize(master, { rows, columns });
    },
    ended: exitOf(child).then(async code => {
      await silent;
      return code;
    }),
  };
}

/** A carriage return before each new line that has none. */
function endLines(): Transform {
  let last = 0;
  return new Transform({
    transform: (chunk: Buffer, _, done) => {
      const bytes: number[] = [];
      for (const byte of chunk) {
        if (byte === lineFeed && last !== carriageReturn) bytes.push(carriageReturn);
        bytes.push(byte);
        last = byte;
      }
      done(null, Buffer.from(bytes));
    },
  });
}

const lineFeed = 10;
const carriageReturn = 13;

/** Passes frames both ways until the command has ended or the client has gone, which ends the command. Whoever is slow is waited for. */
export async function talk(session: ExecSession, socket: Duplex, head: Buffer, options: { readonly stdin: boolean }): Promise<void> {
  const { child, input, outputs } = session;
  for (const [channel, stream] of outputs) {
    stream.on('data', (data: Buffer) => {
      if (!socket.write(frame(channel, data))) stream.pause();
    });
  }
  socket.on('drain', () => outputs.forEach(([, stream]) => stream.resume()));
  const isTerminal = outputs.length === 1;
  const endInput = () => {
    if (isTerminal) input.write(endOfTransmission);
    else input.end();
  };
  if (!options.stdin && !isTerminal) input.end();
  input.on('drain', () => socket.resume());
  input.on('close', () => socket.resume());
  const reader = frameReader((channel, payload) => {
    if (channel === 4) return resize(session, payload);
    if (channel !== 0 || input.writableEnded || input.destroyed) return;
    if (payload.length === 0) endInput();
    else if (!input.write(payload)) socket.pause();
  });
  const read = (bytes: Buffer) => {
    try {
      reader(bytes);
    } catch (error) {
      socket.destroy(error as Error);
    }
  };
  read(head);
  socket.on('data', read).resume();
  // Standard input ends with a frame: whoever ends the connection has gone.
  socket.on('end', () => socket.destroy());
  socket.on('close', () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    // runc passes it on to the command, which may clean up.
    child.kill('SIGTERM');
    const insist = setTimeout(() => child.kill('SIGKILL'), graceMs);
    child.once('exit', () => clearTimeout(insist));
    if (isTerminal) input.destroy();
    outputs.forEach(([, stream]) => stream.resume());
  });
  const exitCode = await session.ended;
  socket.end(frame(3, Buffer.from(JSON.stringify({ exitCode }))));
}

function resize(session: ExecSession, payload: Buffer): void {
  const size = sizeOf(payload);
  if (size) session.resize(size.columns, size.rows);
}

function sizeOf(payload: Buffer): TerminalSize | undefined {
  const { Width: columns, Height: rows } = JSON.parse(payload.toString('utf8')) as { readonly Width?: unknown; readonly Height?: unknown };
  return Number.isInteger(columns) && Number.isInteger(rows) ? { columns: Math.min(Number(columns), 0xffff), rows: Math.min(Number(rows), 0xffff) } : undefined;
}

export function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', code => resolve(code ?? 137));
  });
}

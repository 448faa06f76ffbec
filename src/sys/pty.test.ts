import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { ReadStream } from 'node:tty';
import { openPty, setWindowSize } from './pty.ts';

test('a command on the other end has a terminal of the size that it was given, and reads what is written here', async () => {
  const { master, slave } = openPty();
  setWindowSize(master, { rows: 24, columns: 80 });
  const child = spawn('/bin/sh', ['-c', 'stty size; read word; echo "got $word"'], { stdio: [slave, slave, slave] });
  closeSync(slave);
  const terminal = new ReadStream(master);
  terminal.on('error', () => terminal.destroy());
  let text = '';
  terminal.on('data', (data: Buffer) => {
    text += data.toString();
    if (text === '24 80\r\n') terminal.write('it\n');
  });
  await Promise.all([new Promise(resolve => child.on('exit', resolve)), new Promise(resolve => terminal.on('close', resolve))]);
  assert.match(text, /^24 80\r\n.*got it\r\n$/s);
});

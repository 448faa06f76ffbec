import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { freePort } from '../std/testing-port.ts';
import { forwardTcp } from './forward.ts';

const host = '127.0.0.1';

test('bytes go both ways, an end in one direction leaves the other open, and closing ends all', async () => {
  const echo = net.createServer({ allowHalfOpen: true }, socket => {
    const got: Buffer[] = [];
    socket.on('data', (data: Buffer) => got.push(data)).on('end', () => socket.end(Buffer.concat(got)));
  }).listen(0, host);
  await once(echo, 'listening');
  const port = await freePort();
  const forward = await forwardTcp({ host, port }, { host, port: (echo.address() as net.AddressInfo).port });
  const sent = Buffer.alloc(1_000_000, 'x');
  const socket = net.connect({ host, port, allowHalfOpen: true });
  socket.end(sent);
  const back: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) back.push(chunk);
  assert.ok(Buffer.concat(back).equals(sent));
  const idle = net.connect({ host, port });
  idle.on('error', () => {});
  await once(idle, 'connect');
  await forward.close();
  if (!idle.destroyed) await once(idle, 'close');
  echo.close();
});

test('where nobody listens, the connection ends', async () => {
  const port = await freePort();
  // tcpmux, which nobody has; a free port of the kernel's choice may be the same one twice, or somebody else's by now.
  const forward = await forwardTcp({ host, port }, { host, port: 1 });
  const socket = net.connect({ host, port });
  socket.on('error', () => {});
  await once(socket, 'close');
  await forward.close();
});

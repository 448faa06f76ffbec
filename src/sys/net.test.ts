import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatAddr, parseAddr } from '../std/ip.ts';
import { errnoNumber } from './errno.ts';
import { accept, bind, closeByReset, closeSocket, connect, getOption, level, listen, ownAddress, peerAddress, setLocalPorts, setOption, setTransparent, shutdownWrite, socketOption, tcpSocket } from './net.ts';
import { readSysctl } from './sysctl.ts';

const errno = (name: string): number => -errnoNumber(name)!;

for (const [family, loopback] of [[4, '127.0.0.1'], [6, '::1']] as const) {
  describe(`TCP sockets over IPv${family}`, () => {
    const here = { addr: parseAddr(loopback), port: 0 };

    function listening(): number {
      const fd = tcpSocket(family);
      assert.equal(bind(fd, here), 0);
      assert.equal(listen(fd, 8), 0);
      return fd;
    }

    test('listen, connect, accept: both ends know the two addresses', () => {
      const server = listening(), client = tcpSocket(family);
      assert.equal(accept(server), errno('EAGAIN'));
      const at = ownAddress(server)!;
      assert.equal(formatAddr(at.addr), loopback);
      assert.ok([0, errno('EINPROGRESS')].includes(connect(client, at)));
      const accepted = accept(server);
      assert.ok(accepted > 0);
      assert.equal(getOption(client, level.socket, socketOption.error), 0);
      assert.deepEqual(peerAddress(accepted), ownAddress(client));
      assert.deepEqual(ownAddress(accepted), peerAddress(client));
      assert.equal(shutdownWrite(client), 0);
      for (const fd of [server, client]) assert.equal(closeSocket(fd), 0);
      assert.equal(closeByReset(accepted), 0);
      assert.equal(closeSocket(accepted), errno('EBADF'));
    });

    test('ports of a range, chosen when connecting', () => {
      const server = listening(), at = ownAddress(server)!;
      const first = Number(readSysctl('net/ipv4/ip_local_port_range')!.split(/\s+/)[0]) + 100;
      const fds = [0, 1, 2].map(() => {
        const fd = tcpSocket(family);
        // Room enough: the kernel passes over each port that anybody has, or has had lately, at this address.
        setLocalPorts(fd, first, first + 99);
        assert.equal(bind(fd, here), 0);
        connect(fd, at);
        const { port } = ownAddress(fd)!;
        assert.ok(port >= first && port <= first + 99, `${port}`);
        return fd;
      });
      for (const fd of [...fds, server]) closeByReset(fd);
    });

    test('a transparent socket has an address of nobody here', () => {
      const fd = tcpSocket(family), nobody = { addr: parseAddr(family === 4 ? '198.51.100.7' : '2001:db8::7'), port: 4711 };
      assert.equal(bind(fd, nobody), errno('EADDRNOTAVAIL'));
      setTransparent(fd, family);
      setOption(fd, level.socket, socketOption.mark, 0xa00, 'marking');
      assert.equal(bind(fd, nobody), 0);
      assert.equal(getOption(fd, level.socket, socketOption.mark), 0xa00);
      assert.deepEqual(ownAddress(fd), nobody);
      closeSocket(fd);
    });
  });
}

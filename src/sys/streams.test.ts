import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddr } from '../std/ip.ts';
import { isErrno } from './errno.ts';
import { closeByReset, ownAddress } from './net.ts';
import { readSysctl } from './sysctl.ts';
import { connectTo, listenOn } from './streams.ts';

const [lowest = 0] = readSysctl('net/ipv4/ip_local_port_range')!.split(/\s+/).map(Number);

/** Somebody else on this machine may listen there, at all addresses. */
function isFree(port: number): boolean {
  try {
    closeByReset(listenOn({ addr: parseAddr('127.0.0.9'), port }));
    return true;
  } catch (error) {
    if (isErrno(error, 'EADDRINUSE')) return false;
    throw error;
  }
}

test('the client\'s ports are those of its range, all of them where they are few; then there is none, and the range is not looked through', () => {
  const listener = listenOn({ addr: parseAddr('127.0.0.1'), port: 0 });
  const to = ownAddress(listener)!;
  const open: number[] = [];
  const portOf = (range: readonly [number, number]) => {
    const fd = connectTo(to, { from: parseAddr('127.0.0.9'), ports: range });
    open.push(fd);
    return ownAddress(fd)!.port;
  };
  try {
    const few = [lowest + 100, lowest + 299] as const;
    const free = Array.from({ length: 200 }, (_, i) => few[0] + i).filter(isFree);
    const taken = free.map(() => portOf(few));
    assert.deepEqual(taken.sort((a, b) => a - b), free);
    assert.throws(() => portOf(few), (error: unknown) => isErrno(error, 'EADDRNOTAVAIL'));

    const many = [lowest + 1000, lowest + 4999] as const;
    const spread = Array.from({ length: 300 }, () => portOf(many));
    assert.equal(new Set(spread).size, spread.length);
    assert.ok(spread.every(port => port >= many[0] && port <= many[1]));
    // From one place on, one after the other, they would lie within a tenth of it.
    assert.ok(Math.max(...spread) - Math.min(...spread) > 2000, `${Math.min(...spread)} to ${Math.max(...spread)}`);
  } finally {
    for (const fd of [listener, ...open]) closeByReset(fd);
  }
});

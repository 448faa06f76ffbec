import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseAddr } from '../std/ip.ts';
import { isErrno } from './errno.ts';
import { createNetns, deleteNetns, openNetns, withNetns } from './netns.ts';
import { closeByReset, ownAddress } from './net.ts';
import { readSysctl } from './sysctl.ts';
import { connectTo, listenOn } from './streams.ts';

// A machine of its own: the kernel passes over each port that anybody has bound, at whatever address.
const folder = mkdtempSync(join(tmpdir(), 'cirri-streams-'));
const netns = join(folder, 'machine');
createNetns(netns);
execFileSync('nsenter', [`--net=${netns}`, 'ip', 'link', 'set', 'lo', 'up']);
after(() => {
  deleteNetns(netns);
  rmSync(folder, { recursive: true });
});

test('the client\'s ports are those of its range, all of them where they are few; then there is none, and the range is not looked through', () => {
  using machine = openNetns(netns);
  withNetns(machine.fd, () => {
    const [lowest = 0] = readSysctl('net/ipv4/ip_local_port_range')!.split(/\s+/).map(Number);
    const listener = listenOn({ addr: parseAddr('127.0.0.1'), port: lowest });
    const to = ownAddress(listener)!;
    const open: number[] = [];
    const portOf = (range: readonly [number, number]) => {
      const fd = connectTo(to, { from: parseAddr('127.0.0.9'), ports: range });
      open.push(fd);
      return ownAddress(fd)!.port;
    };
    try {
      const few = [lowest + 100, lowest + 299] as const;
      const taken = Array.from({ length: 200 }, () => portOf(few));
      assert.deepEqual(taken.sort((a, b) => a - b), Array.from({ length: 200 }, (_, i) => few[0] + i));
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
});

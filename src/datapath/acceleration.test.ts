import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accelerate, xdpModes } from './acceleration.ts';
import type { Attachment } from './programs.ts';

const physical = { uplinkIndex: 3, uplinkKind: undefined }, veth = { uplinkIndex: 3, uplinkKind: 'veth' };
const maps = { xdpPackets: { lookupPerCpu: (way: number) => [BigInt(way + 1), 10n] } } as unknown as Parameters<typeof accelerate>[1]['maps'];

/** A kernel that takes programs in these modes only. */
function kernel(...modes: readonly string[]) {
  const attached: string[] = [], detached: string[] = [];
  return {
    attached, detached,
    attach: ({ hook, pin }: Attachment): void => {
      if (hook.kind !== 'xdp' || !modes.includes(hook.mode)) throw new Error('Operation not supported');
      attached.push(pin);
    },
    detach: (pins: readonly string[]): void => void detached.push(...pins),
  };
}

test('native where the driver can, else generic; a veth never gets the native mode', () => {
  assert.deepEqual(xdpModes('best-effort', physical), ['native', 'generic']);
  assert.deepEqual(xdpModes('native', physical), ['native']);
  assert.deepEqual(xdpModes('best-effort', veth), ['generic']);
  assert.deepEqual(xdpModes('native', veth), []);
  for (const device of [physical, veth]) {
    assert.deepEqual(xdpModes('generic', device), ['generic']);
    assert.deepEqual(xdpModes('disabled', device), []);
  }
});

test('the mode that works is named, with what took the short way; the other mode\'s program goes first', () => {
  const programs = kernel('generic');
  const { status } = accelerate({ acceleration: 'best-effort', devices: physical }, { programs, maps });
  assert.deepEqual([programs.attached, programs.detached], [['uplink-xdp-generic'], ['uplink-xdp-generic', 'uplink-xdp-native']]);
  assert.deepEqual(status(), { name: 'XDP', state: 'on', detail: 'generic on eth0, 11 packets to backends and 12 to clients' });
});

test('without any mode the status says why, and what does the work', () => {
  assert.deepEqual(accelerate({ acceleration: 'native', devices: physical }, { programs: kernel(), maps }).status(), { name: 'XDP', state: 'degraded', detail: 'tcx instead, as native: Operation not supported' });
  assert.match(accelerate({ acceleration: 'native', devices: veth }, { programs: kernel('native'), maps }).status().detail, /^tcx instead, as a veth loses/);
  assert.equal(accelerate({ acceleration: 'disabled', devices: physical }, { programs: kernel('native'), maps }).status().state, 'off');
});

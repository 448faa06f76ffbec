import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HttpSetPlace, L7KernelStatus } from '../../model/l7-kernel.ts';
import { httpKernelFeature } from './start.ts';

const counts = { taken: 3, requests: 40, denied: 2, faults: 0, answers: 38, unknownAnswers: 0, held: 0, resets: 0 };
const here: HttpSetPlace = { number: 1, rules: 2, wanted: 'kernel', place: 'kernel' };
const refused: HttpSetPlace = { number: 2, rules: 70, wanted: 'kernel', place: 'proxy', reason: 'it has 70 rules, and the kernel takes 64' };
const proxied: HttpSetPlace = { number: 3, rules: 1, wanted: 'proxy', place: 'proxy' };
const status = (more: Partial<L7KernelStatus>): L7KernelStatus => ({ sets: [], pods: [], failedPods: [], connections: 0, room: 65_536, counts, ...more });

test('off while no policy asks for it, and it says what it would need', () => {
  assert.deepEqual(httpKernelFeature(status({ sets: [proxied] })).state, 'off');
  assert.match(httpKernelFeature(status({ unable: 'l7.headers is set' })).detail, /no policy asks for it .*l7\.headers is set/);
});

test('on with what it carries', () => {
  assert.deepEqual(httpKernelFeature(status({ sets: [here, proxied], pods: ['shop/web'], connections: 2 })), {
    name: 'L7Kernel', state: 'on', detail: '1 set for 1 pod; 2 connections, 40 requests, 2 denied',
  });
});

test('degraded where the proxy has to carry what was wanted in the kernel: sets and pods are named with the reason', () => {
  const { state, detail } = httpKernelFeature(status({ sets: [here, refused], failedPods: [{ pod: 'shop/web', reason: 'no room' }] }));
  assert.equal(state, 'degraded');
  assert.match(httpKernelFeature(status({ sets: [here], connections: 60_000 })).detail, /room for 65,536 connections/);
  assert.match(httpKernelFeature(status({ sets: [here], detour: 'no room' })).detail, /denied; segments take the queues of the pods' devices: no room$/);
  assert.match(detail, /the proxy carries 1 more: it has 70 rules.*; shop\/web: no room$/);
});

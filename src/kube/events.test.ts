import test from 'node:test';
import assert from 'node:assert/strict';
import { waitFor } from '../std/async.ts';
import { createEventRecorder } from './events.ts';
import { TestApi } from './testapi.ts';

const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', namespace: 'n', uid: 'u1' } };

test('the same words about the same object are one Event with a count', async () => {
  await using api = await TestApi.start();
  const abort = new AbortController();
  const recorder = createEventRecorder({ client: api.client, component: 'test', signal: abort.signal });
  recorder.record(pod, 'Warning', 'FailedScheduling', 'no node');
  await waitFor('the event', () => api.all('events').length === 1);
  for (let i = 0; i < 3; i++) recorder.record(pod, 'Warning', 'FailedScheduling', 'no node');
  recorder.record(pod, 'Normal', 'Scheduled', 'to node n1');
  await waitFor('the count', () => api.all('events').length === 2 && api.all('events')[0]!['count'] === 4);
  const [event] = api.all('events');
  assert.deepEqual(event!['involvedObject'], { apiVersion: 'v1', kind: 'Pod', name: 'a', namespace: 'n', uid: 'u1' });
  assert.match(event!['lastTimestamp'] as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  abort.abort();
});

test('an object that talks too much is cut short, and it is counted', async () => {
  await using api = await TestApi.start();
  const abort = new AbortController();
  const recorder = createEventRecorder({ client: api.client, component: 'test', signal: abort.signal, now: () => 1_000_000 });
  for (let i = 0; i < 40; i++) recorder.record(pod, 'Normal', 'Noise', `word ${i}`);
  assert.equal(recorder.dropped, 15);
  await waitFor('the events', () => api.all('events').length === 25);
  abort.abort();
});

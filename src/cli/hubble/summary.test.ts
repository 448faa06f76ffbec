import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hubbleLine } from './summary.ts';

const server = { numFlows: 12_285, maxFlows: 40_960, seenFlows: 99_999, uptimeNs: 1e9, version: '1', flowsRate: 41.23, numConnectedNodes: 2, numUnavailableNodes: 0 };
const at = { grpc: { host: '127.0.0.1', port: 4245 }, web: { host: '127.0.0.1', port: 12_000 } };

test('relay, rate, memory, history and UI in one line', () => {
  const histories = [{ name: 'flow history', state: 'on' as const, detail: '' }, { name: 'flow history', state: 'on' as const, detail: '' }];
  assert.deepEqual(hubbleLine({ relay: 'serving', at, server }, histories), {
    ok: true, text: 'Hubble: relay 127.0.0.1:4245, 2/2 nodes · 41.2 flows/s, 12,285 of 40,960 in memory · history on 2 of 2 · UI http://127.0.0.1:12000 (cirri ui)',
  });
});

test('what is missing is named', () => {
  const away = hubbleLine({ relay: 'serving', at: {}, server: { ...server, numConnectedNodes: 1, numUnavailableNodes: 1, unavailableNodes: ['node2'] } }, []);
  assert.deepEqual(away, { ok: false, text: 'Hubble: relay on its socket, 1/2 nodes (not node2) · 41.2 flows/s, 12,285 of 40,960 in memory' });
  assert.deepEqual(hubbleLine({ relay: 'silent', at }, []), { ok: false, text: 'Hubble: the relay does not answer' });
  assert.equal(hubbleLine({ relay: 'off', at: {} }, []).ok, true);
});

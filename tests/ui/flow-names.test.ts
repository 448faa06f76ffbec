import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow } from '../../src/model/flow.ts';
import { portOf, saidIn, verdictWords } from '../../ui/src/flows/names.ts';

const flow = (more: Partial<Flow>): Flow => ({
  id: 'n-1', time: '2026-01-01T00:00:00Z', nodeName: 'n', verdict: 'FORWARDED', type: 'l7', direction: 'INGRESS', isReply: false, ipVersion: 'IPv4', protocol: 'TCP', summary: 'as a line of text',
  source: { ip: '10.0.0.1', identity: 1, id: 0, labels: [] }, destination: { ip: '10.0.0.2', identity: 2, id: 0, labels: [] }, sourcePort: 40_000, destinationPort: 8080, ...more,
});
const http = { method: 'GET', url: 'http://api.shop:8080/orders/7?x=y', protocol: 'HTTP/1.1' };

test('a request is its method and path, an answer its status and how long it took', () => {
  assert.equal(saidIn(flow({ l7: { type: 'REQUEST', http } })), 'GET /orders/7?x=y');
  assert.equal(saidIn(flow({ l7: { type: 'REQUEST', http: { ...http, url: 'http://api.shop' } } })), 'GET /');
  assert.equal(saidIn(flow({ l7: { type: 'REQUEST', http: { ...http, method: 'CONNECT', url: '//api.example.com' } } })), 'CONNECT //api.example.com');
  assert.equal(saidIn(flow({ l7: { type: 'RESPONSE', latencyNs: 2_000_000, http: { ...http, code: 503 } } })), '503 in 2 ms');
  assert.equal(saidIn(flow({ l7: { type: 'RESPONSE', latencyNs: 0, http: { ...http, code: 403 } } })), '403');
});

test('other protocols are told in the words of their line, and what was not read says nothing', () => {
  assert.equal(saidIn(flow({ l7: { type: 'REQUEST', kafka: { apiKey: 'produce', apiVersion: 9, correlationId: 1, topic: 'orders', errorCode: 0 } } })), 'as a line of text');
  assert.equal(saidIn(flow({})), '');
});

test('an answer stands under the port that was asked, and who reads is not said where nobody can know', () => {
  assert.equal(portOf(flow({ isReply: true, sourcePort: 8080, destinationPort: 40_000, l7: { type: 'RESPONSE', http: { ...http, code: 200 } } })), 'HTTP 8080');
  assert.equal(verdictWords.REDIRECTED, 'to layer 7');
});

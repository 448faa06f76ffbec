import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FlowView } from '../../flows/consumer.ts';
import { flowToJson } from '../../flows/jsonpb.ts';
import { anyFlow } from '../../flows/testing-flows.ts';
import type { Flow } from '../../model/flow.ts';
import { flowLine } from './flow-line.ts';

const asView = (flow: Flow): FlowView => ({ ...flow, seconds: 0, nanos: 0, packetless: false });

/** Without what only other systems' flows have: these go the short way. */
function asOwn(flow: Flow): Flow {
  const { subType: _1, authType: _2, ethernet: _3, tunnel: _4, file: _5, ipTraceId: _6, ipTraceOption: _7, socketTranslation: _8, socketCookie: _9, cgroupId: _10, services: _11, sourceXlated: _12, policyLog: _13, ...own } = flow;
  const type = own.type === 'trace' || own.type === 'drop' || own.type === 'policy-verdict' ? own.type : 'l7';
  return {
    ...own, type, verdict: own.verdict === 'VERDICT_UNKNOWN' ? 'FORWARDED' : own.verdict, id: own.id || 'id', nodeName: own.nodeName || 'node', summary: own.summary || 'summary',
    ipVersion: own.ipVersion === 'IPv6' ? 'IPv6' : 'IPv4', source: { ...own.source, ip: own.source.ip || '10.0.0.1' }, destination: { ...own.destination, ip: own.destination.ip || '10.0.0.2' },
  };
}

test('a line is what the long way writes, for flows of any system', () => {
  fc.assert(fc.property(anyFlow(), flow => assert.equal(flowLine(asView(flow)), JSON.stringify(flowToJson(flow)))), { numRuns: 500 });
});

test('so it is for our own, also when ends, rules and lists come again', () => {
  fc.assert(fc.property(anyFlow(), anyFlow(), (a, b) => {
    const [first, second] = [asOwn(a), asOwn(b)];
    // The second has the first one's ends: what is kept of them must not depend on the rest.
    for (const flow of [first, second, { ...second, source: first.source, destination: first.destination, ...(first.rule && { rule: first.rule }), ...(first.tcpFlags && { tcpFlags: first.tcpFlags }) }]) {
      assert.equal(flowLine(asView(flow)), JSON.stringify(flowToJson(flow)));
    }
  }), { numRuns: 1000 });
});

test('texts that need it are escaped', () => {
  fc.assert(fc.property(anyFlow(), fc.string({ unit: 'binary', minLength: 1 }), (flow, text) => {
    const own = { ...asOwn(flow), nodeName: text, summary: text, interfaceName: text };
    assert.equal(flowLine(asView(own)), JSON.stringify(flowToJson(own)));
  }));
});

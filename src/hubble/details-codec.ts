import type { FlowView } from '../flows/consumer.ts';
import type { Flow, FlowConnection, FlowRule } from '../model/flow.ts';
import { connectionEndNumbers } from './flow-words.ts';
import { BackwardWriter, bytesTag, varintTag } from './wire.ts';

const ruleBytes = new WeakMap<FlowRule, Uint8Array>();
const ruleWriter = new BackwardWriter();

/** cirri.FlowDetails as a field; nothing when there is nothing to say. */
export function encodeDetails(w: BackwardWriter, tag: number, flow: Flow & Partial<Pick<FlowView, 'packetless'>>): void {
  const mark = w.length;
  const { service, rule, shadow, connection } = flow;
  w.flag(varintTag(8), flow.inKernel);
  if (service !== undefined) {
    w.number(varintTag(7), service.port);
    w.string(bytesTag(6), service.ip);
  }
  w.flag(varintTag(5), flow.packetless ?? isPacketless(flow));
  w.number(varintTag(4), flow.connectLatencyNs);
  if (connection !== undefined) encodeConnection(w, connection);
  if (shadow !== undefined) w.number(varintTag(2), shadow === 'deny' ? 2 : 1);
  if (rule !== undefined) w.raw(encodedRule(rule));
  if (w.length > mark) w.close(tag, mark);
}

/** The end of a connection by age or revocation: no packet was seen. */
function isPacketless({ connection }: Flow): boolean {
  return connection?.end === 'idle' || connection?.end === 'revoked';
}

function encodeConnection(w: BackwardWriter, connection: FlowConnection): void {
  const mark = w.length;
  w.number(varintTag(6), connectionEndNumbers[connection.end]);
  w.number(varintTag(5), connection.durationNs);
  w.number(varintTag(4), connection.bytesBack);
  w.number(varintTag(3), connection.packetsBack);
  w.number(varintTag(2), connection.bytesOut);
  w.number(varintTag(1), connection.packetsOut);
  w.close(bytesTag(3), mark);
}

function encodedRule(rule: FlowRule): Uint8Array {
  const known = ruleBytes.get(rule);
  if (known !== undefined) return known;
  const w = ruleWriter;
  w.reset();
  w.string(bytesTag(7), rule.because);
  w.string(bytesTag(6), rule.effect);
  w.string(bytesTag(5), rule.path);
  w.string(bytesTag(4), rule.name);
  w.string(bytesTag(3), rule.namespace);
  w.string(bytesTag(2), rule.kind);
  w.number(varintTag(1), rule.id);
  w.close(bytesTag(1), 0);
  const bytes = w.copyFrom(0);
  ruleBytes.set(rule, bytes);
  return bytes;
}

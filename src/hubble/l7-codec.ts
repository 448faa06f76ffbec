import type { FlowL7 } from '../model/flow.ts';
import { l7Numbers } from './flow-words.ts';
import { bytesTag, varintTag, type BackwardWriter } from './wire.ts';

/** flow.Layer7 as a field. */
export function encodeL7(w: BackwardWriter, tag: number, { type, latencyNs, dns, http, kafka }: FlowL7): void {
  const mark = w.length;
  if (kafka) {
    w.string(bytesTag(5), kafka.topic);
    w.number(varintTag(4), kafka.correlationId);
    w.string(bytesTag(3), kafka.apiKey);
    w.number(varintTag(2), kafka.apiVersion);
    w.number(varintTag(1), kafka.errorCode);
    w.close(bytesTag(102), mark);
  } else if (http) {
    const headers = http.headers ?? [];
    for (let i = headers.length - 1; i >= 0; i--) {
      const start = w.length;
      w.string(bytesTag(2), headers[i]!.value);
      w.string(bytesTag(1), headers[i]!.key);
      w.close(bytesTag(5), start);
    }
    w.string(bytesTag(4), http.protocol);
    w.string(bytesTag(3), http.url);
    w.string(bytesTag(2), http.method);
    w.number(varintTag(1), http.code);
    w.close(bytesTag(101), mark);
  } else if (dns) {
    w.strings(bytesTag(8), dns.rrtypes);
    w.strings(bytesTag(7), dns.qtypes);
    w.number(varintTag(6), dns.rcode);
    w.string(bytesTag(5), dns.observationSource);
    w.strings(bytesTag(4), dns.cnames);
    w.number(varintTag(3), dns.ttl);
    w.strings(bytesTag(2), dns.ips);
    w.string(bytesTag(1), dns.query);
    w.close(bytesTag(100), mark);
  }
  w.number(varintTag(2), latencyNs);
  w.number(varintTag(1), l7Numbers[type]);
  w.close(tag, mark);
}

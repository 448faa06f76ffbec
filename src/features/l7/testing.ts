import { l7Verdicts } from '../../flows/columns.ts';
import { layout } from '../../flows/decode.ts';
import type { HttpTaker } from '../../flows/http-taker.ts';
import { HttpTexts } from '../../flows/http-told.ts';
import type { L7End, L7Record } from '../../flows/l7-record.ts';
import { formatAddr } from '../../std/ip.ts';

/** What the pipeline is told as records, for comparing them with those of lines. */
export function takerOfRecords(take: (record: L7Record) => void): HttpTaker {
  return {
    texts: new HttpTexts(),
    tell: (record, { l7 }, latencyNs, verdict, traceId) => {
      const addr = (at: number) => formatAddr(new Uint8Array(record.buffer, record.byteOffset + at, 16));
      const end = (address: number, port: number, identity: number, endpoint: number): L7End => ({ ip: addr(address), port: record.getUint16(port), identity: record.getUint32(identity, true), endpoint: record.getUint32(endpoint, true) });
      const servicePort = record.getUint16(layout.servicePort);
      const { type, ...said } = l7;
      take({
        timeNs: record.getBigUint64(layout.timeNs, true),
        source: end(layout.source, layout.sourcePort, layout.sourceIdentity, layout.sourceEndpoint), destination: end(layout.destination, layout.destinationPort, layout.destinationIdentity, layout.destinationEndpoint),
        protocol: 'TCP', direction: record.getUint8(layout.direction) === 1 ? 'INGRESS' : 'EGRESS', verdict: l7Verdicts[verdict]!, rule: record.getUint32(layout.rule, true),
        l7: latencyNs < 0 ? l7 : { type, latencyNs, ...said },
        ...(traceId !== undefined && { traceId }), ...(servicePort !== 0 && { service: { ip: addr(layout.service), port: servicePort } }),
      });
    },
  };
}

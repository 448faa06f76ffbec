import type { FlowL7 } from '../model/flow.ts';
import { parseAddr } from '../std/ip.ts';
import { flag, type L7Verdict } from './columns.ts';
import { layout, minimumSize } from './decode.ts';
import { EventType, Protocol } from './event.ts';

/** What a proxy tells of one request or one answer. Identities and endpoints are those that the kernel gave it with the connection. */
export interface L7Record {
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint;
  /** Who sent this message: of an answer the server. */
  readonly source: L7End;
  readonly destination: L7End;
  readonly protocol: 'TCP' | 'UDP';
  readonly direction: 'INGRESS' | 'EGRESS';
  readonly verdict: L7Verdict;
  /** The rule that decided; 0 when none was asked. */
  readonly rule: number;
  readonly l7: FlowL7;
  readonly proxyPort?: number;
  readonly traceId?: string;
  /** What the client asked for, when a service was translated. */
  readonly service?: { readonly ip: string; readonly port: number };
}

export interface L7End {
  readonly ip: string;
  readonly port: number;
  readonly identity: number;
  /** 0 when not on this node. */
  readonly endpoint: number;
}

/** The record in the kernel's layout, for the columns. */
export class L7Encoder {
  readonly view = new DataView(new ArrayBuffer(minimumSize));
  readonly #bytes = new Uint8Array(this.view.buffer);

  encode(record: L7Record): DataView {
    const { view } = this;
    this.#bytes.fill(0);
    view.setBigUint64(layout.timeNs, record.timeNs, true);
    this.#end(record.source, layout.source, layout.sourcePort, layout.sourceIdentity, layout.sourceEndpoint);
    this.#end(record.destination, layout.destination, layout.destinationPort, layout.destinationIdentity, layout.destinationEndpoint);
    view.setUint8(layout.protocol, record.protocol === 'TCP' ? Protocol.tcp : Protocol.udp);
    view.setUint8(layout.type, EventType.l7);
    view.setUint32(layout.rule, record.rule, true);
    view.setUint8(layout.direction, record.direction === 'INGRESS' ? 1 : 2);
    view.setUint8(layout.flags, (record.l7.type === 'RESPONSE' ? flag.reply : 0) | (record.source.ip.includes(':') ? flag.ipv6 : 0));
    if (record.service) {
      this.#bytes.set(parseAddr(record.service.ip), layout.service);
      view.setUint16(layout.servicePort, record.service.port);
    }
    return view;
  }

  #end(end: L7End, address: number, port: number, identity: number, endpoint: number): void {
    this.#bytes.set(parseAddr(end.ip), address);
    this.view.setUint16(port, end.port);
    this.view.setUint32(identity, end.identity, true);
    this.view.setUint32(endpoint, end.endpoint, true);
  }
}

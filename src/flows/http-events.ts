import type { FlowL7 } from '../model/flow.ts';
import { httpFaultText } from '../model/l7-kernel.ts';
import { flag, l7Mark, l7Verdicts } from './columns.ts';
import { layout, minimumSize } from './decode.ts';
import { EventType } from './event.ts';
import { Exchanges } from './exchanges.ts';
import { HttpTexts, HttpTold } from './http-told.ts';

/** Requests whose answers have not come yet. */
const mostWaiting = 16_384;
const verdictDeny = 2;
const protocols: string[] = [];
const forwarded = l7Verdicts.indexOf('FORWARDED');
const dropped = l7Verdicts.indexOf('DROPPED');
const failed = l7Verdicts.indexOf('ERROR');

/** Where a record says why a request could not be read: no header has such a name. */
export const faultKey = ':fault';

/** What the two ends of a record change places with, and how many bytes of it. */
const swapped = [
  [layout.source, layout.destination, 16], [layout.sourcePort, layout.destinationPort, 2],
  [layout.sourceIdentity, layout.destinationIdentity, 4], [layout.sourceEndpoint, layout.destinationEndpoint, 4],
] as const;

/** A record of HTTP that the kernel carries out: `struct http_event` (bpf/lib/http_event.h) and its texts. */
export function isHttpRecord(view: DataView, at: number, size: number): boolean {
  if (size < layout.httpTexts || view.getUint8(at + layout.type) !== EventType.l7) return false;
  const length = (offset: number) => view.getUint16(at + offset, true);
  return layout.httpTexts + length(layout.httpMethodLength) + length(layout.httpUrlLength) + length(layout.httpHostLength) + length(layout.httpTraceLength) <= size;
}

/** What such records say, as the proxy's say it. An answer bears what its request asked for, where that record was not lost. */
export class HttpEvents {
  readonly #texts: HttpTexts;
  readonly #waiting = new Exchanges<HttpTold>(mostWaiting);
  /** Of answers whose requests nobody knows. */
  readonly #unknown = new HttpTold({ method: '', url: '', protocol: protocolOf(1) });
  /** An answer that the kernel has given itself: it has no record of its own. */
  readonly #own = new DataView(new ArrayBuffer(minimumSize));
  #request = this.#unknown;
  /** Of the record that was read last, for `Columns.writeL7`. */
  saying = this.#unknown.request;
  latencyNs = -1;
  mark = 0;
  traceId: string | undefined;

  constructor(texts = new HttpTexts()) {
    this.#texts = texts;
  }

  /** Of a record that `isHttpRecord` takes. True: it was denied. */
  read(view: DataView, at: number): boolean {
    const connection = view.getUint32(at + layout.httpConnection, true);
    const exchange = view.getUint32(at + layout.httpExchange, true);
    const minor = view.getUint8(at + layout.httpMinor);
    if ((view.getUint8(at + layout.flags) & flag.reply) !== 0) this.#readAnswer(view, at, connection, exchange, minor);
    else this.#readRequest(view, at, connection, exchange, minor);
    return (this.mark & l7Mark.verdict) === dropped;
  }

  /** The kernel's own answer to the request that was read last, as a record, with what it says in place of the request's; undefined: it has passed the request on. */
  ownAnswer(view: DataView, at: number): DataView | undefined {
    const code = view.getUint16(at + layout.httpStatus, true);
    if (code === 0 || (view.getUint8(at + layout.flags) & flag.reply) !== 0) return undefined;
    const own = this.#own;
    for (let i = 0; i < minimumSize; i += 4) own.setUint32(i, view.getUint32(at + i));
    for (const [from, to, size] of swapped) {
      for (let i = 0; i < size; i += 2) {
        own.setUint16(from + i, view.getUint16(at + to + i));
        own.setUint16(to + i, view.getUint16(at + from + i));
      }
    }
    own.setUint8(layout.flags, view.getUint8(at + layout.flags) | flag.reply);
    this.saying = this.#request.answer(code, protocolOf(view.getUint8(at + layout.httpMinor)));
    this.latencyNs = 0;
    this.mark = l7Mark.inKernel | forwarded;
    return own;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  #readRequest(view: DataView, at: number, connection: number, exchange: number, minor: number): void {
    const method = view.getUint16(at + layout.httpMethodLength, true);
    const target = view.getUint16(at + layout.httpUrlLength, true);
    const host = view.getUint16(at + layout.httpHostLength, true);
    const trace = view.getUint16(at + layout.httpTraceLength, true);
    const fault = view.getUint8(at + layout.httpFault);
    const texts = at + layout.httpTexts;
    const length = method + target + host;
    const told = this.#texts.find(view, texts, length, method | (target << 16), host | (fault << 16) | (minor << 24))
      ?? this.#texts.keep(httpOf(textAt(view, texts, method), textAt(view, texts + method, target), textAt(view, texts + method + target, host), minor, fault));
    const verdict = fault !== 0 ? failed : view.getUint8(at + layout.verdict) === verdictDeny ? dropped : forwarded;
    this.#request = told;
    this.saying = told.request;
    this.latencyNs = -1;
    this.mark = l7Mark.inKernel | verdict;
    this.traceId = trace === 0 ? undefined : traceIdOf(textAt(view, texts + length, trace));
    // What the kernel has answered itself has no other answer.
    if (verdict !== forwarded || view.getUint16(at + layout.httpStatus, true) !== 0) return;
    this.#waiting.put(connection, exchange, told, view.getUint16(at + layout.sourcePort), this.traceId);
  }

  #readAnswer(view: DataView, at: number, connection: number, exchange: number, minor: number): void {
    const found = this.#waiting.take(connection, exchange);
    // Two connections may have got the same number by chance.
    const isItsOwn = found !== undefined && this.#waiting.port === view.getUint16(at + layout.destinationPort);
    this.saying = (isItsOwn ? found : this.#unknown).answer(view.getUint16(at + layout.httpStatus, true), protocolOf(minor));
    this.latencyNs = view.getUint32(at + layout.latencyUs, true) * 1000;
    this.mark = l7Mark.inKernel | forwarded;
    this.traceId = isItsOwn ? this.#waiting.text : undefined;
  }
}

function httpOf(method: string, target: string, host: string, minor: number, fault: number): NonNullable<FlowL7['http']> {
  const url = target === '' && host === '' ? '' : `http://${host}${target === '*' ? '' : target}`;
  return { method, url, protocol: protocolOf(minor), ...(fault !== 0 && { headers: [{ key: faultKey, value: httpFaultText(fault) }] }) };
}

function protocolOf(minor: number): string {
  return (protocols[minor] ??= `HTTP/1.${minor}`);
}

function textAt(view: DataView, at: number, length: number): string {
  return length === 0 ? '' : Buffer.from(view.buffer, view.byteOffset + at, length).toString('latin1');
}

/** Of a W3C `traceparent`; undefined when it is none. */
function traceIdOf(header: string): string | undefined {
  return header === '' ? undefined : /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(header)?.[1];
}

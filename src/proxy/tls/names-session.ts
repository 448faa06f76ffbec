import type { Layers, Session, Side, Wire } from '../protocol.ts';
import { Alert, alertRecord } from './alert.ts';
import { readClientHello } from './client-hello.ts';
import { judgeName } from './names.ts';
import type { NameRules } from './names.ts';
import { directionsOf, recordFault, recordName } from './record.ts';
import { isRetryRequest } from './server-hello.ts';

/** A client has so long for its hello. */
const helloMs = 10_000;
const nothing = Buffer.alloc(0);

/**
 * One connection of which only the server's name is read; nothing is opened. Once a hello is allowed and the server has answered it,
 * all bytes pass unread.
 *
 *     first hello ─► server's answer ─► passing
 *                           └ HelloRetryRequest ─► second hello, of the same name ─► passing
 */
export class NamesSession implements Session {
  readonly #wire: Wire<unknown>;
  readonly #layers: () => Layers<NameRules>;
  #state: 'first hello' | 'answer' | 'second hello' | 'passing' | 'closed' = 'first hello';
  #held: Buffer = nothing;
  #serverName: string | undefined;

  constructor(wire: Wire<unknown>, layers: () => Layers<NameRules>) {
    this.#wire = wire;
    this.#layers = layers;
    wire.wake(helloMs);
  }

  get idle(): boolean {
    return this.#state === 'passing' || (this.#state === 'first hello' && this.#held.length === 0);
  }

  data(from: Side, data: Buffer, start: number, end: number): void {
    if (this.#state === 'closed') return;
    if (from === 'server') return this.#fromServer(data, start, end);
    this.#held = this.#held.length === 0 ? Buffer.from(data.subarray(start, end)) : Buffer.concat([this.#held, data.subarray(start, end)]);
    if (this.#state === 'first hello' || (this.#state === 'second hello' && this.#passRecords())) this.#readHello();
  }

  ended(): void {
    if (this.#state !== 'closed') this.#close();
  }

  serverFailed(): void {
    if (this.#state !== 'closed') this.#close();
  }

  timeout(): void {
    if (this.#state === 'first hello' || this.#state === 'second hello') this.#refuse(Alert.handshakeFailure);
  }

  closed(): void {
    this.#state = 'closed';
    this.#held = nothing;
  }

  #readHello(): void {
    const layers = this.#layers();
    if (!layers.egress && !layers.ingress) {
      this.#send(this.#held.length);
      return this.#pass();
    }
    const read = readClientHello(this.#held, 0, this.#held.length);
    if (read.kind === 'more') return;
    if (read.kind === 'fault') {
      recordFault(this.#wire, undefined, directionsOf(layers));
      return this.#refuse(read.isTls ? Alert.decodeError : undefined);
    }
    const { serverName } = read.hello;
    if (this.#state === 'second hello' && serverName !== this.#serverName) {
      recordFault(this.#wire, serverName, directionsOf(layers));
      return this.#refuse(Alert.accessDenied);
    }
    const isSecond = this.#state === 'second hello';
    if (!isSecond) {
      const opinions = judgeName(layers, serverName);
      recordName(this.#wire, serverName, opinions);
      if (opinions.some(opinion => !opinion.passes)) return this.#refuse(Alert.accessDenied);
    }
    this.#serverName = serverName;
    this.#send(this.#held.length);
    if (isSecond) return this.#pass();
    this.#state = 'answer';
    this.#wire.wake(0);
    // A client that is asked to try again (RFC 8446 §4.1.4) could name another server then: until the answer has come, it is not read.
    this.#wire.pause('client', true);
  }

  #fromServer(data: Buffer, start: number, end: number): void {
    if (this.#state !== 'answer') {
      if (this.#state === 'second hello') this.#wire.send('client', data, start, end);
      else this.#close();
      return;
    }
    this.#held = Buffer.concat([this.#held, data.subarray(start, end)]);
    const retry = isRetryRequest(this.#held);
    if (retry === undefined) return;
    this.#wire.send('client', this.#held, 0, this.#held.length);
    this.#held = nothing;
    this.#wire.pause('client', false);
    if (!retry) return this.#pass();
    this.#state = 'second hello';
    this.#wire.wake(helloMs);
  }

  /** Before the second hello: what was sent along with the first one (early data, a change of cipher). True when the hello comes next. */
  #passRecords(): boolean {
    let at = 0;
    const isPassed = () => this.#held[at] === 20 || this.#held[at] === 23;
    while (this.#held.length - at >= 5 && isPassed()) {
      const end = at + 5 + this.#held.readUInt16BE(at + 3);
      if (end > this.#held.length) break;
      at = end;
    }
    const isNext = this.#held.length > at && !isPassed();
    this.#send(at);
    return isNext;
  }

  #send(count: number): void {
    this.#wire.send('server', this.#held, 0, count);
    this.#held = this.#held.subarray(count);
  }

  #pass(): void {
    this.#state = 'passing';
    this.#wire.wake(0);
    this.#wire.passAll();
  }

  #refuse(alert: number | undefined): void {
    if (alert !== undefined) {
      const record = alertRecord(alert);
      this.#wire.send('client', record, 0, record.length);
    }
    this.#close();
  }

  #close(): void {
    this.#state = 'closed';
    this.#wire.close('written');
  }
}

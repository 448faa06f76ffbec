import { httpEventCodec } from '../datapath/generated/structs.ts';
import { EventType } from './event.ts';
import { eventRecord } from './testing.ts';

/** What the kernel tells of one request or answer; what is left out is as it mostly is. */
export interface Told {
  readonly connection?: number;
  readonly exchange?: number;
  readonly status?: number;
  readonly fault?: number;
  readonly method?: string;
  readonly url?: string;
  readonly host?: string;
  readonly trace?: string;
  readonly verdict?: number;
  readonly isAnswer?: boolean;
  readonly latencyUs?: number;
  readonly clientPort?: number;
  readonly timeNs?: number;
}

/** As the kernel writes it: the struct by the generated codec, and the texts behind it. */
export function httpRecord({ connection = 7, exchange = 0, status = 0, fault = 0, method = '', url = '', host = '', trace = '', verdict = 1, isAnswer = false, latencyUs = 0, clientPort = 41_000, timeNs = 1000 }: Told): DataView {
  const client = { ip: '10.244.1.5', port: clientPort };
  const server = { ip: '10.244.2.9', port: 8080 };
  const [source, destination] = isAnswer ? [server, client] : [client, server];
  const event = eventRecord({ type: EventType.l7, timeNs, source: source.ip, sourcePort: source.port, destination: destination.ip, destinationPort: destination.port, verdict, latencyUs, flags: isAnswer ? 1 : 0, match: 0, tcpFlags: 0, rule: 11 });
  const texts = Buffer.from(method + url + host + trace, 'latin1');
  const bytes = new Uint8Array(httpEventCodec.size + texts.length);
  bytes.set(new Uint8Array(event.buffer));
  const lengths = { methodLength: method.length, urlLength: url.length, hostLength: host.length, traceLength: trace.length };
  httpEventCodec.encode({ ...httpEventCodec.decode(bytes), connection, exchange, status, minor: 1, fault, ...lengths }, bytes);
  bytes.set(texts, httpEventCodec.size);
  return new DataView(bytes.buffer);
}

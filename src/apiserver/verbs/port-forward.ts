import { request } from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { offeredProtocols, takeOver, webSocketStream } from '../http/upgrade.ts';
import type { Call } from '../http/handler.ts';
import { errorText } from '../../std/errors.ts';
import { asObjects, asString, at } from '../object.ts';
import type { KubeObject } from '../object.ts';
import { SpdyServer, type SpdyStream } from '../stream/spdy.ts';
import type { ProcessAddress } from '../processes.ts';
import { badRequest } from '../status.ts';
import type { KubeletSockets } from './log.ts';

const protocol = 'portforward.k8s.io';
const tunnelled = `SPDY/3.1+${protocol}`;

/**
 * `kubectl port-forward`: SPDY/3.1 through a WebSocket (what kubectl tries first since 1.31), or by itself (POST with `Upgrade:
 * SPDY/3.1`). For every connection the client opens two streams with the port and a number in their headers: one for an error's
 * text, one for the bytes.
 */
export function forwardPorts(pod: KubeObject, call: Call, dependencies: ForwardDependencies): void {
  const dial = dialOf(pod, dependencies);
  const { namespace = '', name } = pod.metadata;
  const pairs = new Pairs((port, stream, ended) => connectTo({ title: `pod ${namespace}/${name}`, port, dial }, stream, ended));
  const server = new SpdyServer(acceptStream(call), stream => pairs.add(stream, server));
}

export interface ForwardDependencies { readonly kubelets: KubeletSockets; readonly processes: ProcessAddress }

/** Makes a connection to a port. Rejects with words. */
type Dial = (port: number, signal: AbortSignal) => Promise<Duplex>;

/** Through the kubelet of the pod's node; a mirror of a process of this machine has none, and leads to where that listens. */
function dialOf(pod: KubeObject, { kubelets, processes }: ForwardDependencies): Dial {
  const { namespace = '', name, annotations } = pod.metadata;
  const process = annotations?.['kubernetes.io/config.mirror'] === undefined ? undefined : annotations['cirri.io/process'];
  if (process !== undefined) return (port, signal) => dialProcess(pod, port, processes(process), signal);
  const node = asString(at(pod, 'spec', 'nodeName'));
  if (!node) throw badRequest(`pod ${name} does not have a host assigned`);
  return (port, signal) => dialKubelet(kubelets(node), `/v1/portforward/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}/${port}`, signal);
}

function dialProcess(pod: KubeObject, port: number, address: { readonly host: string; readonly port: number } | undefined, signal: AbortSignal): Promise<Duplex> {
  const own = asObjects(at(pod, 'spec', 'containers')).flatMap(container => asObjects(container['ports'])).some(each => each['containerPort'] === port);
  if (!own || !address) return Promise.reject(new Error(own ? 'the process does not run' : 'the process does not listen there'));
  return new Promise((resolve, reject) => {
    const socket = net.connect({ ...address, signal, allowHalfOpen: true }, () => {
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

function dialKubelet(socketPath: string, path: string, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, path, headers: { connection: 'upgrade', upgrade: 'cirri-tcp' }, agent: false, signal });
    asking.on('error', reject);
    asking.on('response', response => {
      const text: Buffer[] = [];
      response.on('data', (chunk: Buffer) => text.push(chunk)).on('end', () => reject(new Error(Buffer.concat(text).toString('utf8').trim() || `the kubelet answered ${response.statusCode}`)));
    });
    asking.on('upgrade', (_, pod: Duplex, head: Buffer) => {
      if (head.length > 0) pod.unshift(head);
      resolve(pod);
    });
    asking.end();
  });
}

function acceptStream(call: Call): Duplex {
  const offered = offeredProtocols(call.request);
  if (offered?.includes(tunnelled)) return webSocketStream(call, tunnelled);
  if (call.request.headers.upgrade?.toLowerCase() !== 'spdy/3.1') throw badRequest(`unable to upgrade: port-forward is served over SPDY/3.1, and over WebSockets as ${tunnelled}`);
  const { socket, head } = takeOver(call, { Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': protocol });
  if (head.length > 0) socket.unshift(head);
  return socket;
}

/** A slow end's means to be waited for. */
interface Valve {
  pause(): void;
  resume(): void;
}

type Connect = (port: number, stream: SpdyStream & Valve, ended: (message?: string) => void) => void;

/** Finds the two streams of a connection by their number. */
class Pairs {
  readonly #connect: Connect;
  readonly #errors = new Map<string, SpdyStream>();

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  /** Throws for a stream that belongs to nothing. */
  add(stream: SpdyStream, valve: Valve): void {
    const port = Number(stream.headers.get('port'));
    // Clients before Kubernetes 1.5 sent no number: their streams come in pairs.
    const id = stream.headers.get('requestid') ?? `${stream.headers.get('streamtype') === 'error' ? stream.id : stream.id - 2}`;
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Error('no port');
    switch (stream.headers.get('streamtype')) {
      case 'error':
        this.#errors.set(id, stream);
        stream.onReset = () => this.#errors.delete(id);
        return;
      case 'data': {
        const errors = this.#errors.get(id);
        if (!errors) throw new Error('a data stream without its error stream');
        this.#errors.delete(id);
        let told = false;
        const end = (message?: string) => {
          if (told) return;
          told = true;
          errors.end(message === undefined ? undefined : Buffer.from(message));
        };
        this.#connect(port, Object.assign(stream, { pause: () => valve.pause(), resume: () => valve.resume() }), end);
        return;
      }
      default: throw new Error('no such stream type');
    }
  }
}

interface PodPort {
  /** `pod NS/NAME` */
  readonly title: string;
  readonly port: number;
  readonly dial: Dial;
}

/** Joins the stream with a connection to the port. `ended` tells how it ended, once. */
function connectTo({ title, port, dial }: PodPort, stream: SpdyStream & Valve, ended: (message?: string) => void): void {
  const early: Buffer[] = [];
  const leaving = new AbortController();
  let isOver = false;
  stream.onData = data => void early.push(data);
  stream.onEnd = () => (isOver = true);
  stream.onReset = () => leaving.abort();
  const fail = (because: string) => {
    ended(`error forwarding port ${port} to ${title}: ${because}`);
    stream.reset();
  };
  dial(port, leaving.signal).then(pod => {
    for (const data of early) pod.write(data);
    join(stream, pod, ended, fail);
    if (isOver) pod.end();
  }, (error: unknown) => fail(errorText(error)));
}

function join(stream: SpdyStream & Valve, pod: Duplex, ended: (message?: string) => void, fail: (because: string) => void): void {
  stream.onData = data => {
    if (!pod.write(data)) stream.pause();
  };
  pod.on('drain', () => stream.resume());
  stream.onEnd = () => pod.end();
  stream.onReset = () => {
    pod.destroy();
    ended();
  };
  stream.onDrain = () => pod.resume();
  pod.on('data', (data: Buffer) => {
    if (!stream.write(data)) pod.pause();
  });
  pod.on('end', () => stream.end());
  pod.on('error', (error: Error) => fail(error.message));
  pod.on('close', () => {
    // What one slow end held up goes on for the others.
    stream.resume();
    stream.end();
    ended();
  });
}

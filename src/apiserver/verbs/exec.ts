import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Call } from '../http/handler.ts';
import { LineSplitter } from '../../kube/lines.ts';
import { offeredProtocols, takeOver, WebSocket } from '../http/upgrade.ts';
import { asObjects, asString, at, isObject, type JsonObject, type KubeObject } from '../object.ts';
import { ApiError, badRequest } from '../status.ts';
import { SpdyServer, type SpdyStream } from '../stream/spdy.ts';
import { chooseContainer, refusal, type KubeletSockets } from './log.ts';

/** Of remote commands over WebSockets, the newest first. The fifth can say that standard input has ended. */
const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;

/** A message's first byte. */
const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** What fits into one frame of the kubelet's. */
const chunkBytes = 512 << 10;

/**
 * `kubectl exec`: a command in a container, by the kubelet of the pod's node. Standard streams and the size of the terminal are
 * channels of a WebSocket, or streams of SPDY (kubectl before 1.30); the last message is a Status with the exit code. What goes
 * wrong before is an answer of HTTP's.
 */
export async function execInPod(pod: KubeObject, call: Call, kubelets: KubeletSockets): Promise<void> {
  const node = asString(at(pod, 'spec', 'nodeName'));
  if (!node) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const container = chooseContainer(pod, call.query.get('container'));
  if (call.query.getAll('command').length === 0) throw badRequest('you must specify at least one command for the container');
  if (!isRunning(pod, container)) throw badRequest(`container ${container} of pod ${pod.metadata.name} is not running`);
  // kubectl tries SPDY when WebSockets are refused, whatever for, and shows the second answer alone: what is wrong is said to both.
  const accept = acceptor(call);
  const { socket, head } = await openExec(kubelets(node), `/v1/exec/${[pod.metadata.namespace ?? '', pod.metadata.name, container].map(encodeURIComponent).join('/')}`, call.query, node);
  accept(socket, head);
}

/** How the client speaks, found before the command is started. Throws 400. */
function acceptor(call: Call): (kubelet: Duplex, head: Buffer) => void {
  const offered = offeredProtocols(call.request);
  if (offered) {
    const protocol = protocols.find(name => offered.includes(name));
    if (protocol === undefined) throw badRequest(`unable to upgrade: exec is served over WebSockets as ${protocols.join(' or ')}`);
    return (kubelet, head) => overWebSocket(call, protocol, kubelet, head);
  }
  if (call.request.headers.upgrade?.toLowerCase() !== 'spdy/3.1') throw badRequest('unable to upgrade: exec is served over WebSockets and SPDY/3.1');
  if (!offeredStreams(call).includes(spdyProtocol)) throw badRequest(`unable to upgrade: exec over SPDY is served as ${spdyProtocol}`);
  return (kubelet, head) => overSpdy(call, kubelet, head);
}

function isRunning(pod: KubeObject, container: string): boolean {
  return ['containerStatuses', 'initContainerStatuses'].flatMap(list => asObjects(at(pod, 'status', list))).some(status => status['name'] === container && isObject(at(status, 'state', 'running')));
}

/** The kubelet's end. Rejects with what it answers instead. */
function openExec(socketPath: string, path: string, asked: URLSearchParams, node: string): Promise<{ readonly socket: Duplex; readonly head: Buffer }> {
  const query = new URLSearchParams(asked.getAll('command').map(word => ['command', word]));
  for (const flag of ['stdin', 'tty']) if (asked.get(flag) === 'true') query.set(flag, '1');
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, path: `${path}?${query}`, headers: { connection: 'upgrade', upgrade: 'cirri-exec' }, agent: false });
    asking.on('error', error => reject(new ApiError(500, 'InternalError', `Internal error occurred: the kubelet of ${node} does not answer: ${error.message}`)));
    asking.on('response', response => {
      const text: Buffer[] = [];
      response.on('data', (chunk: Buffer) => text.push(chunk)).on('end', () => reject(refusal(response.statusCode ?? 500, Buffer.concat(text).toString('utf8'), 'the kubelet could not run the command')));
    });
    asking.on('upgrade', (_, socket: Duplex, head: Buffer) => resolve({ socket, head }));
    asking.end();
  });
}

/** The client's end, whatever it is made of. */
interface Client {
  /** False when it is slow: it says `resume` when it is not. */
  send(to: number, data: Uint8Array): boolean;
  /** The last word. */
  finish(status: JsonObject): void;
  pause(): void;
  resume(): void;
}

/** Passes on what the kubelet says until it has told the exit code; `toKubelet` the other way. */
function passOn(kubelet: Duplex, head: Buffer, client: Client): (bytes: readonly Buffer[]) => void {
  let isOver = false;
  const finish = (status: JsonObject) => {
    if (isOver) return;
    isOver = true;
    client.finish(status);
  };
  const read = frameParser((from, payload) => {
    if (from === 3) finish(exitStatus((JSON.parse(payload.toString('utf8')) as { readonly exitCode: number }).exitCode));
    else if (!client.send(from, payload)) kubelet.pause();
  });
  read(head);
  kubelet.on('data', read);
  kubelet.on('drain', () => client.resume());
  kubelet.on('error', () => {});
  kubelet.on('close', () => {
    client.resume();
    finish(new ApiError(500, 'InternalError', 'the kubelet went away while the command ran').toStatus());
  });
  return bytes => {
    for (const each of bytes) if (!kubelet.write(each)) client.pause();
  };
}

function overWebSocket(call: Call, protocol: string, kubelet: Duplex, head: Buffer): void {
  // What came with the handshake is read before anything else is in place.
  const early: Buffer[] = [];
  let toKubelet = (bytes: readonly Buffer[]): void => void early.push(...bytes);
  const web = new WebSocket(call, protocol, {
    onMessage: ({ data }) => toKubelet(frames(data)),
    onClose: () => kubelet.destroy(),
    onDrain: () => kubelet.resume(),
  });
  const send = (to: number, data: Uint8Array) => web.send('binary', Buffer.concat([Buffer.from([to]), data]));
  // Clients take this for the sign that the command runs.
  send(call.query.get('stdout') === 'true' ? channel.stdout : channel.stderr, new Uint8Array(0));
  toKubelet = passOn(kubelet, head, {
    send, pause: () => web.pause(), resume: () => web.resume(),
    finish: status => {
      send(channel.error, Buffer.from(JSON.stringify(status)));
      web.close();
    },
  });
  toKubelet(early);
}

/** Of remote commands over SPDY: a stream for each of the channels, named in its header. */
const spdyProtocol = 'v4.channel.k8s.io';

function offeredStreams(call: Call): string[] {
  return [call.request.headers['x-stream-protocol-version'] ?? []].flat().flatMap(value => value.split(',')).map(name => name.trim());
}

function overSpdy(call: Call, kubelet: Duplex, head: Buffer): void {
  const { socket, head: early } = takeOver(call, { Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': spdyProtocol });
  if (early.length > 0) socket.unshift(early);
  socket.on('close', () => kubelet.destroy());
  const isOn = (flag: string) => call.query.get(flag) === 'true';
  const wanted = ['error', ...['stdin', 'stdout', 'stderr'].filter(isOn), ...(isOn('tty') ? ['resize'] : [])].filter(name => name !== 'stderr' || !isOn('tty'));
  const streams = new Map<string, SpdyStream>();
  const server = new SpdyServer(socket, stream => {
    const name = stream.headers.get('streamtype') ?? '';
    if (!wanted.includes(name) || streams.has(name)) throw new Error('no such stream');
    streams.set(name, stream);
    if (streams.size === wanted.length) begin();
  });
  const begin = () => {
    const to = (number: number) => streams.get(number === channel.stdout ? 'stdout' : 'stderr');
    const toKubelet = passOn(kubelet, head, {
      send: (number, data) => to(number)?.write(data) ?? true,
      pause: () => server.pause(), resume: () => server.resume(),
      finish: status => {
        for (const [name, stream] of streams) stream.end(name === 'error' ? Buffer.from(JSON.stringify(status)) : undefined);
        socket.end();
      },
    });
    streams.get('error')!.onDrain = () => kubelet.resume();
    const input = streams.get('stdin');
    if (input) {
      input.onData = data => toKubelet(chunks(data));
      input.onEnd = () => toKubelet([frame(channel.stdin, new Uint8Array(0))]);
    }
    const sizes = streams.get('resize');
    const lines = new LineSplitter();
    if (sizes) sizes.onData = data => toKubelet(lines.push(data).filter(text => text.trim() !== '').map(text => frame(channel.resize, Buffer.from(text))));
  };
}

/** A client's message → the kubelet's frames. */
function frames(message: Buffer): Buffer[] {
  const [to, payload] = [message[0], message.subarray(1)];
  if (to === channel.close) return payload[0] === channel.stdin ? [frame(channel.stdin, new Uint8Array(0))] : [];
  if (to === channel.resize) return [frame(channel.resize, payload)];
  // An empty frame would be the end of standard input, which a message without content is not.
  if (to !== channel.stdin) return [];
  return chunks(payload);
}

function chunks(input: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(input.length / chunkBytes) }, (_, i) => frame(channel.stdin, input.subarray(i * chunkBytes, (i + 1) * chunkBytes)));
}

/** As the kubelet has it (src/kubelet/server.ts): channel, length, payload. */
function frame(to: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + payload.length);
  bytes[0] = to;
  bytes.writeUInt32BE(payload.length, 1);
  bytes.set(payload, 5);
  return bytes;
}

function frameParser(onFrame: (from: number, payload: Buffer) => void): (bytes: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return bytes => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    while (held.length >= 5) {
      const length = held.readUInt32BE(1);
      if (held.length < 5 + length) return;
      const payload = held.subarray(5, 5 + length);
      const from = held[0]!;
      held = held.subarray(5 + length);
      onFrame(from, payload);
    }
  };
}

/** The Status that tells of a remote command's end (client-go, tools/remotecommand). */
function exitStatus(code: number): JsonObject {
  if (code === 0) return { metadata: {}, status: 'Success' };
  const message = `command terminated with non-zero exit code: exit status ${code}`;
  return { metadata: {}, status: 'Failure', message, reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: String(code) }] } };
}

import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Call } from '../http/handler.ts';
import { offeredProtocols, WebSocket } from '../http/upgrade.ts';
import { asObjects, asString, at, isObject, type JsonObject, type KubeObject } from '../object.ts';
import { ApiError, badRequest } from '../status.ts';
import { chooseContainer, refusal, type KubeletSockets } from './log.ts';

/** Of remote commands over WebSockets, the newest first. The fifth can say that standard input has ended. */
const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;

/** A message's first byte. */
const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** What fits into one frame of the kubelet's. */
const chunkBytes = 512 << 10;

/**
 * `kubectl exec`: a command in a container, by the kubelet of the pod's node. Standard streams and the size of the terminal are
 * channels of a WebSocket; the last message is a Status with the exit code. What goes wrong before is an answer of HTTP's.
 */
export async function execInPod(pod: KubeObject, call: Call, kubelets: KubeletSockets): Promise<void> {
  const node = asString(at(pod, 'spec', 'nodeName'));
  if (!node) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const container = chooseContainer(pod, call.query.get('container'));
  if (call.query.getAll('command').length === 0) throw badRequest('you must specify at least one command for the container');
  if (!isRunning(pod, container)) throw badRequest(`container ${container} of pod ${pod.metadata.name} is not running`);
  // Last: kubectl tries SPDY when WebSockets are refused, whatever for, and shows the second answer alone.
  const offered = offeredProtocols(call.request);
  const protocol = protocols.find(name => offered?.includes(name));
  if (protocol === undefined) throw badRequest(`unable to upgrade: exec is served over WebSockets, as ${protocols.join(' or ')}`);
  const { socket, head } = await openExec(kubelets(node), `/v1/exec/${[pod.metadata.namespace ?? '', pod.metadata.name, container].map(encodeURIComponent).join('/')}`, call.query, node);
  passOn(call, protocol, socket, head);
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

function passOn(call: Call, protocol: string, kubelet: Duplex, head: Buffer): void {
  let isOver = false;
  const web = new WebSocket(call, protocol, {
    onMessage: ({ data }) => {
      for (const bytes of frames(data)) if (!kubelet.write(bytes)) web.pause();
    },
    onClose: () => kubelet.destroy(),
    onDrain: () => kubelet.resume(),
  });
  kubelet.on('drain', () => web.resume());
  const say = (to: number, data: Uint8Array) => {
    if (!web.send('binary', Buffer.concat([Buffer.from([to]), data]))) kubelet.pause();
  };
  const end = (status: JsonObject) => {
    if (isOver) return;
    isOver = true;
    say(channel.error, Buffer.from(JSON.stringify(status)));
    web.close();
  };
  // Clients take this for the sign that the command runs.
  say(call.query.get('stdout') === 'true' ? channel.stdout : channel.stderr, new Uint8Array(0));
  const read = frameParser((from, payload) => {
    if (from === 3) end(exitStatus((JSON.parse(payload.toString('utf8')) as { readonly exitCode: number }).exitCode));
    else say(from, payload);
  });
  read(head);
  kubelet.on('data', read);
  kubelet.on('error', () => {});
  kubelet.on('close', () => {
    web.resume();
    end(new ApiError(500, 'InternalError', 'the kubelet went away while the command ran').toStatus());
  });
}

/** A client's message → the kubelet's frames. */
function frames(message: Buffer): Buffer[] {
  const [to, payload] = [message[0], message.subarray(1)];
  if (to === channel.close) return payload[0] === channel.stdin ? [frame(channel.stdin, new Uint8Array(0))] : [];
  if (to === channel.resize) return [frame(channel.resize, payload)];
  // An empty frame would be the end of standard input, which a message without content is not.
  if (to !== channel.stdin) return [];
  return Array.from({ length: Math.ceil(payload.length / chunkBytes) }, (_, i) => frame(channel.stdin, payload.subarray(i * chunkBytes, (i + 1) * chunkBytes)));
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

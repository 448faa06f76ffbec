import { request } from 'node:http';
import { asObjects, asString, at } from '../object.ts';
import type { KubeObject } from '../object.ts';
import type { Call } from '../http/handler.ts';
import { sendError } from '../http/respond.ts';
import { ApiError, badRequest } from '../status.ts';

/** Where the kubelet of a node listens. */
export type KubeletSockets = (node: string) => string;

/** Streams a container's log from the kubelet of the pod's node. */
export function proxyLog(pod: KubeObject, call: Call, kubelets: KubeletSockets): void {
  const node = asString(at(pod, 'spec', 'nodeName'));
  const container = chooseContainer(pod, call.query.get('container'));
  if (!node) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const query = logQuery(call.query);
  const path = `/v1/logs/${encodeURIComponent(pod.metadata.namespace ?? '')}/${encodeURIComponent(pod.metadata.name)}/${encodeURIComponent(container)}${query ? `?${query}` : ''}`;
  const upstream = request({ socketPath: kubelets(node), path, method: 'GET' }, response => {
    if (response.statusCode !== 200) {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => sendError(call.response, refusal(response.statusCode ?? 500, Buffer.concat(chunks).toString('utf8'))));
      return;
    }
    call.response.writeHead(200, { 'content-type': 'text/plain' });
    response.pipe(call.response);
  });
  upstream.on('error', error => sendError(call.response, new ApiError(500, 'InternalError', `Internal error occurred: the kubelet of ${node} does not answer: ${error.message}`)));
  call.response.on('close', () => upstream.destroy());
  upstream.end();
}

/** The kubelet's own words, whether it sent a Status, an error object or a sentence. */
export function refusal(code: number, text: string, otherwise = 'the kubelet could not give the log'): ApiError {
  let message = text.trim();
  try {
    const body = JSON.parse(text) as { message?: string; error?: string | { message?: string } };
    message = body.message ?? (typeof body.error === 'string' ? body.error : body.error?.message) ?? message;
  } catch {
    // a sentence
  }
  return new ApiError(code, code === 404 ? 'NotFound' : code === 400 ? 'BadRequest' : 'InternalError', message || otherwise);
}

export function chooseContainer(pod: KubeObject, asked: string | null): string {
  const names = (list: string) => asObjects(at(pod, 'spec', list)).map(c => String(c['name']));
  const all = [...names('containers'), ...names('initContainers'), ...names('ephemeralContainers')];
  if (asked) {
    if (all.includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${pod.metadata.name}`);
  }
  const containers = names('containers');
  const marked = pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'];
  if (marked && containers.includes(marked)) return marked;
  if (containers.length === 1) return containers[0]!;
  throw badRequest(`a container name must be specified for pod ${pod.metadata.name}, choose one of: [${containers.join(' ')}]`);
}

function logQuery(query: URLSearchParams): string {
  const result = new URLSearchParams();
  for (const [from, to] of [['follow', 'follow'], ['previous', 'previous'], ['timestamps', 'timestamps']] as const) {
    if (query.get(from) === 'true') result.set(to, '1');
  }
  for (const [from, to] of [['tailLines', 'tail'], ['sinceSeconds', 'sinceSeconds'], ['sinceTime', 'sinceTime'], ['limitBytes', 'limitBytes']] as const) {
    const value = query.get(from);
    if (value) result.set(to, value);
  }
  return result.toString();
}

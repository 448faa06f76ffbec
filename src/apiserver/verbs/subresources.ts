import { asArray, asNumber, asObject, asString, at, ensureObject, isObject } from '../object.ts';
import type { JsonObject, KubeObject } from '../object.ts';
import { issuer } from '../auth/tokens.ts';
import type { TokenIssuer } from '../auth/tokens.ts';
import type { Call, ResourceRoute } from '../http/handler.ts';
import { currentObject, writeOptions } from '../http/resources.ts';
import { sendJson } from '../http/respond.ts';
import type { ResourceType } from '../registry/resource.ts';
import { ApiError, badRequest, conflict, invalid, invalidObject, methodNotAllowed, noSuchPath, required } from '../status.ts';
import { timestamp } from './context.ts';
import type { ApiContext } from './context.ts';
import { deleteObject, parseDeleteOptions } from './delete.ts';
import { execInPod } from './exec.ts';
import { proxyLog } from './log.ts';
import type { KubeletSockets } from './log.ts';
import { forwardPorts } from './port-forward.ts';
import type { ProcessAddress } from '../processes.ts';
import { answerScale } from './scale.ts';
import { updateObject } from './write.ts';

export interface SubresourceDependencies { readonly context: ApiContext; readonly tokens: TokenIssuer; readonly kubelets: KubeletSockets; readonly processes: ProcessAddress }

/** Everything below an object that is not its status. */
export function createSubresources(dependencies: SubresourceDependencies): (type: ResourceType, call: Call, route: ResourceRoute) => Promise<void> | void {
  const { context } = dependencies;
  return (type, call, route) => {
    if (route.rest.length > 0) throw noSuchPath();
    switch (`${type.plural}/${route.subresource}`) {
      case 'pods/binding': return bindPod(context, type, call, route);
      case 'pods/eviction': return evictPod(context, type, call, route);
      case 'pods/log': return proxyLog(currentObject(context, type, route), call, dependencies.kubelets);
      case 'pods/portforward': return forwardPorts(currentObject(context, type, route), call, dependencies);
      case 'pods/exec': return execInPod(currentObject(context, type, route), call, dependencies.kubelets);
      case 'pods/attach':
        throw new ApiError(501, 'NotImplemented', `pods/${route.subresource} is not served here; use: cirri exec`);
      case 'namespaces/finalize': return finalizeNamespace(context, type, call, route);
      case 'serviceaccounts/token': return issueToken(dependencies, type, call, route);
    }
    if (route.subresource === 'scale' && type.scale) return answerScale(context, type, call, route);
    throw noSuchPath();
  };
}

/** Only the scheduler's answer counts, and only once: a pod that has a node keeps it. */
async function bindPod(context: ApiContext, type: ResourceType, call: Call, route: ResourceRoute): Promise<void> {
  if (call.method !== 'POST') throw methodNotAllowed();
  const body = await call.body();
  const node = asString(at(body, 'target', 'name'));
  const kind = asString(at(body, 'target', 'kind')) ?? 'Node';
  if (!node || kind !== 'Node') throw invalidObject({ group: '', kind: 'Binding' }, route.name!, [required('target.name', 'name the node that the pod is to run on')]);
  const old = currentObject(context, type, route);
  const uid = asString(at(body, 'metadata', 'uid'));
  if (uid && uid !== old.metadata.uid) throw conflict(type, route.name!, `the pod's UID is ${old.metadata.uid}, not ${uid}`);
  if (old.metadata.deletionTimestamp) throw conflict(type, route.name!, `pod ${route.name} is being deleted, cannot be assigned to a host`);
  const present = at(old, 'spec', 'nodeName');
  if (present) throw conflict(type, route.name!, `pod ${route.name} is already assigned to node "${String(present)}"`);
  const object = JSON.parse(JSON.stringify(old)) as KubeObject;
  ensureObject(object, 'spec')['nodeName'] = node;
  const annotations = asObject(at(body, 'metadata', 'annotations'));
  if (annotations) Object.assign(ensureObject(object.metadata, 'annotations'), annotations);
  setScheduled(object, timestamp(context.now()));
  updateObject(context, { ...type, statusSubresource: false }, old, object, writeOptions(call));
  sendJson(call.response, 201, JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }));
}

function setScheduled(object: KubeObject, now: string): void {
  const status = ensureObject(object, 'status');
  const others = asArray(status['conditions']).filter(c => at(c, 'type') !== 'PodScheduled');
  status['conditions'] = [...others, { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: now }];
}

async function evictPod(context: ApiContext, type: ResourceType, call: Call, route: ResourceRoute): Promise<void> {
  if (call.method !== 'POST') throw methodNotAllowed();
  const body = await call.body();
  const options = parseDeleteOptions(at(body, 'deleteOptions'), call.query);
  deleteObject(context, type, route.namespace, route.name!, options);
  sendJson(call.response, 201, JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }));
}

async function finalizeNamespace(context: ApiContext, type: ResourceType, call: Call, route: ResourceRoute): Promise<void> {
  if (call.method !== 'PUT') throw methodNotAllowed();
  const body = await call.body();
  if (!isObject(body)) throw badRequest('the body of the request must be a Namespace');
  const old = currentObject(context, type, route);
  const object = { ...(JSON.parse(JSON.stringify(old)) as KubeObject), spec: { finalizers: asArray(at(body, 'spec', 'finalizers')) } };
  sendJson(call.response, 200, JSON.stringify(updateObject(context, type, old, object, writeOptions(call))));
}

const shortestToken = 600;
const longestToken = 2 ** 32;

/** A TokenRequest (authentication.k8s.io/v1): the answer is the request with its status. */
async function issueToken({ context, tokens }: SubresourceDependencies, type: ResourceType, call: Call, route: ResourceRoute): Promise<void> {
  if (call.method !== 'POST') throw methodNotAllowed();
  const account = currentObject(context, type, route);
  const body = (await call.body()) ?? {};
  if (!isObject(body)) throw badRequest('the body of the request must be a TokenRequest');
  const seconds = asNumber(at(body, 'spec', 'expirationSeconds')) ?? 3600;
  if (seconds < shortestToken || seconds > longestToken) {
    throw invalidObject({ group: 'authentication.k8s.io', kind: 'TokenRequest' }, route.name!, [invalid('spec.expirationSeconds', seconds, 'may not specify a duration less than 10 minutes or more than 2^32 seconds')]);
  }
  const audiences = asArray(at(body, 'spec', 'audiences')).map(String);
  const now = context.now();
  const expires = Math.floor(now.getTime() / 1000) + seconds;
  const subject = { namespace: route.namespace ?? '', name: route.name!, uid: account.metadata.uid ?? '', audiences: audiences.length > 0 ? audiences : [issuer], expires };
  const answer: JsonObject = {
    kind: 'TokenRequest', apiVersion: 'authentication.k8s.io/v1',
    metadata: { name: route.name!, namespace: route.namespace ?? '', creationTimestamp: timestamp(now) },
    spec: { ...asObject(body['spec']), audiences: subject.audiences, expirationSeconds: seconds },
    status: { token: tokens.issue(subject, now), expirationTimestamp: timestamp(new Date(expires * 1000)) },
  };
  sendJson(call.response, 201, JSON.stringify(answer));
}

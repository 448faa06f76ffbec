import { isAllowed } from '../auth/authorize.ts';
import { userOfToken } from '../auth/authenticate.ts';
import type { Authenticator } from '../auth/authenticate.ts';
import { isAdmin } from '../auth/user.ts';
import type { User } from '../auth/user.ts';
import type { VirtualResource } from '../discovery.ts';
import type { Call } from '../http/handler.ts';
import { sendJson } from '../http/respond.ts';
import type { Route } from '../http/route.ts';
import { asObject, asString, at } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';
import { badRequest } from '../status.ts';

/** Answers the questions that an API server is asked about users: who am I, may I, whose token is this. */
export async function answerReview(resource: VirtualResource, call: Call, authenticator: Authenticator): Promise<void> {
  const body = asObject((await call.body()) ?? {});
  if (!body) throw badRequest(`the body of the request must be a ${resource.kind}`);
  const status = statusOf(resource.plural, body, call.user, authenticator);
  sendJson(call.response, 201, JSON.stringify({
    kind: resource.kind, apiVersion: `${resource.group}/${resource.version}`, metadata: { creationTimestamp: null },
    ...(body['spec'] === undefined ? {} : { spec: body['spec'] }), status,
  }));
}

function statusOf(plural: string, body: JsonObject, user: User, authenticator: Authenticator): JsonObject {
  switch (plural) {
    case 'selfsubjectreviews': return { userInfo: userInfo(user) };
    case 'tokenreviews': {
      const owner = userOfToken(asString(at(body, 'spec', 'token')) ?? '', authenticator);
      return owner ? { authenticated: true, user: userInfo(owner) } : { authenticated: false, error: 'invalid bearer token' };
    }
    case 'selfsubjectaccessreviews': {
      const allowed = mayDo(user, body['spec']);
      return allowed ? { allowed, reason: isAdmin(user) ? 'administrators may do everything' : 'granted to everyone' } : { allowed, reason: 'service accounts may only look at what the API offers' };
    }
    default: return {
      resourceRules: isAdmin(user) ? [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }]
        : [{ verbs: ['create'], apiGroups: ['authorization.k8s.io'], resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'] }, { verbs: ['create'], apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'] }],
      nonResourceRules: [{ verbs: isAdmin(user) ? ['*'] : ['get'], nonResourceURLs: isAdmin(user) ? ['*'] : ['/api', '/api/*', '/apis', '/apis/*', '/healthz', '/livez', '/openapi', '/openapi/*', '/readyz', '/version'] }],
      incomplete: false,
    };
  }
}

function userInfo(user: User): JsonObject {
  return { username: user.name, ...(user.uid === undefined ? {} : { uid: user.uid }), groups: [...user.groups] };
}

function mayDo(user: User, spec: Json | undefined): boolean {
  const path = asString(at(spec, 'nonResourceAttributes', 'path'));
  const text = (key: string) => asString(at(spec, 'resourceAttributes', key));
  const route: Route = path !== undefined ? { kind: 'other', path }
    : { kind: 'resource', group: text('group') ?? '', version: text('version') ?? 'v1', namespace: text('namespace'), plural: text('resource') ?? '', name: text('name'), subresource: text('subresource'), rest: [] };
  return isAllowed(user, text('verb') ?? asString(at(spec, 'nonResourceAttributes', 'verb')) ?? '', route);
}

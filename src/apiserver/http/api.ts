import { aggregatedDiscovery, aggregatedType, apiGroup, apiGroupList, apiResourceList, apiVersions, virtualResources } from '../discovery.ts';
import type { VirtualResource } from '../discovery.ts';
import type { JsonObject } from '../object.ts';
import { methodNotAllowed, noSuchPath } from '../status.ts';
import type { ApiContext } from '../verbs/context.ts';
import type { Call, ResourceRoute } from './handler.ts';
import { requireRoute } from './handler.ts';
import { answerResource } from './resources.ts';
import { sendJson, sendText } from './respond.ts';

/** The parts of the API that are not stored objects; each answers the call. */
export interface ApiParts {
  readonly version: JsonObject;
  readonly serverAddress: string;
  readonly isReady: () => boolean;
  readonly openapi: (call: Call, path: string) => void;
  readonly virtual: (resource: VirtualResource, call: Call) => Promise<void>;
  readonly subresource: Parameters<typeof answerResource>[4];
}

/** Sends a call where its path leads. */
export function createApi(context: ApiContext, parts: ApiParts): (call: Call) => Promise<void> | void {
  const { registry } = context;
  const json = (call: Call, value: JsonObject | undefined) => sendJson(call.response, 200, JSON.stringify(requireRoute(value)));
  return call => {
    const { route } = call;
    switch (route.kind) {
      case 'resource': return answerResourceRoute(context, parts, call, route);
      case 'group-version': return json(call, apiResourceList(registry, route.group, route.version));
      case 'group': return json(call, apiGroup(registry, route.group));
      case 'other': return answerOther(context, parts, call, route.path);
    }
  };
}

function answerResourceRoute(context: ApiContext, parts: ApiParts, call: Call, route: ResourceRoute): Promise<void> {
  const virtual = virtualResources.find(v => v.group === route.group && v.version === route.version && v.plural === route.plural);
  if (virtual) {
    if (call.method !== 'POST' || route.name !== undefined) throw methodNotAllowed();
    return parts.virtual(virtual, call);
  }
  const type = context.registry.find(route.group, route.version, route.plural);
  return answerResource(context, requireRoute(type), call, route, parts.subresource);
}

function answerOther(context: ApiContext, parts: ApiParts, call: Call, path: string): void {
  if (call.method !== 'GET' && call.method !== 'HEAD') throw methodNotAllowed();
  const { registry } = context;
  const plain = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  switch (plain) {
    case '/api': case '/apis': {
      const mediaType = aggregatedType(call.request.headers.accept);
      if (mediaType) return sendJson(call.response, 200, JSON.stringify(aggregatedDiscovery(registry, plain === '/api', mediaType)), { contentType: mediaType });
      return sendJson(call.response, 200, JSON.stringify(plain === '/api' ? apiVersions(parts.serverAddress) : apiGroupList(registry)));
    }
    case '/version': return sendJson(call.response, 200, JSON.stringify(parts.version));
    case '/healthz': case '/livez': return sendText(call.response, 200, 'ok');
    case '/readyz': return parts.isReady() ? sendText(call.response, 200, 'ok') : sendText(call.response, 503, 'not ready');
    case '/': return sendJson(call.response, 200, JSON.stringify({ paths: ['/api', '/apis', '/healthz', '/livez', '/openapi/v2', '/openapi/v3', '/readyz', '/version'] }));
    default:
      if (plain.startsWith('/openapi/')) return parts.openapi(call, plain);
      if (/^\/(healthz|livez|readyz)\//.test(plain)) return sendText(call.response, 200, 'ok');
      throw noSuchPath();
  }
}

import { createHash, randomUUID } from 'node:crypto';
import { groupVersions } from '../discovery.ts';
import { parseAccept } from '../http/accept.ts';
import type { Call } from '../http/handler.ts';
import type { Registry } from '../registry/registry.ts';
import { noSuchPath, notAcceptable } from '../status.ts';
import { documentV2, documentV3, pathOfGroup } from './document.ts';
import { encodeDocument } from './protobuf.ts';

/** Asked for with an @, which is no legal media type: clients of Go 1.19 and newer refuse to read it back, so the answer has a dot. */
const protobufAsked = ['application/com.github.proto-openapi.spec.v2@v1.0+protobuf', 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'];
const protobufV2 = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** Serves /openapi/v2 and /openapi/v3. Documents are made when asked for and kept until the API changes. */
export function createOpenApi(registry: Registry): (call: Call, path: string) => void {
  // Clients cache documents by this; another start may serve other ones.
  const run = randomUUID();
  const cache = new Map<string, Buffer>();
  let revision = -1;
  const cached = (key: string, make: () => Buffer): Buffer => {
    if (revision !== registry.revision) {
      cache.clear();
      revision = registry.revision;
    }
    const found = cache.get(key);
    if (found) return found;
    const made = make();
    cache.set(key, made);
    return made;
  };
  const hashNow = () => createHash('sha256').update(`${run} ${registry.revision}`).digest('hex').slice(0, 32);

  return (call, path) => {
    if (path === '/openapi/v2') {
      const type = chooseV2(call.request.headers.accept);
      const body = cached(type, () => (type === protobufV2 ? encodeDocument(documentV2(registry)) : Buffer.from(JSON.stringify(documentV2(registry)))));
      return send(call, body, type, `"${hashNow()}"`);
    }
    if (path === '/openapi/v3') return send(call, Buffer.from(JSON.stringify(indexV3(registry, hashNow()))), 'application/json', undefined);
    const match = /^\/openapi\/v3\/(?:api\/([^/]+)|apis\/([^/]+)\/([^/]+))$/.exec(path);
    const group = match?.[2] ?? '';
    const version = match?.[1] ?? match?.[3] ?? '';
    if (!match || !groupVersions(registry).get(group)?.includes(version)) throw noSuchPath();
    if (!parseAccept(call.request.headers.accept).some(a => ['application/json', 'application/*', '*/*'].includes(a.type))) throw notAcceptable(['application/json']);
    return send(call, cached(path, () => Buffer.from(JSON.stringify(documentV3(registry, group, version)))), 'application/json', `"${hashNow()}"`);
  };
}

function chooseV2(accept: string | undefined): string {
  for (const { type } of parseAccept(accept)) {
    if (protobufAsked.includes(type)) return protobufV2;
    if (['application/json', 'application/*', '*/*'].includes(type)) return 'application/json';
  }
  throw notAcceptable(['application/json', protobufV2]);
}

function indexV3(registry: Registry, hash: string): { paths: Record<string, { serverRelativeURL: string }> } {
  const paths: Record<string, { serverRelativeURL: string }> = {};
  for (const [group, versions] of groupVersions(registry)) {
    for (const version of versions) {
      const path = pathOfGroup(group, version);
      paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
    }
  }
  return { paths };
}

function send(call: Call, body: Buffer, contentType: string, etag: string | undefined): void {
  const headers: Record<string, string | number> = { 'content-type': contentType, 'cache-control': etag && call.query.has('hash') ? 'public, immutable, max-age=31536000' : 'no-cache, private', vary: 'Accept' };
  if (etag) headers['etag'] = etag;
  if (etag && call.request.headers['if-none-match'] === etag) {
    call.response.writeHead(304, headers).end();
    return;
  }
  call.response.writeHead(200, { ...headers, 'content-length': body.length }).end(body);
}

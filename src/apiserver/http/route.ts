/** What a path of the API means; pure. Verbs and existence are decided later. */
export type Route =
  | { readonly kind: 'resource'; readonly group: string; readonly version: string; readonly namespace: string | undefined; readonly plural: string; readonly name: string | undefined; readonly subresource: string | undefined; readonly rest: readonly string[] }
  | { readonly kind: 'group-version'; readonly group: string; readonly version: string }
  | { readonly kind: 'group'; readonly group: string }
  | { readonly kind: 'other'; readonly path: string };

/** Splits `/api/v1/namespaces/NS/pods/NAME/log` and its relatives. A malformed escape makes it an unknown path. */
export function parseRoute(pathname: string): Route {
  const other: Route = { kind: 'other', path: pathname };
  let parts: string[];
  try {
    parts = pathname.split('/').filter(part => part !== '').map(decodeURIComponent);
  } catch {
    return other;
  }
  if (parts[0] === 'api' && parts[1]) return below('', parts[1], parts.slice(2));
  if (parts[0] === 'apis' && parts[1] && parts[2]) return below(parts[1], parts[2], parts.slice(3));
  if (parts[0] === 'apis' && parts[1]) return { kind: 'group', group: parts[1] };
  return other;
}

/** Subresources of the resource `namespaces` itself: everything else below a namespace is a resource in it. */
const namespaceSubresources = new Set(['status', 'finalize']);

function below(group: string, version: string, parts: readonly string[]): Route {
  if (parts.length === 0) return { kind: 'group-version', group, version };
  const inNamespace = parts[0] === 'namespaces' && parts.length > 2 && !(parts.length === 3 && namespaceSubresources.has(parts[2]!));
  const [plural, name, subresource, ...rest] = inNamespace ? parts.slice(2) : parts;
  return { kind: 'resource', group, version, namespace: inNamespace ? parts[1] : undefined, plural: plural!, name, subresource, rest };
}

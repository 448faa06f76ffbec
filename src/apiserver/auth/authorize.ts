import type { Route } from '../http/route.ts';
import { ApiError, forbidden } from '../status.ts';
import { isAdmin, isAnonymous } from './user.ts';
import type { User } from './user.ts';

const openPaths = /^\/(healthz|livez|readyz|version)(\/|$)/;
const discoveryPaths = /^\/(api|apis|openapi)(\/|$)/;
const selfReviews = new Set(['selfsubjectreviews', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews']);

/**
 * The whole policy: administrators may do everything, the unknown may ask whether the server lives, service accounts may
 * look at what the API offers and at themselves. Rights from Roles are not served here.
 */
export function isAllowed(user: User, verb: string, route: Route): boolean {
  if (isAdmin(user)) return true;
  if (route.kind === 'other' && openPaths.test(route.path)) return true;
  if (isAnonymous(user)) return false;
  if (route.kind === 'other') return discoveryPaths.test(route.path);
  if (route.kind !== 'resource') return true;
  return verb === 'create' && selfReviews.has(route.plural);
}

/** Throws 403, or 401 for somebody whom nobody knows. */
export function authorize(user: User, verb: string, route: Route): void {
  if (isAllowed(user, verb, route)) return;
  if (route.kind === 'resource') {
    const where = route.namespace === undefined ? ' at the cluster scope' : ` in the namespace "${route.namespace}"`;
    const resource = { group: route.group, plural: route.subresource ? `${route.plural}/${route.subresource}` : route.plural };
    throw forbidden(resource, route.name ?? '', `User "${user.name}" cannot ${verb} resource "${resource.plural}" in API group "${route.group}"${where}`);
  }
  const path = route.kind === 'other' ? route.path : '/apis';
  throw new ApiError(403, 'Forbidden', `forbidden: User "${user.name}" cannot ${verb} path "${path}"`, {});
}

/** Who asks. */
export interface User { readonly name: string; readonly uid?: string; readonly groups: readonly string[] }

export const adminUser: User = { name: 'cirri-admin', groups: ['system:masters', 'system:authenticated'] };
export const anonymousUser: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

export function serviceAccountUser(namespace: string, name: string, uid: string): User {
  return {
    name: `system:serviceaccount:${namespace}:${name}`, uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}

export const isAdmin = (user: User): boolean => user.groups.includes('system:masters');
export const isAnonymous = (user: User): boolean => user.name === anonymousUser.name;

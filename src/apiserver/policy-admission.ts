import { poolRanges, type PoolSpec } from '../ipam/service-pool.ts';
import { parseLocalRedirect, redirectChangeErrors } from '../lb/local-redirect.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { KubeObject } from './object.ts';
import type { SemanticValidation } from './verbs/context.ts';

const policyKinds: Readonly<Record<string, string>> = {
  CiliumNetworkPolicy: 'cilium.io/', CiliumClusterwideNetworkPolicy: 'cilium.io/', NetworkPolicy: 'networking.k8s.io/',
  AdminNetworkPolicy: 'policy.networking.k8s.io/', BaselineAdminNetworkPolicy: 'policy.networking.k8s.io/', ClusterNetworkPolicy: 'policy.networking.k8s.io/',
};

/** Admission of policies by the engine that will enforce them: what it cannot parse is refused, what it will not enforce as written is said. */
export function validatePolicyObject(object: KubeObject, clusterName: string, old?: KubeObject): ReturnType<SemanticValidation> {
  if (object.apiVersion.startsWith('cilium.io/') && object.kind === 'CiliumLocalRedirectPolicy') {
    return { errors: [...parseLocalRedirect(object).errors, ...(old ? redirectChangeErrors(object, old) : [])], warnings: [] };
  }
  if (object.apiVersion.startsWith('cilium.io/') && object.kind === 'CiliumLoadBalancerIPPool') return { errors: poolErrors(object), warnings: [] };
  const group = policyKinds[object.kind];
  if (group === undefined || !object.apiVersion.startsWith(group)) return { errors: [], warnings: [] };
  const { errors = [], conditions } = parsePolicy(object, { clusterName, nodeLabels: true });
  return { errors, warnings: conditions.map(c => `${c.path}: ${c.message}`) };
}

function poolErrors(object: KubeObject): ReturnType<SemanticValidation>['errors'] {
  return poolRanges((object['spec'] ?? {}) as PoolSpec).errors.map(text => {
    const [path = 'spec.blocks', ...message] = text.split(': ');
    return { path, message: message.join(': '), mend: 'write a cidr, or start and stop' };
  });
}

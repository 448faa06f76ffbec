import { isDeepStrictEqual } from 'node:util';
import { clusterGrounds, nodeOwners, poolOf } from '../../features/external-addresses/claims.ts';
import { catchRefusal } from '../../features/local-redirect/may-catch.ts';
import { objectKey } from '../../kube/reflector.ts';
import type { Condition, KubeObject } from '../../kube/types.ts';
import { parseLocalRedirect } from '../../lb/local-redirect.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { timeText } from '../nodes.ts';
import { withCondition } from '../pods.ts';
import { WorkQueue } from '../queue.ts';

/** Says on each CiliumLocalRedirectPolicy whether it acts, and why not. */
export function runLocalRedirects(context: Context): void {
  const { cluster, record, log, signal } = context;
  const policies = cluster.localRedirectPolicies;
  const grounds = clusterGrounds(record);
  const queue = new WorkQueue({ name: 'local-redirects', handle, log, signal });
  const all = { add: () => { for (const key of policies.table.keys()) queue.add(key); } };
  enqueueOnChange(policies.table, policy => [objectKey(policy)], queue, signal);
  enqueueOnChange(cluster.loadBalancerPools.table, pool => [pool.metadata.name], all, signal);
  enqueueOnChange(cluster.services.table, service => (isMatched(objectKey(service)) ? [objectKey(service)] : []), all, signal);

  function isMatched(service: string): boolean {
    return [...policies.table.rows()].some(object => {
      const frontend = parseLocalRedirect(object).policy?.frontend;
      return frontend?.kind === 'service' && `${object.metadata.namespace}/${frontend.service}` === service;
    });
  }

  async function handle(key: string): Promise<void> {
    const object = policies.get(key);
    if (!object) return;
    const present = (object.status as { readonly conditions?: readonly Condition[] } | undefined)?.conditions ?? [];
    const conditions = withCondition(present.filter(({ type }) => type === 'Valid'), condition(object), timeText(context.now()));
    if (isDeepStrictEqual(present, conditions)) return;
    await policies.patch(object, { status: { conditions } }, { subresource: 'status', onlyIf: 'unchanged' });
  }

  function condition(object: KubeObject): Condition {
    const no = (reason: string, message: string): Condition => ({ type: 'Valid', status: 'False', reason, message });
    const { policy, errors } = parseLocalRedirect(object);
    if (!policy) return no('Invalid', errors.map(error => `${error.path}: ${error.message}; ${error.mend}`).join('\n'));
    if (policy.frontend.kind === 'address') {
      const refusal = catchRefusal(policy.frontend.addr, {
        grounds, allowed: record.settings.localRedirectPolicies.addressMatcherCIDRs,
        owners: nodeOwners(record, cluster.nodes.table.rows()), pools: [...cluster.loadBalancerPools.table.rows()].map(poolOf),
      });
      if (refusal !== undefined) return no('AddressRefused', `spec.redirectFrontend.addressMatcher.ip: ${refusal}`);
    } else if (!cluster.services.table.has(`${policy.namespace}/${policy.frontend.service}`)) {
      return no('ServiceNotFound', `service ${policy.namespace}/${policy.frontend.service} does not exist; the policy acts when it does`);
    }
    return { type: 'Valid', status: 'True', reason: 'Validated', message: 'redirects on every node with a ready pod that it selects; cirri lrp list shows where' };
  }
}

/** Policies by the names that people give them. */
import type { Scenario, ScenarioPolicy } from '../../policy/scenario.ts';
import { CirriError } from '../../std/errors.ts';
import { nearest } from '../resource-name.ts';

/** `NAME` (of the namespace, or cluster-wide), `NS/NAME`, `KIND/NAME`, `KIND/NS/NAME`. */
export function policiesNamed(scenario: Scenario, name: string, namespace: string): readonly ScenarioPolicy[] {
  const wanted = name.includes('/') ? name : `${namespace}/${name}`;
  return scenario.policies.filter(({ address }) => [address, address.replace('//', '/')].includes(name) || address.endsWith(`/${wanted}`) || address.endsWith(`//${name}`));
}

/** As above, and there must be one. */
export function knownPolicies(scenario: Scenario, name: string, namespace: string): readonly ScenarioPolicy[] {
  const found = policiesNamed(scenario, name, namespace);
  if (found.length > 0) return found;
  const near = nearest(name, scenario.policies.map(({ address }) => name.includes('/') ? address.replace(/^[^/]+\/+/, '') : address.split('/').at(-1)!));
  throw new CirriError('ERR_NO_POLICY', `there is no policy ${name}`, { mend: near === undefined ? 'cirri policy get lists the policies; a name without a namespace is in -n' : `did you mean ${near}?` });
}

/** `CiliumNetworkPolicy/shop/web`, `CiliumClusterwideNetworkPolicy/base`. */
export function shownAddress(address: string): string {
  return address.replace('//', '/');
}

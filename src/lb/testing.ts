import { parseAddr } from '../std/ip.ts';
import { nodePortAddresses } from './frontends.ts';
import type { FrontendContext } from './frontends.ts';

/** A node for tests: n1 in zone z1, with one address of each family. */
export function testContext(change: { readonly defaults?: Partial<FrontendContext['defaults']>; readonly mayServe?: FrontendContext['mayServe']; readonly zone?: string | undefined; readonly labels?: Readonly<Record<string, string>> } = {}): FrontendContext {
  const own = ['192.0.2.1', '2001:db8::1'];
  return {
    place: { name: 'n1', zone: 'zone' in change ? change.zone : 'z1', addresses: new Set(own) },
    nodeLabels: change.labels ?? {},
    nodePorts: nodePortAddresses(own.map(parseAddr), () => true),
    defaults: { algorithm: 'random', mode: 'snat', maglevTableSize: 251, externalClusterIP: false, sourceRangesOfAllTypes: false, ...change.defaults },
    mayServe: change.mayServe ?? (() => undefined),
  };
}

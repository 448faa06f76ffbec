import { isDeepStrictEqual } from 'node:util';
import { nodePortAddresses } from '../../lb/frontends.ts';
import type { FrontendContext } from '../../lb/frontends.ts';
import type { Settings } from '../../model/settings.ts';
import { parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';

type Labels = Readonly<Record<string, string>>;

/** Kubernetes' well-known label of a node. */
const zoneLabel = 'topology.kubernetes.io/zone';

/** What rows depend on beside the objects: fixed but for the node's labels. */
export function nodeContext(options: {
  readonly nodeName: string;
  readonly addresses: readonly string[];
  readonly settings: Settings;
  readonly mayServe: FrontendContext['mayServe'];
}): { readonly current: FrontendContext; setLabels(labels: Labels | undefined): boolean } {
  const { nodeName, addresses, settings, mayServe } = options;
  const chosen = settings.nodePort.addresses.map(parsePrefix);
  const fixed = {
    nodePorts: nodePortAddresses(addresses.map(parseAddr), addr => chosen.length === 0 || chosen.some(prefix => prefixHas(prefix, addr))),
    defaults: {
      algorithm: settings.loadBalancer.algorithm,
      mode: settings.loadBalancer.mode,
      maglevTableSize: settings.maglev.tableSize,
      externalClusterIP: settings.bpf.lbExternalClusterIP,
      sourceRangesOfAllTypes: settings.bpf.lbSourceRangeAllTypes,
    },
    mayServe,
  };
  const own = new Set(addresses);
  const withLabels = (nodeLabels: Labels): FrontendContext => ({ ...fixed, nodeLabels, place: { name: nodeName, zone: nodeLabels[zoneLabel], addresses: own } });
  let current = withLabels({});
  return {
    get current() {
      return current;
    },
    /** True when they are others than before. An object that is missing says nothing. */
    setLabels: labels => {
      if (labels === undefined || isDeepStrictEqual(labels, current.nodeLabels)) return false;
      current = withLabels(labels);
      return true;
    },
  };
}

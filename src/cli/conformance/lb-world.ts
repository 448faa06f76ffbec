import { HostPortDerivation } from '../../features/host-ports/derive.ts';
import { nodeContext } from '../../features/services/context.ts';
import { ServiceDerivation } from '../../features/services/desired.ts';
import { FakeMaglevTables, fakeServiceMaps } from '../../features/services/fakemaps.ts';
import type { FakeServiceMaps } from '../../features/services/fakemaps.ts';
import { ServiceTarget } from '../../features/services/target.ts';
import { objectKey } from '../../kube/reflector.ts';
import type { EndpointSlice, KubeObject, Pod, Service } from '../../kube/types.ts';
import type { RedirectInput } from '../../lb/local-rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';
import { defaultSettings } from '../../model/settings.ts';
import type { Settings } from '../../model/settings.ts';
import { silentLogger } from '../../std/log.ts';
import { Reconciler } from '../../table/reconcile.ts';
import { Table } from '../../table/table.ts';

/** What upstream's flags on a script's first line mean in our settings. Upstream's tests have tables of 1021 entries. */
export function settingsOfFlags(flags: string): Settings {
  const has = (flag: string) => flags.split(/\s+/).some(f => f === flag || f === `${flag}=true`);
  const algorithm = /--(?:bpf-lb|node-port)-algorithm=maglev/.test(flags) ? 'maglev' : 'random';
  return {
    ...defaultSettings,
    loadBalancer: { ...defaultSettings.loadBalancer, algorithm },
    maglev: { ...defaultSettings.maglev, tableSize: 1_021 },
    bpf: { ...defaultSettings.bpf, lbExternalClusterIP: has('--bpf-lb-external-clusterip'), lbSourceRangeAllTypes: has('--bpf-lb-source-range-all-types') },
  };
}

/** One node's load balancing, from objects to maps: the agent's own derivation, target and reconciler; the maps are of memory. */
export class LbWorld {
  readonly services = new Table<Service>('services', objectKey);
  readonly slices = new Table<EndpointSlice>('endpointslices', objectKey);
  readonly pods = new Table<Pod>('pods', objectKey);
  readonly maps: FakeServiceMaps = fakeServiceMaps();
  readonly maglev = new FakeMaglevTables();
  nodeLabels: Readonly<Record<string, string>> = {};
  readonly #hostPorts = new HostPortDerivation(this.pods);
  readonly #derivation: ServiceDerivation;
  readonly #context: ReturnType<typeof nodeContext>;
  readonly #settings: Settings;
  readonly #sweeps: (() => void)[] = [];
  #reconciler: Reconciler<ServiceRow>;

  constructor(settings: Settings, nodeAddresses: readonly string[]) {
    this.#settings = settings;
    this.#context = nodeContext({ nodeName: 'testnode', addresses: nodeAddresses, settings, mayServe: () => undefined });
    this.#derivation = new ServiceDerivation({
      services: this.services, slices: this.slices, hostPorts: this.#hostPorts.table,
      redirects: new Table<RedirectInput>('redirects', r => r.key), external: new Table<{ readonly key: string }>('external', r => r.key),
    }, () => this.#context.current);
    this.#reconciler = this.#start();
  }

  get rows(): readonly ServiceRow[] {
    return [...this.#derivation.table.rows()];
  }

  put(object: KubeObject): void {
    if (object.kind === 'Service') this.services.upsert(object as unknown as Service);
    else if (object.kind === 'EndpointSlice') this.slices.upsert(object as unknown as EndpointSlice);
    else if (object.kind === 'Pod') this.pods.upsert(object as unknown as Pod);
    else throw new Error(`objects of kind ${object.kind} are not known to load balancing`);
  }

  drop(object: KubeObject): void {
    const table = { Service: this.services, EndpointSlice: this.slices, Pod: this.pods }[object.kind];
    table?.delete(objectKey(object));
  }

  /** Until nothing is left to do; every grace period has passed. */
  settle(): void {
    this.#hostPorts.step();
    if (this.#context.setLabels(this.nodeLabels)) this.#derivation.refreshAll();
    this.#derivation.step();
    this.#reconciler.settle();
    while (this.#sweeps.length > 0) this.#sweeps.shift()!();
  }

  /** The agent starts anew: it takes over what the maps hold, and removes what nobody wants. */
  restart(): void {
    this.#reconciler = this.#start();
    this.settle();
  }

  #start(): Reconciler<ServiceRow> {
    const target = new ServiceTarget({ maps: this.maps, maglev: this.maglev, hashSeed: this.#settings.maglev.hashSeed, later: sweep => void this.#sweeps.push(sweep) });
    return new Reconciler({ desired: this.#derivation.table, target, log: silentLogger });
  }
}

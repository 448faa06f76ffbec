import { join } from 'node:path';
import { sizedMap, type NodeMaps } from '../../datapath/maps.ts';
import { mapSizes, type MapSizes } from '../../datapath/sizes.ts';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { BpfMap, type MapSpec } from '../../ebpf/map.ts';
import { CirriError } from '../../std/errors.ts';
import { knownNode } from '../agents.ts';
import type { Context } from '../context.ts';

type MapName = keyof typeof specs;

/**
 * The maps of one node, read by the command itself: what the kernel uses, whether or not an agent answers, and no table of half
 * a million entries in anybody's memory.
 */
export class KernelMaps implements Disposable {
  readonly node: string;
  readonly #directory: string;
  readonly #sizes: MapSizes;
  readonly #opened = new Map<MapName, { close(): void }>();

  /** Of the node that is named, or of the first. */
  constructor(context: Context, node: string | undefined) {
    this.node = node === undefined ? context.record.nodes[0]!.name : knownNode(context, node);
    this.#directory = context.paths.node(this.node).maps;
    this.#sizes = mapSizes(context.record.settings.bpf);
  }

  /** Throws ERR_NO_MAP where the agent of this version has not made it. */
  open<Name extends MapName>(name: Name): NodeMaps[Name] {
    const known = this.#opened.get(name);
    if (known) return known as NodeMaps[Name];
    const { spec, pinName } = sizedMap(specs[name] as MapSpec<unknown, unknown>, this.#sizes);
    const map = BpfMap.openPinned(spec, join(this.#directory, pinName));
    if (!map) throw new CirriError('ERR_NO_MAP', `${this.node} has no map ${spec.name} of this version and size`, { mend: 'cirri status says whether its agent runs' });
    this.#opened.set(name, map);
    return map as unknown as NodeMaps[Name];
  }

  [Symbol.dispose](): void {
    for (const map of this.#opened.values()) map.close();
    this.#opened.clear();
  }
}

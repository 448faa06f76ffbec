import type { NodeMaps } from '../../datapath/maps.ts';
import { optionalPrograms, type Programs } from '../../datapath/programs.ts';
import { BpfIterator } from '../../ebpf/iterator.ts';
import type { Addr } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { SocketEnder } from './ender.ts';

export interface SocketEnderParts {
  readonly programs: Pick<Programs, 'program' | 'refusalOf'>;
  readonly maps: Pick<NodeMaps, 'goneBackends' | 'endpoints' | 'ipcache'>;
  /** The pods' network namespaces, by path. */
  readonly namespaces: () => Iterable<string>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Attaches the iterators, where the kernel has them, and starts the loop; both end with the signal. */
export function startSocketEnder({ programs, maps, namespaces, log, signal }: SocketEnderParts): SocketEnder {
  const refusal = optionalPrograms.map(name => programs.refusalOf(name)).find(text => text !== undefined);
  const iterators = refusal === undefined ? { tcp: BpfIterator.attach(programs.program('sock_end_tcp')), udp: BpfIterator.attach(programs.program('sock_end_udp')) } : undefined;
  const ender = new SocketEnder({ iterators, refusal }, { goneBackends: maps.goneBackends, namespaces, isInUse: addr => isInUse(maps, addr), log });
  void ender.run(signal).finally(() => {
    iterators?.tcp.close();
    iterators?.udp.close();
  });
  return ender;
}

/** As packets see it: an endpoint here, or an address that some row of the IP cache names. Identity 0 is nobody's. */
function isInUse(maps: SocketEnderParts['maps'], addr: Addr): boolean {
  if (maps.endpoints.lookup({ addr })) return true;
  return (maps.ipcache.lookup({ prefixBits: 128, addr })?.identity ?? 0) !== 0;
}

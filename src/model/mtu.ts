import type { Settings } from './settings.ts';

/** How large a packet may be on its way, headers of IP included. */
export interface PathMtu {
  readonly path: string;
  readonly ipv4: number;
  readonly ipv6: number;
  /** What the difference to the uplink's is spent on; empty when there is none. */
  readonly spent: string;
}

/** VXLAN over IPv4: outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14. */
export const overlayOverhead = 50;
/** The service's address in front of everything else (`struct dsr_option4`, `struct dsr_header6`); in TCP it is in the SYN alone, which has the room. */
export const dsrOverhead = { ipv4: 8, ipv6: 24 } as const;

/** What each path of a node leaves of the uplink's MTU. */
export function mtuBudget(options: { readonly uplink: number; readonly routing: 'tunnel' | 'native'; readonly mode: Settings['loadBalancer']['mode'] }): readonly PathMtu[] {
  const { uplink, routing, mode } = options;
  const overlay = routing === 'tunnel' ? overlayOverhead : 0;
  const spentOnOverlay = overlay === 0 ? [] : [`VXLAN ${overlay}`];
  const inner = (path: string): PathMtu => ({ path, ipv4: uplink - overlay, ipv6: uplink - overlay, spent: spentOnOverlay.join(', ') });
  const withOption = (path: string): PathMtu => ({
    path, ipv4: uplink - overlay - dsrOverhead.ipv4, ipv6: uplink - overlay - dsrOverhead.ipv6,
    spent: [...spentOnOverlay, `DSR option ${dsrOverhead.ipv4} (IPv4), ${dsrOverhead.ipv6} (IPv6)`].join(', '),
  });
  return [
    { path: 'uplink', ipv4: uplink, ipv6: uplink, spent: '' },
    inner('pods (all they send and receive)'),
    inner(`client outside → backend on another node, ${mode === 'dsr' || mode === 'hybrid' ? 'TCP (dsr)' : 'all protocols (snat)'}`),
    ...(mode === 'dsr' ? [withOption('client outside → backend on another node, UDP and SCTP (dsr)')] : []),
    ...(mode === 'hybrid' ? [inner('client outside → backend on another node, UDP and SCTP (snat)')] : []),
  ];
}

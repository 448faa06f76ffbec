/**
 * Nanoseconds of one packet through the programs, by BPF_PROG_TEST_RUN, the least of many runs: `node26 tests/programs/speed.ts`.
 *
 * A test run works on one packet again and again. So the receiver's MAC addresses are chosen such that the packet comes out as it went
 * in, but for the hop limit: 250 runs are the most before it is used up.
 */
import { Datapath, families, id, identity, mac, set } from './harness.ts';
import { buildFrame, macBytes, type FrameSpec } from './packet.ts';

const datapath = new Datapath();

function least(frame: Uint8Array, repeat: number): number {
  return Math.min(...Array.from({ length: Math.ceil(400_000 / repeat / 10) }, () => datapath.nanoseconds('from_pod', frame, repeat)));
}

for (const family of families) {
  const syn: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: 80, flags: 'S', hopLimit: 255 };
  datapath.endpoint(family.b, { id: id.b, identity: identity.b, mac: macBytes(mac.host), hostMac: macBytes(mac.a), egressSet: set.bEgress, ingressSet: set.bIngress });
  datapath.send('from_pod', syn);
  datapath.send('from_pod', { ...syn, sourceMac: mac.host, source: family.b, destination: family.a, sourcePort: 80, destinationPort: 40000, flags: 'SA' });
  datapath.send('from_pod', { ...syn, flags: 'A' });
  console.log(family.name, {
    establishedToNeighbour: least(buildFrame({ ...syn, flags: 'A' }), 250),
    unansweredToNode: least(buildFrame({ ...syn, destination: family.node, sourcePort: 40002 }), 10_000),
    spoofed: least(buildFrame({ ...syn, source: family.stranger }), 1000),
  });
}
console.log('to_network', Math.min(...Array.from({ length: 9 }, () => datapath.nanoseconds('to_network', new Uint8Array(64), 100_000))));
datapath.close();

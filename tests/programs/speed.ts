/** Nanoseconds of one packet through from_pod, by BPF_PROG_TEST_RUN: `node26 tests/programs/speed.ts`. The least of many runs. */
import { Datapath, families, mac, servicePort, backendPort } from './harness.ts';
import { buildFrame, type FrameSpec } from './packet.ts';

const REPEAT = 100_000;
const RUNS = 9;
const datapath = new Datapath();

/** The test run changes the packet in place: a large hop limit is used up, so the packet is dropped after 255 runs. Hence short runs. */
function least(frame: Uint8Array, repeat: number): number {
  return Math.min(...Array.from({ length: RUNS * Math.ceil(REPEAT / repeat / 10) }, () => datapath.nanoseconds('from_pod', frame, repeat)));
}

for (const family of families) {
  const syn: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: 80, flags: 'S', hopLimit: 255 };
  datapath.send('from_pod', syn);
  datapath.send('from_pod', { ...syn, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: 80, destinationPort: 40000, flags: 'SA' });
  datapath.send('from_pod', { ...syn, flags: 'A' });
  const service: FrameSpec = { ...syn, destination: family.service, destinationPort: servicePort, sourcePort: 40001 };
  datapath.send('from_pod', service);
  datapath.send('from_pod', { ...syn, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40001, flags: 'SA' });
  console.log(family.name, {
    established: least(buildFrame({ ...syn, flags: 'A' }), 200),
    toTheNode: least(buildFrame({ ...syn, destination: family.node, sourcePort: 40002 }), 10_000),
    service: least(buildFrame({ ...service, flags: 'A' }), 1),
    spoofed: least(buildFrame({ ...syn, source: family.stranger }), 1000),
  });
}
console.log('to_network', Math.min(...Array.from({ length: RUNS }, () => datapath.nanoseconds('to_network', new Uint8Array(64), REPEAT))));
datapath.close();

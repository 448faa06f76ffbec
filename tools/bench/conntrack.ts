/**
 * As many connections at once as the table is asked to hold: `node tools/bench/conntrack.ts [connections]`. Each is opened by a packet of
 * its own through from_network (BPF_PROG_TEST_RUN); then the table is counted, and swept as the agent does it.
 */
import { readFileSync } from 'node:fs';
import { ConntrackSweep } from '../../src/features/conntrack/sweep.ts';
import { createLogger } from '../../src/std/log.ts';
import { Datapath, families, mac } from '../../tests/programs/harness.ts';
import { PacketMill, templateBytes } from '../../tests/programs/mill.ts';
import { buildFrame } from '../../tests/programs/packet.ts';

const portsOfOne = 60_000;
const connections = Number(process.argv[2] ?? 1_200_000);
const room = Math.ceil(connections * 1.1);

/** Of the kernel's memory for a map, by its descriptor. */
function memoryOf(fd: number): number {
  return Number(/^memlock:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]);
}

function fill(datapath: Datapath): { readonly nanoseconds: number; readonly sent: number } {
  const mill = new PacketMill();
  const [family] = families;
  let nanoseconds = 0;
  let sent = 0;
  for (let client = 1; sent < connections; client++) {
    const repeat = Math.min(portsOfOne, connections - sent);
    const source = `198.18.${client >> 8}.${client & 255}`;
    const frame = buildFrame({ source, destination: family!.a, destinationMac: mac.host, protocol: 'tcp', sourcePort: 1024, destinationPort: 80, flags: 'S', payload: new Uint8Array(templateBytes) });
    nanoseconds += repeat * mill.run(datapath.programFd('from_network'), frame, { repeat, port: { offset: 34, first: 1024 } });
    sent += repeat;
  }
  mill.close();
  return { nanoseconds, sent };
}

const datapath = new Datapath({}, { conntrack: room });
const { conntrack } = datapath.maps;
const { nanoseconds, sent } = fill(datapath);
const dropped = [...datapath.dropCounts()].filter(([, count]) => count > 0n).map(([reason, count]) => `${count} of reason ${reason}`);
const found = conntrack.count();
console.log(`${sent} connections opened, ${Math.round(nanoseconds / sent)} ns each; in the table ${found}, dropped ${dropped.join(', ') || 'none'}`);
console.log(`the table has room for ${room}: ${memoryOf(conntrack.fd)} bytes, ${Math.round(memoryOf(conntrack.fd) / room)} an entry`);

const sweep = new ConntrackSweep({ maps: datapath.maps, program: name => datapath.program(name), log: createLogger({ component: 'bench' }) });
for (const what of ['all alive', 'all over']) {
  if (what === 'all over') for (const [key, entry] of conntrack.entries()) conntrack.update(key, { ...entry, expiresNs: 1n });
  const steps: number[] = [];
  for (const before = sweep.rounds; sweep.rounds === before; ) {
    const began = performance.now();
    sweep.step();
    steps.push(performance.now() - began);
  }
  steps.sort((a, b) => a - b);
  console.log(`a sweep, ${what}: ${Math.round(sweep.last.busyMs)} ms in ${steps.length} steps, median ${steps[steps.length >> 1]!.toFixed(2)} ms, longest ${steps.at(-1)!.toFixed(2)} ms; left ${conntrack.count()}`);
}
datapath.close();
process.exitCode = found === connections && dropped.length === 0 ? 0 : 1;

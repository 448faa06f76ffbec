import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { address, Datapath, families, mac, type ProgramName, set } from './harness.ts';
import { buildFrame, buildIp, type FrameSpec } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

/** The shortest frame that the kernel takes for a test run. */
const SHORTEST = 14;

for (const family of families) {
  const base = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, sourcePort: 40000, destinationPort: 80 } as const;
  const valid: readonly FrameSpec[] = [
    { ...base, protocol: 'tcp', flags: 'S' },
    { ...base, protocol: 'udp', payload: new Uint8Array(9) },
    { ...base, protocol: 'sctp', payload: new Uint8Array(20) },
    { ...base, protocol: 'icmp', icmp: { type: family.echo, id: 5 } },
    { ...base, protocol: 'icmp', icmp: { type: family.unreachable, body: buildIp({ ...base, source: family.b, destination: family.a, protocol: 'udp' }) } },
    { ...base, protocol: 'tcp', flags: 'S', options: new Uint8Array(8).fill(1), extensions: [{ number: 0, bytes: new Uint8Array(6) }, { number: 43, bytes: new Uint8Array(14) }] },
    { ...base, destination: family.world, protocol: 'tcp', flags: 'S' },
    { ...base, destination: family.service, protocol: 'udp' },
  ];

  describe(`broken packets (${family.name})`, () => {
    test('every prefix of a valid packet is refused', () => {
      for (const spec of valid) {
        const frame = buildFrame(spec);
        for (let length = SHORTEST + 1; length < frame.length; length++) {
          let outcome;
          try {
            outcome = datapath.send('from_pod', frame.slice(0, length));
          } catch (error) {
            // The kernel itself refuses some lengths before the program runs.
            assert.match(String(error), /EINVAL/);
            continue;
          }
          assert.equal(outcome.action, 'drop', `${length} of ${frame.length} bytes of ${JSON.stringify(spec)}`);
          assert.ok(['INVALID_PACKET', 'INVALID_EXTENSION_HEADER'].includes(outcome.reason!), String(outcome.reason));
        }
      }
    });

    test('trailing bytes after the packet change nothing', () => {
      for (const spec of valid.slice(0, 4)) assert.equal(datapath.send('from_pod', Uint8Array.from([...buildFrame(spec), 1, 2, 3, 4])).action, 'redirect');
    });

    test('whatever is changed, nothing passes under another sender, and nothing passes that policy does not name', () => {
      const programs: readonly ProgramName[] = ['from_pod', 'from_network', 'to_pod', 'from_overlay', 'to_overlay', 'to_network'];
      for (const number of Object.values(set)) datapath.denyAll(number);
      datapath.verdict({ set: set.aEgress, protocol: 6, port: 80, verdict: 1, rule: 1, match: 2 });
      datapath.verdict({ set: set.bIngress, protocol: 6, port: 80, verdict: 1, rule: 1, match: 2 });
      fc.assert(fc.property(
        fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(119), fc.nat(255)), { minLength: 1, maxLength: 6 }), fc.constantFrom(...programs),
        (spec, changes, program) => {
          const frame = buildFrame(spec);
          for (const [at, value] of changes) if (at !== 12 && at !== 13) frame[at % frame.length] = value;
          const outcome = datapath.send(program, frame);
          if (program !== 'from_pod' || outcome.action !== 'redirect') return;
          const sourceAt = family.name === 'IPv4' ? 26 : 22;
          const sent = frame.subarray(sourceAt, sourceAt + (family.name === 'IPv4' ? 4 : 16));
          assert.deepEqual([...sent], [...buildFrame(spec).subarray(sourceAt, sourceAt + sent.length)], 'the sender is the pod');
          for (const flow of outcome.flows) assert.deepEqual([address(flow.source), flow.protocol, flow.destinationPort], [family.a, 6, 80]);
        }), { numRuns: 3000 });
    });

    test('a fragment of a header is no header', () => {
      const frame = buildFrame({ ...base, protocol: 'tcp', flags: 'S' });
      if (family.name === 'IPv4') {
        frame[20] = 0x20;
        frame[17] = 20 + 8;
      } else return;
      assert.equal(datapath.send('from_pod', frame.subarray(0, 14 + 28).slice()).reason, 'INVALID_PACKET');
    });

    test('too many extension headers are refused', () => {
      if (family.name === 'IPv4') return;
      const extensions = Array.from({ length: 7 }, () => ({ number: 60, bytes: new Uint8Array(6) }));
      assert.equal(datapath.send('from_pod', { ...base, protocol: 'tcp', extensions }).reason, 'INVALID_EXTENSION_HEADER');
    });
  });
}

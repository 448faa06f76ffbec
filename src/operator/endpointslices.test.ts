import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { EndpointSlice, Pod, Service } from '../kube/types.ts';
import { desiredEndpoints, planSlices } from './endpointslices.ts';

const service = (spec: object = {}): Service => ({
  apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'n', uid: 's' },
  spec: { selector: { app: 'web' }, clusterIP: '10.96.0.9', ipFamilies: ['IPv4', 'IPv6'], ports: [{ name: 'http', port: 80, targetPort: 'http' }], ...spec },
});

function pod(n: number, { ready = true, terminating = false, port = 8080, phase = 'Running' } = {}): Pod {
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: { name: `p${n}`, namespace: 'n', uid: `u${n}`, labels: { app: 'web' }, ...(terminating ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
    spec: { nodeName: 'n1', containers: [{ name: 'c', ports: [{ name: 'http', containerPort: port }] }] },
    status: { phase, podIPs: [{ ip: `10.0.${n >> 8}.${n & 255}` }, { ip: `fd00::${n.toString(16)}` }], conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}

const noNode = () => undefined;
let names = 0;

/** What the API holds after a plan. */
function after(slices: readonly EndpointSlice[], of: Service, pods: readonly Pod[]): { slices: EndpointSlice[]; writes: number } {
  const plan = planSlices(of, pods, slices, noNode);
  const updated = new Map(plan.update.map(s => [s.metadata.name, s]));
  const kept = slices.filter(s => !plan.remove.includes(s)).map(s => updated.get(s.metadata.name) ?? s);
  const made = plan.create.map(s => ({ ...s, metadata: { ...s.metadata, name: `s${++names}` } }) as unknown as EndpointSlice);
  return { slices: [...kept, ...made], writes: plan.create.length + plan.update.length + plan.remove.length };
}

test('after any changes the slices hold exactly the pods, at most 100 in one, and a second look changes nothing', () => {
  const podState = fc.record({ ready: fc.boolean(), terminating: fc.boolean(), port: fc.constantFrom(8080, 9090), phase: fc.constantFrom('Running', 'Running', 'Failed') });
  const world = fc.array(fc.tuple(fc.nat(260), podState), { maxLength: 250 }).map(list => [...new Map(list).entries()].map(([n, s]) => pod(n, s)));
  fc.assert(fc.property(fc.array(world, { minLength: 1, maxLength: 4 }), worlds => {
    let slices: EndpointSlice[] = [];
    for (const pods of worlds) {
      slices = after(slices, service(), pods).slices;
      for (const [family, index] of [['IPv4', 0], ['IPv6', 1]] as const) {
        const mine = slices.filter(s => s.addressType === family);
        const seen = mine.flatMap(s => s.endpoints!.map(e => `${e.addresses[0]}:${s.ports![0]!.port} ${e.conditions!.ready} ${e.conditions!.terminating}`)).sort();
        const wanted = pods.filter(p => p.status!.phase === 'Running').map(p => {
          const terminating = p.metadata.deletionTimestamp !== undefined;
          const ready = p.status!.conditions![0]!.status === 'True' && !terminating;
          return `${p.status!.podIPs![index]!.ip}:${p.spec.containers[0]!.ports![0]!.containerPort} ${ready} ${terminating}`;
        }).sort();
        assert.deepEqual(seen, wanted);
        assert.ok(mine.length > 0 && mine.every(s => s.endpoints!.length <= 100));
      }
      assert.equal(after(slices, service(), pods).writes, 0);
    }
  }), { numRuns: 60 });
});

test('one pod more or less, or not ready, is one write for each family', () => {
  const pods = Array.from({ length: 250 }, (_, i) => pod(i));
  const { slices } = after([], service(), pods);
  assert.equal(slices.length, 6);
  assert.equal(after(slices, service(), [...pods, pod(300)]).writes, 2);
  assert.equal(after(slices, service(), pods.slice(1)).writes, 2);
  assert.equal(after(slices, service(), [pod(0, { ready: false }), ...pods.slice(1)]).writes, 2);
});

test('publishNotReadyAddresses calls everything ready; a port name that a pod does not know is left out', () => {
  const [create] = planSlices(service({ ipFamilies: ['IPv4'], publishNotReadyAddresses: true, ports: [{ name: 'http', port: 80, targetPort: 'http' }, { name: 'x', port: 81, targetPort: 'unknown' }] }), [pod(1, { ready: false })], [], noNode).create;
  const slice = create as unknown as EndpointSlice;
  assert.deepEqual(slice.endpoints![0]!.conditions, { ready: true, serving: false, terminating: false });
  assert.deepEqual(slice.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
});

test('the older form has the first family, without what is terminating', () => {
  const { subsets } = desiredEndpoints(service(), [pod(1), pod(2, { ready: false }), pod(3, { terminating: true })]) as unknown as { subsets: { addresses: { ip: string }[]; notReadyAddresses: { ip: string }[] }[] };
  assert.deepEqual(subsets[0]!.addresses.map(a => a.ip), ['10.0.0.1']);
  assert.deepEqual(subsets[0]!.notReadyAddresses.map(a => a.ip), ['10.0.0.2']);
});

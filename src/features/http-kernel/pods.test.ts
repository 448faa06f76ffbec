import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileBpf } from '../../btf/fixture.ts';
import { httpAttachments, podAttachments, type Attachment } from '../../datapath/programs.ts';
import { BpfLink, queryTcx } from '../../ebpf/link.ts';
import { BpfObject } from '../../ebpf/object.ts';
import type { VerdictRow } from '../../policy/compile.ts';
import { silentLogger } from '../../std/log.ts';
import { createNetns, deleteNetns, openNetns, withNetns } from '../../sys/netns.ts';
import type { Endpoint } from '../endpoints/endpoint.ts';
import { HttpPods, type IngressSet } from './pods.ts';

const fixture = compileBpf(['from_pod', 'to_pod', 'http_from_pod', 'http_to_pod'].map(name => `SEC("tc") int ${name}(struct __sk_buff *skb) { return -1; }`).join('\n'));
const folder = mkdtempSync(join(tmpdir(), 'cirri-http-pods-'));
const namespace = join(folder, 'netns');
createNetns(namespace);
after(() => {
  deleteNetns(namespace);
  rmSync(folder, { recursive: true });
  fixture.remove();
});

/** The loopback device of a namespace of its own stands for the pod's. */
const endpoint: Endpoint = {
  id: 7, containerId: 'c', interfaceName: 'eth0', netns: namespace, namespace: 'shop', podName: 'web', podUid: '', hostInterface: 'lo', ifindex: 1,
  mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:02', labels: [], identity: 300, namedPorts: [], createdAt: '',
};
const naming = (hash: string, ...numbers: number[]): IngressSet => ({ hash, verdicts: numbers.map(l7 => ({ l7 }) as VerdictRow) });

/** What `Programs` does, with links that nothing pins. */
class Links {
  readonly object = BpfObject.load({ path: fixture.path });
  readonly links = new Map<string, BpfLink>();
  program(name: string) {
    return this.object.program(name);
  }
  isAttached(pin: string): boolean {
    return this.links.has(pin);
  }
  attach({ program, pin, hook }: Attachment): void {
    if (hook.kind !== 'tcx' || this.links.has(pin)) return;
    this.links.set(pin, BpfLink.attachTcx({ program: this.program(program), ifindex: hook.ifindex, direction: hook.direction, ...(hook.first && { first: true }) }));
  }
  detach(pins: readonly string[]): void {
    for (const pin of pins) {
      this.links.get(pin)?.close();
      this.links.delete(pin);
    }
  }
  at(direction: 'ingress' | 'egress'): string[] {
    return queryTcx({ ifindex: 1, direction }).map(id => this.object.programs().find(program => program.id === id)!.name);
  }
  [Symbol.dispose](): void {
    this.detach([...this.links.keys()]);
    this.object.close();
  }
}

function inNamespace(run: (links: Links) => void): void {
  using fd = openNetns(namespace);
  withNetns(fd.fd, () => {
    using links = new Links();
    for (const attachment of podAttachments(endpoint)) links.attach(attachment);
    run(links);
  });
}

const carrying = (...numbers: number[]) => ({ size: numbers.length, has: (number: number) => numbers.includes(number) });

test('a pod whose ingress policy names a set of the kernel\'s has its programs, before the others; other pods have none', () => {
  inNamespace(links => {
    const pods = new HttpPods({ programs: links, sets: carrying(9), log: silentLogger });
    assert.equal(pods.wanted(endpoint, naming('a', 5, 6)), false);
    assert.deepEqual([links.at('ingress'), links.at('egress')], [['from_pod'], ['to_pod']]);
    assert.equal(pods.wanted(endpoint, naming('b', 5, 9)), true);
    assert.deepEqual([links.at('ingress'), links.at('egress')], [['http_from_pod', 'from_pod'], ['http_to_pod', 'to_pod']]);
    assert.equal(pods.has(endpoint), true);
  });
});

test('when nothing wants them, the programs stay until the pod has no connection left', () => {
  inNamespace(links => {
    const pods = new HttpPods({ programs: links, sets: carrying(9), log: silentLogger });
    const ingress = { ...naming('a', 9) };
    assert.equal(pods.wanted(endpoint, ingress), true);
    pods.release([endpoint], new Set());
    assert.equal(pods.isAttached(endpoint), true, 'it is wanted, if nobody speaks to it just now');
    assert.equal(pods.wanted(endpoint, Object.assign(ingress, naming('b', 5))), false, 'the same set with other rows');
    pods.release([endpoint], new Set([7]));
    assert.equal(pods.isAttached(endpoint), true);
    pods.release([endpoint], new Set([8]));
    assert.deepEqual([links.at('ingress'), links.at('egress')], [['from_pod'], ['to_pod']]);
  });
});

test('programs that are not in front are not counted on, and the pod says why', () => {
  inNamespace(links => {
    for (const attachment of httpAttachments(endpoint)) links.attach({ ...attachment, hook: { kind: 'tcx', ifindex: 1, direction: attachment.hook.direction } });
    const pods = new HttpPods({ programs: links, sets: carrying(9), log: silentLogger });
    assert.equal(pods.wanted(endpoint, naming('a', 9)), false);
    assert.match(pods.failures[0]!.reason, /http_to_pod is not before to_pod at tcx egress of lo/);
    assert.equal(pods.has(endpoint), false);
    links.detach(httpAttachments(endpoint).map(({ pin }) => pin));
    assert.equal(pods.wanted(endpoint, naming('a', 9)), true);
    assert.deepEqual(pods.failures, []);
  });
});

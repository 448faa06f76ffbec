/** HTTP that the kernel reads, where packets are lost before it and behind it: real ends, random requests in random pieces. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compileBpf } from '../../src/btf/fixture.ts';
import { BpfLink } from '../../src/ebpf/link.ts';
import { BpfObject } from '../../src/ebpf/object.ts';
import { openNetns, withNetns } from '../../src/sys/netns.ts';
import { Random, seedOfRun } from '../differential/random.ts';
import { converse, HttpServer, putHttpSet, type Step } from './http-rig.ts';
import { addressesOf, pods, Rig } from './rig.ts';

const b = pods[1]!;
const SET = 7;
const rounds = process.env['CIRRI_LONG'] ? 40 : 10;
const seed = seedOfRun();

/** Four in a hundred packets that bear more than a few bytes are lost; and all that bear a mark of ours, which ends before the pod. */
const LOSS = `
SEC("tc") int lose(struct __sk_buff *skb) { return skb->mark || (skb->len > 80 && bpf_get_prandom_u32() % 100 < 4) ? 2 : -1; }
`;

interface Plan {
  readonly steps: readonly Step[];
  readonly answers: readonly string[];
  readonly asked: readonly string[];
}

function planOf(random: Random): Plan {
  const requests = Array.from({ length: random.integer(2, 7) }, (_, n) => {
    const allowed = random.chance(0.6), path = `/${allowed ? 'ok' : 'no'}/${n}${random.chance(0.75) ? '' : '?slow=20'}`;
    const body = random.chance(0.7) ? '' : 'GET /no HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(random.integer(1, 300));
    if (!body) return { allowed, bytes: `GET ${path} HTTP/1.1\r\nhost: server\r\nx-more: ${'y'.repeat(random.integer(0, allowed ? 2000 : 600))}\r\n\r\n`, said: `GET ${path} 0` };
    // Small ones, too: thousands in a segment.
    const chunks = body.match(new RegExp(`[^]{1,${random.integer(1, random.pick([1500, 40]))}}`, 'g'))!;
    const framed = random.chance(0.5) ? `content-length: ${body.length}\r\n\r\n${body}` : `transfer-encoding: chunked\r\n\r\n${chunks.map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`;
    return { allowed, bytes: `POST ${path} HTTP/1.1\r\nhost: server\r\n${framed}`, said: `POST ${path} ${body.length}` };
  });
  const steps: Step[] = [];
  requests.forEach(({ allowed, bytes }, n) => {
    // A denied head that is cut ends its connection: that is tried elsewhere.
    const cut = allowed ? random.integer(0, Math.min(bytes.length, 4000) - 1) : 0;
    if (cut) steps.push(['send', bytes.slice(0, cut)]);
    steps.push(['send', bytes.slice(cut)]);
    const waits = !allowed || !requests[n + 1]?.allowed || random.chance(0.5);
    if (waits) steps.push(['answers', n + 1]);
  });
  steps.push(['answers', requests.length]);
  return { steps, answers: requests.map(({ allowed, said }) => (allowed ? `200 ${said}` : '403 Access denied\r\n')), asked: requests.filter(({ allowed }) => allowed).map(({ said }) => said) };
}

describe(`HTTP read in the kernel, where packets are lost, CIRRI_SEED=${seed}`, { timeout: 300_000 }, () => {
  const rig = new Rig({ ns: `chl${process.pid % 10000}`, http: ['b'] });
  const fixture = compileBpf(LOSS);
  const loss = BpfObject.load({ path: fixture.path });
  const links: BpfLink[] = [];
  let server: HttpServer;

  const lose = (where: string, direction: 'ingress' | 'egress'): void => {
    using netns = openNetns(`/run/netns/${rig.ns(where)}`);
    const ifindex = Number(rig.inside(where, 'cat /sys/class/net/eth0/ifindex'));
    links.push(withNetns(netns.fd, () => BpfLink.attachTcx({ program: loss.program('lose'), ifindex, direction })));
  };

  before(async () => {
    await rig.start();
    server = await HttpServer.start(rig, 'b');
    const [node] = rig.nodes;
    putHttpSet(node!, SET, [{ rule: 501, path: '/ok.*', headers: [] }]);
    node!.redirect(b.id, SET);
    node!.commit();
  });
  after(() => {
    for (const link of links) link.close();
    loss.close();
    fixture.remove();
    server?.stop();
    rig[Symbol.dispose]();
  });

  const places = [
    { name: 'nowhere', lossy: [] },
    { name: 'between the client and the kernel, both ways', lossy: [['a', 'egress'], ['a', 'ingress']] },
    { name: 'behind it, too', lossy: [['b', 'ingress'], ['b', 'egress']] },
  ] as const;
  for (const { name, lossy } of places) for (const here of [true, false]) {
    test(`${name}, read ${here ? 'where they are forwarded' : 'at the pod\'s device'}`, () => {
      rig.nodes[0]!.readHttpHere(here);
      if (here) for (const [where, direction] of lossy) lose(where, direction);
      const random = new Random(seed);
      [0, 1].forEach(i => {
        const plans = Array.from({ length: rounds }, () => planOf(random));
        const heard = converse(rig, 'a', addressesOf(b)[i]!, plans.map(plan => plan.steps), { seconds: 30 });
        plans.forEach((plan, n) => assert.deepEqual(heard[n], { answers: plan.answers, rest: '' }, `conversation ${n}, dropped: ${rig.nodes[0]!.drops()}: ${JSON.stringify(plan.steps).slice(0, 2000)}`));
        assert.deepEqual(server.asked(), plans.flatMap(plan => plan.asked));
      });
    });
  }
});

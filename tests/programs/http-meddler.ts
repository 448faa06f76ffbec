/** Somebody who puts other packets beside a client's, or in their place, and knows how they are read. */
import type { Random } from '../differential/random.ts';
import { plus, segment, tcpFlag } from './tcp-segment.ts';
import type { Segment } from './tcp-segment.ts';

/** Other bytes at the same place, overlaps, odd flags, wrong numbers, a SYN in the middle; some of them with what no rule allows. */
export function meddler(world: Random): (s: Segment, random: Random) => readonly Segment[] {
  const eagerness = world.pick([0.1, 0.3, 0.6]);
  const evil = Buffer.from('GET /no/smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
  return (s, random) => {
    if (!random.chance(eagerness)) return [s];
    const at = (offset: number, change: Partial<Segment>): Segment => ({ ...s, seq: plus(s.seq, offset), ...change });
    const other = random.one<Segment>(
      () => at(0, { payload: evil }),
      () => at(s.payload.length, { payload: evil }),
      () => at(-random.integer(1, 60), { payload: Buffer.concat([s.payload, evil]).subarray(0, random.integer(1, 60)) }),
      () => at(random.integer(-3, 3), { payload: s.payload }),
      () => at(0, { payload: Buffer.from(s.payload.map(byte => (random.chance(0.1) ? byte ^ 1 : byte))) }),
      () => at(0, { payload: Buffer.concat([s.payload, evil]) }),
      () => at(0, { payload: s.payload.subarray(0, random.integer(0, s.payload.length)) }),
      () => at(random.integer(0, s.payload.length), { payload: s.payload.subarray(random.integer(0, s.payload.length)) }),
      () => at(0, { flags: random.integer(0, 63) & ~tcpFlag.syn, urgent: random.integer(0, 3) }),
      () => at(-1, { flags: tcpFlag.syn, payload: Buffer.alloc(0) }),
      () => at(random.integer(-2, s.payload.length + 2), { flags: tcpFlag.rst, payload: Buffer.alloc(0) }),
      () => at(random.integer(-2, s.payload.length + 2), { flags: tcpFlag.fin | tcpFlag.ack }),
      () => at(0, { ack: plus(s.ack, random.integer(-2000, 2000)) }),
      () => at(-1, { payload: Buffer.from('Z') }),
      () => segment({ seq: random.seed(), ack: random.seed(), payload: evil }),
      () => at(0, { options: { timestamps: [random.seed(), random.seed()] } }),
      () => at(0, { options: { sack: [[random.seed(), random.seed()]] } }),
    );
    return random.pick([[other, s], [s, other], [other], [s, other, other], [other, s, other]]);
  };
}

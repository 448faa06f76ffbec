/** The classic protocol of consumer groups, as far as clients of a test need it: join, sync, heartbeat, leave, offsets. */
import type { Struct } from './codec.ts';
import { list } from './request.ts';

interface Member {
  readonly id: string;
  protocols: readonly Struct[];
  assignment: Buffer;
  joined: ((response: Struct) => void) | undefined;
  synced: ((response: Struct) => void) | undefined;
}

const memberIdRequired = 79;
const rebalanceInProgress = 27;
const unknownMember = 25;
const illegalGeneration = 22;
/** Members that do not join again within this are out. */
const rebalanceMs = 3000;
const nothing = Buffer.alloc(0);

export class TestingGroup {
  readonly #members = new Map<string, Member>();
  readonly offsets = new Map<string, bigint>();
  #generation = 0;
  #protocolType = '';
  #isStable = true;
  #leader = '';
  #made = 0;
  #timer: NodeJS.Timeout | undefined;

  join(body: Struct, version: number): Promise<Struct> {
    let id = body['memberId'] as string;
    if (id === '') {
      id = `member-${++this.#made}`;
      if (version >= 4) return Promise.resolve({ errorCode: memberIdRequired, memberId: id });
    }
    const member = this.#members.get(id) ?? { id, protocols: [], assignment: nothing, joined: undefined, synced: undefined };
    this.#members.set(id, member);
    member.protocols = list(body, 'protocols');
    this.#protocolType = body['protocolType'] as string;
    this.#isStable = false;
    return new Promise(resolve => {
      member.joined = resolve;
      if ([...this.#members.values()].every(one => one.joined)) this.#complete();
      else this.#timer ??= setTimeout(() => this.#complete(), rebalanceMs);
    });
  }

  sync(body: Struct): Promise<Struct> {
    const member = this.#members.get(body['memberId'] as string);
    if (!member) return Promise.resolve({ errorCode: unknownMember, assignment: nothing });
    if (body['generationId'] !== this.#generation) return Promise.resolve({ errorCode: illegalGeneration, assignment: nothing });
    for (const one of list(body, 'assignments')) {
      const whose = this.#members.get(one['memberId'] as string);
      if (whose) whose.assignment = Buffer.from(one['assignment'] as Buffer);
    }
    if (member.id === this.#leader) this.#isStable = true;
    return new Promise(resolve => {
      member.synced = resolve;
      if (!this.#isStable) return;
      for (const one of this.#members.values()) {
        one.synced?.({ assignment: one.assignment, protocolType: this.#protocolType, protocolName: this.#protocol() });
        one.synced = undefined;
      }
    });
  }

  heartbeat(body: Struct): Struct {
    if (!this.#members.has(body['memberId'] as string)) return { errorCode: unknownMember };
    return { errorCode: this.#isStable ? 0 : rebalanceInProgress };
  }

  leave(ids: readonly string[]): void {
    for (const id of ids) if (this.#members.delete(id)) this.#isStable = this.#members.size === 0;
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #complete(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [id, member] of this.#members) if (!member.joined) this.#members.delete(id);
    this.#generation++;
    this.#leader = this.#members.keys().next().value ?? '';
    const members = [...this.#members.values()];
    for (const member of members) {
      const isLeader = member.id === this.#leader;
      member.joined?.({
        generationId: this.#generation, protocolType: this.#protocolType, protocolName: this.#protocol(), leader: this.#leader, memberId: member.id,
        members: isLeader ? members.map(one => ({ memberId: one.id, metadata: one.protocols.find(protocol => protocol['name'] === this.#protocol())!['metadata']! })) : [],
      });
      member.joined = undefined;
    }
  }

  /** The first that all have. */
  #protocol(): string {
    const [first, ...others] = [...this.#members.values()].map(member => member.protocols.map(protocol => protocol['name'] as string));
    return first?.find(name => others.every(names => names.includes(name))) ?? '';
  }
}

/** Clients whose requests a rule on HTTP is for, and which are read where they leave already: at the proxy, so the kernel does not carry them. */
import { leg } from './connection.ts';
import { podEnd } from './ends.ts';
import { readAtProxy } from './http-reader.ts';
import type { PolicySpec, Rule } from './policy.ts';
import type { RuleInfo } from './rule-info.ts';
import type { ScenarioPod } from './scenario.ts';
import type { Member, World } from './world.ts';

export interface ReadClient {
  /** `shop/orders`. */
  readonly client: string;
  /** What reads it there. */
  readonly by: RuleInfo;
}

interface Party {
  readonly pod: ScenarioPod;
  readonly member: Member;
}

/** Where rows on requests begin, and whether one of them is more than a port. */
interface Ports {
  readonly first: readonly number[];
  readonly wide: boolean;
}

const tcp = 6;

/** One of each kind of pod, by its labels. Looked at only where pods have rules on what they send. */
export function clientsReadBefore(world: World, spec: PolicySpec, rule: Rule): readonly ReadClient[] {
  const clients = readingClients(world);
  if (clients.length === 0) return [];
  const servers = parties(world, pod => spec.subject.matches(pod.labels)).map(server => {
    const own = world.engine.rulesFor(server.member.subject, 'ingress').find(ruled => ruled.rule === rule)?.info.id;
    return { ...server, own, ports: portsOf(world, server, 'ingress', own) };
  });
  return clients.flatMap(client => {
    const by = firstOf(servers.filter(server => server.pod !== client.pod), server => readBefore(world, client, server));
    return by ? [{ client: `${client.pod.namespace}/${client.pod.name}`, by }] : [];
  });
}

type Client = Party & { readonly ports: Ports };
type Server = Client & { readonly own: number | undefined };

/** The same for all rules of a world. */
const known = new WeakMap<World, readonly Client[]>();

function readingClients(world: World): readonly Client[] {
  const clients = known.get(world) ?? parties(world, () => true).map(party => ({ ...party, ports: portsOf(world, party, 'egress') })).filter(({ ports }) => ports.first.length > 0);
  known.set(world, clients);
  return clients;
}

function parties(world: World, wanted: (pod: ScenarioPod) => boolean): readonly Party[] {
  const kinds = new Map<string, Party>();
  for (const pod of world.scenario.pods) {
    const kind = pod.labels.toString();
    const member = pod.hostNetwork || kinds.has(kind) || !wanted(pod) ? undefined : world.memberOf(pod);
    if (member) kinds.set(kind, { pod, member });
  }
  return [...kinds.values()];
}

/** Of rows that this rule is in; of all that ask for something. */
function portsOf(world: World, { member }: Party, direction: 'ingress' | 'egress', rule?: number): Ports {
  const rows = world.indexed(member.subject, direction).set.verdicts.filter(row => row.l7 !== undefined && (row.protocol === tcp || row.protocol === 0) && (rule === undefined || rulesOf(world, row.l7).includes(rule)));
  return { first: [...new Set(rows.map(row => row.port || 1))], wide: rows.some(row => row.portBits < 16) };
}

function rulesOf(world: World, l7: number): readonly number[] {
  const set = world.engine.l7Sets().get(l7);
  return set?.protocol === 'http' ? set.rules.map(each => each.rule) : [];
}

function readBefore(world: World, client: Client, server: Server): RuleInfo | undefined {
  const { own, ports } = server;
  return firstOf([...new Set([...ports.first, ...(ports.wide ? client.ports.first : [])])], port => {
    const { steps: [egress, ingress] } = leg(world, podEnd(client.pod), podEnd(server.pod), tcp, port);
    const isOurs = ingress?.read?.why === readAtProxy && ingress.l7?.protocol === 'http' && ingress.l7.rules.some(each => each.rule === own);
    return isOurs ? egress?.rule : undefined;
  });
}

function firstOf<T, R>(values: readonly T[], found: (value: T) => R | undefined): R | undefined {
  for (const value of values) {
    const result = found(value);
    if (result !== undefined) return result;
  }
  return undefined;
}

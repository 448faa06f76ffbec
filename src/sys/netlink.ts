/**
 * Devices, addresses, routes, neighbours and rules of one network namespace: one socket, many requests, no process per
 * change. A socket stays in the namespace it was opened in, so the caller never has to enter that again.
 */
import { type Addr, type Prefix, formatAddr, formatPrefix } from '../std/ip.ts';
import { isErrno } from './errno.ts';
import { AF_INET, AF_INET6, type AddressInfo, type AddressOptions, parseAddress, rtmAddress, writeAddress, writeAddressQuery } from './netlink-address.ts';
import { type LinkChange, type LinkInfo, type VethOptions, type VxlanOptions, parseLink, rtmLink, writeLinkChange, writeLinkQuery, writePlainLink, writeTarget, writeVeth, writeVxlan } from './netlink-link.ts';
import { type NeighbourInfo, parseNeighbour, rtmNeighbour, writeNeighbour, writeNeighbourQuery } from './netlink-neighbour.ts';
import { type Route, type RouteInfo, parseRoute, rtmRoute, writeRoute, writeRouteQuery } from './netlink-route.ts';
import { type Rule, parseRule, rtmRule, writeRule, writeRuleQuery } from './netlink-rule.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { flag } from './netlink-wire.ts';
import { withNetns } from './netns.ts';

const CREATE = flag.create | flag.exclusive;
const REPLACE = flag.create | flag.replace;

/** All calls are synchronous and throw KernelError with the kernel's own sentence where it gives one. */
export class Netlink {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** In the namespace that the thread is in. */
  static open(): Netlink {
    return new Netlink(new NetlinkSocket());
  }

  /** In another namespace, which may go on to be used from outside. */
  static openIn(netnsFd: number): Netlink {
    return withNetns(netnsFd, () => Netlink.open());
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Sends the changes made in `section` together, 64 to a system call. They are done in order, one that fails does not stop
   * the others, and the first failure is thrown at the end. Questions asked inside see what was queued before them.
   */
  batch<T>(section: () => T): T {
    return this.#socket.batch(section);
  }

  linkList(): LinkInfo[] {
    return this.#socket.dump(rtmLink.get, 'listing links', w => writeLinkQuery(w)).map(parseLink);
  }

  linkGet(link: string | number): LinkInfo | undefined {
    try {
      const [answer] = this.#socket.get(rtmLink.get, `reading link ${link}`, w => writeLinkQuery(w, link));
      return answer && parseLink(answer);
    } catch (error) {
      if (isErrno(error, 'ENODEV')) return undefined;
      throw error;
    }
  }

  vethCreate(o: VethOptions): void {
    this.#socket.change(rtmLink.create, CREATE, `creating veth ${o.name} with peer ${o.peerName}`, w => writeVeth(w, o));
    if (o.up && o.peerNetnsFd === undefined) this.linkSet(o.peerName, { up: true });
  }

  vxlanCreate(o: VxlanOptions): void {
    this.#socket.change(rtmLink.create, CREATE, `creating VXLAN device ${o.name} on port ${o.port}`, w => writeVxlan(w, o));
  }

  bridgeCreate(o: { name: string }): void {
    this.#socket.change(rtmLink.create, CREATE, `creating bridge ${o.name}`, w => writePlainLink(w, o.name, 'bridge'));
  }

  /** A renamed link is given by its index. */
  linkSet(link: number | string, o: LinkChange): void {
    const doing = `setting ${Object.keys(o).join(', ')} of link ${link}`;
    this.#socket.change(rtmLink.set, 0, doing, w => writeLinkChange(w, link, o));
  }

  /** Throws ENODEV where there is none. A veth's peer goes with it. */
  linkDelete(link: number | string): void {
    this.#socket.change(rtmLink.delete, 0, `deleting link ${link}`, w => writeTarget(w, link));
  }

  /** Throws EEXIST where the link has the address. */
  addrAdd(index: number, prefix: Prefix, o: AddressOptions = {}): void {
    const doing = `adding address ${formatPrefix(prefix)} to link ${index}`;
    this.#socket.change(rtmAddress.create, CREATE, doing, w => writeAddress(w, index, prefix, o));
  }

  addrDelete(index: number, prefix: Prefix): void {
    const doing = `deleting address ${formatPrefix(prefix)} from link ${index}`;
    this.#socket.change(rtmAddress.delete, 0, doing, w => writeAddress(w, index, prefix));
  }

  addrList(index?: number): AddressInfo[] {
    return present(this.#socket.dump(rtmAddress.get, 'listing addresses', w => writeAddressQuery(w, index)).map(parseAddress));
  }

  /** With `replace`, takes the place of a route to the same destination in the same table. */
  routeAdd(o: Route & { replace?: boolean }): void {
    this.#socket.change(rtmRoute.create, o.replace ? REPLACE : CREATE, `adding route ${describe(o)}`, w => writeRoute(w, o, 'add'));
  }

  /** What is given must match; throws ESRCH where nothing does. */
  routeDelete(o: Route): void {
    this.#socket.change(rtmRoute.delete, 0, `deleting route ${describe(o)}`, w => writeRoute(w, o, 'delete'));
  }

  /** Both families, every table unless one is given. */
  routeList(o: { table?: number; index?: number } = {}): RouteInfo[] {
    const routes = [AF_INET, AF_INET6].flatMap(family => this.#routesOf(family, o.table));
    return o.index === undefined ? routes : routes.filter(route => route.index === o.index);
  }

  /** Creates or replaces. */
  neighbourAdd(o: { index: number; addr: Addr; mac: string; permanent?: boolean }): void {
    const doing = `adding neighbour ${formatAddr(o.addr)} on link ${o.index}`;
    const entry = { mac: o.mac, permanent: o.permanent ?? true };
    this.#socket.change(rtmNeighbour.create, REPLACE, doing, w => writeNeighbour(w, o.index, o.addr, entry));
  }

  neighbourDelete(o: { index: number; addr: Addr }): void {
    const doing = `deleting neighbour ${formatAddr(o.addr)} on link ${o.index}`;
    this.#socket.change(rtmNeighbour.delete, 0, doing, w => writeNeighbour(w, o.index, o.addr));
  }

  neighbourList(index?: number): NeighbourInfo[] {
    return present(this.#socket.dump(rtmNeighbour.get, 'listing neighbours', w => writeNeighbourQuery(w, index)).map(parseNeighbour));
  }

  /** Throws EEXIST where an equal rule is there. */
  ruleAdd(rule: Rule): void {
    this.#socket.change(rtmRule.create, CREATE, `adding IPv${rule.family} rule to table ${rule.table}`, w => writeRule(w, rule));
  }

  ruleDelete(rule: Rule): void {
    this.#socket.change(rtmRule.delete, 0, `deleting IPv${rule.family} rule to table ${rule.table}`, w => writeRule(w, rule));
  }

  ruleList(): Rule[] {
    const dump = (family: number) => this.#socket.dump(rtmRule.get, 'listing rules', w => writeRuleQuery(w, family));
    return present([AF_INET, AF_INET6].flatMap(dump).map(parseRule));
  }

  /** A table that does not exist yet has no routes; the kernel says ENOENT to a filter on it. */
  #routesOf(family: number, table: number | undefined): RouteInfo[] {
    try {
      return present(this.#socket.dump(rtmRoute.get, 'listing routes', w => writeRouteQuery(w, family, table)).map(parseRoute));
    } catch (error) {
      if (table !== undefined && isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }
}

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter(value => value !== undefined);
}

function describe(route: Route): string {
  const gateways = route.gateway ? [route.gateway] : (route.nexthops ?? []).map(nexthop => nexthop.gateway);
  const gateway = gateways.length > 0 ? ` via ${gateways.map(formatAddr).join(', ')}` : '';
  const device = route.index === undefined ? '' : ` on link ${route.index}`;
  return `${route.type ?? 'unicast'} ${formatPrefix(route.destination)}${gateway}${device}`;
}

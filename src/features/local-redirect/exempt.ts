import { RedirectExemptKind } from '../../datapath/generated/enums.ts';
import type { RedirectExemptKey } from '../../datapath/generated/structs.ts';
import { endpointText } from '../../lb/rows.ts';
import { parseAddr } from '../../std/ip.ts';
import type { Table } from '../../table/table.ts';
import type { RedirectInput } from '../../lb/local-rows.ts';

/** An endpoint as far as exemptions need it. */
export interface ExemptEndpoint {
  readonly id: number;
  readonly netns: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
}

export interface ExemptMap {
  entries(): Iterable<readonly [RedirectExemptKey, number]>;
  update(key: RedirectExemptKey, value: number): void;
  delete(key: RedirectExemptKey): boolean;
}

export interface RedirectExemptionDependencies {
  readonly redirects: Table<RedirectInput>;
  readonly endpoints: Pick<Table<ExemptEndpoint>, 'rows'>;
  readonly map: ExemptMap;
  /** The kernel's number of a frontend, by its row's key. */
  readonly idOf: (rowKey: string) => number | undefined;
  /** The cookie of a network namespace, by its path; undefined when it is gone. */
  readonly cookieOf: (netns: string) => bigint | undefined;
}

/**
 * Who is exempt from which redirect: pods behind a policy with skipRedirectFromBackend reach what the policy stands in for, by
 * their namespace's cookie at the socket and by their endpoint's id packet by packet. A few entries a node: each step makes the
 * whole map right.
 */
export class RedirectExemptions {
  readonly #dependencies: RedirectExemptionDependencies;
  /** Of the namespaces that were asked for in the last step. */
  #cookies = new Map<string, bigint>();

  constructor(dependencies: RedirectExemptionDependencies) {
    this.#dependencies = dependencies;
  }

  step(): void {
    const { redirects, map } = this.#dependencies;
    const wanted = new Map(this.#wanted().map(key => [textOf(key), key] as const));
    for (const [key] of [...map.entries()]) {
      // Before the first lists an entry that nobody wants may only be not known yet.
      if (!wanted.delete(textOf(key)) && redirects.synced) map.delete(key);
    }
    for (const key of wanted.values()) map.update(key, 1);
  }

  #wanted(): RedirectExemptKey[] {
    const { redirects, endpoints, idOf } = this.#dependencies;
    const exempt = [...redirects.rows()].filter(row => row.skipRedirectFromBackend);
    if (exempt.length === 0) return [];
    const before = this.#cookies;
    this.#cookies = new Map();
    const byAddress = new Map([...endpoints.rows()].flatMap(endpoint => [endpoint.ipv4, endpoint.ipv6].flatMap(address => (address ? [[address, endpoint] as const] : []))));
    return exempt.flatMap(({ address, port, protocol, backends }) => {
      const service = idOf(endpointText(parseAddr(address), port, protocol));
      if (service === undefined) return [];
      return backends.flatMap(backend => {
        const endpoint = byAddress.get(backend.address);
        const cookie = endpoint && this.#cookieOf(endpoint.netns, before);
        return [
          ...(endpoint ? [{ who: BigInt(endpoint.id), service, kind: RedirectExemptKind.Endpoint }] : []),
          ...(cookie === undefined ? [] : [{ who: cookie, service, kind: RedirectExemptKind.Netns }]),
        ];
      });
    });
  }

  /** A namespace's cookie never changes, and its path is never used again while the machine runs. */
  #cookieOf(netns: string, before: ReadonlyMap<string, bigint>): bigint | undefined {
    const cookie = this.#cookies.get(netns) ?? before.get(netns) ?? this.#dependencies.cookieOf(netns);
    if (cookie !== undefined) this.#cookies.set(netns, cookie);
    return cookie;
  }
}

function textOf({ who, service, kind }: RedirectExemptKey): string {
  return `${kind} ${who} ${service}`;
}

/** What the datapath knows of names, for whoever reads DNS beside it. */
export interface NameTables {
  /** Identity of the addresses of a name (final dot, lower case); 0: none asks for it. */
  identityOf(name: string): number;
  /** The address (4 or 16 bytes) belongs to the identity from now on, for this pod (its local id). Throws when there is no room. */
  learn(endpoint: number, address: Uint8Array, identity: number, ttlSeconds: number): void;
  /** What a question that may not be asked is answered with. */
  readonly refusal: number;
}

const refused = 5;

/** Without a datapath: no name has an identity. */
export const noNames: NameTables = { identityOf: () => 0, learn: () => {}, refusal: refused };

let current = noNames;

/** One process has one datapath beside it, and protocols are loaded when a set asks for them. */
export function useNameTables(tables: NameTables): void {
  current = tables;
}

export function nameTables(): NameTables {
  return current;
}

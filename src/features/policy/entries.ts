import { PolicyVerdictFlag } from '../../datapath/generated/enums.ts';
import type { PolicyClass, PolicyClassKey, PolicyVerdict, PolicyVerdictKey } from '../../datapath/generated/structs.ts';
import type { BpfMap } from '../../ebpf/map.ts';
import type { VerdictRow } from '../../policy/compile.ts';

type PolicyMap<K, V> = Pick<BpfMap<K, V>, 'lookup' | 'update' | 'delete' | 'updateBatch' | 'deleteBatch' | 'entries' | 'count'> & { readonly spec: { readonly maxEntries: number } };

export interface PolicySetMaps {
  readonly classes: PolicyMap<PolicyClassKey, PolicyClass>;
  readonly verdicts: PolicyMap<PolicyVerdictKey, PolicyVerdict>;
}

/** An entry of the kernel that is not what was meant. */
export interface Difference {
  readonly text: string;
  /** False where there was nothing to mend any more. */
  mend(): boolean;
}

const verdictNumber: Readonly<Record<VerdictRow['verdict'], number>> = { allow: 1, deny: 2, redirect: 3, audit: 4 };

/** Bits of `policy_verdict_key` before the protocol: the set and the class are always matched whole. */
const fixedBits = 64;
const protocolBits = 16;

/** The kernel's entry for a row (`struct policy_verdict_key`, bpf/lib/policy.h). */
export function verdictEntry(set: number, row: VerdictRow): readonly [PolicyVerdictKey, PolicyVerdict] {
  const prefixBits = row.protocol === null ? fixedBits : fixedBits + protocolBits + row.portBits;
  return [
    { prefixBits, set, class: row.class, protocol: row.protocol ?? 0, port: row.protocol === null ? 0 : row.port },
    {
      rule: row.rule, shadowRule: row.shadow?.rule ?? 0, l7: row.l7 ?? 0, verdict: verdictNumber[row.verdict], match: row.match,
      shadowVerdict: row.shadow ? verdictNumber[row.shadow.verdict] : 0, flags: (row.keepEstablished ? PolicyVerdictFlag.KeepEstablished : 0) | (row.asksNames ? PolicyVerdictFlag.AskNames : 0),
    },
  ];
}

/** All that the kernel holds of a row. */
export function rowText(row: VerdictRow): string {
  const shadow = row.shadow ? `${row.shadow.verdict} ${row.shadow.rule}` : '';
  return `${placeText(row)},${row.verdict},${row.rule},${row.match},${row.l7 ?? 0},${shadow},${row.keepEstablished ?? false},${row.asksNames ?? false}`;
}

/** Where a row stands: two rows of one place are one entry. */
export function placeText(row: VerdictRow): string {
  return `${row.class},${row.protocol ?? '*'},${row.port}/${row.portBits}`;
}

/** A missing row is found by what the wider one says; where that says the same, nothing is decided differently. */
export function compareVerdict(maps: PolicySetMaps, set: number, row: VerdictRow): Difference | undefined {
  const [key, want] = verdictEntry(set, row);
  const have = maps.verdicts.lookup(key);
  if (have && verdictFields.every(field => have[field] === want[field])) return undefined;
  return {
    text: `class ${row.class} protocol ${row.protocol ?? 'any'} port ${row.port}/${row.portBits}: ${have && have.rule === want.rule ? describe(want, have) : `rule ${want.rule} expected, ${have ? `rule ${have.rule}` : 'nothing'} found`}`,
    mend: () => {
      maps.verdicts.update(key, want);
      return true;
    },
  };
}

export function compareClass(maps: PolicySetMaps, set: number, identity: number, number: number): Difference | undefined {
  const have = maps.classes.lookup({ set, identity });
  if (have?.class === number) return undefined;
  return {
    text: `identity ${identity}: class ${number} expected, ${have ? `class ${have.class}` : 'nothing'} found`,
    mend: () => {
      maps.classes.update({ set, identity }, { class: number });
      return true;
    },
  };
}

const verdictFields = ['rule', 'verdict', 'match', 'l7', 'shadowRule', 'shadowVerdict', 'flags'] as const;

/** The rule is right, something else is not. */
function describe(want: PolicyVerdict, have: PolicyVerdict): string {
  const fields = verdictFields.filter(field => have[field] !== want[field]);
  return fields.map(field => `${field} ${want[field]} expected, ${have[field]} found`).join(', ');
}

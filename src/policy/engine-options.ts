/** Whom the engine is asked about, and how it is set up. */
import type { HttpReader } from '../model/l7.ts';
import type { LabelSet } from '../model/labels.ts';
import type { L7Numbers } from './l7-numbers.ts';
import { namedPortsText } from './matchers.ts';
import type { NamedPorts } from './matchers.ts';
import type { Provides } from './rule-info.ts';

/** What every node has. */
export const productProvides: Provides = { proxy: true };

export interface Subject {
  readonly labels: LabelSet;
  readonly namedPorts: NamedPorts;
  /** A node: only policies with a nodeSelector concern it. */
  readonly isHost?: boolean;
}

export interface EngineOptions {
  /** default: subjects that a policy selects; always: everyone; never: nobody. */
  readonly mode?: 'default' | 'always' | 'never';
  /** Whether the node may always reach its pods; `policy` asks the policies. */
  readonly allowLocalhost?: 'always' | 'policy';
  /** What identity 2 stands for where there is one family only. */
  readonly worldFamily?: 'ipv4' | 'ipv6';
  /** What there is to carry out conditions beyond addresses and ports; without it, what only such a rule would allow is denied. Absent: what every node has. */
  readonly provides?: Provides;
  /** Who carries out rules on HTTP of policies that do not say. */
  readonly httpReader?: HttpReader;
  /**
   * Numbers for layer 7 sets, asked for each set before a row names it, and again when one that no row named any more comes back:
   * who answers sees to it that the set can be found. A number must keep its meaning for as long as anything on the node may name it.
   */
  readonly l7?: Pick<L7Numbers, 'numberOf'>;
}

/** Names a subject: equal texts get the same sets. Changes of policies say whom they concern by it. */
export function subjectText({ labels, namedPorts, isHost }: Subject): string {
  return `${isHost ?? false} ${namedPortsText([namedPorts])} ${labels.toString()}`;
}

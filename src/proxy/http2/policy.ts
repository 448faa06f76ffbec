import type { Layers, Wire } from '../protocol.ts';
import type { RequestHead } from './message.ts';

export interface Mutation {
  readonly op: 'add' | 'delete' | 'replace';
  /** In lower case. */
  readonly name: string;
  readonly value?: string;
}

export interface Judgement {
  readonly passes: boolean;
  readonly mutations: readonly Mutation[];
  /** Whatever the rules say: its path has no one meaning. */
  readonly malformed?: true;
}

/** What the session asks of policy, and how requests and answers are told of. */
export interface RequestPolicy<Compiled, J extends Judgement> {
  judge(layers: Layers<Compiled>, head: RequestHead): J;
  request(wire: Wire<Compiled>, head: RequestHead, judgement: J): void;
  answer(wire: Wire<Compiled>, head: RequestHead, judgement: J, status: number, latencyUs: number): void;
}

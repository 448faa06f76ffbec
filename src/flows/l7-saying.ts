import type { FlowL7 } from '../model/flow.ts';

/**
 * What an L7 record says but for its latency: one object for as many flows as say the same, so that what is made of it is made once and
 * kept with it.
 */
export class L7Saying {
  readonly l7: FlowL7;
  /** The history's: how often it was told, and the number that it has in which dictionary, itself a number: nothing is held by this. */
  told = 0;
  number = 0;
  numberedBy = 0;

  constructor(l7: FlowL7) {
    this.l7 = l7;
  }
}

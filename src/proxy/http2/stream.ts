import type { Judgement } from '../http/judge.ts';
import type { RequestFacts } from '../http/record.ts';
import type { RequestHead } from './message.ts';

/** A stream that policy let pass: both sides have it, under the same number. */
export class Stream {
  readonly id: number;
  readonly head: RequestHead;
  readonly facts: RequestFacts;
  judgement: Judgement;
  /** Of the table that it is in. */
  next: Stream | undefined;
  /** Of its header list. */
  octets = 0;
  /** The client, or the server, has sent END_STREAM. */
  clientDone = false;
  serverDone = false;
  /** The head of the final answer has been passed on. */
  answered = false;
  /** Octets of body that content-length has announced and that have not come; −1: not announced. */
  clientLeft: number;
  serverLeft = -1;

  constructor(id: number, head: RequestHead, facts: RequestFacts, judgement: Judgement) {
    this.id = id;
    this.head = head;
    this.facts = facts;
    this.judgement = judgement;
    this.clientLeft = head.contentLength;
  }
}

/**
 * A netlink socket as a call: send requests, take the answers. The kernel works a request off inside send(2) and has queued
 * the answer when it returns, so everything is synchronous and no answer is ever waited for.
 */
import { KernelError, check } from './errno.ts';
import { Fd } from './file.ts';
import * as native from './native.ts';
import { type Message, MessageWriter, flag, messageType, parseError, parseMessages } from './netlink-wire.ts';

const AF_NETLINK = 16;
const SOL_NETLINK = 270;
const SOL_SOCKET = 1;
/** Every answer waits in the receive buffer (208 KiB by default, under 1 KiB each): so many requests go into one send. */
const BATCH_LIMIT = 64;
const DUMP_ATTEMPTS = 10;

interface Pending {
  readonly sequence: number;
  readonly doing: string;
}

export class NetlinkSocket {
  readonly #fd: Fd;
  readonly #writer = new MessageWriter();
  readonly #into = new Uint8Array(new ArrayBuffer(256 * 1024));
  #sequence = 1;
  #pending: Pending[] = [];
  #batching = false;
  #batchFailures: KernelError[] = [];
  #batchCount = 0;

  /** Opens a socket in the namespace that the thread is in. `protocol`: 0 is NETLINK_ROUTE. */
  constructor(protocol = 0) {
    const fd = check(native.socket(AF_NETLINK, 3 /* SOCK_RAW */ | 0o2000000 /* SOCK_CLOEXEC */, protocol), 'socket', 'opening a netlink socket');
    this.#fd = new Fd(fd, 'netlink socket');
    try {
      this.#prepare();
    } catch (error) {
      this.#fd.close();
      throw error;
    }
  }

  /** A change: acknowledged by the kernel, or thrown as KernelError. Inside `batch` it is only queued. */
  change(type: number, flags: number, doing: string, body: (w: MessageWriter) => void): void {
    this.#queue(type, flags | flag.request | flag.ack, doing, body);
    if (!this.#batching) this.#flush([]);
    else if (this.#pending.length >= BATCH_LIMIT) this.#flush(this.#batchFailures);
  }

  /** A question with one answer. */
  get(type: number, doing: string, body: (w: MessageWriter) => void): Message[] {
    if (this.#batching) this.#flush(this.#batchFailures);
    this.#queue(type, flag.request | flag.ack, doing, body);
    return this.#flush([]);
  }

  /** A list. A list that changed while the kernel read it (NLM_F_DUMP_INTR) is read again. */
  dump(type: number, doing: string, body: (w: MessageWriter) => void): Message[] {
    if (this.#batching) this.#flush(this.#batchFailures);
    for (let attempt = 1; ; attempt++) {
      this.#queue(type, flag.request | flag.dump, doing, body);
      const { answers, interrupted } = this.#takeDump();
      if (!interrupted || attempt === DUMP_ATTEMPTS) return answers;
    }
  }

  /**
   * Collects the changes that `section` makes and sends them together. The kernel does them in order and goes on after one
   * that fails; the first failure is thrown at the end and says how many more there were.
   */
  batch<T>(section: () => T): T {
    if (this.#batching) return section();
    this.#batching = true;
    this.#batchFailures = [];
    this.#batchCount = 0;
    let result: T;
    try {
      result = section();
      this.#flush(this.#batchFailures);
    } finally {
      // What was queued before a throw is dropped unsent: the caller sees the throw and starts again.
      this.#batching = false;
      this.#pending = [];
      this.#writer.clear();
    }
    const [first, ...more] = this.#batchFailures;
    if (!first) return result;
    if (more.length === 0) throw first;
    throw new KernelError({ errno: first.errno, syscall: first.syscall, doing: `${first.message}, and ${more.length} more of ${this.#batchCount} requests failed`, cause: first });
  }

  close(): void {
    this.#fd.close();
  }

  #prepare(): void {
    const one = Uint8Array.of(1, 0, 0, 0);
    const option = (level: number, name: number, value: Uint8Array) => native.setsockopt(this.#fd.fd, level, name, value, value.length);
    option(SOL_NETLINK, 11 /* NETLINK_EXT_ACK */, one);
    option(SOL_NETLINK, 10 /* NETLINK_CAP_ACK: errors without a copy of the request */, one);
    option(SOL_NETLINK, 12 /* NETLINK_GET_STRICT_CHK: dumps filter in the kernel */, one);
    const seconds = new Uint8Array(16);
    seconds[0] = 10;
    option(SOL_SOCKET, 20 /* SO_RCVTIMEO: a lost answer is an error, not a hang */, seconds);
    const address = new Uint8Array(12);
    address[0] = AF_NETLINK;
    check(native.bind(this.#fd.fd, address, address.length), 'bind', 'binding a netlink socket');
  }

  #queue(type: number, flags: number, doing: string, body: (w: MessageWriter) => void): void {
    const sequence = this.#sequence;
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const before = this.#pending.length === 0;
    if (before) this.#writer.clear();
    this.#writer.message(type, flags, sequence, body);
    this.#pending.push({ sequence, doing });
    this.#batchCount++;
  }

  /** Sends what is queued, takes every acknowledgement and returns the other messages. Failures go to `failures` when batching. */
  #flush(failures: KernelError[]): Message[] {
    if (this.#pending.length === 0) return [];
    const pending = this.#pending;
    this.#pending = [];
    this.#send(pending[0]!.doing);
    const waiting = new Map(pending.map(p => [p.sequence, p.doing]));
    const answers: Message[] = [];
    while (waiting.size > 0) {
      for (const message of this.#receive(pending[0]!.doing)) {
        const doing = waiting.get(message.sequence);
        if (doing === undefined) continue; // an answer to a request that was given up
        if (message.type !== messageType.error) {
          answers.push({ ...message, payload: message.payload.slice() });
          continue;
        }
        waiting.delete(message.sequence);
        const failure = failureOf(message, doing);
        if (failure) failures.push(failure);
      }
    }
    // Inside a batch its failures are thrown at its end; a question's own failure at once.
    if (failures !== this.#batchFailures && failures[0]) throw failures[0];
    return answers;
  }

  #takeDump(): { answers: Message[]; interrupted: boolean } {
    const { sequence, doing } = this.#pending[0]!;
    this.#pending = [];
    this.#send(doing);
    const answers: Message[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of this.#receive(doing)) {
        if (message.sequence !== sequence) continue;
        if (message.flags & flag.dumpInterrupted) interrupted = true;
        const ends = message.type === messageType.done || message.type === messageType.error;
        if (!ends) {
          answers.push({ ...message, payload: message.payload.slice() });
          continue;
        }
        // NLMSG_DONE carries the dump's result where an error carries its number.
        const failure = message.payload.length >= 4 ? failureOf(message, doing) : undefined;
        if (failure) throw failure;
        return { answers, interrupted };
      }
    }
  }

  #send(doing: string): void {
    const data = this.#writer.bytes;
    check(native.send(this.#fd.fd, data, data.length, 0), 'sendmsg', doing);
    this.#writer.clear();
  }

  #receive(doing: string): Message[] {
    const length = check(native.recv(this.#fd.fd, this.#into, this.#into.length, 0x20 /* MSG_TRUNC */), 'recvmsg', doing);
    if (length > this.#into.length) throw new KernelError({ errno: 'EMSGSIZE', syscall: 'recvmsg', doing });
    return parseMessages(this.#into.subarray(0, length));
  }
}

function failureOf(message: Message, doing: string): KernelError | undefined {
  const { errno, text } = parseError(message);
  if (errno === 0) return undefined;
  return new KernelError({ errno, syscall: 'netlink', doing, ...(text !== undefined && { detail: text }) });
}

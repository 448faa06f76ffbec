/** epoll(7), level-triggered unless `edge` is asked for. Events bear a number that the caller chose. */
import { check } from './errno.ts';
import { stable } from './memory.ts';
import { lastErrno } from './native.ts';
import * as native from './native.ts';

/** `peerEnd`: it has sent its FIN. `edge`, with the others: told when it becomes so and when it is watched anew, not for as long as it is so. */
export const readiness = { in: 0x1, out: 0x4, error: 0x8, hangup: 0x10, peerEnd: 0x2000, edge: 0x8000_0000 } as const;

const [ADD, REMOVE, MODIFY] = [1, 2, 3] as const;
const CLOSE_ON_EXEC = 0o2000000;
const EINTR = 4;
/** struct epoll_event is packed on x86-64 only: events, then data at once. In 32-bit words. */
const packed = process.arch === 'x64';
const words = packed ? 3 : 4;
const dataWord = packed ? 1 : 2;

export class Epoll {
  readonly fd: number;
  readonly #events;
  readonly #words: Int32Array;
  readonly #one = stable(words * 4);
  readonly #most: number;

  /** Takes up to `most` events at once. */
  constructor(most = 512) {
    this.fd = check(native.epollCreate(CLOSE_ON_EXEC), 'epoll_create1', 'making an epoll');
    this.#events = stable(most * words * 4);
    this.#words = new Int32Array(this.#events.bytes.buffer);
    this.#most = most;
  }

  add(fd: number, interest: number, token: number): void {
    check(this.#control(ADD, fd, interest, token), 'epoll_ctl', `watching descriptor ${fd}`);
  }

  modify(fd: number, interest: number, token: number): void {
    check(this.#control(MODIFY, fd, interest, token), 'epoll_ctl', `watching descriptor ${fd} for something else`);
  }

  /** What closes is removed by the kernel, unless another process has it too. */
  remove(fd: number): void {
    check(this.#control(REMOVE, fd, 0, 0), 'epoll_ctl', `no longer watching descriptor ${fd}`);
  }

  /** The number of events, readable with `token` and `ready` until the next call. */
  wait(timeoutMs: number): number {
    const count = native.epollWait(this.fd, this.#events.address, this.#most, timeoutMs);
    if (count >= 0) return count;
    if (lastErrno() === EINTR) return 0;
    return check(count, 'epoll_wait', 'waiting for sockets');
  }

  token(index: number): number {
    return this.#words[index * words + dataWord]!;
  }

  ready(index: number): number {
    return this.#words[index * words]!;
  }

  close(): void {
    native.close(this.fd);
  }

  #control(operation: number, fd: number, interest: number, token: number): number {
    const view = this.#one.view;
    view.setUint32(0, interest, true);
    view.setInt32(dataWord * 4, token, true);
    return native.epollControl(this.fd, operation, fd, this.#one.address);
  }
}

import { frameHead, frameMark, mostFrameBytes } from '../../model/l7-frame.ts';

/** A worker sends far shorter ones. */
const longestLine = 64 << 10;
const lineFeed = 0x0a;

export interface StreamTaker {
  line(text: string): void;
  /** The entries of a frame, valid during the call. */
  frame(entries: Buffer): void;
}

/** What a worker sends, cut into lines and frames. */
export class RecordStream {
  #rest: Buffer = Buffer.alloc(0);
  readonly #take: StreamTaker;

  constructor(take: StreamTaker) {
    this.#take = take;
  }

  /** False: no worker sends this. */
  push(chunk: Buffer): boolean {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at < data.length) {
      const isFrame = data[at] === frameMark;
      if (isFrame && data.length - at < frameHead) break;
      const length = isFrame ? data.readUInt32LE(at + 1) : 0;
      if (length > mostFrameBytes) return false;
      const end = isFrame ? at + frameHead + length : data.indexOf(lineFeed, at);
      if (isFrame ? end > data.length : end < 0) break;
      if (isFrame) this.#take.frame(data.subarray(at + frameHead, end));
      else this.#take.line(data.toString('utf8', at, end));
      at = isFrame ? end : end + 1;
    }
    this.#rest = data.subarray(at);
    return this.#rest.length === 0 || this.#rest[0] === frameMark || this.#rest.length <= longestLine;
  }
}

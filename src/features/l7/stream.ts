import { frameHead, frameMark, mostFrameBytes } from '../../model/l7-frame.ts';

/** A worker sends far shorter ones. */
const longestLine = 64 << 10;
const lineFeed = 0x0a;

export interface StreamTaker {
  line(text: string): void;
  /** The entries of a frame, valid during the call. */
  frame(entries: Buffer): void;
}

/** The room for what is not whole yet: a frame of the longest, and what was read behind it. */
export const streamRoomBytes = 2 * mostFrameBytes;

/** What a worker sends, cut into lines and frames. Returns the bytes of those that are whole; undefined: no worker sends this. */
export function cutRecords(data: Buffer, take: StreamTaker): number | undefined {
  let at = 0;
  while (at < data.length) {
    const isFrame = data[at] === frameMark;
    if (isFrame && data.length - at < frameHead) break;
    const length = isFrame ? data.readUInt32LE(at + 1) : 0;
    if (length > mostFrameBytes) return undefined;
    const end = isFrame ? at + frameHead + length : data.indexOf(lineFeed, at);
    if (isFrame ? end > data.length : end < 0) break;
    if (isFrame) take.frame(data.subarray(at + frameHead, end));
    else take.line(data.toString('utf8', at, end));
    at = isFrame ? end : end + 1;
  }
  return at === data.length || data[at] === frameMark || data.length - at <= longestLine ? at : undefined;
}

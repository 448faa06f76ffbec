import { CirriError } from '../std/errors.ts';

/** What an exec and its client say to each other: channel, length, payload (server.ts). */
export const frameLimit = 1 << 20;

export function frame(channel: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head[0] = channel;
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

/** Feeds on bytes in any portions and gives whole frames. Throws on a frame of more than 1 MiB. */
export function frameReader(onFrame: (channel: number, payload: Buffer) => void): (bytes: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  return bytes => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    while (held.length >= 5) {
      const length = held.readUInt32BE(1);
      if (length > frameLimit) throw new CirriError('ERR_FRAME', `a frame of ${length} bytes`);
      if (held.length < 5 + length) return;
      onFrame(held[0]!, held.subarray(5, 5 + length));
      held = held.subarray(5 + length);
    }
  };
}

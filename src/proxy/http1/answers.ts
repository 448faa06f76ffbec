/** Answers that the proxy gives itself. */

/** Upstream's body. */
const denied = 'Access denied\r\n';

const known = new Map<string, Buffer>();

/** A whole answer; without its body for HEAD. */
export function answer(status: number, reason: string, body: string, closes: boolean, isHead = false): Buffer {
  const key = `${status}${closes}${isHead}${body}`;
  let found = known.get(key);
  if (found === undefined) {
    found = Buffer.from(`HTTP/1.1 ${status} ${reason}\r\ncontent-length: ${Buffer.byteLength(body)}\r\ncontent-type: text/plain\r\n${closes ? 'connection: close\r\n' : ''}\r\n${isHead ? '' : body}`);
    // Few texts there are: codes and the reasons of faults.
    if (known.size < 256) known.set(key, found);
  }
  return found;
}

export function deniedAnswer(closes: boolean, isHead: boolean): Buffer {
  return answer(403, 'Forbidden', denied, closes, isHead);
}

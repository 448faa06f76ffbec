/** SHA-256 of "HelloRetryRequest": the random of a ServerHello that asks for another hello (RFC 8446 §4.1.3). */
const retryRandom = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex');

const contentHandshake = 22;
const typeServerHello = 2;

/** Whether a server's first bytes ask the client for another hello; undefined while too few are there. */
export function isRetryRequest(bytes: Buffer): boolean | undefined {
  if (bytes.length < 1) return undefined;
  if (bytes[0] !== contentHandshake) return false;
  if (bytes.length < 5) return undefined;
  // The first record of a server holds at least the random: one that is cut before it is what nobody writes, and is not waited out.
  const handshake = Math.min(bytes.length, 5 + bytes.readUInt16BE(3)) - 5;
  if (handshake >= 1 && bytes[5] !== typeServerHello) return false;
  const randomAt = 5 + 4 + 2;
  if (bytes.length < randomAt + retryRandom.length) return bytes.length < 5 + bytes.readUInt16BE(3) ? undefined : true;
  return bytes.subarray(randomAt, randomAt + retryRandom.length).equals(retryRandom);
}

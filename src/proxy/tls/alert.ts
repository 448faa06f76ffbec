/** Fatal alerts (RFC 8446 §6) that are sent in the clear, before there are keys. */
export const Alert = { handshakeFailure: 40, accessDenied: 49, decodeError: 50, internalError: 80 } as const;

export function alertRecord(description: number): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}

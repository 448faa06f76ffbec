/** Error codes of RFC 9113 §7. */
export const ErrorCode = {
  none: 0x0,
  protocol: 0x1,
  internal: 0x2,
  flowControl: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSize: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compression: 0x9,
  connect: 0xa,
  enhanceYourCalm: 0xb,
  http11Required: 0xd,
} as const;

/** The peer does not keep to the protocol, in a way that ends the connection: `code` goes into GOAWAY, the message into its debug data. */
export class ConnectionFault extends Error {
  readonly code: number;
  /** Whose fault it is, where that is not who was read from. */
  readonly blame: 'client' | undefined;

  constructor(code: number, message: string, blame?: 'client') {
    super(message);
    this.name = 'ConnectionFault';
    this.code = code;
    this.blame = blame;
  }
}

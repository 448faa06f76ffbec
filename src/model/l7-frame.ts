/**
 * Frames: how the proxy tells the agent of HTTP requests and answers, between the lines of JSON that everything else is told in.
 *
 *     mark (1 byte) │ length of what follows (u32) │ entries: connections, requests, answers, in the order in which they happened
 *
 * A frame says all that it refers to: a place is that of an entry's first byte, counted from the first entry. Numbers are little-endian
 * and lie anywhere, texts are latin1 as the wire has them. No line begins with the mark. A worker writes frames only to an agent that
 * has said this version (`KeptListeners.frames`), lines to any other.
 */
export const frameVersion = 1;
export const frameMark = 0x01;
/** Mark and length. */
export const frameHead = 5;
/** Of the entries of one frame: a worker closes it before. */
export const mostFrameBytes = 128 << 10;

/** The first byte of an entry. `exchange`: a request, in a frame before this one or never told, with its answer, which alone is told. */
export const entry = { connection: 1, request: 2, answer: 3, exchange: 4 } as const;

/** Places within a connection. Addresses are 16 bytes, `service` is the key of service_addresses or 0. */
export const connectionEntry = {
  clientPort: 2, serverPort: 4, sourceIdentity: 8, destinationIdentity: 12, sourceEndpoint: 16, destinationEndpoint: 20, service: 24, client: 28, server: 44, length: 60,
} as const;

/**
 * Places within a request. `opinions`: how many ends judged it, one or two; each has a verdict, a direction, and from its fourth byte on
 * a rule. Behind it: method, origin, path, trace id. `origin` and `path` make the URL. `time` in microseconds of CLOCK_MONOTONIC.
 */
export const requestEntry = {
  opinions: 1, protocol: 2, methodLength: 3, originLength: 4, pathLength: 6, traceLength: 8, connection: 12, time: 16, opinion: 24, opinionLength: 8, texts: 40,
} as const;

/** Places within an answer; `request` is the place of its request. */
export const answerEntry = { status: 2, request: 4, time: 8, latencyNs: 16, length: 24 } as const;

/** Between the opinions and the texts of `exchange`, whose `time` is the answer's. */
export const exchangeEntry = { status: 40, latencyNs: 44, texts: 52 } as const;

export const frameVerdicts = ['FORWARDED', 'DROPPED', 'ERROR'] as const;
export const frameDirections = ['EGRESS', 'INGRESS'] as const;
export const frameProtocols = ['HTTP/1.0', 'HTTP/1.1', 'HTTP/2'] as const;

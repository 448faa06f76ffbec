/** Bounds of what one connection may ask of the proxy. Larger is refused, never let through unread. */
export interface HttpLimits {
  /** Request line or status line with all header fields, bytes. Larger: 431, 502 for answers. */
  readonly headBytes: number;
  readonly headerFields: number;
  /** Of a chunked body: all its extensions together, and its trailers. */
  readonly extensionBytes: number;
  readonly trailerBytes: number;
  /** Requests of one connection that wait for answers before no more are read. */
  readonly pipelined: number;
  /** What is read and thrown away of the body of a refused request before the connection is closed instead. */
  readonly swallowedBytes: number;
  /** Bodies with more than this to come are spliced. */
  readonly spliceBytes: number;
  /** A head that has begun must be whole by then; the same for what is thrown away. */
  readonly headMs: number;
  /** Headers that flows bear, in lower case; what must not be seen is taken out later, by the pipeline's redaction. */
  readonly recordedHeaders: readonly string[];
}

export const httpLimits: HttpLimits = {
  headBytes: 65_536, headerFields: 100, extensionBytes: 4096, trailerBytes: 8192, pipelined: 64, swallowedBytes: 1_048_576, spliceBytes: 65_536, headMs: 60_000,
  recordedHeaders: [],
};

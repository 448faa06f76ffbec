import type { HttpTexts } from './http-told.ts';
import type { L7Saying } from './l7-saying.ts';

/** How the pipeline takes requests and answers of a proxy, without an object for each. */
export interface HttpTaker {
  /** What may be told of requests; what is found there is said as it is. */
  readonly texts: HttpTexts;
  /** `record`: as the kernel's (decode.ts, `layout`), to be used again; `verdict`: its number in `l7Verdicts`; latency -1 of a request. */
  tell(record: DataView, saying: L7Saying, latencyNs: number, verdict: number, traceId: string | undefined): void;
}

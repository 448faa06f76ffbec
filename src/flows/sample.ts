import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Flow } from '../model/flow.ts';
import type { FlowView } from './consumer.ts';
import type { FlowPipeline } from './pipeline.ts';
import { compileQuery, queryFromParams } from './query.ts';
import { beginLines, refuseQuery } from './serve.ts';
import { plainFlow } from './view.ts';

/** A line of `GET /v1/flows/sample`: flows, and how many more matched or were lost before anybody could look. */
export interface SampleLine {
  readonly flows: readonly Flow[];
  readonly left: number;
  readonly lost: number;
}

/** Waiting for one reader; beyond it everything is only counted. */
const maxWaitingBytes = 512 << 10;
const maxPerSecond = 10_000;
const lineEveryMs = 100;

/**
 * `GET /v1/flows/sample?perSecond=N&whitelist=JSON&blacklist=JSON` → JSON lines of what happens from now on, at most N flows a
 * second, for readers that show and do not keep: what is beyond that costs the agent the filter and no more, and is counted.
 */
export function serveSample(pipeline: Pick<FlowPipeline, 'consume'>, request: IncomingMessage, response: ServerResponse): void {
  let matches: (flow: Flow) => boolean;
  let perSecond: number;
  try {
    const params = new URL(request.url ?? '/', 'http://agent').searchParams;
    perSecond = Math.min(maxPerSecond, Number(params.get('perSecond') ?? 100) || 100);
    matches = compileQuery(queryFromParams(params));
  } catch (error) {
    return refuseQuery(response, error);
  }
  beginLines(response);
  const sample = new Sample(perSecond);
  const stop = pipeline.consume({
    flow: flow => {
      if (matches(flow)) sample.offer(flow, performance.now());
    },
    lost: ({ count }) => void (sample.lost += count),
  });
  // Ten lines a second at most, whatever the turns are.
  const timer = setInterval(() => {
    const line = response.writableLength > maxWaitingBytes ? sample.discard() : sample.take();
    if (line !== undefined) response.write(line);
  }, lineEveryMs);
  response.on('close', () => {
    clearInterval(timer);
    stop();
  });
}

/** So many flows a second as text, and a second's worth at once. */
export class Sample {
  lost = 0;
  readonly #perSecond: number;
  #texts: string[] = [];
  #left = 0;
  #may: number;
  #at: number | undefined;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#may = perSecond;
  }

  offer(flow: FlowView, nowMs: number): void {
    this.#may = Math.min(this.#perSecond, this.#may + (nowMs - (this.#at ?? nowMs)) / 1000 * this.#perSecond);
    this.#at = nowMs;
    if (this.#may < 1) {
      this.#left++;
      return;
    }
    this.#may--;
    this.#texts.push(JSON.stringify(plainFlow(flow)));
  }

  /** A line with what has come; undefined when nothing has. */
  take(): string | undefined {
    if (this.#texts.length + this.#left + this.lost === 0) return undefined;
    const line = `{"flows":[${this.#texts.join(',')}],"left":${this.#left},"lost":${this.lost}}\n`;
    this.#texts = [];
    this.#left = 0;
    this.lost = 0;
    return line;
  }

  /** The reader is too slow: only counts are kept. */
  discard(): undefined {
    this.#left += this.#texts.length;
    this.#texts = [];
    return undefined;
  }
}

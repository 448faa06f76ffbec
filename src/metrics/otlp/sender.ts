import http from 'node:http';
import https from 'node:https';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FlowConsumer, FlowView } from '../../flows/consumer.ts';
import type { FeatureStatus } from '../../model/status.ts';
import { backoffMs, delay, Signal } from '../../std/async.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import { counter, type MetricFamily } from '../exposition.ts';
import { logLine, type KeyValue } from './log-record.ts';

export interface OtlpOptions {
  /** `http://collector:4318`, to which `/v1/logs` is added; a URL with a path is taken as it is. */
  readonly endpoint: string;
  readonly resource: Readonly<Record<string, string>>;
  readonly version: string;
  /** Records in one request; default 1,000. */
  readonly batch?: number;
  /** What may wait, in bytes of JSON; more is lost and counted. Default 8 MiB. */
  readonly maxWaitingBytes?: number;
  /** How long records gather; default 1 s. */
  readonly gatherMs?: number;
  /** For the tests: the longest pause between two tries. Default 30 s. */
  readonly maxBackoffMs?: number;
}

const compress = promisify(gzip);
const timeoutMs = 10_000;
/** What OTLP/HTTP says is worth another try. */
const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const tries = 8;

/**
 * Flows as OTLP logs over HTTP in JSON (OTLP 1.x), a record a flow. One request at a time; a collector that is slow or away costs
 * records, which are counted, and nothing else.
 *
 *     flow ─► record (JSON) ─► waiting, bounded ─► batch ─► POST, again with back-off where that may help
 */
export class OtlpSender implements FlowConsumer {
  readonly #options: Required<OtlpOptions>;
  readonly #url: URL;
  readonly #agent: http.Agent;
  readonly #head: string;
  readonly #mark = new Signal();
  #waiting: string[] = [];
  #waitingBytes = 0;
  #sent = 0;
  #lost = 0;
  #trouble: string | undefined;

  /** Throws CirriError when the endpoint is none. */
  constructor(options: OtlpOptions) {
    this.#options = { batch: 1_000, maxWaitingBytes: 8 << 20, gatherMs: 1_000, maxBackoffMs: 30_000, ...options };
    this.#url = logsUrl(options.endpoint);
    this.#agent = new (this.#url.protocol === 'https:' ? https.Agent : http.Agent)({ keepAlive: true, maxSockets: 1 });
    const attributes: KeyValue[] = Object.entries(options.resource).map(([key, stringValue]) => ({ key, value: { stringValue } }));
    this.#head = `{"resourceLogs":[{"resource":${JSON.stringify({ attributes })},"scopeLogs":[{"scope":${JSON.stringify({ name: 'cirri.hubble', version: options.version })},"logRecords":[`;
  }

  get counts(): { readonly sent: number; readonly lost: number; readonly waiting: number } {
    return { sent: this.#sent, lost: this.#lost, waiting: this.#waiting.length };
  }

  flow(flow: FlowView): void {
    const record = logLine(flow, Date.now());
    if (this.#waitingBytes + record.length > this.#options.maxWaitingBytes) {
      this.#lost++;
      return;
    }
    this.#waiting.push(record);
    this.#waitingBytes += record.length;
    if (this.#waiting.length === 1 || this.#waiting.length === this.#options.batch) this.#mark.mark();
  }

  /** Sends until the signal aborts; then what waits goes out with one last try. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#waiting.length === 0) await this.#mark.wait({ signal });
      if (this.#waiting.length < this.#options.batch && !signal.aborted) await delay(this.#options.gatherMs, signal).catch(() => {});
      while (this.#waiting.length > 0 && !signal.aborted) await this.#sendBatch(this.#take(), signal);
    }
    while (this.#waiting.length > 0) if (!(await this.#sendBatch(this.#take(), undefined))) break;
    this.#lost += this.#waiting.length;
    this.#waiting = [];
    this.#agent.destroy();
  }

  families(): MetricFamily[] {
    return [
      counter('hubble_otlp_sent_records_total', 'Flows that the collector has taken', [[{}, this.#sent]]),
      counter('hubble_otlp_lost_records_total', 'Flows that the collector refused, or that had to make way because it was slow or away', [[{}, this.#lost]]),
    ];
  }

  status(): FeatureStatus {
    const { sent, lost, waiting } = this.counts;
    const detail = `${this.#url.href}: ${sent} sent, ${waiting} waiting, ${lost} lost`;
    return this.#trouble === undefined ? { name: 'FlowExportOTLP', state: 'on', detail } : { name: 'FlowExportOTLP', state: 'degraded', detail: `${detail}; ${this.#trouble}` };
  }

  #take(): readonly string[] {
    const batch = this.#waiting.splice(0, this.#options.batch);
    for (const record of batch) this.#waitingBytes -= record.length;
    return batch;
  }

  /** True when the collector has it. Without a signal there is one try. */
  async #sendBatch(batch: readonly string[], signal: AbortSignal | undefined): Promise<boolean> {
    const body = await compress(`${this.#head}${batch.join(',')}]}]}]}`, { level: 1 });
    for (let attempt = 0; ; attempt++) {
      const answer = await this.#post(body).catch((error: unknown): Answer => ({ status: 0, text: errorText(error) }));
      if (answer.status >= 200 && answer.status < 300) {
        const rejected = rejectedOf(answer.text);
        this.#sent += batch.length - rejected;
        this.#lost += rejected;
        this.#trouble = rejected === 0 ? undefined : `the collector refused ${rejected} records`;
        return true;
      }
      this.#trouble = answer.status === 0 ? answer.text : `HTTP ${answer.status} ${answer.text.slice(0, 200)}`;
      const isHopeless = answer.status !== 0 && !retryable.has(answer.status);
      if (isHopeless || signal === undefined || signal.aborted || attempt + 1 >= tries) {
        this.#lost += batch.length;
        return false;
      }
      await delay(answer.retryAfterMs ?? backoffMs(attempt, { baseMs: 500, maxMs: this.#options.maxBackoffMs }), signal).catch(() => {});
    }
  }

  #post(body: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const send = this.#url.protocol === 'https:' ? https.request : http.request;
      const request = send(this.#url, {
        method: 'POST', agent: this.#agent,
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip', 'content-length': body.length, 'user-agent': `OTel-OTLP-Exporter-Cirri/${this.#options.version}` },
      }, response => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => { text = (text + chunk).slice(0, 65_536); });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text, ...retryAfter(response.headers['retry-after'], this.#options.maxBackoffMs) }));
        response.on('error', reject);
      });
      request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      request.on('error', reject);
      request.end(body);
    });
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfterMs?: number;
}

/** Where logs go. Throws CirriError when the endpoint is none. */
export function logsUrl(endpoint: string): URL {
  let url: URL;
  try {
    url = new URL(endpoint);
  } catch (cause) {
    throw new CirriError('ERR_EXPORT', `hubble.export.otlpEndpoint: "${endpoint}" is no URL`, { mend: 'for example http://172.30.0.1:4318', cause });
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new CirriError('ERR_EXPORT', `hubble.export.otlpEndpoint: ${endpoint} is neither http nor https`, { mend: 'OTLP over gRPC is not spoken here: name the port for HTTP, 4318' });
  return url.pathname === '/' ? new URL('/v1/logs', url) : url;
}

function retryAfter(header: string | undefined, maxMs: number): { readonly retryAfterMs?: number } {
  const seconds = Number(header);
  return header === undefined || !Number.isFinite(seconds) || seconds < 0 ? {} : { retryAfterMs: Math.min(seconds * 1000, maxMs) };
}

/** `partialSuccess.rejectedLogRecords` of the answer; 0 where it is not there. */
function rejectedOf(text: string): number {
  try {
    const { partialSuccess } = JSON.parse(text || '{}') as { partialSuccess?: { rejectedLogRecords?: string | number } };
    return Number(partialSuccess?.rejectedLogRecords ?? 0) || 0;
  } catch {
    return 0;
  }
}

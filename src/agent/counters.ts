import type { KubeCall } from '../kube/client.ts';
import { plainNode } from '../metrics/context.ts';
import { CounterFamily, HistogramFamily } from '../metrics/series.ts';
import type { Logger } from '../std/log.ts';

/** Two hundred series of a metric that counts what the agent does are a fault of ours. */
const limit = 200;
const family = (name: string, help: string, labels: readonly string[]) => ({ name: `cilium_${name}`, help, labels, contextNames: [], limit });
/** As upstream's for what takes from milliseconds to a minute. */
const slowBuckets: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What the agent counts as it works, because nobody could tell it afterwards: a few additions for each call, line or pass. */
export class AgentCounters {
  readonly #log = new CounterFamily(family('errors_warnings_total', 'Number of total errors and warnings in the log', ['level', 'subsystem']));
  readonly #calls = new CounterFamily(family('k8s_client_api_calls_total', 'Number of API calls made to kube-apiserver', ['host', 'method', 'return_code']));
  readonly #latency = new HistogramFamily(family('k8s_client_api_latency_time_seconds', 'Duration of API calls, until the head of the answer', ['path', 'method']));
  readonly #regenerations = new CounterFamily(family('endpoint_regenerations_total', 'Policy sets of endpoints that were loaded: endpoints of the same labels are one', ['outcome', 'reason', 'error']));
  readonly #regenerationTimes = new HistogramFamily(family('endpoint_regeneration_time_stats_seconds', 'Time to compile and load the policy sets of endpoints, read back and compared', ['scope', 'status']), slowBuckets);
  readonly #policyDelay = new HistogramFamily(family('policy_implementation_delay', 'Time from when a change of policies is seen until it is in the kernel, seconds', ['source']), slowBuckets);
  #policyChangedAt: number | undefined;
  #policyRevision = 0;

  get families(): readonly (CounterFamily | HistogramFamily)[] {
    return [this.#log, this.#calls, this.#latency, this.#regenerations, this.#regenerationTimes, this.#policyDelay];
  }

  /** A logger that counts what goes wrong. */
  counting(log: Logger, subsystem = 'agent'): Logger {
    const tell = (level: string) => {
      this.#log.at2(plainNode, level, subsystem).value++;
    };
    return {
      debug: (message, fields) => log.debug(message, fields),
      info: (message, fields) => log.info(message, fields),
      warn: (message, fields) => {
        tell('warning');
        log.warn(message, fields);
      },
      error: (message, fields) => {
        tell('error');
        log.error(message, fields);
      },
      with: fields => this.counting(log.with(fields), 'reflector' in fields ? 'k8s-watcher' : subsystem),
    };
  }

  call({ method, path, status, seconds }: KubeCall): void {
    this.#calls.at3(plainNode, 'kube-apiserver', method, status === 0 ? '<error>' : String(status)).value++;
    this.#latency.at2(plainNode, collectionOf(path), method).observe(seconds);
  }

  loaded(outcome: 'success' | 'failure', seconds: number): void {
    this.#regenerations.at3(plainNode, outcome === 'success' ? 'success' : 'fail', 'policy', outcome === 'success' ? '' : 'load').value++;
    this.#regenerationTimes.at2(plainNode, 'total', outcome).observe(seconds);
  }

  /** A table of policies has changed. */
  policyChanged(): void {
    this.#policyChangedAt ??= performance.now();
  }

  /** All policies that were seen are in the kernel. Where the revision is as before, only a status had changed. */
  policyInForce(revision: number): void {
    if (this.#policyChangedAt !== undefined && revision !== this.#policyRevision) this.#policyDelay.at1(plainNode, 'k8s').observe((performance.now() - this.#policyChangedAt) / 1000);
    this.#policyChangedAt = undefined;
    this.#policyRevision = revision;
  }
}

/** `/api/v1/namespaces/{namespace}/pods/{name}`: objects have no series of their own. */
export function collectionOf(path: string): string {
  const parts = path.split('?')[0]!.split('/').slice(1);
  const head = parts[0] === 'api' ? 2 : 3;
  const rest = parts.slice(head);
  const words = ['{name}', ''];
  if (rest[0] === 'namespaces' && rest.length > 2) words.unshift('{namespace}', '');
  return `/${[...parts.slice(0, head), ...rest.map((part, i) => (words[i - 1] ? words[i - 1]! : part))].join('/')}`;
}

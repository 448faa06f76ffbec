import type { FlowView } from '../../flows/consumer.ts';
import { escapeLabel, type Exemplar } from '../series.ts';
import type { MetricPlugin, PluginSetup } from './plugin.ts';
import { numberText, reporterOf } from './words.ts';

const exemplars = { exemplars: { takes: 'boolean', help: 'exemplars with the trace id, in OpenMetrics' } } as const;

/** Requests and answers each on their own. */
export const http: MetricPlugin = {
  name: 'http',
  options: exemplars,
  conflictsWith: 'httpV2',
  create({ options, context, counter, histogram }) {
    const traceOf = traces(options);
    const requests = counter('http_requests_total', 'Count of HTTP requests', ['method', 'protocol', 'reporter']);
    const responses = counter('http_responses_total', 'Count of HTTP responses', ['method', 'protocol', 'status', 'reporter']);
    const duration = histogram('http_request_duration_seconds', 'Quantiles of HTTP request duration in seconds', ['method', 'reporter']);
    return flow => {
      const { l7 } = flow;
      const message = l7?.http;
      if (!message) return;
      const reporter = reporterOf(flow);
      if (l7.type === 'REQUEST') {
        const series = requests.at3(context.of(flow), message.method, message.protocol, reporter);
        series.value++;
        series.exemplar = traceOf(flow, 1) ?? series.exemplar;
      } else if (l7.type === 'RESPONSE') {
        const node = context.of(flow);
        const series = responses.at4(node, message.method, message.protocol, numberText(message.code ?? 0), reporter);
        series.value++;
        series.exemplar = traceOf(flow, 1) ?? series.exemplar;
        const seconds = (l7.latencyNs ?? 0) / 1e9;
        duration.at2(node, message.method, reporter).observe(seconds, traceOf(flow, seconds));
      }
    };
  },
};

/** From answers alone, whose source and destination are turned round: the client is the source. */
export const httpV2: MetricPlugin = {
  name: 'httpV2',
  options: exemplars,
  conflictsWith: 'http',
  create({ options, context, counter, histogram }) {
    const traceOf = traces(options);
    const requests = counter('http_requests_total', 'Count of HTTP requests', ['method', 'protocol', 'status', 'reporter']);
    const duration = histogram('http_request_duration_seconds', 'Quantiles of HTTP request duration in seconds', ['method', 'reporter']);
    return flow => {
      const { l7 } = flow;
      const message = l7?.http;
      if (!message || l7.type !== 'RESPONSE') return;
      const node = context.of(flow, true);
      const reporter = reporterOf(flow);
      const series = requests.at4(node, message.method, message.protocol, numberText(message.code ?? 0), reporter);
      series.value++;
      series.exemplar = traceOf(flow, 1) ?? series.exemplar;
      const seconds = (l7.latencyNs ?? 0) / 1e9;
      duration.at2(node, message.method, reporter).observe(seconds, traceOf(flow, seconds));
    };
  },
};

function traces(options: PluginSetup['options']): (flow: FlowView, value: number) => Exemplar | undefined {
  if (options.get('exemplars') !== 'true') return () => undefined;
  return (flow, value) => {
    if (!flow.traceId) return undefined;
    return { labels: `traceID="${escapeLabel(flow.traceId)}"`, value, time: flow.seconds + flow.nanos / 1e9 };
  };
}

import type { MetricPlugin } from './plugin.ts';
import { numberText, reporterOf } from './words.ts';

/** Upstream had it until 1.19. */
export const kafka: MetricPlugin = {
  name: 'kafka',
  options: {},
  create({ context, counter, histogram }) {
    const requests = counter('kafka_requests_total', 'Count of Kafka requests', ['topic', 'api_key', 'error_code', 'reporter']);
    const duration = histogram('kafka_request_duration_seconds', 'Quantiles of Kafka request duration in seconds', ['topic', 'api_key', 'reporter']);
    return flow => {
      const { l7 } = flow;
      const message = l7?.kafka;
      if (!message || l7.type !== 'REQUEST') return;
      const node = context.of(flow);
      const topic = message.topic ?? '';
      const reporter = reporterOf(flow);
      requests.at4(node, topic, message.apiKey, numberText(message.errorCode ?? 0), reporter).value++;
      duration.at3(node, topic, message.apiKey, reporter).observe((l7.latencyNs ?? 0) / 1e9);
    };
  },
};

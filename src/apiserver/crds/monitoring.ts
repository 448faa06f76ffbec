import type { JsonObject } from '../object.ts';
import type { Schema } from '../schema/schema.ts';
import { definition } from './definition.ts';
import { age } from './policy-columns.ts';
import { choice, flag, labelSelector, list, map, shape, text, whole } from './shapes.ts';

/*
 * monitoring.coreos.com/v1 ServiceMonitor (prometheus-operator): the fields that its users write. Nothing here scrapes by it;
 * a Prometheus operator that is pointed at this API does.
 */

const duration = (description: string): Schema => text(description, { pattern: '^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$' });

const relabelings = (description: string): Schema => list(description, shape('One rewriting of labels.', {
  sourceLabels: list('Labels whose values are joined.', { type: 'string' }),
  separator: text('What stands between them; a semicolon when not given.'),
  targetLabel: text('Label that is written.'),
  regex: text('What the joined values are matched with.'),
  modulus: whole('For hashmod.', { format: 'int64' }),
  replacement: text('What is written; $1 is the first group.'),
  action: choice('What is done.', ['replace', 'Replace', 'keep', 'Keep', 'drop', 'Drop', 'hashmod', 'HashMod', 'labelmap', 'LabelMap', 'labeldrop', 'LabelDrop', 'labelkeep', 'LabelKeep', 'lowercase', 'Lowercase', 'uppercase', 'Uppercase', 'keepequal', 'KeepEqual', 'dropequal', 'DropEqual']),
}));

const endpoint = shape('One port that is scraped. What else upstream has (TLS, authorization, proxies) is kept as it is written.', {
  port: text("The service port's name."),
  targetPort: { description: "The pods' port, by name or number.", 'x-kubernetes-int-or-string': true },
  path: text('Path of the metrics; /metrics when not given.'),
  scheme: choice('How it is asked.', ['http', 'https', 'HTTP', 'HTTPS']),
  params: map('Parameters of the request.', { type: 'array', items: { type: 'string' } }),
  interval: duration('How often.'),
  scrapeTimeout: duration('How long an answer may take.'),
  honorLabels: flag("Whether the target's own labels win."),
  honorTimestamps: flag("Whether the target's own times count."),
  followRedirects: flag('Whether redirects are followed.'),
  enableHttp2: flag('Whether HTTP/2 may be used.'),
  relabelings: relabelings('Before the scrape.'),
  metricRelabelings: relabelings('After the scrape.'),
}, { 'x-kubernetes-preserve-unknown-fields': true });

export const monitoringDefinitions: readonly JsonObject[] = [
  definition({ group: 'monitoring.coreos.com', kind: 'ServiceMonitor', plural: 'servicemonitors', shortNames: ['smon'], namespaced: true, versions: [{
    name: 'v1', status: true, columns: [age],
    schema: shape('Which services Prometheus scrapes, and how.', {
      'spec!': shape('The services and their ports.', {
        jobLabel: text("Label of the service whose value becomes the job's name; the service's name when not given."),
        targetLabels: list('Labels of the service that its series get.', { type: 'string' }),
        podTargetLabels: list('Labels of the pods that their series get.', { type: 'string' }),
        'endpoints!': list('The ports.', endpoint),
        'selector!': labelSelector('Services by their labels.'),
        namespaceSelector: shape('Where the services are; where the object is when not given.', {
          any: flag('In every namespace.'),
          matchNames: list('In these namespaces.', { type: 'string' }),
        }),
        sampleLimit: whole('Samples of a scrape at most.', { format: 'int64', minimum: 0 }),
      }, { 'x-kubernetes-preserve-unknown-fields': true }),
      status: shape('What became of it.', {}, { 'x-kubernetes-preserve-unknown-fields': true }),
    }),
  }] }),
];

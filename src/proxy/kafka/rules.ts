import type { KafkaL7Rule } from '../../model/l7.ts';
import type { Layers } from '../protocol.ts';
import type { RequestHeader, Topics } from './request.ts';

/** Rules with their texts in binary, as requests have them. */
export type KafkaRules = readonly KafkaL7Rule[];

export function compileKafkaRules(rules: readonly KafkaL7Rule[]): KafkaRules {
  const binary = (text: string) => Buffer.from(text, 'utf8').toString('latin1');
  return rules.map(({ clientId, topic, ...rest }) => ({
    ...rest, ...(clientId !== undefined && { clientId: binary(clientId) }), ...(topic !== undefined && { topic: binary(topic) }),
  }));
}

/** What one end says. */
export interface Opinion {
  readonly direction: 'EGRESS' | 'INGRESS';
  /** The rule that lets the request pass, of several topics the first one's; 0 when it does not pass. */
  readonly rule: number;
  readonly passes: boolean;
  /** Topics for which there is no rule. */
  readonly denied: readonly string[];
}

export interface KafkaJudgement {
  readonly passes: boolean;
  /** Egress first; none where policy asks for nothing. The end after one that refuses is not asked. */
  readonly opinions: readonly Opinion[];
}

/** Both ends must agree. */
export function judge(layers: Layers<KafkaRules>, header: RequestHeader, topics: Topics): KafkaJudgement {
  const opinions: Opinion[] = [];
  if (layers.egress) opinions.push(judgeBy(layers.egress, 'EGRESS', header, topics));
  if (layers.ingress && opinions[0]?.passes !== false) opinions.push(judgeBy(layers.ingress, 'INGRESS', header, topics));
  return { passes: opinions.every(opinion => opinion.passes), opinions };
}

function judgeBy(rules: KafkaRules, direction: Opinion['direction'], header: RequestHeader, topics: Topics): Opinion {
  const candidates = rules.filter(rule => matchesHeader(rule, header));
  const first = topics.kind === 'none' ? candidates[0] : candidates.find(rule => rule.topic === undefined);
  if (first) return { direction, passes: true, rule: first.rule, denied: [] };
  if (topics.kind !== 'named') return { direction, passes: false, rule: 0, denied: [] };
  const deciding = topics.names.map(name => candidates.find(rule => rule.topic === name));
  const denied = topics.names.filter((_, i) => deciding[i] === undefined);
  return { direction, passes: denied.length === 0, rule: denied.length === 0 ? deciding[0]!.rule : 0, denied };
}

function matchesHeader(rule: KafkaL7Rule, header: RequestHeader): boolean {
  return (rule.apiKeys === undefined || rule.apiKeys.includes(header.apiKey))
    && (rule.apiVersion === undefined || rule.apiVersion === header.apiVersion)
    && (rule.clientId === undefined || rule.clientId === (header.clientId ?? ''));
}

export type TopicFilter = (topic: string) => boolean;

/** Which topics this client may be told of by such a request: undefined when all, none when the key itself is not allowed. */
export function topicFilter(layers: Layers<KafkaRules>, header: RequestHeader): TopicFilter | undefined {
  const sets: ReadonlySet<string>[] = [];
  for (const rules of [layers.egress, layers.ingress]) {
    const candidates = rules?.filter(rule => matchesHeader(rule, header));
    if (candidates && !candidates.some(rule => rule.topic === undefined)) sets.push(new Set(candidates.map(rule => rule.topic!)));
  }
  return sets.length === 0 ? undefined : topic => sets.every(set => set.has(topic));
}

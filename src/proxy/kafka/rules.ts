import type { KafkaL7Rule } from '../../model/l7.ts';
import type { Layers } from '../protocol.ts';
import type { RequestHeader, Topics } from './request.ts';

/** Rules with their texts in binary, as requests have them. */
export interface KafkaRules {
  readonly rules: readonly KafkaL7Rule[];
  /** Not all rules let every topic pass: so topics must be seen. */
  readonly asksTopics: boolean;
}

export function compileKafkaRules(rules: readonly KafkaL7Rule[]): KafkaRules {
  const binary = (text: string) => Buffer.from(text, 'utf8').toString('latin1');
  const compiled = rules.map(({ clientId, topic, ...rest }) => ({
    ...rest, ...(clientId !== undefined && { clientId: binary(clientId) }), ...(topic !== undefined && { topic: binary(topic) }),
  }));
  return { rules: compiled, asksTopics: compiled.some(rule => rule.topic !== undefined) };
}

export interface KafkaAnswer {
  readonly passes: boolean;
  readonly direction: 'EGRESS' | 'INGRESS';
  /** The rule that let it pass, of several topics the first one's; 0 when none did. */
  readonly rule: number;
  /** Of a request that does not pass: the topics for which no rule was found. */
  readonly denied: readonly string[];
}

/** Both ends must agree; who refuses is told of, else the server's end. */
export function judge(layers: Layers<KafkaRules>, header: RequestHeader, topics: Topics): KafkaAnswer {
  let answer: KafkaAnswer = { passes: true, direction: layers.ingress || !layers.egress ? 'INGRESS' : 'EGRESS', rule: 0, denied: [] };
  if (layers.egress) answer = judgeBy(layers.egress, 'EGRESS', header, topics);
  if (answer.passes && layers.ingress) answer = judgeBy(layers.ingress, 'INGRESS', header, topics);
  return answer;
}

function judgeBy({ rules }: KafkaRules, direction: KafkaAnswer['direction'], header: RequestHeader, topics: Topics): KafkaAnswer {
  const candidates = rules.filter(rule => matchesHeader(rule, header));
  if (topics.kind === 'none') return { passes: candidates.length > 0, direction, rule: candidates[0]?.rule ?? 0, denied: [] };
  const anyTopic = candidates.find(rule => rule.topic === undefined);
  if (anyTopic) return { passes: true, direction, rule: anyTopic.rule, denied: [] };
  if (topics.kind !== 'named') return { passes: false, direction, rule: 0, denied: [] };
  const deciding = topics.names.map(name => candidates.find(rule => rule.topic === name));
  const denied = topics.names.filter((_, i) => deciding[i] === undefined);
  return { passes: denied.length === 0, direction, rule: denied.length === 0 ? deciding[0]!.rule : 0, denied };
}

function matchesHeader(rule: KafkaL7Rule, header: RequestHeader): boolean {
  return (rule.apiKeys === undefined || rule.apiKeys.includes(header.apiKey))
    && (rule.apiVersion === undefined || rule.apiVersion === header.apiVersion)
    && (rule.clientId === undefined || rule.clientId === (header.clientId ?? ''));
}

/** May the request ask all topics, or for lists of all topics with those left out that may not be told? */
export function topicsTold(layers: Layers<KafkaRules>, header: RequestHeader): 'all' | 'some' | 'none' {
  const told = [layers.egress, layers.ingress].map(one => {
    if (!one) return 'all';
    const candidates = one.rules.filter(rule => matchesHeader(rule, header));
    return candidates.length === 0 ? 'none' : candidates.some(rule => rule.topic === undefined) ? 'all' : 'some';
  });
  return told.includes('none') ? 'none' : told.includes('some') ? 'some' : 'all';
}

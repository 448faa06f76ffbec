import type { L7Set } from '../../model/l7.ts';
import type { Protocol } from '../protocol.ts';
import { compileKafkaRules } from './rules.ts';
import type { KafkaRules } from './rules.ts';
import { KafkaSession } from './session.ts';

/** Kafka (kafka.apache.org/protocol), as docs/l7/kafka.md tells. */
export const kafka: Protocol<Extract<L7Set, { protocol: 'kafka' }>, KafkaRules> = {
  compile: set => compileKafkaRules(set.rules),
  open: wire => new KafkaSession(wire),
};

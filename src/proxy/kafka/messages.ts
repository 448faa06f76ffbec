/** The messages that the proxy reads and answers itself. Names are those of policies (`apiKey`), which are upstream's. */
import { adminMessages } from './messages-admin.ts';
import { otherMessages } from './messages-other.ts';
import { topicMessages } from './messages-topics.ts';
import type { Schema } from './schema.ts';

export interface Message {
  readonly key: number;
  readonly name: string;
  /** The last version that can be read. */
  readonly maxVersion: number;
  /** The last version that clients are told of: those after it name topics by id (KIP-516). -1: clients are not told of the key. */
  readonly namesUntil: number;
  readonly request: Schema;
  readonly response: Schema;
}

const messages = new Map<number, Message>([...topicMessages, ...adminMessages, ...otherMessages].map(message => [message.key, message]));
const withTopics: ReadonlySet<number> = new Set([...topicMessages, ...adminMessages].map(message => message.key));

export function messageOf(key: number): Message | undefined {
  return messages.get(key);
}

/** The message when this version of it can be read. */
export function readableMessage(key: number, version: number): Message | undefined {
  const message = messages.get(key);
  return message && version >= 0 && version <= message.maxVersion ? message : undefined;
}

/** May name topics; of keys that are not known nobody can say that they do not. */
export function namesTopics(key: number): boolean {
  return withTopics.has(key) || !messages.has(key);
}

/** The last version that clients are told of; -1: none. */
export function toldVersion(key: number): number {
  return messages.get(key)?.namesUntil ?? -1;
}

export function apiKeyName(key: number): string {
  return messages.get(key)?.name ?? `key ${key}`;
}

export const ApiKey = {
  produce: 0, fetch: 1, offsets: 2, metadata: 3, offsetCommit: 8, offsetFetch: 9, findCoordinator: 10, joinGroup: 11, saslHandshake: 17, apiVersions: 18,
  deleteTopics: 20, addPartitionsToTxn: 24, describeConfigs: 32, alterConfigs: 33, incrementalAlterConfigs: 44, describeTopicPartitions: 75,
} as const;

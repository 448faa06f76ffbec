/** Kafka's requests by name and number, and what a role may ask. */

/** As policies name them; the place is the number. */
export const kafkaApiKeys: readonly string[] = [
  'produce', 'fetch', 'offsets', 'metadata', 'leaderandisr', 'stopreplica', 'updatemetadata', 'controlledshutdown', 'offsetcommit',
  'offsetfetch', 'findcoordinator', 'joingroup', 'heartbeat', 'leavegroup', 'syncgroup', 'describegroups', 'listgroups', 'saslhandshake',
  'apiversions', 'createtopics', 'deletetopics', 'deleterecords', 'initproducerid', 'offsetforleaderepoch', 'addpartitionstotxn',
  'addoffsetstotxn', 'endtxn', 'writetxnmarkers', 'txnoffsetcommit', 'describeacls', 'createacls', 'deleteacls', 'describeconfigs', 'alterconfigs',
];

/** The name in lower case. */
export function apiKeyNumber(name: string): number | undefined {
  const number = kafkaApiKeys.indexOf(name);
  return number < 0 ? undefined : number;
}

/** What a client says before anything else, when the broker asks who it is: SaslHandshake, SaslAuthenticate. */
const login = [17, 36];

/**
 * Upstream's lists, and what clients have come to need since: the login, a producer's number and its transactions (InitProducerId,
 * FindCoordinator, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn), a consumer's look whether its offset still stands
 * (OffsetForLeaderEpoch) and its offsets within a transaction (TxnOffsetCommit).
 */
export const kafkaRoles = {
  produce: [0, 3, 10, 18, 22, 24, 25, 26, ...login].sort((a, b) => a - b),
  consume: [1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18, 23, 28, ...login].sort((a, b) => a - b),
} as const satisfies Readonly<Record<string, readonly number[]>>;

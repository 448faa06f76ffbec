/** Requests that name topics, and their responses (kafka.apache.org/protocol, versions as of 4.0). */
import { schema } from './schema.ts';
import type { Message } from './messages.ts';

export const topicMessages: readonly Message[] = [
  { key: 0, name: 'produce', maxVersion: 13, namesUntil: 12, request: schema(9, `
    transactionalId string? 3+
    acks int16
    timeoutMs int32
    topics []
      name string 0-12
      topicId uuid 13+
      partitions []
        index int32
        records bytes?`), response: schema(9, `
    topics []
      name string 0-12
      topicId uuid 13+
      partitions []
        index int32
        errorCode int16
        baseOffset int64 =-1
        logAppendTimeMs int64 2+ =-1
        logStartOffset int64 5+ =-1
        recordErrors [] 8+
          batchIndex int32
          message string?
        errorMessage string? 8+
    throttleTimeMs int32 1+`) },

  { key: 1, name: 'fetch', maxVersion: 17, namesUntil: 12, request: schema(12, `
    replicaId int32 0-14
    maxWaitMs int32
    minBytes int32
    maxBytes int32 3+
    isolationLevel int8 4+
    sessionId int32 7+
    sessionEpoch int32 7+
    topics []
      name string 0-12
      topicId uuid 13+
      partitions []
        index int32
        currentLeaderEpoch int32 9+
        fetchOffset int64
        lastFetchedEpoch int32 12+
        logStartOffset int64 5+
        partitionMaxBytes int32
    forgotten [] 7+
      name string 7-12
      topicId uuid 13+
      partitions []int32
    rackId string 11+`), response: schema(12, `
    throttleTimeMs int32 1+
    errorCode int16 7+
    sessionId int32 7+
    topics []
      name string 0-12
      topicId uuid 13+
      partitions []
        index int32
        errorCode int16
        highWatermark int64 =-1
        lastStableOffset int64 4+ =-1
        logStartOffset int64 5+ =-1
        abortedTransactions []? 4+
          producerId int64
          firstOffset int64
        preferredReadReplica int32 11+ =-1
        records bytes?`) },

  { key: 2, name: 'offsets', maxVersion: 10, namesUntil: 10, request: schema(6, `
    replicaId int32
    isolationLevel int8 2+
    topics []
      name string
      partitions []
        index int32
        currentLeaderEpoch int32 4+
        timestamp int64
        maxNumOffsets int32 0
    timeoutMs int32 10+`), response: schema(6, `
    throttleTimeMs int32 2+
    topics []
      name string
      partitions []
        index int32
        errorCode int16
        oldStyleOffsets []int64 0
        timestamp int64 1+ =-1
        offset int64 1+ =-1
        leaderEpoch int32 4+ =-1`) },

  { key: 3, name: 'metadata', maxVersion: 13, namesUntil: 9, request: schema(9, `
    topics []?1+
      topicId uuid 10+
      name string?10+
    allowAutoTopicCreation bool 4+
    includeClusterAuthorizedOperations bool 8-10
    includeTopicAuthorizedOperations bool 8+`), response: schema(9, `
    throttleTimeMs int32 3+
    brokers []
      nodeId int32
      host string
      port int32
      rack string? 1+
    clusterId string? 2+
    controllerId int32 1+ =-1
    topics []
      errorCode int16
      name string?12+
      topicId uuid 10+
      isInternal bool 1+
      partitions []
        errorCode int16
        index int32
        leaderId int32
        leaderEpoch int32 7+
        replicas []int32
        isr []int32
        offline []int32 5+
      authorizedOperations int32 8+ =-2147483648
    clusterAuthorizedOperations int32 8-10 =-2147483648
    errorCode int16 13+`) },

  { key: 8, name: 'offsetcommit', maxVersion: 9, namesUntil: 9, request: schema(8, `
    groupId string
    generationId int32 1+
    memberId string 1+
    groupInstanceId string? 7+
    retentionTimeMs int64 2-4
    topics []
      name string
      partitions []
        index int32
        committedOffset int64
        committedLeaderEpoch int32 6+
        commitTimestamp int64 1
        committedMetadata string?`), response: schema(8, `
    throttleTimeMs int32 3+
    topics []
      name string
      partitions []
        index int32
        errorCode int16`) },

  { key: 9, name: 'offsetfetch', maxVersion: 9, namesUntil: 9, request: schema(6, `
    groupId string 0-7
    topics []?2+ 0-7
      name string
      partitions []int32
    groups [] 8+
      groupId string
      memberId string? 9+
      memberEpoch int32 9+
      topics []?
        name string
        partitions []int32
    requireStable bool 7+`), response: schema(6, `
    throttleTimeMs int32 3+
    topics [] 0-7
      name string
      partitions []
        index int32
        committedOffset int64 =-1
        committedLeaderEpoch int32 5+ =-1
        metadata string?
        errorCode int16
    errorCode int16 2-7
    groups [] 8+
      groupId string
      topics []
        name string
        partitions []
          index int32
          committedOffset int64 =-1
          committedLeaderEpoch int32 =-1
          metadata string?
          errorCode int16
      errorCode int16`) },

  { key: 23, name: 'offsetforleaderepoch', maxVersion: 4, namesUntil: 4, request: schema(4, `
    replicaId int32 3+
    topics []
      name string
      partitions []
        index int32
        currentLeaderEpoch int32 2+
        leaderEpoch int32`), response: schema(4, `
    throttleTimeMs int32 2+
    topics []
      name string
      partitions []
        errorCode int16
        index int32
        leaderEpoch int32 1+ =-1
        endOffset int64 =-1`) },

  { key: 24, name: 'addpartitionstotxn', maxVersion: 5, namesUntil: 3, request: schema(3, `
    transactions [] 4+
      transactionalId string
      producerId int64
      producerEpoch int16
      verifyOnly bool
      topics []
        name string
        partitions []int32
    transactionalId string 0-3
    producerId int64 0-3
    producerEpoch int16 0-3
    topics [] 0-3
      name string
      partitions []int32`), response: schema(3, `
    throttleTimeMs int32
    errorCode int16 4+
    transactions [] 4+
      transactionalId string
      topics []
        name string
        partitions []
          index int32
          errorCode int16
    topics [] 0-3
      name string
      partitions []
        index int32
        errorCode int16`) },

  { key: 28, name: 'txnoffsetcommit', maxVersion: 5, namesUntil: 5, request: schema(3, `
    transactionalId string
    groupId string
    producerId int64
    producerEpoch int16
    generationId int32 3+
    memberId string 3+
    groupInstanceId string? 3+
    topics []
      name string
      partitions []
        index int32
        committedOffset int64
        committedLeaderEpoch int32 2+
        committedMetadata string?`), response: schema(3, `
    throttleTimeMs int32
    topics []
      name string
      partitions []
        index int32
        errorCode int16`) },
];

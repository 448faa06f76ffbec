/** Requests that change topics or ask how they are set up, and their responses (kafka.apache.org/protocol, versions as of 4.0). */
import { schema } from './schema.ts';
import type { Message } from './messages.ts';

export const adminMessages: readonly Message[] = [
  { key: 19, name: 'createtopics', maxVersion: 7, namesUntil: 7, request: schema(5, `
    topics []
      name string
      numPartitions int32
      replicationFactor int16
      assignments []
        index int32
        brokers []int32
      configs []
        name string
        value string?
    timeoutMs int32
    validateOnly bool 1+`), response: schema(5, `
    throttleTimeMs int32 2+
    topics []
      name string
      topicId uuid 7+
      errorCode int16
      errorMessage string? 1+
      numPartitions int32 5+ =-1
      replicationFactor int16 5+ =-1
      configs []? 5+
        name string
        value string?
        readOnly bool
        configSource int8
        isSensitive bool`) },

  { key: 20, name: 'deletetopics', maxVersion: 6, namesUntil: 5, request: schema(4, `
    topics [] 6+
      name string?
      topicId uuid
    names []string 0-5
    timeoutMs int32`), response: schema(4, `
    throttleTimeMs int32 1+
    topics []
      name string?6+
      topicId uuid 6+
      errorCode int16
      errorMessage string? 5+`) },

  { key: 21, name: 'deleterecords', maxVersion: 2, namesUntil: 2, request: schema(2, `
    topics []
      name string
      partitions []
        index int32
        offset int64
    timeoutMs int32`), response: schema(2, `
    throttleTimeMs int32
    topics []
      name string
      partitions []
        index int32
        lowWatermark int64 =-1
        errorCode int16`) },

  { key: 32, name: 'describeconfigs', maxVersion: 4, namesUntil: 4, request: schema(4, `
    resources []
      resourceType int8
      resourceName string
      keys []string?
    includeSynonyms bool 1+
    includeDocumentation bool 3+`), response: schema(4, `
    throttleTimeMs int32
    results []
      errorCode int16
      errorMessage string?
      resourceType int8
      resourceName string
      configs []
        name string
        value string?
        readOnly bool
        isDefault bool 0
        configSource int8 1+ =-1
        isSensitive bool
        synonyms [] 1+
          name string
          value string?
          source int8
        configType int8 3+
        documentation string? 3+`) },

  { key: 33, name: 'alterconfigs', maxVersion: 2, namesUntil: 2, request: schema(2, `
    resources []
      resourceType int8
      resourceName string
      configs []
        name string
        value string?
    validateOnly bool`), response: schema(2, `
    throttleTimeMs int32
    results []
      errorCode int16
      errorMessage string?
      resourceType int8
      resourceName string`) },

  { key: 37, name: 'createpartitions', maxVersion: 3, namesUntil: 3, request: schema(2, `
    topics []
      name string
      count int32
      assignments []?
        brokers []int32
    timeoutMs int32
    validateOnly bool`), response: schema(2, `
    throttleTimeMs int32
    topics []
      name string
      errorCode int16
      errorMessage string?`) },

  { key: 44, name: 'incrementalalterconfigs', maxVersion: 1, namesUntil: 1, request: schema(1, `
    resources []
      resourceType int8
      resourceName string
      configs []
        name string
        operation int8
        value string?
    validateOnly bool`), response: schema(1, `
    throttleTimeMs int32
    results []
      errorCode int16
      errorMessage string?
      resourceType int8
      resourceName string`) },

  { key: 47, name: 'offsetdelete', maxVersion: 0, namesUntil: 0, request: schema(Infinity, `
    groupId string
    topics []
      name string
      partitions []
        index int32`), response: schema(Infinity, `
    errorCode int16
    throttleTimeMs int32
    topics []
      name string
      partitions []
        index int32
        errorCode int16`) },

  // Its answers name topics by id: never told of, and refused where a rule names topics.
  { key: 75, name: 'describetopicpartitions', maxVersion: 0, namesUntil: -1, request: schema(0, `
    topics []
      name string
    responsePartitionLimit int32
    cursor {}?
      topicName string
      partitionIndex int32`), response: schema(0, `
    throttleTimeMs int32
    topics []
      errorCode int16
      name string?
      topicId uuid
      isInternal bool
      partitions []
        errorCode int16
        index int32
        leaderId int32
        leaderEpoch int32
        replicas []int32
        isr []int32
        eligibleLeaderReplicas []int32?
        lastKnownEligible []int32?
        offline []int32
      authorizedOperations int32 =-2147483648
    nextCursor {}?
      topicName string
      partitionIndex int32`) },
];

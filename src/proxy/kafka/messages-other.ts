/** Requests without topics, and their responses (kafka.apache.org/protocol, versions as of 4.0). */
import { schema } from './schema.ts';
import type { Message } from './messages.ts';

export const otherMessages: readonly Message[] = [
  { key: 10, name: 'findcoordinator', maxVersion: 6, namesUntil: 6, request: schema(3, `
    key string 0-3
    keyType int8 1+
    keys []string 4+`), response: schema(3, `
    throttleTimeMs int32 1+
    errorCode int16 0-3
    errorMessage string? 1-3
    nodeId int32 0-3 =-1
    host string 0-3
    port int32 0-3 =-1
    coordinators [] 4+
      key string
      nodeId int32 =-1
      host string
      port int32 =-1
      errorCode int16
      errorMessage string?`) },

  { key: 11, name: 'joingroup', maxVersion: 9, namesUntil: 9, request: schema(6, `
    groupId string
    sessionTimeoutMs int32
    rebalanceTimeoutMs int32 1+
    memberId string
    groupInstanceId string? 5+
    protocolType string
    protocols []
      name string
      metadata bytes
    reason string? 8+`), response: schema(6, `
    throttleTimeMs int32 2+
    errorCode int16
    generationId int32 =-1
    protocolType string? 7+
    protocolName string?7+
    leader string
    skipAssignment bool 9+
    memberId string
    members []
      memberId string
      groupInstanceId string? 5+
      metadata bytes`) },

  { key: 12, name: 'heartbeat', maxVersion: 4, namesUntil: 4, request: schema(4, `
    groupId string
    generationId int32
    memberId string
    groupInstanceId string? 3+`), response: schema(4, `
    throttleTimeMs int32 1+
    errorCode int16`) },

  { key: 13, name: 'leavegroup', maxVersion: 5, namesUntil: 5, request: schema(4, `
    groupId string
    memberId string 0-2
    members [] 3+
      memberId string
      groupInstanceId string?
      reason string? 5+`), response: schema(4, `
    throttleTimeMs int32 1+
    errorCode int16
    members [] 3+
      memberId string
      groupInstanceId string?
      errorCode int16`) },

  { key: 14, name: 'syncgroup', maxVersion: 5, namesUntil: 5, request: schema(4, `
    groupId string
    generationId int32
    memberId string
    groupInstanceId string? 3+
    protocolType string? 5+
    protocolName string? 5+
    assignments []
      memberId string
      assignment bytes`), response: schema(4, `
    throttleTimeMs int32 1+
    errorCode int16
    protocolType string? 5+
    protocolName string? 5+
    assignment bytes`) },

  { key: 15, name: 'describegroups', maxVersion: 6, namesUntil: 6, request: schema(5, `
    groups []string
    includeAuthorizedOperations bool 3+`), response: schema(5, `
    throttleTimeMs int32 1+
    groups []
      errorCode int16
      errorMessage string? 6+
      groupId string
      groupState string
      protocolType string
      protocolData string
      members []
        memberId string
        groupInstanceId string? 4+
        clientId string
        clientHost string
        memberMetadata bytes
        memberAssignment bytes
      authorizedOperations int32 3+ =-2147483648`) },

  { key: 16, name: 'listgroups', maxVersion: 5, namesUntil: 5, request: schema(3, `
    statesFilter []string 4+
    typesFilter []string 5+`), response: schema(3, `
    throttleTimeMs int32 1+
    errorCode int16
    groups []
      groupId string
      protocolType string
      groupState string 4+
      groupType string 5+`) },

  { key: 17, name: 'saslhandshake', maxVersion: 1, namesUntil: 1, request: schema(Infinity, `
    mechanism string`), response: schema(Infinity, `
    errorCode int16
    mechanisms []string`) },

  { key: 18, name: 'apiversions', maxVersion: 4, namesUntil: 4, request: schema(3, `
    clientSoftwareName string 3+
    clientSoftwareVersion string 3+`), response: schema(3, `
    errorCode int16
    apiKeys []
      apiKey int16
      minVersion int16
      maxVersion int16
    throttleTimeMs int32 1+`) },

  { key: 22, name: 'initproducerid', maxVersion: 5, namesUntil: 5, request: schema(2, `
    transactionalId string?
    transactionTimeoutMs int32
    producerId int64 3+
    producerEpoch int16 3+`), response: schema(2, `
    throttleTimeMs int32
    errorCode int16
    producerId int64 =-1
    producerEpoch int16 =-1`) },

  { key: 25, name: 'addoffsetstotxn', maxVersion: 4, namesUntil: 4, request: schema(3, `
    transactionalId string
    producerId int64
    producerEpoch int16
    groupId string`), response: schema(3, `
    throttleTimeMs int32
    errorCode int16`) },

  { key: 26, name: 'endtxn', maxVersion: 5, namesUntil: 5, request: schema(3, `
    transactionalId string
    producerId int64
    producerEpoch int16
    committed bool`), response: schema(3, `
    throttleTimeMs int32
    errorCode int16
    producerId int64 5+ =-1
    producerEpoch int16 5+ =-1`) },

  { key: 29, name: 'describeacls', maxVersion: 3, namesUntil: 3, request: schema(2, `
    resourceTypeFilter int8
    resourceNameFilter string?
    patternTypeFilter int8 1+
    principalFilter string?
    hostFilter string?
    operation int8
    permissionType int8`), response: schema(2, `
    throttleTimeMs int32
    errorCode int16
    errorMessage string?
    resources []
      resourceType int8
      resourceName string
      patternType int8 1+
      acls []
        principal string
        host string
        operation int8
        permissionType int8`) },

  { key: 30, name: 'createacls', maxVersion: 3, namesUntil: 3, request: schema(2, `
    creations []
      resourceType int8
      resourceName string
      patternType int8 1+
      principal string
      host string
      operation int8
      permissionType int8`), response: schema(2, `
    throttleTimeMs int32
    results []
      errorCode int16
      errorMessage string?`) },

  { key: 31, name: 'deleteacls', maxVersion: 3, namesUntil: 3, request: schema(2, `
    filters []
      resourceTypeFilter int8
      resourceNameFilter string?
      patternTypeFilter int8 1+
      principalFilter string?
      hostFilter string?
      operation int8
      permissionType int8`), response: schema(2, `
    throttleTimeMs int32
    results []
      errorCode int16
      errorMessage string?
      matchingAcls []
        errorCode int16
        errorMessage string?
        resourceType int8
        resourceName string
        patternType int8 1+
        principal string
        host string
        operation int8
        permissionType int8`) },

  { key: 36, name: 'saslauthenticate', maxVersion: 2, namesUntil: 2, request: schema(2, `
    authBytes bytes`), response: schema(2, `
    errorCode int16
    errorMessage string?
    authBytes bytes
    sessionLifetimeMs int64 1+`) },

  { key: 42, name: 'deletegroups', maxVersion: 2, namesUntil: 2, request: schema(2, `
    groups []string`), response: schema(2, `
    throttleTimeMs int32
    results []
      groupId string
      errorCode int16`) },

  { key: 60, name: 'describecluster', maxVersion: 1, namesUntil: 1, request: schema(0, `
    includeClusterAuthorizedOperations bool
    endpointType int8 1+`), response: schema(0, `
    throttleTimeMs int32
    errorCode int16
    errorMessage string?
    endpointType int8 1+ =1
    clusterId string
    controllerId int32 =-1
    brokers []
      brokerId int32
      host string
      port int32
      rack string?
    clusterAuthorizedOperations int32 =-2147483648`) },
];

import type { MessageInitShape } from '@bufbuild/protobuf';
import { EventRing } from './event-ring.ts';
import { AgentEventType, type AgentEventSchema } from './generated/flow_pb.js';

export type AgentEvent = MessageInitShape<typeof AgentEventSchema>;

export interface EndpointName {
  readonly id: number;
  readonly namespace: string;
  readonly podName: string;
  readonly labels: readonly string[];
}

/** Agent events kept: the oldest goes first. */
const kept = 1024;

/** What the agent did, as Hubble's agent events. Bounded, cheap: nothing is encoded until somebody asks. */
export class AgentEvents {
  readonly #ring = new EventRing<AgentEvent>(kept);
  readonly #nowNs: () => number;

  constructor(nowNs: () => number) {
    this.#nowNs = nowNs;
  }

  all(): readonly { readonly timeNs: number; readonly event: AgentEvent }[] {
    return this.#ring.all();
  }

  follow(reader: (timeNs: number, event: AgentEvent) => void): () => void {
    return this.#ring.follow(reader);
  }

  started(): void {
    const timeNs = this.#nowNs();
    const time = { seconds: BigInt(Math.floor(timeNs / 1e9)), nanos: Math.floor(timeNs % 1e9) };
    this.#push({ type: AgentEventType.AGENT_STARTED, notification: { case: 'agentStart', value: { time } } });
  }

  policyUpdated(labels: readonly string[], revision: number, ruleCount: number): void {
    this.#policy(AgentEventType.POLICY_UPDATED, labels, revision, ruleCount);
  }

  policyDeleted(labels: readonly string[], revision: number): void {
    this.#policy(AgentEventType.POLICY_DELETED, labels, revision, 0);
  }

  endpointCreated(endpoint: EndpointName): void {
    this.#endpoint(AgentEventType.ENDPOINT_CREATED, endpoint);
  }

  endpointDeleted(endpoint: EndpointName): void {
    this.#endpoint(AgentEventType.ENDPOINT_DELETED, endpoint);
  }

  endpointRegenerated(endpoint: Pick<EndpointName, 'id' | 'labels'>, error = ''): void {
    const type = error === '' ? AgentEventType.ENDPOINT_REGENERATE_SUCCESS : AgentEventType.ENDPOINT_REGENERATE_FAILURE;
    this.#push({ type, notification: { case: 'endpointRegenerate', value: { id: BigInt(endpoint.id), labels: [...endpoint.labels], error } } });
  }

  addressUpserted(entry: IpcacheName, old?: Pick<IpcacheName, 'identity' | 'hostIp'>): void {
    this.#ipcache(AgentEventType.IPCACHE_UPSERTED, entry, old);
  }

  addressDeleted(entry: IpcacheName): void {
    this.#ipcache(AgentEventType.IPCACHE_DELETED, entry);
  }

  #policy(type: AgentEventType, labels: readonly string[], revision: number, ruleCount: number): void {
    this.#push({ type, notification: { case: 'policyUpdate', value: { labels: [...labels], revision: BigInt(revision), ruleCount: BigInt(ruleCount) } } });
  }

  #endpoint(type: AgentEventType, { id, labels, podName, namespace }: EndpointName): void {
    this.#push({ type, notification: { case: 'endpointUpdate', value: { id: BigInt(id), labels: [...labels], podName, namespace } } });
  }

  #ipcache(type: AgentEventType, { cidr, identity, hostIp = '', namespace = '', podName = '' }: IpcacheName, old?: Pick<IpcacheName, 'identity' | 'hostIp'>): void {
    this.#push({ type, notification: { case: 'ipcacheUpdate', value: { cidr, identity, hostIp, namespace, podName, ...(old && { oldIdentity: old.identity, oldHostIp: old.hostIp ?? '' }) } } });
  }

  #push(event: AgentEvent): void {
    this.#ring.push(this.#nowNs(), event);
  }
}

/** A prefix and who it is. */
export interface IpcacheName {
  readonly cidr: string;
  readonly identity: number;
  readonly hostIp?: string;
  readonly namespace?: string;
  readonly podName?: string;
}

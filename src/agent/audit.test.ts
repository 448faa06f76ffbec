import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditText } from '../cli/commands/status.ts';
import type { AgentStatus } from '../model/status.ts';
import type { KubeObject } from '../kube/types.ts';
import { auditNames, auditReason, type AuditSources } from './audit.ts';

const object = (name: string, audit?: string, namespace?: string): KubeObject => ({
  apiVersion: 'v1', kind: 'X', metadata: { name, ...(namespace ? { namespace } : {}), ...(audit === undefined ? {} : { annotations: { 'policy.cirri.io/audit': audit } }) },
});
const sources = (cluster = false): AuditSources => ({
  cluster,
  namespaces: new Map([['shop', object('shop', 'true')], ['pay', object('pay', 'false')]]) as unknown as AuditSources['namespaces'],
  pods: new Map([['pay/api', object('api', 'true', 'pay')], ['pay/db', object('db', 'yes', 'pay')]]) as unknown as AuditSources['pods'],
});
const endpoints = [{ namespace: 'shop', podName: 'web' }, { namespace: 'pay', podName: 'api' }, { namespace: 'pay', podName: 'db' }, { namespace: 'none', podName: 'x' }];

test('audit holds for all pods of a namespace that asks for it, and for a pod that does; only "true" asks', () => {
  assert.deepEqual(endpoints.map(e => auditReason(e, sources())), ['namespace', 'pod', undefined, undefined]);
  assert.deepEqual(endpoints.map(e => auditReason(e, sources(true))), ['cluster', 'cluster', 'cluster', 'cluster']);
  assert.deepEqual(auditNames(endpoints, sources()), { cluster: false, namespaces: ['shop'], pods: ['pay/api'] });
});

test('the status says by name where denials pass, each once', () => {
  const agent = (audit: AgentStatus['audit']) => ({ audit }) as AgentStatus;
  assert.equal(auditText([agent(auditNames(endpoints, sources())), agent({ cluster: false, namespaces: ['shop'], pods: [] })]), 'in namespace shop; for pod pay/api');
  assert.equal(auditText([agent({ cluster: false, namespaces: [], pods: [] })]), '');
});

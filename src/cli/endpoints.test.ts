import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditFromOption } from './commands/endpoint-config.ts';
import { oneEndpoint, type EndpointReport } from './endpoints.ts';

const row = (node: string, id: number, podName: string) => ({ node, id, namespace: 'demo', podName, ipv4: `10.244.1.${id}`, ipv6: `fd00::${id}`, containerId: `abc${podName}` }) as EndpointReport;
const rows = [row('n1', 1, 'api'), row('n1', 2, 'web'), row('n2', 2, 'db')];

test('an endpoint is named as NS/POD, by number, or as upstream names it', () => {
  for (const name of ['demo/api', '1', 'cilium-local:1', 'pod-name:demo:api', 'cep-name:demo/api', 'ipv4:10.244.1.1', 'ipv6:fd00::1', 'container-id:abcapi']) assert.equal(oneEndpoint(rows, name), rows[0], name);
});

test('a number that two nodes use is not guessed, and what is not there is said', () => {
  assert.throws(() => oneEndpoint(rows, '2'), /2 is an endpoint on several nodes: demo\/web on n1, demo\/db on n2/);
  assert.throws(() => oneEndpoint(rows, 'demo/none'), /there is no endpoint demo\/none/);
});

test('PolicyAuditMode in upstream\'s spellings; nothing else is a setting', () => {
  assert.deepEqual(['PolicyAuditMode=Enabled', 'PolicyAuditMode=enable', 'policyauditmode=true', 'PolicyAuditMode=Disabled', 'PolicyAuditMode=disable'].map(auditFromOption), [true, true, true, false, false]);
  for (const wrong of ['PolicyAuditMode', 'PolicyAuditMode=maybe', 'Debug=Enabled']) assert.throws(() => auditFromOption(wrong), /no setting of an endpoint/);
});

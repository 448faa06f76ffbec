import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as enums from '../datapath/generated/enums.ts';
import { filterFlags, filterSwitches, filtersFromFlags, type FlagUse } from './flags.ts';
import { dropReasonCodes } from './reasons.ts';

const white = (...uses: FlagUse[]) => filtersFromFlags(uses).whitelist;

test('a flag without a side is two filters, one with a side narrows both, and one filter is enough where both are equal', () => {
  assert.deepEqual(white(['workload', 'Deployment/web'], ['from-port', '80']), [
    { source_workload: [{ name: 'web', kind: 'Deployment' }], source_port: ['80'] },
    { destination_workload: [{ name: 'web', kind: 'Deployment' }], source_port: ['80'] },
  ]);
  assert.deepEqual(white(['http-status', '5+'], ['http-method', 'GET'], ['http-header', 'host:a:80']), [
    { http_status_code: ['5+'], http_method: ['GET'], http_header: [{ key: 'host', value: 'a:80' }] },
  ]);
});

test('namespaces go to the names that have none, or stand for all pods there', () => {
  assert.deepEqual(white(['from-namespace', 'a'], ['to-service', 'b/c'], ['from-pod', 'x'], ['from-pod', 'a/y']), [{ source_pod: ['a/x', 'a/y'], destination_service: ['b/c'] }]);
  assert.deepEqual(white(['namespace', 'a'], ['from-label', 'app=x']), [
    { source_label: ['app=x'], source_pod: ['a/'] },
    { source_label: ['app=x'], destination_pod: ['a/'] },
  ]);
  assert.deepEqual(white(['from-all-namespaces', '']), [{ source_pod: ['/'] }]);
});

test("what cannot be meant is refused in upstream's words", () => {
  const refused = (message: string | RegExp, ...uses: FlagUse[]) => assert.throws(() => white(...uses), typeof message === 'string' ? { message } : message);
  refused('filters --ip and --fqdn cannot be combined', ['fqdn', 'a.b'], ['ip', '1.1.1.1']);
  refused('filters --label and --from-label cannot be combined', ['from-label', 'a'], ['label', 'b']);
  refused('filters --encrypted and --unencrypted cannot be combined', ['unencrypted', ''], ['encrypted', '']);
  refused('conflicting namepace: "a" does not contain "b/c"', ['namespace', 'a'], ['pod', 'b/c']);
  refused('consecutive --not statements', ['not', ''], ['not', '']);
  refused('unknown tcp flag: XMAS', ['tcp-flags', 'SYN,XMAS']);
  refused('invalid --verdict value: DENIED', ['verdict', 'DROPPED,DENIED']);
  refused('invalid --drop-reason-desc value: POLICY_DENID', ['drop-reason-desc', 'POLICY_DENID']);
  refused(/unable to parse type 'nonsense'/, ['type', 'nonsense']);
  refused(/unable to parse event sub-type 'to-nowhere'/, ['type', 'trace:to-nowhere']);
  refused(/invalid security identity, expected one of \[host world /, ['identity', 'nobody']);
  refused(/expected name:value/, ['http-header', 'host']);
});

test('a conflict is one of the same list: what --not takes is apart', () => {
  const { whitelist, blacklist } = filtersFromFlags([['label', 'a'], ['not', ''], ['from-label', 'b']]);
  assert.deepEqual([whitelist, blacklist], [[{ source_label: ['a'] }, { destination_label: ['a'] }], [{ source_label: ['b'] }]]);
});

test('verdicts with commas and in any case, types and identities by name and number', () => {
  assert.deepEqual(white(['verdict', 'DROPPED,forwarded'], ['verdict', 'AUDIT']), [{ verdict: ['DROPPED', 'FORWARDED', 'AUDIT'] }]);
  assert.deepEqual(white(['type', 'trace:to-overlay'], ['type', 'l7'], ['type', 'agent:endpoint-created'], ['type', '7']), [
    { event_type: [{ type: 4, match_sub_type: true, sub_type: 4 }, { type: 129 }, { type: 130, match_sub_type: true, sub_type: 7 }, { type: 7 }] },
  ]);
  assert.deepEqual(white(['to-identity', 'reserved:world'], ['to-identity', '4711']), [{ destination_identity: [2, 4711] }]);
  assert.deepEqual(white(['ip-trace-id', '18446744073709551615']), [{ ip_trace_id: ['18446744073709551615'] }]);
});

test('every flag of the table makes a filter', () => {
  const values: Readonly<Record<string, string>> = {
    verdict: 'DROPPED', type: 'drop', 'drop-reason-desc': 'POLICY_DENIED', 'traffic-direction': 'ingress', 'tcp-flags': 'SYN', 'ip-version': 'v6', 'http-header': 'a:b',
  };
  for (const [name] of filterFlags) assert.notEqual(JSON.stringify(white([name, values[name] ?? '7'])), '[]', name);
  for (const [name] of filterSwitches.filter(([name]) => name !== 'not')) assert.notEqual(JSON.stringify(white([name, ''])), '[]', name);
});

test('our own drop reasons are those of the kernel object', () => {
  const kernel = Object.entries(enums.dropReasonName).filter(([code]) => Number(code) >= 220).map(([code, name]) => [name, Number(code)]);
  assert.deepEqual([...dropReasonCodes].filter(([, code]) => code >= 220), kernel);
});

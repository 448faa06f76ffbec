import type { Judgement, RequestPolicy } from './policy.ts';

/** Lets pass what has a path that the expression matches. */
export const testPolicy: RequestPolicy<RegExp, Judgement> = {
  judge: ({ egress }, head) => ({ passes: egress === undefined || egress.test(head.path), mutations: [] }),
  request: (wire, head, { passes }) => wire.record({ verdict: passes ? 'FORWARDED' : 'DROPPED', direction: 'EGRESS', rule: 0, l7: { type: 'REQUEST', http: { method: head.method, url: head.url, protocol: 'HTTP/2' } } }),
  answer: (wire, head, _, code, latencyUs) => wire.record({ verdict: 'FORWARDED', direction: 'EGRESS', rule: 0, l7: { type: 'RESPONSE', latencyNs: latencyUs * 1000, http: { code, method: head.method, url: head.url, protocol: 'HTTP/2' } } }),
};

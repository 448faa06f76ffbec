import type { L7Set } from '../../model/l7.ts';
import type { Protocol } from '../protocol.ts';
import { compileDnsRules } from './rules.ts';
import type { DnsRules } from './rules.ts';
import { DnsSession } from './session.ts';
import { nameTables } from './tables.ts';

/** DNS over TCP, as docs/l7/dns.md tells. */
export const dns: Protocol<Extract<L7Set, { protocol: 'dns' }>, DnsRules> = {
  compile: set => compileDnsRules(set.rules, set.learn === true),
  open: (wire, clientEndpoint = 0) => new DnsSession(wire, nameTables(), clientEndpoint),
};

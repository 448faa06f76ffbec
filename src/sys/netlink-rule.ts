/** Routing rules on the wire (rtnetlink, linux/fib_rules.h). */
import type { Prefix } from '../std/ip.ts';
import { AF_INET, AF_INET6, isFamily, prefixFromWire, wirePrefix } from './netlink-address.ts';
import { type Message, type MessageWriter, fixedPart, parseAttributes } from './netlink-wire.ts';

export const rtmRule = { create: 32, delete: 33, get: 34 } as const;

export interface Rule {
  readonly family: 4 | 6;
  readonly table: number;
  readonly priority?: number;
  readonly mark?: number;
  readonly mask?: number;
  readonly source?: Prefix;
  readonly destination?: Prefix;
  readonly inputDevice?: string;
}

const FRA = { destination: 1, source: 2, inputDevice: 3, priority: 6, mark: 10, table: 15, mask: 16 } as const;
const ACTION_TABLE = 1;

export function writeRule(w: MessageWriter, rule: Rule): void {
  const source = rule.source && wirePrefix(rule.source);
  const destination = rule.destination && wirePrefix(rule.destination);
  w.u8(rule.family === 4 ? AF_INET : AF_INET6).u8(destination?.length ?? 0).u8(source?.length ?? 0).u8(0);
  w.u8(rule.table < 256 ? rule.table : 0).u8(0).u8(0).u8(ACTION_TABLE).u32(0);
  w.attributeU32(FRA.table, rule.table);
  if (rule.priority !== undefined) w.attributeU32(FRA.priority, rule.priority);
  if (rule.mark !== undefined) w.attributeU32(FRA.mark, rule.mark).attributeU32(FRA.mask, rule.mask ?? 0xffffffff);
  if (source) w.attribute(FRA.source, source.bytes);
  if (destination) w.attribute(FRA.destination, destination.bytes);
  if (rule.inputDevice !== undefined) w.attributeText(FRA.inputDevice, rule.inputDevice);
}

export function writeRuleQuery(w: MessageWriter, family: number): void {
  w.u8(family).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u32(0);
}

/** Undefined for rules that do not look up a table. */
export function parseRule(message: Message): Rule | undefined {
  const header = fixedPart(message.payload, 12);
  const family = header.getUint8(0);
  if (!isFamily(family) || header.getUint8(7) !== ACTION_TABLE) return undefined;
  const attributes = parseAttributes(message.payload, 12);
  const mark = attributes.u32(FRA.mark);
  const mask = attributes.u32(FRA.mask);
  const source = attributes.bytes(FRA.source);
  const destination = attributes.bytes(FRA.destination);
  const inputDevice = attributes.text(FRA.inputDevice);
  return {
    family: family === AF_INET ? 4 : 6,
    table: attributes.u32(FRA.table) ?? header.getUint8(4),
    priority: attributes.u32(FRA.priority) ?? 0,
    ...(mark !== undefined && { mark }),
    ...(mask !== undefined && { mask }),
    ...(source && { source: prefixFromWire(family, source, header.getUint8(2)) }),
    ...(destination && { destination: prefixFromWire(family, destination, header.getUint8(1)) }),
    ...(inputDevice !== undefined && { inputDevice }),
  };
}

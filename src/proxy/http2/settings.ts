import { ConnectionFault, ErrorCode } from './error.ts';
import { listLimits, maxStreams } from './limits.ts';

/** RFC 9113 §6.5.2, RFC 8441, RFC 9218. */
export const Setting = { headerTableSize: 1, enablePush: 2, maxConcurrentStreams: 3, initialWindowSize: 4, maxFrameSize: 5, maxHeaderListSize: 6, enableConnectProtocol: 8, noPriorities: 9 } as const;

export const maxWindow = 0x7fff_ffff;

export interface Settings {
  /** What the other side is told: the sizes of tables and frames are between us and each side. */
  readonly passed: readonly (readonly [number, number])[];
  readonly headerTableSize?: number;
  readonly initialWindowSize?: number;
  readonly enableConnectProtocol?: boolean;
}

/** A payload as it came from one side, in the form for the other. Settings that are not known here are not passed on. */
export function readSettings(from: 'client' | 'server', data: Buffer, start: number, end: number): Settings {
  const values = new Map<number, number>();
  for (let at = start; at < end; at += 6) {
    const id = data.readUInt16BE(at);
    const value = data.readUInt32BE(at + 2);
    check(from, id, value);
    values.set(id, value);
  }
  const passed: (readonly [number, number])[] = [];
  for (const [id, value] of values) {
    if (id === Setting.initialWindowSize || id === Setting.noPriorities) passed.push([id, value]);
    else if (id === Setting.maxHeaderListSize) passed.push([id, Math.min(value, listLimits.octets)]);
    else if (from === 'server' && id === Setting.maxConcurrentStreams) passed.push([id, Math.min(value, maxStreams)]);
    else if (from === 'server' && id === Setting.enableConnectProtocol) passed.push([id, value]);
  }
  const headerTableSize = values.get(Setting.headerTableSize);
  const initialWindowSize = values.get(Setting.initialWindowSize);
  const connect = values.get(Setting.enableConnectProtocol);
  return {
    passed,
    ...(headerTableSize !== undefined && { headerTableSize }),
    ...(initialWindowSize !== undefined && { initialWindowSize }),
    ...(connect !== undefined && { enableConnectProtocol: connect === 1 }),
  };
}

function check(from: 'client' | 'server', id: number, value: number): void {
  const isSwitch = id === Setting.enablePush || id === Setting.enableConnectProtocol || id === Setting.noPriorities;
  if (isSwitch && value > 1) throw new ConnectionFault(ErrorCode.protocol, 'a setting that is neither 0 nor 1');
  if (id === Setting.enablePush && from === 'server' && value !== 0) throw new ConnectionFault(ErrorCode.protocol, 'a server that allows push');
  if (id === Setting.initialWindowSize && value > maxWindow) throw new ConnectionFault(ErrorCode.flowControl, 'an initial window over 2^31-1');
  if (id === Setting.maxFrameSize && (value < 16_384 || value > 16_777_215)) throw new ConnectionFault(ErrorCode.protocol, 'a frame size out of range');
}

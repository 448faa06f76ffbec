import { CirriError } from '../../std/errors.ts';
import type { Endpoint } from './endpoint.ts';

/** What the plugin sends, one JSON line. */
export interface CniRequest {
  readonly command: 'ADD' | 'DEL' | 'CHECK' | 'VERSION' | 'STATUS' | 'GC';
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS: `K8S_POD_NAMESPACE=a;K8S_POD_NAME=b`. */
  readonly args: string;
  readonly path?: string;
  readonly config: { readonly cniVersion?: string; readonly name?: string; readonly [field: string]: unknown };
}

export type CniResponse =
  | { readonly code: 0; readonly result?: unknown }
  | { readonly code: number; readonly msg: string; readonly details: string };

/** Error codes of the CNI specification 1.0, section "Error". */
export const cniErrorCode = { invalidEnvironment: 4, ioFailure: 5, decodeFailure: 6, invalidConfig: 7, tryAgainLater: 11, internal: 100, notAsBefore: 101 } as const;

export class CniError extends CirriError {
  readonly cniCode: number;
  constructor(cniCode: number, message: string, options: { mend?: string; cause?: unknown } = {}) {
    super('ERR_CNI', message, options);
    this.cniCode = cniCode;
  }
}

/** Reads a request; throws CniError with the field that is wrong. */
export function parseCniRequest(line: string): CniRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new CniError(cniErrorCode.decodeFailure, 'the CNI request is not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null) throw new CniError(cniErrorCode.decodeFailure, 'the CNI request is not an object');
  const request = value as Record<string, unknown>;
  const text = (field: string, needed: boolean): string => {
    const found = request[field] ?? '';
    if (typeof found !== 'string' || (needed && found === '')) throw new CniError(cniErrorCode.invalidEnvironment, `CNI_${field.toUpperCase()} is missing`);
    return found;
  };
  const command = text('command', true);
  if (!['ADD', 'DEL', 'CHECK', 'VERSION', 'STATUS', 'GC'].includes(command)) throw new CniError(cniErrorCode.invalidEnvironment, `CNI_COMMAND "${command}" is not known`);
  const forPod = command === 'ADD' || command === 'DEL' || command === 'CHECK';
  const ifname = text('ifname', forPod);
  // IFNAMSIZ is 16 with the final zero; '/' and white space are refused by the kernel (dev_valid_name).
  if (forPod && !/^[^\s/:]{1,15}$/.test(ifname)) throw new CniError(cniErrorCode.invalidEnvironment, `CNI_IFNAME "${ifname}" is not a device name`);
  const config = request['config'];
  return {
    command: command as CniRequest['command'],
    containerId: text('containerId', forPod),
    netns: text('netns', command === 'ADD' || command === 'CHECK'),
    ifname,
    args: text('args', false),
    path: text('path', false),
    config: typeof config === 'object' && config !== null ? (config as CniRequest['config']) : {},
  };
}

/** `A=b;C=d` as a map; unknown keys are kept. */
export function parseCniArgs(args: string): ReadonlyMap<string, string> {
  return new Map(args.split(';').filter(part => part.includes('=')).map(part => {
    const at = part.indexOf('=');
    return [part.slice(0, at), part.slice(at + 1)] as const;
  }));
}

/** The result of ADD in the form of CNI 1.0 (0.3.1 and 0.4.0 want `version` with each address). */
export function cniResult(endpoint: Endpoint, config: CniRequest['config'], routers: { readonly ipv4: string; readonly ipv6: string }): object {
  const cniVersion = config.cniVersion ?? '1.0.0';
  const withVersion = cniVersion.startsWith('0.');
  const addresses = [
    ...(endpoint.ipv4 ? [{ address: `${endpoint.ipv4}/32`, gateway: routers.ipv4, interface: 1, ...(withVersion ? { version: '4' } : {}) }] : []),
    ...(endpoint.ipv6 ? [{ address: `${endpoint.ipv6}/128`, gateway: routers.ipv6, interface: 1, ...(withVersion ? { version: '6' } : {}) }] : []),
  ];
  return {
    cniVersion,
    interfaces: [
      { name: endpoint.hostInterface, mac: endpoint.hostMac },
      { name: endpoint.interfaceName, mac: endpoint.mac, sandbox: endpoint.netns },
    ],
    ips: addresses,
    routes: [
      ...(endpoint.ipv4 ? [{ dst: '0.0.0.0/0', gw: routers.ipv4 }] : []),
      ...(endpoint.ipv6 ? [{ dst: '::/0', gw: routers.ipv6 }] : []),
    ],
    dns: {},
  };
}

export function cniFailure(error: unknown): CniResponse {
  if (error instanceof CniError) return { code: error.cniCode, msg: error.message, details: error.mend ?? '' };
  return { code: cniErrorCode.internal, msg: error instanceof Error ? error.message : String(error), details: '' };
}

import { CirriError } from '../std/errors.ts';
import type { Status } from './types.ts';

/** What the API refused, or why it could not be reached (then `status` is 0 and `reason` is 'Unreachable'). */
export class KubeError extends CirriError {
  readonly status: number;
  /** The API's reason word: NotFound, Conflict, AlreadyExists, Expired, Invalid, Forbidden, TooManyRequests, … */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: { status: number; reason: string; retryAfterMs?: number; mend?: string; cause?: unknown }) {
    super('ERR_KUBE', message, { cause: options.cause, ...(options.mend === undefined ? {} : { mend: options.mend }) });
    this.name = 'KubeError';
    this.status = options.status;
    this.reason = options.reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The error of a response that is not 2xx. The body should be a Status, but a proxy in between may answer anything. */
export function errorFromResponse(doing: string, statusCode: number, body: string, retryAfter?: string): KubeError {
  const status = parseStatus(body);
  const seconds = retryAfter === undefined ? status?.details?.retryAfterSeconds : Number(retryAfter);
  return new KubeError(`${doing}: ${status?.message ?? (body.slice(0, 200) || `HTTP ${statusCode}`)}`, {
    status: statusCode,
    reason: status?.reason || reasonOfStatus(statusCode),
    ...(seconds !== undefined && Number.isFinite(seconds) ? { retryAfterMs: seconds * 1000 } : {}),
  });
}

export function unreachable(doing: string, cause: unknown): KubeError {
  return new KubeError(`${doing}: the Kubernetes API cannot be reached`, {
    status: 0,
    reason: 'Unreachable',
    mend: 'see whether the API server runs (cirri status); the datapath goes on meanwhile',
    cause,
  });
}

export const isNotFound = (error: unknown): boolean => error instanceof KubeError && error.status === 404;
export const isConflict = (error: unknown): boolean => error instanceof KubeError && error.status === 409 && error.reason !== 'AlreadyExists';
export const isAlreadyExists = (error: unknown): boolean => error instanceof KubeError && error.reason === 'AlreadyExists';
/** 410: the version asked for is older than what the API remembers. */
export const isExpired = (error: unknown): boolean => error instanceof KubeError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');

function parseStatus(body: string): Status | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? (value as Status) : undefined;
  } catch {
    return undefined;
  }
}

function reasonOfStatus(code: number): string {
  const words: Record<number, string> = {
    400: 'BadRequest', 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound', 405: 'MethodNotAllowed', 409: 'Conflict',
    410: 'Gone', 413: 'RequestEntityTooLarge', 415: 'UnsupportedMediaType', 422: 'Invalid', 429: 'TooManyRequests',
    503: 'ServiceUnavailable', 504: 'Timeout',
  };
  return words[code] ?? (code >= 500 ? 'InternalError' : 'Unknown');
}

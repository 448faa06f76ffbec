import type { JsonObject } from './object.ts';

/** One reason why a field is refused: the `causes` of a Status (apimachinery meta/v1 StatusCause). */
export interface StatusCause { readonly reason: string; readonly message: string; readonly field?: string }

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

/** An answer that is not the object asked for. Everything the client sees of it is the Status object. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  toStatus(): JsonObject {
    return {
      kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: this.message, reason: this.reason,
      ...(this.details ? { details: this.details as JsonObject } : {}),
      code: this.code,
    };
  }
}

interface Named { readonly group: string; readonly plural: string }

/** `pods`, `deployments.apps`: how messages name a resource. */
export function resourceTitle(resource: Named): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

const named = (resource: Named, name: string, more: StatusDetails = {}): StatusDetails => ({
  name, ...(resource.group ? { group: resource.group } : {}), kind: resource.plural, ...more,
});

export const badRequest = (message: string) => new ApiError(400, 'BadRequest', message);

export const notFound = (resource: Named, name: string) =>
  new ApiError(404, 'NotFound', `${resourceTitle(resource)} "${name}" not found`, named(resource, name));

export const noSuchPath = () => new ApiError(404, 'NotFound', 'the server could not find the requested resource');

export const alreadyExists = (resource: Named, name: string, deleting = false) =>
  new ApiError(409, 'AlreadyExists', `${deleting ? 'object is being deleted: ' : ''}${resourceTitle(resource)} "${name}" already exists`, named(resource, name));

export const conflict = (resource: Named, name: string, why = staleObject) =>
  new ApiError(409, 'Conflict', `Operation cannot be fulfilled on ${resourceTitle(resource)} "${name}": ${why}`, named(resource, name));

const staleObject = 'the object has been modified; please apply your changes to the latest version and try again';

export const forbidden = (resource: Named, name: string, why: string) =>
  new ApiError(403, 'Forbidden', `${resourceTitle(resource)}${name ? ` "${name}"` : ''} is forbidden: ${why}`, named(resource, name));

export const unauthorized = () => new ApiError(401, 'Unauthorized', 'Unauthorized');

export const expired = (asked: number, oldest: number) =>
  new ApiError(410, 'Expired', `too old resource version: ${asked} (${oldest})`);

export const methodNotAllowed = (message = 'the server does not allow this method on the requested resource') =>
  new ApiError(405, 'MethodNotAllowed', message);

export const unsupportedMediaType = (type: string, supported: readonly string[]) =>
  new ApiError(415, 'UnsupportedMediaType', `the body of the request was in an unknown format (${type}) - accepted media types include: ${supported.join(', ')}`);

export const notAcceptable = (supported: readonly string[]) =>
  new ApiError(406, 'NotAcceptable', `only the following media types are accepted: ${supported.join(', ')}`);

export const internalError = (message: string) =>
  new ApiError(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ reason: '', message }] });

/** What the validators return: where, why, and the text after the field's path. */
export interface FieldError {
  readonly field: string;
  readonly reason: FieldReason;
  readonly message: string;
}

export type FieldReason =
  | 'FieldValueRequired' | 'FieldValueInvalid' | 'FieldValueNotSupported' | 'FieldValueDuplicate' | 'FieldValueForbidden'
  | 'FieldValueTooLong' | 'FieldValueTypeInvalid' | 'FieldValueNotFound';

const shown = (value: unknown): string => (value === undefined ? 'null' : JSON.stringify(value));

export const required = (field: string, why = ''): FieldError =>
  ({ field, reason: 'FieldValueRequired', message: `Required value${why ? `: ${why}` : ''}` });
export const invalid = (field: string, value: unknown, why: string): FieldError =>
  ({ field, reason: 'FieldValueInvalid', message: `Invalid value: ${shown(value)}: ${why}` });
export const typeInvalid = (field: string, value: unknown, why: string): FieldError =>
  ({ field, reason: 'FieldValueTypeInvalid', message: `Invalid value: ${shown(value)}: ${why}` });
export const notSupported = (field: string, value: unknown, supported: readonly unknown[]): FieldError =>
  ({ field, reason: 'FieldValueNotSupported', message: `Unsupported value: ${shown(value)}: supported values: ${supported.map(shown).join(', ')}` });
export const duplicate = (field: string, value: unknown): FieldError =>
  ({ field, reason: 'FieldValueDuplicate', message: `Duplicate value: ${shown(value)}` });
export const forbiddenField = (field: string, why: string): FieldError =>
  ({ field, reason: 'FieldValueForbidden', message: `Forbidden: ${why}` });
export const missingReference = (field: string, value: unknown): FieldError =>
  ({ field, reason: 'FieldValueNotFound', message: `Not found: ${shown(value)}` });

/** 422 with one cause a field, worded as upstream's: `Pod "x" is invalid: spec.containers: Required value`. */
export function invalidObject(type: { readonly group: string; readonly kind: string }, name: string, errors: readonly FieldError[]): ApiError {
  const lines = [...new Set(errors.map(e => `${e.field}: ${e.message}`))];
  const text = lines.length === 1 ? lines[0]! : `[${lines.join(', ')}]`;
  return new ApiError(422, 'Invalid', `${type.kind}${type.group ? `.${type.group}` : ''} "${name}" is invalid: ${text}`, {
    name, ...(type.group ? { group: type.group } : {}), kind: type.kind,
    causes: errors.map(e => ({ reason: e.reason, message: e.message, field: e.field })),
  });
}

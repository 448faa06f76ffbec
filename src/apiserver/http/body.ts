import type { IncomingMessage } from 'node:http';
import { ApiError, badRequest, unsupportedMediaType } from '../status.ts';
import { isObject } from '../object.ts';
import type { Json } from '../object.ts';
import { decodeProtobuf } from './protobuf.ts';

/** The limit of upstream's request bodies. */
const mostBytes = 3 * 1024 * 1024;
const deepest = 200;

/** Reads a body. 413 when it is too large. */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= mostBytes) chunks.push(chunk);
    });
    request.on('end', () => {
      if (size > mostBytes) reject(new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${mostBytes}`));
      else resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    request.on('error', reject);
    request.on('close', () => reject(badRequest('the request ended before its body was complete')));
  });
}

/** `application/json; charset=utf-8` → `application/json`. */
export function mediaType(header: string | undefined): string {
  return (header ?? '').split(';')[0]!.trim().toLowerCase();
}

const protobuf = 'application/vnd.kubernetes.protobuf';
const readable = ['application/json', 'application/yaml', protobuf];

/** A body as JSON. An empty one is undefined. */
export async function parseBody(body: Buffer, contentType: string): Promise<Json | undefined> {
  if (body.length === 0) return undefined;
  if (contentType === protobuf) return decodeProtobuf(body);
  const text = body.toString('utf8');
  const yaml = contentType === 'application/yaml' || contentType.endsWith('+yaml');
  const json = contentType === '' || contentType === 'application/json' || contentType.endsWith('+json');
  if (!json && !yaml) throw unsupportedMediaType(contentType, readable);
  let value: unknown;
  try {
    // The YAML reader is loaded by the first body that needs it: kubectl sends JSON even where it says YAML.
    value = yaml && !/^\s*[[{]/.test(text) ? (await import('yaml')).parse(text, { maxAliasCount: 50 }) : JSON.parse(text);
  } catch (error) {
    throw badRequest(`the body of the request is not valid ${yaml ? 'YAML' : 'JSON'}: ${(error as Error).message}`);
  }
  checkShape(value, 0);
  return value as Json;
}

/** Refuses what would be dangerous to walk: endless depth, and the one key that JavaScript does not treat as data. */
function checkShape(value: unknown, depth: number): void {
  if (depth > deepest) throw badRequest(`the body of the request is nested more than ${deepest} levels deep`);
  if (Array.isArray(value)) {
    for (const item of value) checkShape(item, depth + 1);
  } else if (isObject(value)) {
    for (const key in value) {
      if (key === '__proto__') throw badRequest('the body of the request has a field named __proto__');
      checkShape(value[key], depth + 1);
    }
  }
}

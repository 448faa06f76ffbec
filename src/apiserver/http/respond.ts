import type { ServerResponse } from 'node:http';
import { ApiError } from '../status.ts';

/** Sends a JSON text. Warnings become headers that kubectl prints (RFC 7234 §5.5, code 299). */
export function sendJson(response: ServerResponse, code: number, json: string, options: { warnings?: readonly string[]; contentType?: string } = {}): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(json);
  const headers: Record<string, string | number | string[]> = {
    'content-type': options.contentType ?? 'application/json', 'content-length': body.length, 'cache-control': 'no-cache, private',
  };
  const warnings = options.warnings ?? [];
  if (warnings.length > 0) headers['warning'] = warnings.slice(0, 32).map(warningHeader);
  response.writeHead(code, headers);
  response.end(body);
}

function warningHeader(text: string): string {
  // Header values are Latin-1 without control characters.
  const safe = text.replaceAll(/[^\x20-\x7e]/g, c => (c === '→' ? '->' : c === '…' ? '...' : '?')).slice(0, 1500).replaceAll(/["\\]/g, '\\$&');
  return `299 - "${safe}"`;
}

export function sendText(response: ServerResponse, code: number, text: string): void {
  response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' });
  response.end(text);
}

export function sendError(response: ServerResponse, error: ApiError, warnings: readonly string[] = []): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (error.details?.retryAfterSeconds !== undefined) response.setHeader('retry-after', String(error.details.retryAfterSeconds));
  if (error.code === 401) response.setHeader('www-authenticate', 'Bearer');
  sendJson(response, error.code, JSON.stringify(error.toStatus()), { warnings });
}

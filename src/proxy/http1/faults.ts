/** Why a message is refused: negative numbers, so that a parser gives either a place or a reason. */
export const fault = {
  method: -1, target: -2, version: -3, fieldName: -4, fieldValue: -5, tooManyFields: -6, hostMissing: -7, hostRepeated: -8, host: -9,
  contentLength: -10, contentLengthRepeated: -11, transferEncoding: -12, bothLengths: -13, connection: -14, chunkSize: -15, chunkExtension: -16,
  chunkEnd: -17, trailer: -18, statusLine: -19, unasked: -20, emptyLines: -21, headTooLarge: -22, bodyForbidden: -23, hostDiffers: -24, path: -25, lengthWithTunnel: -26,
} as const;

const texts: Readonly<Record<number, string>> = {
  [fault.method]: 'the method is no token', [fault.target]: 'the request target is malformed', [fault.version]: 'the version is neither HTTP/1.1 nor HTTP/1.0',
  [fault.fieldName]: 'a header field has a malformed name', [fault.fieldValue]: 'a header field has a malformed value', [fault.tooManyFields]: 'too many header fields',
  [fault.hostMissing]: 'there is no Host', [fault.hostRepeated]: 'there is more than one Host', [fault.host]: 'the Host is malformed',
  [fault.contentLength]: 'the Content-Length is no length', [fault.contentLengthRepeated]: 'there is more than one Content-Length', [fault.transferEncoding]: 'the Transfer-Encoding is not "chunked" alone',
  [fault.bothLengths]: 'there are Content-Length and Transfer-Encoding', [fault.connection]: 'Connection names a field that ends messages', [fault.chunkSize]: 'a chunk has a malformed size',
  [fault.chunkExtension]: 'a chunk has malformed or too many extensions', [fault.chunkEnd]: 'a chunk does not end where it should', [fault.trailer]: 'a trailer field is malformed or may not be one',
  [fault.statusLine]: 'the status line is malformed', [fault.unasked]: 'an answer that nobody asked for', [fault.emptyLines]: 'too many empty lines', [fault.headTooLarge]: 'the head is too large',
  [fault.bodyForbidden]: 'a body where there can be none', [fault.hostDiffers]: "the Host is not the target's", [fault.path]: 'the path leads above the root, or has a zero byte', [fault.lengthWithTunnel]: 'CONNECT has no body',
};

export function faultText(code: number): string {
  return texts[code] ?? 'malformed';
}

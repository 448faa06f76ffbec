/** Classes of bytes of RFC 9110 and 9112, as tables. */

/** Of tchar the byte in lower case, of all others 0. */
export const tokenLower = new Uint8Array(256);
/** Field values: HTAB, SP, VCHAR and obs-text. No other control byte. */
export const inValue = new Uint8Array(256);
/** Request targets: what is visible. Clients send more of it unescaped than RFC 3986 has; `#` never goes on the wire. */
export const inTarget = new Uint8Array(256);
/** Authorities without user information: names, addresses, ports. */
export const inAuthority = new Uint8Array(256);
/** Value of a hexadecimal digit, or 255. */
export const hexValue = new Uint8Array(256).fill(255);

for (const char of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") tokenLower[char.charCodeAt(0)] = char.toLowerCase().charCodeAt(0);
for (let byte = 0; byte < 256; byte++) {
  inValue[byte] = byte === 9 || (byte >= 32 && byte !== 127) ? 1 : 0;
  inTarget[byte] = byte > 32 && byte < 127 && byte !== 0x23 ? 1 : 0;
}
for (const char of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:[]") inAuthority[char.charCodeAt(0)] = 1;
for (const [i, char] of [...'0123456789abcdef'].entries()) {
  hexValue[char.charCodeAt(0)] = i;
  hexValue[char.toUpperCase().charCodeAt(0)] = i;
}

export const carriageReturn = 13;
export const lineFeed = 10;

/** Whether buffer[start, end) is this text, whatever the case; `lower` in lower case. */
export function isText(buffer: Buffer, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    const byte = buffer[start + i]!;
    if ((byte >= 65 && byte <= 90 ? byte | 32 : byte) !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/**
 * Text from the network or from objects never reaches the terminal with control characters in it, so that a name can neither
 * move the cursor nor change what stands above it: C0 and C1 controls, and marks that turn the direction of writing. Escape and
 * carriage return are shown as Hubble shows them.
 */
export function safe(text: string): string {
  return text.replace(unsafe, char => (char === '\x1b' ? '^[' : char === '\r' ? '\\r' : '�'));
}

/** JSON on one line: what `safe` replaces is escaped, and what could end a script in a page, as Go's encoder does. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(unsafeInJson, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

// eslint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const unsafeInJson = /[<>&\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** C names in TypeScript's spelling. Pure. */

/** `policy_verdict_key` → `policyVerdictKey`. */
export function camelCase(name: string): string {
  const pascal = pascalCase(name);
  return pascal.charAt(0).toLowerCase() + pascal.slice(1);
}

/** `policy_verdict_key`, `POLICY_DENIED` → `PolicyVerdictKey`, `PolicyDenied`. */
export function pascalCase(name: string): string {
  const words = name.split('_').filter(Boolean);
  const text = words.map(word => word.charAt(0).toUpperCase() + (word === word.toUpperCase() ? word.slice(1).toLowerCase() : word.slice(1))).join('');
  return /^\d/.test(text) ? `N${text}` : text;
}

/** The names without the words that all of them begin with; one name alone loses its first word. */
export function enumConstantNames(names: readonly string[]): string[] {
  const words = names.map(name => name.split('_'));
  const shortest = Math.min(...words.map(w => w.length));
  let common = 0;
  // At least one word of every name stays.
  while (common < shortest - 1 && words.every(w => w[common] === words[0]![common])) common++;
  if (names.length === 1) common = Math.min(1, shortest - 1);
  return words.map(w => w.slice(common).join('_'));
}

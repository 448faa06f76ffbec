/**
 * A label selector as the server's filters read it (src/flows/label-selector.ts): `key`, `!key`, `=`, `==`, `!=`, `in (…)`,
 * `notin (…)`, joined by commas. What does not parse selects nothing.
 */
export function parseSelector(text: string): (labels: readonly string[]) => boolean {
  const parts = text.split(/,(?![^()]*\))/).map(part => part.trim()).filter(part => part !== '');
  const tests = parts.map(requirement);
  return labels => tests.every(test => test(labels));
}

function requirement(part: string): (labels: readonly string[]) => boolean {
  const set = /^(\S+?)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
  if (set) {
    const values = new Set(set[3]!.split(',').map(value => value.trim()));
    return labels => valuesOf(labels, set[1]!).some(value => values.has(value)) === (set[2] === 'in');
  }
  const equal = /^(\S+?)\s*(==|!=|=)\s*(\S*)$/.exec(part);
  if (equal) return labels => valuesOf(labels, equal[1]!).includes(equal[3]!) === (equal[2] !== '!=');
  const exists = /^(!?)\s*([^\s()!=,]+)$/.exec(part);
  if (exists) return labels => valuesOf(labels, exists[2]!).length > 0 === (exists[1] === '');
  return () => false;
}

function valuesOf(labels: readonly string[], key: string): readonly string[] {
  return labels.flatMap(label => {
    const [name, value] = label.includes('=') ? [label.slice(0, label.indexOf('=')), label.slice(label.indexOf('=') + 1)] : [label, ''];
    return name === key || (!key.includes(':') && name.slice(name.indexOf(':') + 1) === key) ? [value] : [];
  });
}

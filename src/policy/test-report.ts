/** Results of policy tests in the forms that CI systems read. */
import { escapeXml } from './matrix-picture.ts';
import type { CaseOutcome } from './unit-test.ts';

export interface FileOutcome {
  readonly file: string;
  readonly name: string;
  readonly outcomes: readonly CaseOutcome[];
}

/** TAP version 14, a flat list. */
export function tapReport(files: readonly FileOutcome[]): string {
  const all = files.flatMap(file => file.outcomes.map(outcome => ({ file, outcome })));
  const lines = all.flatMap(({ file, outcome }, i) => {
    const name = `${file.name}: ${outcome.test.name}`.replaceAll('\\', '\\\\').replaceAll('#', '\\#').replaceAll('\n', ' ');
    if (outcome.passed) return [`ok ${i + 1} - ${name}`];
    return [`not ok ${i + 1} - ${name}`, '  ---', `  file: ${JSON.stringify(file.file)}`, `  test: ${JSON.stringify(outcome.test.path)}`, '  found:', ...outcome.details.map(d => `    - ${JSON.stringify(d)}`), '  ...'];
  });
  return ['TAP version 14', `1..${all.length}`, ...lines, ''].join('\n');
}

/** One suite a file, as JUnit's consumers agree on it. */
export function junitReport(files: readonly FileOutcome[]): string {
  const failed = (outcomes: readonly CaseOutcome[]) => outcomes.filter(o => !o.passed).length;
  const total = files.flatMap(f => f.outcomes);
  const suites = files.map(({ file, name, outcomes }) => [
    `  <testsuite name="${clean(name)}" file="${clean(file)}" tests="${outcomes.length}" failures="${failed(outcomes)}" errors="0" skipped="0">`,
    ...outcomes.map(({ test, passed, details }) => {
      const head = `    <testcase name="${clean(test.name)}" classname="${clean(name)}"`;
      return passed ? `${head}/>` : `${head}>\n      <failure message="${clean(details[0] ?? 'failed')}">${clean(details.join('\n'))}</failure>\n    </testcase>`;
    }),
    '  </testsuite>',
  ].join('\n'));
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites tests="${total.length}" failures="${failed(total)}">\n${suites.join('\n')}\n</testsuites>\n`;
}

/** XML 1.0 knows no control characters, escaped or not. */
function clean(text: string): string {
  return escapeXml(text.replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd'));
}

import { compileFilters, type FlowFilter } from '../../flows/filter.ts';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import { parseRequirements, type LabelRequirement } from '../../flows/label-selector.ts';
import { fqdnPattern, nodeNamePattern } from '../../flows/pattern.ts';
import { outcome, type ConformanceCase, type Outcome } from '../../policy/conformance/case.ts';

interface FilterCase {
  /** File and test function of the source: one of them gives its filters as a blacklist, and the case has no other word of it. */
  readonly source_file?: string;
  readonly input: Input & { readonly args?: Input };
  readonly expect: { readonly want?: unknown; readonly wantErr?: boolean; readonly wantErrContains?: string };
}

interface Input {
  readonly f?: readonly FlowFilter[];
  readonly ev?: unknown;
  readonly nodeName?: readonly string[];
  readonly fqdnPatterns?: readonly string[];
  readonly nodeNamePatterns?: readonly string[];
  readonly in?: string;
  readonly selector?: string;
}

/** Hubble's filters: flows against filters, and the parsers of their patterns and selectors. */
export function runFilter(testCase: ConformanceCase): Outcome {
  const { input: outer, expect, source_file: file = '' } = testCase as unknown as FilterCase;
  const input = outer.args ?? outer;
  let found: unknown;
  try {
    found = answer(input, expect.want, file.endsWith('Exclude'));
  } catch (error) {
    const { message } = error as Error;
    if (expect.wantErr !== true) return outcome(0, [`expected ${JSON.stringify(expect.want)}, got the error ${message}`]);
    const words = expect.wantErrContains ?? '';
    return message.includes(words) ? outcome(1) : outcome(0, [`expected an error with "${words}", got ${message}`]);
  }
  if (expect.wantErr === true) return outcome(0, [`expected an error, got ${JSON.stringify(found)}`]);
  const [wanted, got] = [JSON.stringify(wantedOf(input, expect.want)), JSON.stringify(found)];
  return wanted === got ? outcome(Array.isArray(expect.want) ? expect.want.length : 1) : outcome(0, [`expected ${wanted}, got ${got}`]);
}

const fail = (message: string) => new Error(message);

function answer(input: Input, want: unknown, isBlacklist: boolean): unknown {
  if (input.fqdnPatterns) return fqdnPattern(input.fqdnPatterns, fail);
  if (input.nodeNamePatterns) return nodeNamePattern(input.nodeNamePatterns, fail);
  const selector = input.in ?? input.selector;
  if (selector !== undefined) return normal(parseRequirements(selector));
  if (input.nodeName) {
    const matches = compileFilters([{ node_name: input.nodeName }], []);
    return Object.fromEntries(Object.keys((want ?? {}) as object).map(name => [name, matches(flowFromJson({ flow: { node_name: name } }))]));
  }
  const filters = input.f ?? [];
  const matches = isBlacklist ? compileFilters([], filters) : compileFilters(filters, []);
  // A list of answers is asked for several events, a single one for one.
  return Array.isArray(input.ev) ? input.ev.map(event => passes(event, matches, filters)) : Array.isArray(want) ? want.map(() => passes(input.ev, matches, filters)) : passes(input.ev, matches, filters);
}

/** What is no flow (nothing, or an event with nothing in it) passes only where nothing is asked. */
function passes(event: unknown, matches: ReturnType<typeof compileFilters>, filters: readonly FlowFilter[]): boolean {
  const flow = (event as { readonly Event?: Record<string, unknown> } | null | undefined)?.Event;
  if (!flow || Object.keys(flow).length === 0) return filters.every(filter => Object.values(filter).every(values => Array.isArray(values) && values.length === 0));
  return matches(flowFromJson({ flow: { ...flow, ...('is_reply' in flow && { is_reply: (flow['is_reply'] as { Value: boolean }).Value }) } }));
}

/** Selectors are expected as upstream rewrites them, the source before the key with a dot: compared by what they say. */
function wantedOf(input: Input, want: unknown): unknown {
  // The source asks as often as there are events: answers beyond are of nobody.
  if (Array.isArray(want) && Array.isArray(input.ev)) return want.slice(0, input.ev.length);
  if (input.in === undefined && input.selector === undefined) return want;
  return normal(parseRequirements(want as string).map(({ key, ...requirement }) => {
    const dot = key.indexOf('.');
    return { ...requirement, source: key.slice(0, dot), key: key.slice(dot + 1) };
  }));
}

function normal(requirements: readonly LabelRequirement[]): readonly string[] {
  return requirements.map(({ source, key, operator, values }) => `${source}:${key} ${operator} ${[...values].sort().join('|')}`).sort();
}

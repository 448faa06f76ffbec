/** The reference of the policy language, made of the schemas that the API server serves and of language-notes.ts. */
import { builtinSchema } from '../../src/apiserver/schema/builtin.ts';
import type { Schema } from '../../src/apiserver/schema/schema.ts';
import { clusterDefinitions } from '../../src/apiserver/crds/definitions.ts';
import { conditionNotes, fieldNotes } from './language-notes.ts';
import type { FieldNote } from './language-notes.ts';

interface KindEntry {
  readonly kind: string;
  readonly apiVersion: string;
  readonly scope: string;
  readonly shortNames: readonly string[];
  readonly schema: Schema;
}

const described = ['NetworkPolicy', 'CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy', 'CiliumCIDRGroup', 'AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'ClusterNetworkPolicy'];

interface Definition {
  readonly spec: {
    readonly group: string; readonly scope: string; readonly names: { readonly kind: string; readonly shortNames: readonly string[] };
    readonly versions: readonly { readonly name: string; readonly storage: boolean; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

function kinds(): readonly KindEntry[] {
  const custom = (clusterDefinitions as unknown as readonly Definition[]).map(({ spec }) => {
    const version = spec.versions.find(v => v.storage)!;
    return { kind: spec.names.kind, apiVersion: `${spec.group}/${version.name}`, scope: spec.scope, shortNames: spec.names.shortNames, schema: version.schema.openAPIV3Schema };
  });
  const all = new Map([{ kind: 'NetworkPolicy', apiVersion: 'networking.k8s.io/v1', scope: 'Namespaced', shortNames: ['netpol'], schema: builtinSchema('networking.k8s.io', 'NetworkPolicy') }, ...custom].map(entry => [entry.kind, entry] as const));
  return described.map(kind => {
    const found = all.get(kind);
    if (!found) throw new Error(`no schema for ${kind}`);
    return found;
  });
}

export function languageReference(): string {
  const page = new Page();
  const sections = kinds().map(entry => kindSection(page, entry));
  const stale = fieldNotes.flatMap(note => note.at).filter(at => !page.noted.has(at));
  if (stale.length > 0) throw new Error(`notes on fields that the schemas do not have: ${stale.join(', ')}`);
  return `${head}\n${sections.join('\n')}\n${page.selectors()}\n${conditionsSection()}`;
}

const head = `# The policy language

Made of the schemas that the API server serves by \`tools/language.ts\`: change those, not this page. What surprises people is told with examples
in [Policies](../policies.md); what a policy of yours does, by [the tools](../policy-tools.md).

**Who decides.** In this order, and the first that says something ends it: the node of a pod may always reach it; AdminNetworkPolicies and
ClusterNetworkPolicies of tier Admin, by priority, where \`Pass\` goes on to the next tier; NetworkPolicies and Cilium's, where a deny rule wins over
every allow rule, and default deny is the last word where some policy turned it on; BaselineAdminNetworkPolicy and ClusterNetworkPolicies of tier
Baseline; and where nobody says anything, yes. A connection between two pods is judged twice, at egress of its source and at ingress of its destination.

**Annotations** on a policy of any kind:

| annotation | value | meaning |
|---|---|---|
| \`policy.cirri.io/mode\` | \`enforce\` | as written; the default |
| | \`audit\` | what only this policy denies passes, and is reported with the verdict AUDIT; what it allows counts |
| | \`shadow\` | decides nothing; where the verdict would be another with it, that is [reported](../policy/shadow.md) |
| \`policy.cirri.io/established\` | \`recheck\` | connections that are not allowed any more end with their next packet; the default |
| | \`keep\` | its denials do not end connections that were allowed before |
| \`policy.cirri.io/l7-http\` | \`proxy\` | the node's proxy carries out its rules on HTTP |
| | \`kernel\` | the kernel does [where it can](../policy/l7.md#in-the-kernel); without the annotation the setting \`l7.http\` says who, and else it is the proxy |

On a Pod or a Namespace, \`policy.cirri.io/audit: "true"\` puts pods in audit mode: what is denied to them passes, and is reported.

In the tables **bold** fields are required, \`[]\` after a name is an entry of a list. An unknown field is an error.
`;

/** Shapes are written once: where the same one comes again, the text leads to the first. */
class Page {
  readonly noted = new Set<string>();
  readonly #shapes = new Map<string, string>();
  readonly #selectors = new Map<string, string>();

  /** A link when this shape stands elsewhere already, else undefined, and it stands at `title` from now on. */
  placeOf(schema: Schema, title: string): string | undefined {
    const key = shapeKey(schema);
    const known = this.#shapes.get(key);
    if (known === undefined) this.#shapes.set(key, title);
    return known;
  }

  /** Label selectors are everywhere: they have a section of their own. */
  selectorLink(schema: Schema): string | undefined {
    if (!schema.properties || !Object.hasOwn(schema.properties, 'matchLabels') || !Object.hasOwn(schema.properties, 'matchExpressions')) return undefined;
    this.#selectors.set('selector', 'selector');
    return '[selector](#label-selectors)';
  }

  selectors(): string {
    return `## Label selectors

| field | type | meaning |
|---|---|---|
| \`matchLabels\` | map of strings | labels that must be there with these values. In Cilium's kinds a key may name its source, \`k8s:app\`, \`reserved:host\`, \`any:app\` (the default: any source); in Kubernetes' kinds keys are keys of Kubernetes labels |
| \`matchExpressions[]\` | list | further requirements; all must hold |
| \`matchExpressions[].key\` | string | the label |
| \`matchExpressions[].operator\` | \`In\`, \`NotIn\`, \`Exists\`, \`DoesNotExist\` | how it is compared |
| \`matchExpressions[].values\` | list of strings | for \`In\` and \`NotIn\`; an empty list with \`In\` is an error |

An empty selector \`{}\` selects everything that its place speaks of; an absent one is said at its place. Labels that change from pod to pod (\`pod-template-hash\`,
\`statefulset.kubernetes.io/pod-name\`, …) are no part of identities and match nothing; \`cirri policy lint\` finds them.
`;
  }

  noteFor(kind: string, path: string): FieldNote | undefined {
    const names = [kind, ...(kind.startsWith('Cilium') ? ['Cilium'] : [])].map(name => `${name} ${path}`);
    const found = fieldNotes.find(note => note.at.some(at => names.includes(at)));
    for (const at of found?.at ?? []) if (names.includes(at)) this.noted.add(at);
    return found;
  }
}

function kindSection(page: Page, { kind, apiVersion, scope, shortNames, schema }: KindEntry): string {
  const { status, metadata, apiVersion: _, kind: __, ...own } = schema.properties ?? {};
  const short = shortNames.length > 0 ? `; short: ${shortNames.map(name => `\`${name}\``).join(', ')}` : '';
  const text = [`## ${kind}\n`, `\`${apiVersion}\`, ${scope === 'Namespaced' ? 'in a namespace' : 'cluster-wide'}${short}. ${schema.description ?? ''}\n`];
  const tables: string[] = [];
  const visit = (shape: Schema, path: string) => {
    const nested: (readonly [Schema, string])[] = [];
    const rows = Object.entries(shape.properties ?? {}).map(([name, field]) => {
      const at = path === '' ? name : `${path}.${name}`;
      const { type, inner, innerPath } = typeOf(page, field, at);
      let meaning = sentence(field.description);
      if (inner) {
        const place = page.placeOf(inner, `${kind}: ${innerPath}`);
        if (place === undefined) nested.push([inner, innerPath]);
        meaning += `; ${place === undefined ? 'see below' : `as [${place}](#${anchor(place)})`}`;
      }
      const bold = shape.required?.includes(name) ? `**\`${name}\`**` : `\`${name}\``;
      return `| ${bold} | ${type} | ${cellText(meaning)} | ${cellText(noteText(page.noteFor(kind, at)))} |`;
    });
    tables.push(`### ${kind}: ${path === '' ? 'the object' : path}\n\n| field | type | meaning | to know |\n|---|---|---|---|\n${rows.join('\n')}\n`);
    for (const [inner, at] of nested) visit(inner, at);
  };
  visit({ ...schema, properties: own }, '');
  return [...text, ...tables].join('\n');
}

interface FieldType { readonly type: string; readonly inner?: Schema; readonly innerPath: string }

function typeOf(page: Page, field: Schema, path: string): FieldType {
  const selector = page.selectorLink(field);
  if (selector !== undefined) return { type: selector, innerPath: path };
  if (field.type === 'array') {
    const items = typeOf(page, field.items ?? {}, `${path}[]`);
    const limit = field.maxItems === undefined ? '' : `, at most ${field.maxItems}`;
    return { ...items, type: `list of ${plural(items.type)}${limit}` };
  }
  if (field.type === 'object' && field.properties) return { type: 'object', inner: field, innerPath: path };
  if (field.type === 'object') return { type: typeof field.additionalProperties === 'object' ? 'map of strings' : 'object', innerPath: path };
  return { type: scalarType(field), innerPath: path };
}

function scalarType(field: Schema): string {
  if (field['x-kubernetes-int-or-string']) return 'number or string';
  if (field.enum) return field.enum.filter(value => value !== '').map(value => `\`${String(value)}\``).join(', ');
  const range = field.minimum !== undefined && field.maximum !== undefined ? `, ${field.minimum} to ${field.maximum}` : '';
  return `${field.type ?? 'any value'}${range}${field.default === undefined ? '' : `, default \`${JSON.stringify(field.default).replaceAll('"', '')}\``}`;
}

function plural(type: string): string {
  return ({ object: 'objects', string: 'strings', integer: 'numbers', '[selector](#label-selectors)': '[selectors](#label-selectors)' } as Readonly<Record<string, string>>)[type] ?? type;
}

function noteText(note: FieldNote | undefined): string {
  if (!note) return '';
  return [
    ...(note.absent === undefined ? [] : [`Absent: ${note.absent}.`]), ...(note.empty === undefined ? [] : [`Empty: ${note.empty}.`]), ...(note.note === undefined ? [] : [sentence(note.note) + '.']),
    ...(note.condition === undefined ? [] : [`Not enforced yet: [\`${note.condition}\`](#conditions).`]),
  ].join(' ');
}

function conditionsSection(): string {
  const rows = Object.entries(conditionNotes).map(([type, { severity, meaning }]) => `| \`${type}\` | ${severity} | ${cellText(meaning)} |`);
  return `## Conditions

What the author of an accepted policy should know stands on the object, in \`cirri policy get\` and in \`cirri policy lint\`. *degraded*: not enforced as written, and fails
closed; *warning*: enforced as written, which is perhaps not what was meant.

| condition | severity | meaning |
|---|---|---|
${rows.join('\n')}
`;
}

/** Without the full stop: more may follow in the cell. */
function sentence(text: string | undefined): string {
  const bare = (text ?? '').trim().replace(/\.$/, '');
  return bare.slice(0, 1).toUpperCase() + bare.slice(1);
}

function cellText(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/** GitHub's rule for the anchor of a heading. */
function anchor(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').trim().replaceAll(' ', '-');
}

/** Built-in types have names, and fields that are found when they are asked for; others are what they look like. */
function shapeKey(schema: Schema): string {
  return schema.typeName ?? JSON.stringify({ ...schema, description: undefined });
}

import { isObject } from '../object.ts';
import type { JsonObject, KubeObject } from '../object.ts';
import { forbiddenField, invalid, required } from '../status.ts';
import type { FieldError } from '../status.ts';

const label1123 = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const label1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const subdomain1123 = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const qualifiedPart = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

const label1123Text = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const label1035Text = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const subdomainText = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const qualifiedText = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const labelValueText = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/** A rule for names: why a text breaks it, or undefined. */
export type NameRule = (name: string) => string | undefined;

export const dnsLabel: NameRule = name =>
  name.length > 63 ? 'must be no more than 63 bytes' : label1123.test(name) ? undefined : label1123Text;
export const dnsLabel1035: NameRule = name =>
  name.length > 63 ? 'must be no more than 63 bytes' : label1035.test(name) ? undefined : label1035Text;
export const dnsSubdomain: NameRule = name =>
  name.length > 253 ? 'must be no more than 253 bytes' : subdomain1123.test(name) ? undefined : subdomainText;
/** What can stand in a path: roles and identities may have colons and capitals. */
export const pathSegment: NameRule = name =>
  name === '.' || name === '..' ? `may not be '${name}'` : /[/%]/.test(name) ? "may not contain '/' or '%'" : undefined;

/** `prefix/name` of label and annotation keys, finalizers and condition types. */
export const qualifiedName: NameRule = key => {
  const parts = key.split('/');
  if (parts.length > 2) return `a qualified name must consist of alphanumeric characters, '-', '_' or '.', with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`;
  const name = parts.at(-1)!;
  if (parts.length === 2) {
    if (parts[0] === '') return 'prefix part must be non-empty';
    const problem = dnsSubdomain(parts[0]!);
    if (problem) return `prefix part ${problem}`;
  }
  if (name === '') return 'name part must be non-empty';
  if (name.length > 63) return 'name part must be no more than 63 bytes';
  return qualifiedPart.test(name) ? undefined : qualifiedText;
};

export const labelValue: NameRule = value =>
  value.length > 63 ? 'must be no more than 63 bytes' : value === '' || qualifiedPart.test(value) ? undefined : labelValueText;

export function labelErrors(labels: unknown, field: string): FieldError[] {
  if (!isObject(labels)) return [];
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels)) {
    const keyProblem = qualifiedName(key);
    if (keyProblem) errors.push(invalid(field, key, keyProblem));
    const problem = typeof value === 'string' ? labelValue(value) : undefined;
    if (problem) errors.push(invalid(field, value, problem));
  }
  return errors;
}

const mostAnnotationBytes = 256 * 1024;

/** The rules for metadata that hold for every kind. `name` has its own rule per kind. */
export function metadataErrors(object: KubeObject, nameRule: NameRule): FieldError[] {
  const metadata: JsonObject = object.metadata;
  const errors: FieldError[] = [];
  if (!metadata['name']) errors.push(required('metadata.name', 'name or generateName is required'));
  else {
    const problem = nameRule(String(metadata['name']));
    if (problem) errors.push(invalid('metadata.name', metadata['name'], problem));
  }
  errors.push(...labelErrors(metadata['labels'], 'metadata.labels'));
  let bytes = 0;
  for (const [key, value] of Object.entries(isObject(metadata['annotations']) ? metadata['annotations'] : {})) {
    const problem = qualifiedName(key.toLowerCase());
    if (problem) errors.push(invalid('metadata.annotations', key, problem));
    bytes += key.length + String(value).length;
  }
  if (bytes > mostAnnotationBytes) errors.push({ field: 'metadata.annotations', reason: 'FieldValueTooLong', message: `Too long: may not be more than ${mostAnnotationBytes} bytes` });
  for (const finalizer of Array.isArray(metadata['finalizers']) ? metadata['finalizers'] : []) {
    const problem = qualifiedName(String(finalizer));
    if (problem) errors.push(invalid('metadata.finalizers', finalizer, problem));
  }
  return [...errors, ...ownerErrors(metadata)];
}

function ownerErrors(metadata: JsonObject): FieldError[] {
  const owners = Array.isArray(metadata['ownerReferences']) ? metadata['ownerReferences'] : [];
  const errors: FieldError[] = [];
  let controllers = 0;
  owners.forEach((owner, i) => {
    if (!isObject(owner)) return;
    for (const key of ['apiVersion', 'kind', 'name', 'uid']) {
      if (owner[key] === '') errors.push(invalid(`metadata.ownerReferences[${i}].${key}`, '', 'must not be empty'));
    }
    if (owner['controller'] === true) controllers++;
  });
  if (controllers > 1) errors.push(invalid('metadata.ownerReferences', controllers, 'Only one reference can have Controller set to true'));
  return errors;
}

/** Metadata that no update may change. */
export function immutableMetadataErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const before = old.metadata.finalizers ?? [];
  const added = (object.metadata.finalizers ?? []).filter(f => !before.includes(f));
  if (old.metadata.deletionTimestamp && added.length > 0) {
    errors.push(forbiddenField('metadata.finalizers', `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`));
  }
  return errors;
}

import { asArray, asNumber, asObjects, asObject, asString, at, ensureObject, equalJson, cloneJson } from '../object.ts';
import type { JsonObject, KubeObject } from '../object.ts';
import type { Hooks } from '../registry/resource.ts';
import { dnsLabel, dnsSubdomain, labelErrors } from '../schema/names.ts';
import { duplicate, forbiddenField, invalid, missingReference, required } from '../status.ts';
import type { FieldError } from '../status.ts';

/** Read by the controller that makes endpoint slices. */
const weightAnnotation = 'service.cirri.io/weight';

/** What is special about pods: initial status, image pull policy, names that refer to each other, and a spec that hardly changes. */
export const podHooks: Hooks = {
  setDefaults: object => setPodSpecDefaults(ensureObject(object, 'spec')),
  prepare(object, old) {
    const spec = ensureObject(object, 'spec');
    spec['priority'] ??= 0;
    spec['preemptionPolicy'] ??= 'PreemptLowerPriority';
    if (!old) object['status'] = { phase: 'Pending', qosClass: qosClass(spec) };
  },
  validate(object, old) {
    const errors = podSpecErrors(asObject(object['spec']) ?? {}, 'spec');
    if (old) errors.push(...immutableSpecErrors(object, old));
    return errors;
  },
  warnings(object) {
    const weight = asString(at(object.metadata.annotations, weightAnnotation));
    const good = weight === undefined || (/^\d{1,5}$/.test(weight) && Number(weight) <= 65_535);
    return good ? [] : [`metadata.annotations[${weightAnnotation}]: "${weight}" is no whole number from 0 to 65535: the pod counts as any other`];
  },
  gracePeriodSeconds(object, asked) {
    // Nobody runs a pod without a node or one that has ended: there is nothing to wait for.
    const phase = at(object, 'status', 'phase');
    if (!at(object, 'spec', 'nodeName') || phase === 'Succeeded' || phase === 'Failed') return 0;
    return asked ?? asNumber(at(object, 'spec', 'terminationGracePeriodSeconds')) ?? 30;
  },
};

/** For pods and for the templates of workloads. */
export function setPodSpecDefaults(spec: JsonObject, template = false): void {
  if (!template) spec['serviceAccountName'] ??= spec['serviceAccount'] ?? 'default';
  if (spec['serviceAccountName'] !== undefined) spec['serviceAccount'] = spec['serviceAccountName'];
  for (const container of allContainers(spec)) {
    if (container['image'] !== undefined) container['imagePullPolicy'] ??= pullPolicy(String(container['image']));
    const limits = asObject(at(container, 'resources', 'limits'));
    if (limits && !template) {
      const requests = ensureObject(asObject(container['resources'])!, 'requests');
      for (const [key, value] of Object.entries(limits)) requests[key] ??= value!;
    }
    if (spec['hostNetwork'] === true) for (const port of asObjects(container['ports'])) port['hostPort'] ??= port['containerPort'];
  }
}

function allContainers(spec: JsonObject): JsonObject[] {
  return [...asObjects(spec['initContainers']), ...asObjects(spec['containers'])];
}

/** No tag, or latest: the image may change behind the name. */
function pullPolicy(image: string): string {
  const tag = /:([^/:@]+)$/.exec(image.split('@')[0]!)?.[1];
  return image.includes('@') || (tag !== undefined && tag !== 'latest') ? 'IfNotPresent' : 'Always';
}

function qosClass(spec: JsonObject): string {
  const resources = allContainers(spec).map(c => asObject(c['resources']) ?? {});
  const empty = resources.every(r => Object.keys(asObject(r['limits']) ?? {}).length + Object.keys(asObject(r['requests']) ?? {}).length === 0);
  if (empty) return 'BestEffort';
  const guaranteed = resources.every(r => {
    const limits = asObject(r['limits']) ?? {};
    return limits['cpu'] !== undefined && limits['memory'] !== undefined && ['cpu', 'memory'].every(k => equalJson(at(r, 'requests', k), limits[k]));
  });
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

export function podSpecErrors(spec: JsonObject, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const volumes = new Set(asArray(spec['volumes']).map(v => asString(at(v, 'name'))));
  const containers = asArray(spec['containers']);
  if (containers.length === 0) errors.push(required(`${path}.containers`, 'a pod needs at least one container'));
  asArray(spec['volumes']).forEach((volume, i) => {
    const problem = dnsLabel(asString(at(volume, 'name')) ?? '');
    if (problem) errors.push(invalid(`${path}.volumes[${i}].name`, at(volume, 'name'), problem));
  });
  const names = new Set<string>();
  for (const list of ['initContainers', 'containers'] as const) {
    asArray(spec[list]).forEach((container, i) => {
      errors.push(...containerErrors(asObject(container) ?? {}, `${path}.${list}[${i}]`, volumes));
      const name = asString(at(container, 'name')) ?? '';
      if (names.has(name)) errors.push(duplicate(`${path}.${list}[${i}].name`, name));
      names.add(name);
    });
  }
  for (const key of ['hostname', 'subdomain']) {
    const problem = spec[key] === undefined ? undefined : dnsLabel(String(spec[key]));
    if (problem) errors.push(invalid(`${path}.${key}`, spec[key], problem));
  }
  for (const key of ['nodeName', 'serviceAccountName']) {
    const problem = spec[key] ? dnsSubdomain(String(spec[key])) : undefined;
    if (problem) errors.push(invalid(`${path}.${key}`, spec[key], problem));
  }
  errors.push(...labelErrors(spec['nodeSelector'], `${path}.nodeSelector`));
  const grace = asNumber(spec['terminationGracePeriodSeconds']);
  if (grace !== undefined && grace < 0) errors.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than or equal to 0'));
  return errors;
}

function containerErrors(container: JsonObject, path: string, volumes: ReadonlySet<string | undefined>): FieldError[] {
  const errors: FieldError[] = [];
  const problem = dnsLabel(asString(container['name']) ?? '');
  if (problem) errors.push(invalid(`${path}.name`, container['name'], problem));
  if (!container['image']) errors.push(required(`${path}.image`));
  const portNames = new Set<string>();
  asArray(container['ports']).forEach((port, i) => {
    errors.push(...portErrors(asNumber(at(port, 'containerPort')), `${path}.ports[${i}].containerPort`));
    const hostPort = asNumber(at(port, 'hostPort'));
    if (hostPort !== undefined && hostPort !== 0) errors.push(...portErrors(hostPort, `${path}.ports[${i}].hostPort`));
    const name = asString(at(port, 'name'));
    if (!name) return;
    const wrong = portNameProblem(name);
    if (wrong) errors.push(invalid(`${path}.ports[${i}].name`, name, wrong));
    if (portNames.has(name)) errors.push(duplicate(`${path}.ports[${i}].name`, name));
    portNames.add(name);
  });
  asArray(container['env']).forEach((variable, i) => {
    const name = asString(at(variable, 'name')) ?? '';
    if (name === '') errors.push(required(`${path}.env[${i}].name`));
    else if (!/^[\x20-\x3c\x3e-\x7e]+$/.test(name)) errors.push(invalid(`${path}.env[${i}].name`, name, 'a valid environment variable name must consist only of printable ASCII characters other than \'=\''));
    if (at(variable, 'value') && at(variable, 'valueFrom')) errors.push(invalid(`${path}.env[${i}].valueFrom`, '', 'may not be specified when `value` is not empty'));
  });
  asArray(container['volumeMounts']).forEach((mount, i) => {
    if (!volumes.has(asString(at(mount, 'name')))) errors.push(missingReference(`${path}.volumeMounts[${i}].name`, at(mount, 'name')));
  });
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) errors.push(...probeErrors(asObject(container[probe]), `${path}.${probe}`));
  return errors;
}

export function portErrors(port: number | undefined, path: string): FieldError[] {
  return port !== undefined && port >= 1 && port <= 65535 ? [] : [invalid(path, port ?? 0, 'must be between 1 and 65535, inclusive')];
}

/** IANA service names: at most 15 characters, with at least one letter (RFC 6335). */
export function portNameProblem(name: string): string | undefined {
  if (name.length > 15) return 'must be no more than 15 characters long';
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name) || name.includes('--')) return "must contain only lowercase alphanumeric characters and single '-' between them";
  return /[a-z]/.test(name) ? undefined : 'must contain at least one letter (a-z)';
}

function probeErrors(probe: JsonObject | undefined, path: string): FieldError[] {
  if (!probe) return [];
  const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc'].filter(h => probe[h] !== undefined);
  const errors: FieldError[] = [];
  if (handlers.length === 0) errors.push(required(path, 'must specify a handler type: exec, httpGet, tcpSocket or grpc'));
  if (handlers.length > 1) errors.push(forbiddenField(`${path}.${handlers[1]}`, 'may not specify more than 1 handler type'));
  for (const key of ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold']) {
    const value = asNumber(probe[key]);
    if (value !== undefined && value < 0) errors.push(invalid(`${path}.${key}`, value, 'must be greater than or equal to 0'));
  }
  return errors;
}

/** What an update may change: images, the deadline, and tolerations that are added. */
function immutableSpecErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const strip = (pod: KubeObject): JsonObject => {
    const spec = cloneJson(asObject(pod['spec']) ?? {});
    for (const container of allContainers(spec)) delete container['image'];
    for (const key of ['activeDeadlineSeconds', 'tolerations', 'ephemeralContainers', 'terminationGracePeriodSeconds', 'schedulingGates']) delete spec[key];
    // Binding sets the node of a pod that has none.
    if (!at(old, 'spec', 'nodeName')) delete spec['nodeName'];
    return spec;
  };
  if (equalJson(strip(object), strip(old))) return [];
  return [forbiddenField('spec', 'pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to existing tolerations); delete the pod and create it anew')];
}

import { asArray, asNumber, asObject, at, ensureObject, equalJson } from '../object.ts';
import type { JsonObject, KubeObject } from '../object.ts';
import type { Hooks } from '../registry/resource.ts';
import { labelErrors } from '../schema/names.ts';
import { matchesLabels, selectorRequirements } from '../selectors.ts';
import type { Labels } from '../selectors.ts';
import { forbiddenField, invalid, notSupported } from '../status.ts';
import type { FieldError } from '../status.ts';
import { podSpecErrors, setPodSpecDefaults } from './pods.ts';

interface WorkloadRules { readonly restartPolicies: readonly string[]; readonly immutable: readonly string[]; readonly strategyField?: string; readonly rollingDefaults?: JsonObject }

/** Hooks of everything that makes pods from a template. */
function workloadHooks(rules: WorkloadRules): Hooks {
  return {
    setDefaults(object) {
      const spec = ensureObject(object, 'spec');
      const podSpec = asObject(at(spec, 'template', 'spec'));
      if (podSpec) setPodSpecDefaults(podSpec, true);
      const strategy = rules.strategyField ? asObject(spec[rules.strategyField]) : undefined;
      if (strategy?.['type'] === 'RollingUpdate' && rules.rollingDefaults) strategy['rollingUpdate'] = { ...rules.rollingDefaults, ...asObject(strategy['rollingUpdate']) };
    },
    validate(object, old) {
      const spec = asObject(object['spec']) ?? {};
      return [...templateErrors(spec, rules), ...(old ? immutableErrors(spec, asObject(old['spec']) ?? {}, rules) : [])];
    },
  };
}

export const deploymentHooks = workloadHooks({ restartPolicies: ['Always'], immutable: ['selector'], strategyField: 'strategy', rollingDefaults: { maxUnavailable: '25%', maxSurge: '25%' } });
export const replicaSetHooks = workloadHooks({ restartPolicies: ['Always'], immutable: ['selector'] });
export const daemonSetHooks = workloadHooks({ restartPolicies: ['Always'], immutable: ['selector'], strategyField: 'updateStrategy', rollingDefaults: { maxUnavailable: 1, maxSurge: 0 } });
export const statefulSetHooks = workloadHooks({ restartPolicies: ['Always'], immutable: ['selector', 'serviceName', 'podManagementPolicy', 'volumeClaimTemplates'], strategyField: 'updateStrategy', rollingDefaults: { partition: 0 } });

const jobRules: WorkloadRules = { restartPolicies: ['OnFailure', 'Never'], immutable: ['completions', 'selector', 'template', 'completionMode'] };
const plainJob = workloadHooks(jobRules);

export const jobHooks: Hooks = {
  ...plainJob,
  prepare(object, old) {
    const spec = asObject(object['spec']);
    if (old || !spec || spec['manualSelector'] === true || !asObject(spec['template'])) return;
    const labels = ensureObject(ensureObject(asObject(spec['template'])!, 'metadata'), 'labels');
    const uid = object.metadata.uid ?? '';
    Object.assign(labels, { 'batch.kubernetes.io/controller-uid': uid, 'batch.kubernetes.io/job-name': object.metadata.name, 'controller-uid': uid, 'job-name': object.metadata.name });
    spec['selector'] = { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } };
    if (spec['completions'] === undefined) spec['completions'] = 1;
  },
};

function templateErrors(spec: JsonObject, rules: WorkloadRules): FieldError[] {
  const errors: FieldError[] = [];
  const replicas = asNumber(spec['replicas']);
  if (replicas !== undefined && replicas < 0) errors.push(invalid('spec.replicas', replicas, 'must be greater than or equal to 0'));
  errors.push(...selectorErrors(asObject(spec['selector']), 'spec.selector'));
  const template = asObject(spec['template']);
  if (!template) return errors;
  const labels = asObject(at(template, 'metadata', 'labels')) ?? {};
  errors.push(...labelErrors(labels, 'spec.template.metadata.labels'));
  const requirements = selectorRequirements(spec['selector']);
  if (spec['selector'] !== undefined && requirements.length === 0) errors.push(invalid('spec.selector', spec['selector'], 'empty selector is invalid: it would select every pod of the namespace'));
  else if (spec['selector'] !== undefined && !matchesLabels(requirements, labels as Labels)) {
    errors.push(invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'));
  }
  const podSpec = asObject(template['spec']) ?? {};
  if (podSpec['restartPolicy'] !== undefined && !rules.restartPolicies.includes(String(podSpec['restartPolicy']))) {
    errors.push(notSupported('spec.template.spec.restartPolicy', podSpec['restartPolicy'], rules.restartPolicies));
  }
  errors.push(...podSpecErrors(podSpec, 'spec.template.spec'));
  const strategy = rules.strategyField ? asObject(spec[rules.strategyField]) : undefined;
  if (strategy?.['type'] === 'Recreate' && strategy['rollingUpdate'] !== undefined) {
    errors.push(forbiddenField(`spec.${rules.strategyField}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'"));
  }
  return errors;
}

/** What is wrong with a LabelSelector object. */
export function selectorErrors(selector: JsonObject | undefined, path: string): FieldError[] {
  const errors = labelErrors(selector?.['matchLabels'], `${path}.matchLabels`);
  asArray(selector?.['matchExpressions']).forEach((expression, i) => {
    const operator = String(at(expression, 'operator') ?? '');
    const values = asArray(at(expression, 'values'));
    const below = `${path}.matchExpressions[${i}]`;
    if (!['In', 'NotIn', 'Exists', 'DoesNotExist'].includes(operator)) errors.push(invalid(`${below}.operator`, operator, 'not a valid selector operator; use In, NotIn, Exists or DoesNotExist'));
    else if (operator.includes('In') && values.length === 0) errors.push({ field: `${below}.values`, reason: 'FieldValueRequired', message: "Required value: must be specified when `operator` is 'In' or 'NotIn'" });
    else if (operator.includes('Exist') && values.length > 0) errors.push(forbiddenField(`${below}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
  });
  return errors;
}

function immutableErrors(spec: JsonObject, old: JsonObject, rules: WorkloadRules): FieldError[] {
  return rules.immutable.filter(field => !equalJson(spec[field], old[field])).map(field => invalid(`spec.${field}`, spec[field], 'field is immutable; delete the object and create it anew to change it'));
}


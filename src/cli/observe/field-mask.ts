import { flowToJson, type Json } from '../../flows/jsonpb.ts';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import type { Flow } from '../../model/flow.ts';
import { CirriError } from '../../std/errors.ts';

/** What hubble asks for by default in the layouts of lines (--use-default-field-masks). */
export const defaultMask: readonly string[] = [
  'time', 'verdict', 'ethernet', 'IP', 'l4', 'source.identity', 'source.namespace', 'source.pod_name', 'destination.identity', 'destination.namespace', 'destination.pod_name',
  'Type', 'node_name', 'l7', 'event_type', 'source_service', 'destination_service', 'is_reply', 'Summary', 'ip_trace_id', 'traffic_direction', 'policy_match_type',
  'egress_allowed_by', 'ingress_allowed_by', 'egress_denied_by', 'ingress_denied_by',
];

/** A flow with the fields of these paths alone (google.protobuf.FieldMask, `source.pod_name`); the others have protobuf's zero. */
export function maskFlow(flow: Flow, paths: readonly string[]): Flow {
  return flowFromJson({ flow: maskJson(flowToJson(flow).flow, paths) });
}

export function maskPaths(values: readonly string[]): readonly string[] {
  const paths = values.flatMap(value => value.split(',')).map(path => path.trim()).filter(path => path !== '');
  const wrong = paths.find(path => !/^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/.test(path));
  if (wrong !== undefined) throw new CirriError('ERR_FLAG', `--field-mask ${wrong}: not a path of fields`, { mend: 'write them as flow.proto does: time,source.pod_name,verdict' });
  return paths;
}

function maskJson(json: Json, paths: readonly string[]): Json {
  const kept: Record<string, unknown> = {};
  for (const path of paths) {
    const [head, ...rest] = path.split('.') as [string, ...string[]];
    const value = json[head];
    if (value === undefined) continue;
    if (rest.length === 0) kept[head] = value;
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) kept[head] = { ...(kept[head] as Json | undefined), ...maskJson(value as Json, [rest.join('.')]) };
  }
  return kept;
}

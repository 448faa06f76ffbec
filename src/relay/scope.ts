import { clone, create } from '@bufbuild/protobuf';
import { FieldMaskSchema } from '@bufbuild/protobuf/wkt';
import { FlowFilterSchema, type FlowFilter } from '../hubble/generated/flow_pb.js';
import { GetFlowsRequestSchema, type GetFlowsRequest } from '../hubble/generated/observer_pb.js';
import { maySee, type Access } from './access.ts';
import { endNamespaces, readEnvelope } from './envelope.ts';

/**
 * The request as it is put to nodes for somebody who may see some namespaces only: narrower where filters can say it, so that
 * "the last 20" are 20 of theirs. What decides is `passes`.
 */
export function scopedRequest(request: GetFlowsRequest, { namespaces }: Access): GetFlowsRequest {
  if (namespaces === undefined) return request;
  const scoped = clone(GetFlowsRequestSchema, request);
  const own = namespaces.map(namespace => `${namespace}/`);
  const filters = request.whitelist.length > 0 ? request.whitelist : [create(FlowFilterSchema)];
  scoped.whitelist = filters.flatMap(filter => [withPods(filter, 'sourcePod', own), withPods(filter, 'destinationPod', own)]);
  if (scoped.fieldMask) {
    // `passes` must see the namespaces.
    scoped.fieldMask = create(FieldMaskSchema, { paths: [...new Set([...scoped.fieldMask.paths, 'source.namespace', 'destination.namespace'])] });
  }
  return scoped;
}

/** Values of one field are alternatives, so a field that is set already cannot be narrowed: it stays, and `passes` decides. */
function withPods(filter: FlowFilter, field: 'sourcePod' | 'destinationPod', own: readonly string[]): FlowFilter {
  if (filter[field].length > 0) return filter;
  const narrowed = clone(FlowFilterSchema, filter);
  narrowed[field] = [...own];
  return narrowed;
}

/** Undefined where everything may be seen. A message that cannot be read, or is no flow, does not pass for others. */
export function passesFor(access: Access): ((message: Uint8Array) => boolean) | undefined {
  if (access.namespaces === undefined) return undefined;
  return message => {
    try {
      const { kind } = readEnvelope(message);
      if (kind === 'lost_events' || kind === 'node_status') return true;
      if (kind !== 'flow') return false;
      const { source, destination } = endNamespaces(message);
      return maySee(access, source, destination);
    } catch {
      return false;
    }
  };
}

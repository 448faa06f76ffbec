import { clone, create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FieldMaskSchema } from '@bufbuild/protobuf/wkt';
import { FlowFilterSchema, type FlowFilter } from '../hubble/generated/flow_pb.js';
import { flowToProto } from '../hubble/flow-codec.ts';
import { flowFromProto } from '../hubble/flow-from-proto.ts';
import { GetFlowsRequestSchema, GetFlowsResponseSchema, type GetFlowsRequest } from '../hubble/generated/observer_pb.js';
import { maySee, type Access } from './access.ts';
import { endNamespaces, readEnvelope } from './envelope.ts';
import { scopedFlow } from './web/scope.ts';

/**
 * The request as it is put to nodes for somebody who may see some namespaces only: narrower where filters can say it, so that
 * "the last 20" are 20 of theirs. What decides is `scopeFor`.
 */
export function scopedRequest(request: GetFlowsRequest, { namespaces }: Access): GetFlowsRequest {
  if (namespaces === undefined) return request;
  const scoped = clone(GetFlowsRequestSchema, request);
  const own = namespaces.map(namespace => `${namespace}/`);
  const filters = request.whitelist.length > 0 ? request.whitelist : [create(FlowFilterSchema)];
  scoped.whitelist = filters.flatMap(filter => [withPods(filter, 'sourcePod', own), withPods(filter, 'destinationPod', own)]);
  if (scoped.fieldMask) {
    // `scopeFor` must see the namespaces.
    scoped.fieldMask = create(FieldMaskSchema, { paths: [...new Set([...scoped.fieldMask.paths, 'source.namespace', 'destination.namespace'])] });
  }
  return scoped;
}

/** Values of one field are alternatives, so a field that is set already cannot be narrowed: it stays, and `scopeFor` decides. */
function withPods(filter: FlowFilter, field: 'sourcePod' | 'destinationPod', own: readonly string[]): FlowFilter {
  if (filter[field].length > 0) return filter;
  const narrowed = clone(FlowFilterSchema, filter);
  narrowed[field] = [...own];
  return narrowed;
}

/**
 * What becomes of an answer on its way to somebody who may see some namespaces only: flows with an end in one of them, the other
 * end reduced to who it is. Undefined where everything may be seen; the function gives undefined for what may not be.
 */
export function scopeFor(access: Access): ((message: Uint8Array) => Uint8Array | undefined) | undefined {
  if (access.namespaces === undefined) return undefined;
  const scope = new Set(access.namespaces);
  return message => {
    const { kind } = readEnvelope(message);
    if (kind === 'lost_events' || kind === 'node_status') return message;
    if (kind !== 'flow') return undefined;
    const { source, destination } = endNamespaces(message);
    if (!maySee(access, source, destination)) return undefined;
    if (maySee(access, source, undefined) && maySee(access, undefined, destination)) return message;
    const response = fromBinary(GetFlowsResponseSchema, message);
    if (response.responseTypes.case !== 'flow') return undefined;
    const flow = scopedFlow(flowFromProto(response.responseTypes.value), scope);
    return toBinary(GetFlowsResponseSchema, { ...response, responseTypes: { case: 'flow', value: flowToProto(flow) } });
  };
}

import { create, createRegistry, toBinary, type DescFile, type MessageInitShape, type Registry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { RpcStatus, type Call, type Method } from '../rpc/types.ts';
import { file_cirri } from './generated/cirri_pb.js';
import { file_grpc_health_v1_health } from './generated/grpc/health/v1/health_pb.js';
import {
  file_grpc_reflection_v1_reflection, ServerReflectionRequestSchema as RequestV1, ServerReflectionResponseSchema as ResponseV1, type ServerReflectionRequest,
} from './generated/grpc/reflection/v1/reflection_pb.js';
import { file_grpc_reflection_v1alpha_reflection } from './generated/grpc/reflection/v1alpha/reflection_pb.js';
import { file_observer } from './generated/observer_pb.js';
import { file_peer } from './generated/peer_pb.js';
import { decode } from './method.ts';

const files: readonly DescFile[] = [file_observer, file_peer, file_cirri, file_grpc_health_v1_health, file_grpc_reflection_v1_reflection, file_grpc_reflection_v1alpha_reflection];

/** gRPC's server reflection, v1 and v1alpha (the same messages under another name), of the services of these methods. */
export function reflectionMethods(methods: readonly Method[]): Method[] {
  const paths = ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo'];
  const services = [...new Set([...methods.map(({ path }) => path), ...paths].map(path => path.split('/')[1]!))].sort();
  const handle = async (call: Call) => {
    for (let bytes = await call.read(); bytes; bytes = await call.read()) {
      const request = decode(RequestV1, bytes);
      await call.write(toBinary(ResponseV1, create(ResponseV1, { validHost: request.host, originalRequest: request, messageResponse: answer(request, services) })));
    }
  };
  return paths.map(path => ({ path, kind: 'bidi', handle }));
}

type Answer = MessageInitShape<typeof ResponseV1>['messageResponse'];

const served: ReadonlyMap<string, DescFile> = new Map(files.flatMap(withImports).map(file => [file.proto.name, file]));
const registry: Registry = createRegistry(...served.values());

function answer({ messageRequest }: ServerReflectionRequest, services: readonly string[]): Answer {
  switch (messageRequest.case) {
    case 'listServices':
      return { case: 'listServicesResponse', value: { service: services.map(name => ({ name })) } };
    case 'fileByFilename':
      return descriptors(served.get(messageRequest.value), messageRequest.value);
    case 'fileContainingSymbol':
      return descriptors(fileOfSymbol(messageRequest.value), messageRequest.value);
    case 'fileContainingExtension':
      return failure(`${messageRequest.value.containingType} has no extension ${messageRequest.value.extensionNumber}`);
    case 'allExtensionNumbersOfType':
      if (!registry.getMessage(messageRequest.value)) return failure(messageRequest.value);
      return { case: 'allExtensionNumbersResponse', value: { baseTypeName: messageRequest.value } };
    default:
      return { case: 'errorResponse', value: { errorCode: RpcStatus.invalidArgument, errorMessage: 'the request asks for nothing' } };
  }
}

/** The file and what it imports, what is imported after what imports it. */
function descriptors(file: DescFile | undefined, asked: string): Answer {
  if (!file) return failure(asked);
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto: withImports(file).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)) } };
}

function failure(asked: string): Answer {
  return { case: 'errorResponse', value: { errorCode: RpcStatus.notFound, errorMessage: `not found: ${asked}` } };
}

function withImports(file: DescFile): DescFile[] {
  const found = new Set<DescFile>();
  const visit = (each: DescFile) => {
    if (found.has(each)) return;
    found.add(each);
    each.dependencies.forEach(visit);
  };
  visit(file);
  return [...found];
}

/** A service, message or enum by its full name, or a method or field of one. */
function fileOfSymbol(symbol: string): DescFile | undefined {
  const named = registry.get(symbol) ?? registry.get(symbol.slice(0, Math.max(0, symbol.lastIndexOf('.'))));
  return named && ('file' in named ? named.file : undefined);
}

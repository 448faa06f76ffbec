import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, type ServiceDescriptorProto } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { safe } from '../../flows/print/safe.ts';
import { ServerReflectionRequestSchema, ServerReflectionResponseSchema, type ServerReflectionRequest, type ServerReflectionResponse } from '../../hubble/generated/grpc/reflection/v1/reflection_pb.js';
import type { RpcClient } from '../../rpc/client.ts';
import { CirriError } from '../../std/errors.ts';
import { line } from '../output.ts';
import { addServerFlags, callServer, plainFlags, serverOf, type ReadFlags, type ServerFlags } from './server.ts';

const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';

type Settings = Parameters<RpcClient['unary']>[2];

export function registerReflect(program: Command, read: ReadFlags = plainFlags): void {
  const reflect = addServerFlags(program.command('reflect'))
    .summary("the services and calls of the server's API, as it tells them")
    .description("Asks the server by gRPC's reflection which services it has, and prints their calls as .proto files write them.");
  reflect.action(() => callServer(serverOf(read<ServerFlags>(reflect)), async (client, settings) => {
    const listed = await ask(client, settings, { case: 'listServices', value: '' });
    const names = listed.messageResponse.case === 'listServicesResponse' ? listed.messageResponse.value.service.map(({ name }) => name).sort() : [];
    for (const [i, name] of names.entries()) {
      if (i > 0) line();
      line(safe(`// ${name}`));
      for (const text of serviceLines(await serviceOf(client, settings, name))) line(safe(text));
    }
  }));
}

async function serviceOf(client: RpcClient, settings: Settings, name: string): Promise<ServiceDescriptorProto> {
  const { messageResponse } = await ask(client, settings, { case: 'fileContainingSymbol', value: name });
  const files = messageResponse.case === 'fileDescriptorResponse' ? messageResponse.value.fileDescriptorProto.map(bytes => fromBinary(FileDescriptorProtoSchema, bytes)) : [];
  const found = files.flatMap(file => file.service.filter(service => `${file.package}.${service.name}` === name))[0];
  if (!found) throw new CirriError('ERR_HUBBLE_SERVER', `the server lists ${safe(name)} and does not describe it`);
  return found;
}

function serviceLines({ name, method }: ServiceDescriptorProto): string[] {
  const type = (text: string, isStream: boolean) => `${isStream ? 'stream ' : ''}${text.replace(/^\./, '')}`;
  return [`service ${name} {`, ...method.map(m => `  rpc ${m.name}(${type(m.inputType, m.clientStreaming)}) returns (${type(m.outputType, m.serverStreaming)});`), '}'];
}

/** One question, one answer: the stream ends after it. */
async function ask(client: RpcClient, settings: Settings, question: ServerReflectionRequest['messageRequest']): Promise<ServerReflectionResponse> {
  const request = toBinary(ServerReflectionRequestSchema, create(ServerReflectionRequestSchema, { messageRequest: question }));
  for await (const bytes of client.stream(path, request, settings)) return fromBinary(ServerReflectionResponseSchema, bytes);
  throw new CirriError('ERR_HUBBLE_SERVER', 'the server does not answer questions about itself');
}

import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { RpcError, RpcStatus, type Call, type Method } from '../rpc/types.ts';
import { CirriError, errorText } from '../std/errors.ts';

/** A unary method over protobuf messages. What the user did wrong (CirriError) is INVALID_ARGUMENT. */
export function unaryMethod<I extends DescMessage, O extends DescMessage>(
  path: string, types: { readonly input: I; readonly output: O }, answer: (request: MessageShape<I>, call: Call) => MessageInitShape<O> | Promise<MessageInitShape<O>>,
): Method {
  return {
    path, kind: 'unary',
    handle: call => withUserErrors(async () => {
      const request = await readRequest(call, types.input);
      await call.write(toBinary(types.output, create(types.output, await answer(request, call))));
    }),
  };
}

/** A method that answers with a stream that it writes itself. */
export function streamMethod<I extends DescMessage>(path: string, input: I, handle: (request: MessageShape<I>, call: Call) => Promise<void>): Method {
  return { path, kind: 'server-stream', handle: call => withUserErrors(async () => handle(await readRequest(call, input), call)) };
}

/** Throws RpcError INTERNAL on bytes that are no such message, as grpc-go words it. */
export async function readRequest<I extends DescMessage>(call: Call, input: I): Promise<MessageShape<I>> {
  const bytes = await call.read();
  if (bytes === undefined) throw new RpcError(RpcStatus.internal, 'the request holds no message');
  return decode(input, bytes);
}

export function decode<I extends DescMessage>(input: I, bytes: Uint8Array): MessageShape<I> {
  try {
    return fromBinary(input, bytes);
  } catch (error) {
    throw new RpcError(RpcStatus.internal, `grpc: failed to unmarshal the received message: ${errorText(error)}`);
  }
}

async function withUserErrors(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof CirriError)) throw error;
    throw new RpcError(RpcStatus.invalidArgument, [errorText(error), error.mend].filter(Boolean).join('; '));
  }
}

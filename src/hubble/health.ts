import { create, toBinary } from '@bufbuild/protobuf';
import { RpcError, RpcStatus, type Method } from '../rpc/types.ts';
import { HealthCheckRequestSchema, HealthCheckResponse_ServingStatus as Serving, HealthCheckResponseSchema } from './generated/grpc/health/v1/health_pb.js';
import { streamMethod, unaryMethod } from './method.ts';

/** gRPC's health service: '' is the server. What is offered serves for as long as the server does. */
export function healthMethods(services: readonly string[]): Method[] {
  const known = new Set(['', ...services]);
  return [
    unaryMethod('/grpc.health.v1.Health/Check', { input: HealthCheckRequestSchema, output: HealthCheckResponseSchema }, ({ service }) => {
      if (!known.has(service)) throw new RpcError(RpcStatus.notFound, 'unknown service');
      return { status: Serving.SERVING };
    }),
    streamMethod('/grpc.health.v1.Health/Watch', HealthCheckRequestSchema, async ({ service }, call) => {
      const status = known.has(service) ? Serving.SERVING : Serving.SERVICE_UNKNOWN;
      await call.write(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status })));
      if (!call.signal.aborted) await new Promise(resolve => call.signal.addEventListener('abort', resolve, { once: true }));
    }),
  ];
}

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { serverStatusText, type ServerStatus } from '../../flows/print/status.ts';
import { HealthCheckRequestSchema, HealthCheckResponse_ServingStatus, HealthCheckResponseSchema } from '../../hubble/generated/grpc/health/v1/health_pb.js';
import { ServerStatusResponseSchema } from '../../hubble/generated/observer_pb.js';
import type { RpcClient } from '../../rpc/client.ts';
import { RpcError, RpcStatus } from '../../rpc/types.ts';
import { CirriError } from '../../std/errors.ts';
import { line } from '../output.ts';
import { formatOf } from '../observe/options.ts';
import { addServerFlags, callServer, plainFlags, serverOf, type ReadFlags, type ServerFlags } from './server.ts';

interface Flags extends ServerFlags {
  readonly output: string;
}

export function registerStatus(program: Command, read: ReadFlags = plainFlags): void {
  const status = addServerFlags(program.command('status'))
    .summary('how the Hubble server is')
    .description('Whether the server serves, how many flows it holds and sees a second, and which nodes it reaches. Exit code 1 when it does not serve.')
    .option('-o, --output <format>', 'compact, dict, json or table', 'compact')
    .addHelpText('after', `
Examples:
  ./cirri hubble status
  ./cirri hubble status --server localhost:4245 -o json`);
  status.action(() => run(read<Flags>(status)));
}

async function run(flags: Flags): Promise<void> {
  const format = formatOf(flags.output);
  const server = serverOf(flags);
  await callServer(server, async (client, settings) => {
    const health = await healthText(client, settings);
    if (format === 'compact') line(`Healthcheck (via ${server.address}): ${health}`);
    if (health !== 'Ok') throw new CirriError('ERR_HUBBLE_SERVER', `not healthy: ${health}`);
    line(serverStatusText(await statusOf(client, settings), format));
  });
}

type Settings = Parameters<RpcClient['unary']>[2];

/** As upstream words it. A server without the health service is asked no further. */
async function healthText(client: RpcClient, settings: Settings): Promise<string> {
  const request = toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service: 'observer.Observer' }));
  try {
    const { status } = fromBinary(HealthCheckResponseSchema, await client.unary('/grpc.health.v1.Health/Check', request, settings));
    return status === HealthCheckResponse_ServingStatus.SERVING ? 'Ok' : `Unavailable: ${HealthCheckResponse_ServingStatus[status] ?? status}`;
  } catch (error) {
    if (error instanceof RpcError && error.code === RpcStatus.unimplemented) return 'Ok';
    throw error;
  }
}

/** ServerStatus of a server, numbers as numbers. Rejects with RpcError. */
export async function statusOf(client: RpcClient, settings: Settings): Promise<ServerStatus> {
  const status = fromBinary(ServerStatusResponseSchema, await client.unary('/observer.Observer/ServerStatus', new Uint8Array(), settings));
  return {
    numFlows: Number(status.numFlows), maxFlows: Number(status.maxFlows), seenFlows: Number(status.seenFlows), uptimeNs: Number(status.uptimeNs), version: status.version, flowsRate: status.flowsRate,
    ...(status.numConnectedNodes !== undefined && { numConnectedNodes: status.numConnectedNodes }),
    ...(status.numUnavailableNodes !== undefined && { numUnavailableNodes: status.numUnavailableNodes }),
    unavailableNodes: status.unavailableNodes,
  };
}

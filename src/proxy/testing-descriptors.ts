/**
 * `node testing-descriptors.ts PORT`: a worker in front of 127.0.0.1:PORT, in a process whose descriptors a test has limited. Its own
 * port is its first line; for each line of input it answers with its counts.
 */
import { createInterface } from 'node:readline';
import { startProxyRig } from './testing-rig.ts';

const rig = startProxyRig({ protocol: 'http', rules: [{ rule: 3, path: '/public.*', headers: [] }] }, Number(process.argv[2]));
process.stdout.write(`${rig.port}\n`);
createInterface({ input: process.stdin })
  .on('line', () => process.stdout.write(`${JSON.stringify({ connections: rig.worker.connections.length, refused: rig.worker.counts.refused, processorMs: (process.cpuUsage().user + process.cpuUsage().system) / 1000 })}\n`))
  .on('close', () => process.exit(0));

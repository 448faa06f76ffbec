/** The small broker in a pod: it tells clients the pod's own address. */
import { networkInterfaces } from 'node:os';
import { startTestingBroker } from '../../../src/proxy/kafka/testing-broker.ts';

const port = Number(process.argv[2]);
const host = Object.values(networkInterfaces()).flatMap(list => list ?? []).find(one => one.family === 'IPv4' && !one.internal)!.address;
await startTestingBroker({ advertised: () => ({ host, port }), host: '::', port });
console.log(`${host}:${port}`);

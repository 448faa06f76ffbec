/** For tests: a kubelet in a process of its own, to be killed. Arguments: instance, state folder, number of pods. Says `ready` when they are. */
import { silentLogger } from '../std/log.ts';
import { TestNode } from './testing.ts';

const [instance = '', state = '', pods = '1'] = process.argv.slice(2);
const node = new TestNode(silentLogger, { instance, state });
await node.start();
for (let i = 0; i < Number(pods); i++) node.addPod(`p${i}`, { containers: [{ name: 'main', image: 'cirri/echo' }] }, { uid: `0000000${i}-0000-4000-8000-000000000000` });
process.stdout.write('started\n');
for (let i = 0; i < Number(pods); i++) await node.untilReady(`p${i}`);
process.stdout.write('ready\n');

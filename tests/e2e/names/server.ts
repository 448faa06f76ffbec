/**
 * A name server of the outside and the machines behind its names, as one process in a namespace: `node server.ts ADDRESS…`. It answers
 * any name with addresses that it has never given before, so that whoever connects to one has it from that very answer.
 *
 *     fifty.…       fifty addresses, others each time
 *     chain.…       CNAME chain.a.example.net → chain.b.example.net → addresses
 *     none.…        NXDOMAIN
 *     big.…         truncated over UDP
 *     shared.…      always the same address
 *     all others    four addresses
 */
import dgram from 'node:dgram';
import net from 'node:net';

const [v4, v6] = [0xc612_0000, '2001:db8:18:'];
const [typeA, typeCname, typeAaaa] = [1, 5, 28];
/** Seconds. */
const ttl = 5;
let given = 0;
/** One that counting does not come to. */
const sharedNumber = 512 * 254 - 1;

for (const address of process.argv.slice(2)) {
  const udp = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  udp.on('message', (question, from) => {
    const answer = respond(question, false);
    if (answer) udp.send(answer, from.port, from.address);
  });
  udp.bind(53, address);
  net.createServer(socket => {
    let pending = Buffer.alloc(0);
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      pending = Buffer.concat([pending, bytes]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const length = pending.readUInt16BE(0);
        const answer = respond(pending.subarray(2, 2 + length), true);
        pending = pending.subarray(2 + length);
        if (!answer) continue;
        const head = Buffer.alloc(2);
        head.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([head, answer]));
      }
    });
  }).listen(53, address);
}
process.stdout.write('ready\n');
process.stdin.resume().on('end', () => process.exit(0));

function respond(question: Buffer, overTcp: boolean): Buffer | undefined {
  const end = endOfName(question, 12);
  if (end === undefined || question.length < end + 4 || question.readUInt16BE(4) !== 1) return undefined;
  const first = question.subarray(13, 13 + question[12]!).toString('latin1').toLowerCase();
  const type = question.readUInt16BE(end);
  const records: Buffer[] = [];
  let owner = pointer(12);
  if (first.startsWith('chain')) {
    for (const target of ['a', 'b'].map(label => name(`${first}.${label}.example.net`))) {
      records.push(record(owner, typeCname, target));
      owner = target;
    }
  }
  const isShared = first.startsWith('shared');
  const count = first.startsWith('none') ? 0 : isShared ? 1 : first.startsWith('fifty') || first.startsWith('big') ? 50 : 4;
  if (type === typeA || type === typeAaaa) for (let i = 0; i < count; i++) records.push(record(owner, type, (type === typeA ? address4 : address6)(isShared ? sharedNumber : given++)));
  const truncated = !overTcp && first.startsWith('big');
  const head = Buffer.alloc(12);
  question.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | (truncated ? 0x0200 : 0) | (first.startsWith('none') ? 3 : 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(truncated ? 0 : records.length, 6);
  return Buffer.concat([head, question.subarray(12, end + 4), ...(truncated ? [] : records)]);
}

function record(owner: Buffer, type: number, data: Buffer): Buffer {
  const middle = Buffer.alloc(10);
  middle.writeUInt16BE(type, 0);
  middle.writeUInt16BE(1, 2);
  middle.writeUInt32BE(ttl, 4);
  middle.writeUInt16BE(data.length, 8);
  return Buffer.concat([owner, middle, data]);
}

function name(text: string): Buffer {
  return Buffer.concat([...text.split('.').map(label => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')])), Buffer.from([0])]);
}

function pointer(to: number): Buffer {
  return Buffer.from([0xc0, to]);
}

/** 198.18.0.0/15 (RFC 2544), without those that end in 0 or 255. */
function address4(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(v4 + Math.floor(n / 254) % 512 * 256 + 1 + n % 254);
  return bytes;
}

function address6(n: number): Buffer {
  const groups = `${v6}0:0:0:${(n >>> 16).toString(16)}:${(1 + n % 0xffff).toString(16)}`.split(':');
  return Buffer.concat(groups.map(group => Buffer.from(group.padStart(4, '0'), 'hex')));
}

function endOfName(bytes: Buffer, from: number): number | undefined {
  let at = from;
  while (at < bytes.length) {
    const size = bytes[at]!;
    if (size === 0) return at + 1;
    if (size > 63) return undefined;
    at += size + 1;
  }
  return undefined;
}

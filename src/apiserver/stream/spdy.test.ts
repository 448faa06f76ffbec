import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { constants, createDeflate, createInflate, type Deflate } from 'node:zlib';
import fc from 'fast-check';
import { dataFrame, headerDictionary, SpdyDecoder, SpdyError } from './spdy-frames.ts';
import { SpdyServer, type SpdyStream } from './spdy.ts';

function block(headers: Readonly<Record<string, string>>): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([0, 0, 0, value.length]), Buffer.from(value)]);
  const pairs = Object.entries(headers).map(([name, value]) => Buffer.concat([text(name), text(value)]));
  return Buffer.concat([Buffer.from([0, 0, 0, pairs.length]), ...pairs]);
}

/** A client as Kubernetes' is: one compressor with the dictionary for the whole connection. */
class Client {
  readonly socket: Duplex;
  readonly #deflate: Deflate = createDeflate({ dictionary: headerDictionary, flush: constants.Z_SYNC_FLUSH });

  constructor(socket: Duplex) {
    this.socket = socket;
  }

  async open(stream: number, headers: Readonly<Record<string, string>>, compressed?: Buffer): Promise<void> {
    const bytes = compressed ?? (await new Promise<Buffer>(resolve => {
      this.#deflate.once('data', resolve);
      this.#deflate.write(block(headers));
    }));
    const head = Buffer.from([0x80, 3, 0, 1, 0, 0, 0, 10 + bytes.length, 0, 0, 0, stream, 0, 0, 0, 0, 0, 0]);
    this.socket.write(Buffer.concat([head, bytes]));
  }
}

function pair(onStream: (stream: SpdyStream) => void): Client {
  const [ours, theirs] = duplexPair();
  new SpdyServer(ours, onStream);
  return new Client(theirs);
}

test('the dictionary is the draft\'s', () => {
  assert.equal(headerDictionary.length, 1423);
});

test('streams are opened with their headers, answered, and carry bytes both ways', async () => {
  const opened: SpdyStream[] = [];
  const got: string[] = [];
  const client = pair(stream => {
    opened.push(stream);
    stream.onData = data => got.push(`${stream.id} ${data.toString()}`);
    stream.onEnd = () => stream.end(Buffer.from('bye'));
  });
  const seen: Buffer[] = [];
  client.socket.on('data', (data: Buffer) => seen.push(data));
  await client.open(1, { streamtype: 'error', port: '80' });
  await client.open(3, { streamtype: 'data', port: '80' });
  client.socket.write(Buffer.concat([dataFrame(3, Buffer.from('one')), dataFrame(3, Buffer.from('two'), true), dataFrame(9, Buffer.from('nobody'))]));
  while (!Buffer.concat(seen).includes('bye')) await once(client.socket, 'data');
  assert.deepEqual(opened.map(stream => [stream.id, ...stream.headers]), [[1, ['streamtype', 'error'], ['port', '80']], [3, ['streamtype', 'data'], ['port', '80']]]);
  assert.deepEqual(got, ['3 one', '3 two']);
  // Both replies are one zlib stream, and each block is a count of 0.
  const inflate = createInflate();
  const replies = Buffer.concat(seen);
  const first = replies.subarray(12, 8 + replies.readUIntBE(5, 3));
  const second = replies.subarray(8 + replies.readUIntBE(5, 3));
  inflate.write(first);
  inflate.write(second.subarray(12, 8 + second.readUIntBE(5, 3)));
  const [a] = await once(inflate, 'data') as [Buffer];
  const [b] = a.length === 8 ? [Buffer.alloc(0)] : await once(inflate, 'data') as [Buffer];
  assert.deepEqual(Buffer.concat([a, b]), Buffer.alloc(8));
});

test('a ping is answered with its number; an unknown kind of frame is passed over', async () => {
  const client = pair(() => {});
  client.socket.write(Buffer.from('8003000400000000' + '80030006000000040000002a', 'hex'));
  const [answer] = await once(client.socket, 'data') as [Buffer];
  assert.equal(answer.toString('hex'), '80030006000000040000002a');
});

test('a stream that is refused is reset, and the connection goes on', async () => {
  const client = pair(stream => {
    if (stream.headers.get('port') !== '80') throw new Error('no');
  });
  const seen: Buffer[] = [];
  client.socket.on('data', (data: Buffer) => seen.push(data));
  await client.open(1, { port: '81' });
  while (!Buffer.concat(seen).includes(Buffer.from('80030003', 'hex'))) await once(client.socket, 'data');
  client.socket.write(Buffer.from('800300060000000400000001', 'hex'));
  while (!Buffer.concat(seen).includes(Buffer.from('80030006', 'hex'))) await once(client.socket, 'data');
});

test('headers that do not decompress end the connection', async () => {
  const client = pair(() => assert.fail('no stream was opened'));
  client.socket.on('error', () => {});
  void client.open(1, {}, Buffer.from('not zlib'));
  client.socket.resume();
  await once(client.socket, 'close');
});

test('no bytes make the decoder fail otherwise', () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), chunks => {
    const decoder = new SpdyDecoder();
    try {
      for (const chunk of chunks) decoder.push(Buffer.from(chunk));
    } catch (error) {
      assert.ok(error instanceof SpdyError);
    }
  }));
});

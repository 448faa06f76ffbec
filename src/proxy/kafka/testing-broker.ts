/**
 * A small Kafka broker for tests, where no real one can be had: topics in memory of one partition each, made when they are asked for,
 * consumer groups, no replication. It reads and writes with the schemas of this folder; tests/long tries those against Apache Kafka.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Struct } from './codec.ts';
import { writeResponse } from './deny.ts';
import { list, readBody, readHeader } from './request.ts';
import type { RequestHeader } from './request.ts';
import { TestingGroup } from './testing-group.ts';

/** First and last version of each key: those that Apache Kafka 3.9 has, as far as they go by name, and some newer ones to be hidden. */
const versions: Readonly<Record<number, readonly [number, number]>> = {
  0: [3, 9], 1: [4, 17], 2: [1, 7], 3: [0, 13], 8: [2, 9], 9: [1, 9], 10: [0, 4], 11: [0, 9], 12: [0, 4], 13: [0, 5], 14: [0, 5], 18: [0, 4], 19: [2, 7], 22: [0, 4], 36: [0, 2], 68: [0, 1],
};

export interface TestingBroker {
  readonly port: number;
  /** What each topic has, as the clients' batches. */
  readonly topics: ReadonlyMap<string, readonly Buffer[]>;
  close(): Promise<void>;
}

interface Options {
  /** What clients are told to connect to: the proxy's address. Asked for at each answer. */
  readonly advertised: () => { readonly host: string; readonly port: number };
  readonly host?: string;
  readonly port?: number;
}

class Topic {
  readonly batches: Buffer[] = [];
  readonly waiting = new Set<() => void>();
  end = 0n;

  /** Gives the batch its place (offset 0) and says how many records it has (lastOffsetDelta, offset 23). */
  append(records: Buffer): bigint {
    const batch = Buffer.from(records);
    const base = this.end;
    batch.writeBigInt64BE(base, 0);
    this.end = base + BigInt(batch.readInt32BE(23)) + 1n;
    this.batches.push(batch);
    for (const wake of [...this.waiting]) wake();
    return base;
  }

  from(offset: bigint): Buffer {
    return Buffer.concat(this.batches.filter(batch => batch.readBigInt64BE(0) + BigInt(batch.readInt32BE(23)) >= offset));
  }
}

export async function startTestingBroker(options: Options): Promise<TestingBroker> {
  const broker = new Broker(options.advertised);
  const sockets = new Set<Socket>();
  const server: Server = createServer(socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    void serve(socket, broker).catch(() => socket.destroy());
  });
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get topics() { return new Map([...broker.topics].map(([name, topic]) => [name, topic.batches])); },
    async close() {
      broker.close();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** One request after the other, as brokers do. */
async function serve(socket: Socket, broker: Broker): Promise<void> {
  let held = Buffer.alloc(0);
  for await (const part of socket) {
    held = Buffer.concat([held, part as Buffer]);
    while (held.length >= 4 && held.length >= 4 + held.readInt32BE(0)) {
      const end = 4 + held.readInt32BE(0);
      const header = readHeader(held, 4, end);
      const answer = await broker.answer(header, held.subarray(0, end));
      if (answer) socket.write(answer);
      held = held.subarray(end);
    }
  }
}

class Broker {
  readonly topics = new Map<string, Topic>();
  readonly #groups = new Map<string, TestingGroup>();
  readonly #advertised: Options['advertised'];

  constructor(advertised: Options['advertised']) {
    this.#advertised = advertised;
  }

  close(): void {
    for (const group of this.#groups.values()) group.close();
  }

  async answer(header: RequestHeader, bytes: Buffer): Promise<Buffer | undefined> {
    const { apiKey, apiVersion, correlationId, message } = header;
    const range = versions[apiKey];
    if (!message || !range || apiVersion < range[0] || apiVersion > range[1]) throw new Error(`key ${apiKey} version ${apiVersion}`);
    const body = readBody(message, apiVersion, bytes, header.body, bytes.length);
    const response = await this.#handle(apiKey, apiVersion, body);
    return response && Buffer.from(writeResponse(message, apiVersion, correlationId, response));
  }

  async #handle(key: number, version: number, body: Struct): Promise<Struct | undefined> {
    switch (key) {
      case 0: return this.#produce(body);
      case 1: return await this.#fetch(body);
      case 2: return { topics: list(body, 'topics').map(topic => ({ name: topic['name']!, partitions: list(topic, 'partitions').map(one => ({ index: one['index']!, offset: one['timestamp'] === -2n ? 0n : this.#topic(topic['name'] as string).end, leaderEpoch: 0 })) })) };
      case 3: return this.#metadata(body, version);
      case 8: return this.#commit(body);
      case 9: return this.#committed(body, version);
      case 10: {
        const where = { nodeId: 1, ...this.#advertised() };
        return { ...where, coordinators: ((body['keys'] ?? []) as readonly string[]).map(one => ({ key: one, ...where })) };
      }
      case 11: return await this.#group(body).join(body, version);
      case 12: return this.#group(body).heartbeat(body);
      case 13:
        this.#group(body).leave(version < 3 ? [body['memberId'] as string] : list(body, 'members').map(member => member['memberId'] as string));
        return { members: list(body, 'members').map(member => ({ memberId: member['memberId']! })) };
      case 14: return await this.#group(body).sync(body);
      case 18: return { apiKeys: Object.entries(versions).map(([apiKey, [minVersion, maxVersion]]) => ({ apiKey: Number(apiKey), minVersion, maxVersion })) };
      case 19: return { topics: list(body, 'topics').map(topic => (this.#topic(topic['name'] as string), { name: topic['name']!, numPartitions: 1, replicationFactor: 1 })) };
      case 22: return { producerId: 1000n, producerEpoch: 0 };
      default: throw new Error(`key ${key}`);
    }
  }

  #topic(name: string): Topic {
    const known = this.topics.get(name) ?? new Topic();
    this.topics.set(name, known);
    return known;
  }

  #group(body: Struct): TestingGroup {
    const id = body['groupId'] as string;
    const known = this.#groups.get(id) ?? new TestingGroup();
    this.#groups.set(id, known);
    return known;
  }

  #produce(body: Struct): Struct | undefined {
    const topics = list(body, 'topics').map(topic => ({
      name: topic['name']!,
      partitions: list(topic, 'partitions').map(one => ({ index: one['index']!, baseOffset: this.#topic(topic['name'] as string).append(one['records'] as Buffer), logStartOffset: 0n })),
    }));
    return body['acks'] === 0 ? undefined : { topics };
  }

  /** Waits as long as it may for something to be there. */
  async #fetch(body: Struct): Promise<Struct> {
    const asked = list(body, 'topics').flatMap(topic => list(topic, 'partitions').map(one => ({ topic: this.#topic(topic['name'] as string), offset: one['fetchOffset'] as bigint })));
    if (asked.length > 0 && asked.every(({ topic, offset }) => offset >= topic.end)) {
      await new Promise<void>(resolve => {
        const done = () => {
          clearTimeout(timer);
          for (const { topic } of asked) topic.waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, Number(body['maxWaitMs']));
        for (const { topic } of asked) topic.waiting.add(done);
      });
    }
    return {
      topics: list(body, 'topics').map(topic => ({
        name: topic['name']!,
        partitions: list(topic, 'partitions').map(one => {
          const { end } = this.#topic(topic['name'] as string);
          return { index: one['index']!, highWatermark: end, lastStableOffset: end, logStartOffset: 0n, records: this.#topic(topic['name'] as string).from(one['fetchOffset'] as bigint) };
        }),
      })),
    };
  }

  #metadata(body: Struct, version: number): Struct {
    const isForAll = body['topics'] === null || (version === 0 && list(body, 'topics').length === 0);
    const names = isForAll ? [...this.topics.keys()] : list(body, 'topics').map(topic => topic['name'] as string);
    for (const name of names) this.#topic(name);
    const partitions = [{ index: 0, leaderId: 1, leaderEpoch: 0, replicas: [1], isr: [1] }];
    return { brokers: [{ nodeId: 1, ...this.#advertised() }], clusterId: 'testing', controllerId: 1, topics: names.map(name => ({ name, partitions })) };
  }

  #commit(body: Struct): Struct {
    const { offsets } = this.#group(body);
    for (const topic of list(body, 'topics')) for (const one of list(topic, 'partitions')) offsets.set(topic['name'] as string, one['committedOffset'] as bigint);
    return { topics: list(body, 'topics').map(topic => ({ name: topic['name']!, partitions: list(topic, 'partitions').map(one => ({ index: one['index']! })) })) };
  }

  #committed(body: Struct, version: number): Struct {
    const of = (asked: Struct) => {
      const { offsets } = this.#group(asked);
      const names = asked['topics'] === null ? [...offsets.keys()] : list(asked, 'topics').map(topic => topic['name'] as string);
      return names.map(name => ({ name, partitions: [{ index: 0, committedOffset: offsets.get(name) ?? -1n, metadata: '' }] }));
    };
    return version < 8 ? { topics: of(body) } : { groups: list(body, 'groups').map(group => ({ groupId: group['groupId']!, topics: of(group) })) };
  }
}

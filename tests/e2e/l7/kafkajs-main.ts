/**
 * kafkajs in a pod: `BROKER TOPIC VALUE TOPIC VALUE…` produces each value and prints "ok" or the error, over one connection; `BROKER TOPIC` consumes
 * in a group and prints what it has read in two seconds after the first message.
 */
import { Kafka, logLevel, Partitioners } from 'kafkajs';

const [broker, ...rest] = process.argv.slice(2) as [string, ...string[]];
const kafka = new Kafka({ clientId: 'order-processor', brokers: [broker], logLevel: logLevel.NOTHING, connectionTimeout: 10_000, retry: { retries: 1, initialRetryTime: 50 } });

if (rest.length > 1) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  for (let i = 0; i < rest.length; i += 2) {
    const said = await producer.send({ topic: rest[i]!, messages: [{ value: rest[i + 1]! }] }).then(() => 'ok', (error: Error) => error.message);
    console.log(`${rest[i]}: ${said}`);
  }
  await producer.disconnect();
} else {
  const consumer = kafka.consumer({ groupId: 'e2e' });
  await consumer.connect();
  await consumer.subscribe({ topic: rest[0]!, fromBeginning: true });
  await new Promise<void>((resolve, reject) => {
    consumer.run({ eachMessage: async ({ message }) => {
      console.log(String(message.value));
      setTimeout(resolve, 2000);
    } }).catch(reject);
  });
  await consumer.disconnect();
}

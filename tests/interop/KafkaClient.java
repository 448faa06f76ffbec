import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Apache Kafka's own client: what it did, a line each. */
public class KafkaClient {
  public static void main(String[] args) throws Exception {
    Properties common = new Properties();
    common.put("bootstrap.servers", args[0]);
    common.put("client.id", "java");
    common.put("request.timeout.ms", "8000");
    common.put("default.api.timeout.ms", "10000");
    switch (args[1]) {
      case "produce" -> produce(common, args[2], args[3]);
      case "transaction" -> transaction(common, args[2]);
      case "consume" -> consume(common, args[2]);
      case "topics" -> topics(common);
    }
  }

  private static KafkaProducer<String, String> producer(Properties common, String transactionalId) {
    Properties own = (Properties) common.clone();
    own.put("delivery.timeout.ms", "10000");
    own.put("max.block.ms", "10000");
    own.put("linger.ms", "0");
    if (transactionalId != null) own.put("transactional.id", transactionalId);
    return new KafkaProducer<>(own, new StringSerializer(), new StringSerializer());
  }

  /** Idempotent by default. */
  private static void produce(Properties common, String allowed, String forbidden) throws Exception {
    try (var producer = producer(common, null)) {
      for (String topic : List.of(allowed, forbidden, allowed)) say(producer, topic);
    }
  }

  private static void say(KafkaProducer<String, String> producer, String topic) throws InterruptedException {
    try {
      producer.send(new ProducerRecord<>(topic, "value")).get();
      System.out.println(topic + ": ok");
    } catch (ExecutionException error) {
      System.out.println(topic + ": " + error.getCause().getClass().getSimpleName());
    }
  }

  private static void transaction(Properties common, String topic) throws Exception {
    try (var producer = producer(common, "java-transactions")) {
      producer.initTransactions();
      producer.beginTransaction();
      say(producer, topic);
      producer.commitTransaction();
      System.out.println("committed");
    }
  }

  private static void consume(Properties common, String topic) {
    Properties own = (Properties) common.clone();
    own.put("group.id", "java-group");
    own.put("auto.offset.reset", "earliest");
    try (var consumer = new KafkaConsumer<String, String>(own, new StringDeserializer(), new StringDeserializer())) {
      consumer.subscribe(List.of(topic));
      int seen = 0;
      long until = System.nanoTime() + 20_000_000_000L;
      while (seen < 3 && System.nanoTime() < until) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
          System.out.println(record.value());
          seen++;
        }
      }
      consumer.commitSync();
      Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(Set.of(new TopicPartition(topic, 0)));
      System.out.println("committed " + committed.values().iterator().next().offset());
    } catch (RuntimeException error) {
      System.out.println(error.getClass().getSimpleName());
    }
  }

  private static void topics(Properties common) throws Exception {
    try (var admin = Admin.create(common)) {
      System.out.println(String.join(" ", admin.listTopics().names().get().stream().sorted().toList()));
    }
  }
}

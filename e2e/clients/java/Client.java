// The Java client of the end-to-end tests: reads commands as JSON lines, answers in JSON lines.
//
//   Client worker BOOTSTRAP               commands on standard input, Kafka's own tools among them
//   Client member BOOTSTRAP TOPIC GROUP   one member of a group; leaves when standard input closes

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Exit;

public class Client {
    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream OUT = System.out;

    static synchronized void say(JsonNode node) throws Exception {
        OUT.write((JSON.writeValueAsString(node) + "\n").getBytes(StandardCharsets.UTF_8));
        OUT.flush();
    }

    static byte[] decode(JsonNode node) {
        return node == null || node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    static String encode(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    static Properties base(String bootstrap) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("reconnect.backoff.max.ms", "200");
        return p;
    }

    static ObjectNode create(String bootstrap, JsonNode c) throws Exception {
        try (Admin admin = Admin.create(base(bootstrap))) {
            NewTopic topic = new NewTopic(c.get("topic").asText(), c.get("partitions").asInt(), (short) -1);
            if (c.has("configs")) {
                Map<String, String> configs = new HashMap<>();
                c.get("configs").fields().forEachRemaining(e -> configs.put(e.getKey(), e.getValue().asText()));
                topic.configs(configs);
            }
            admin.createTopics(List.of(topic)).all().get(30, TimeUnit.SECONDS);
            return JSON.createObjectNode();
        }
    }

    static ObjectNode produce(String bootstrap, JsonNode c) throws Exception {
        Properties p = base(bootstrap);
        p.put("compression.type", c.get("compression").asText());
        p.put("enable.idempotence", c.get("idempotent").asText());
        p.put("acks", "all");
        p.put("linger.ms", "5");
        p.put("max.request.size", "2097152");
        p.put("delivery.timeout.ms", "30000");
        p.put("request.timeout.ms", "10000");
        try (var producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode r : c.get("records")) {
                List<Header> headers = new ArrayList<>();
                for (JsonNode h : r.get("h")) headers.add(new RecordHeader(h.get(0).asText(), decode(h.get(1))));
                sent.add(producer.send(new ProducerRecord<>(c.get("topic").asText(), c.get("partition").asInt(),
                    r.get("t").asLong(), decode(r.get("k")), decode(r.get("v")), headers)));
            }
            ObjectNode answer = JSON.createObjectNode();
            ArrayNode offsets = answer.putArray("offsets");
            for (Future<RecordMetadata> one : sent) offsets.add(one.get(30, TimeUnit.SECONDS).offset());
            return answer;
        }
    }

    static ObjectNode read(String bootstrap, JsonNode c) throws Exception {
        Properties p = base(bootstrap);
        p.put("auto.offset.reset", "none");
        p.put("max.partition.fetch.bytes", "4194304");
        ObjectNode answer = JSON.createObjectNode();
        ArrayNode parts = answer.putArray("parts");
        try (var consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            Map<TopicPartition, ArrayNode> found = new HashMap<>();
            Map<TopicPartition, Integer> wanted = new HashMap<>();
            Map<TopicPartition, Long> times = new HashMap<>();
            Map<TopicPartition, Long> from = new HashMap<>();
            for (JsonNode part : c.get("parts")) {
                TopicPartition tp = new TopicPartition(c.get("topic").asText(), part.get("p").asInt());
                ObjectNode out = parts.addObject().put("p", tp.partition());
                found.put(tp, out.putArray("records"));
                wanted.put(tp, part.get("n").asInt());
                if (part.hasNonNull("t")) times.put(tp, part.get("t").asLong());
                else from.put(tp, part.get("o").asLong());
            }
            consumer.assign(wanted.keySet());
            if (!times.isEmpty()) consumer.offsetsForTimes(times).forEach((tp, at) -> from.put(tp, at.offset()));
            from.forEach(consumer::seek);
            long end = System.nanoTime() + 30_000_000_000L;
            int open = wanted.size();
            while (open > 0 && System.nanoTime() < end) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(500))) {
                    TopicPartition tp = new TopicPartition(r.topic(), r.partition());
                    ArrayNode list = found.get(tp);
                    if (list.size() >= wanted.get(tp)) continue;
                    ObjectNode out = list.addObject();
                    out.put("o", r.offset()).put("t", r.timestamp()).put("k", encode(r.key())).put("v", encode(r.value()));
                    ArrayNode headers = out.putArray("h");
                    for (Header h : r.headers()) headers.addArray().add(h.key()).add(encode(h.value()));
                    if (list.size() == wanted.get(tp)) open--;
                }
            }
        }
        return answer;
    }

    /** What a tool throws instead of ending the JVM. */
    static class Left extends RuntimeException {
        Left() { super(null, null, false, false); }
    }

    static final AtomicReference<Integer> exit = new AtomicReference<>();

    static void leave(int code, String message) {
        exit.compareAndSet(null, code);
        throw new Left();
    }

    /** Runs the main method of one of Kafka's tools in this JVM, with its input given and its output caught. */
    static ObjectNode tool(JsonNode c) throws Exception {
        List<String> args = new ArrayList<>();
        c.get("args").forEach(a -> args.add(a.asText()));
        PrintStream oldOut = System.out, oldErr = System.err;
        InputStream oldIn = System.in;
        ByteArrayOutputStream out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream();
        int[] code = {-1};
        exit.set(null);
        Thread thread = new Thread(() -> {
            try {
                Class.forName(c.get("class").asText()).getMethod("main", String[].class)
                    .invoke(null, (Object) args.toArray(new String[0]));
                code[0] = 0;
            } catch (InvocationTargetException e) {
                if (!(e.getCause() instanceof Left)) { e.getCause().printStackTrace(); code[0] = 1; }
            } catch (Exception e) {
                e.printStackTrace();
                code[0] = 1;
            }
            // Some tools catch everything, their own exit included, and exit once more: the first one counts.
            if (exit.get() != null) code[0] = exit.getAndSet(null);
        });
        try {
            System.setOut(new PrintStream(out, true));
            System.setErr(new PrintStream(err, true));
            System.setIn(new ByteArrayInputStream(c.path("stdin").asText("").getBytes(StandardCharsets.UTF_8)));
            thread.start();
            // What a tool wants done at the end of its JVM is done at the end of its main, or when its time is up.
            long limit = c.path("stop_after_ms").asLong(60_000);
            thread.join(limit);
            for (Runnable hook : HOOKS) hook.run();
            thread.join(10_000);
        } finally {
            HOOKS.clear();
            System.setOut(oldOut);
            System.setErr(oldErr);
            System.setIn(oldIn);
        }
        return JSON.createObjectNode().put("code", code[0]).put("alive", thread.isAlive())
            .put("out", out.toString(StandardCharsets.UTF_8)).put("err", err.toString(StandardCharsets.UTF_8));
    }

    static final List<Runnable> HOOKS = java.util.Collections.synchronizedList(new ArrayList<>());

    static void worker(String bootstrap) throws Exception {
        Exit.setExitProcedure(Client::leave);
        Exit.setHaltProcedure(Client::leave);
        Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode c = JSON.readTree(line);
            JsonNode answer;
            try {
                answer = switch (c.get("op").asText()) {
                    case "create" -> create(bootstrap, c);
                    case "produce" -> produce(bootstrap, c);
                    case "read" -> read(bootstrap, c);
                    case "tool" -> tool(c);
                    default -> throw new IllegalArgumentException("no such op " + c.get("op"));
                };
            } catch (Exception e) {
                Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
                answer = JSON.createObjectNode().put("error", cause.toString()).put("code", cause.getClass().getSimpleName())
                    .put("retriable", cause instanceof RetriableException);
            }
            say(answer);
        }
    }

    static void member(String bootstrap, String topic, String group, String instance) throws Exception {
        Properties p = base(bootstrap);
        p.put("group.id", group);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        p.put("session.timeout.ms", instance == null ? "6000" : "30000");
        if (instance != null) p.put("group.instance.id", instance);
        p.put("heartbeat.interval.ms", "1000");
        p.put("max.poll.interval.ms", instance == null ? "10000" : "30000");
        var consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        AtomicBoolean leaving = new AtomicBoolean();
        new Thread(() -> {
            try { while (System.in.read() >= 0) { } } catch (Exception e) { /* the same as its end */ }
            leaving.set(true);
            consumer.wakeup();
        }).start();
        TreeSet<Integer> held = new TreeSet<>();
        consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            void tell() {
                ObjectNode e = JSON.createObjectNode().put("e", "assigned");
                ArrayNode list = e.putArray("p");
                held.forEach(list::add);
                try { say(e); } catch (Exception x) { throw new RuntimeException(x); }
            }
            public void onPartitionsAssigned(Collection<TopicPartition> l) { l.forEach(t -> held.add(t.partition())); tell(); }
            public void onPartitionsRevoked(Collection<TopicPartition> l) { l.forEach(t -> held.remove(t.partition())); tell(); }
        });
        try {
            while (!leaving.get()) {
                Map<TopicPartition, OffsetAndMetadata> last = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    say(JSON.createObjectNode().put("e", "rec").put("p", r.partition()).put("o", r.offset())
                        .put("v", new String(r.value(), StandardCharsets.UTF_8)));
                    last.put(new TopicPartition(topic, r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
                if (last.isEmpty()) continue;
                try {
                    consumer.commitSync(last, Duration.ofSeconds(10));
                    for (var e : last.entrySet())
                        say(JSON.createObjectNode().put("e", "committed").put("p", e.getKey().partition()).put("o", e.getValue().offset()));
                } catch (WakeupException e) {
                    consumer.commitSync(last, Duration.ofSeconds(10));
                    throw e;
                } catch (Exception e) {
                    say(JSON.createObjectNode().put("e", "error").put("what", e.toString()));
                }
            }
        } catch (WakeupException e) {
            // the way out
        }
        consumer.close();
        say(JSON.createObjectNode().put("e", "left"));
        System.exit(0);
    }

    public static void main(String[] args) throws Exception {
        if (args.length == 2 && args[0].equals("worker")) worker(args[1]);
        else if (args.length == 4 && args[0].equals("member")) member(args[1], args[2], args[3], null);
        else if (args.length == 5 && args[0].equals("member")) member(args[1], args[2], args[3], args[4]);
        else throw new IllegalArgumentException("Client worker|member …");
        System.exit(0);
    }
}

"""The Python clients of the end-to-end tests: reads commands as JSON lines, answers in JSON lines.

client.py confluent|kafka-python worker BOOTSTRAP
client.py confluent|kafka-python member BOOTSTRAP TOPIC GROUP   leaves when standard input closes
client.py confluent load BOOTSTRAP TOPIC PARTITIONS NAME RATE   an idempotent producer that reports acknowledgements
"""

import base64
import json
import sys
import threading
import time


def decode(text):
    return None if text is None else base64.b64decode(text)


def encode(data):
    return None if data is None else base64.b64encode(bytes(data)).decode()


lock = threading.Lock()


def say(answer):
    with lock:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def record(offset, timestamp, key, value, headers):
    return {
        "o": offset,
        "t": timestamp,
        "k": encode(key),
        "v": encode(value),
        "h": [[name, encode(data)] for name, data in headers or []],
    }


class Refused(Exception):
    """An error of the broker's: its name, and whether the client would try again."""

    def __init__(self, name, retriable, text):
        super().__init__(text)
        self.name, self.retriable = name, retriable


class Confluent:
    """confluent-kafka, that is librdkafka."""

    def __init__(self, bootstrap):
        import confluent_kafka
        import confluent_kafka.admin

        self.api, self.bootstrap = confluent_kafka, bootstrap

    def config(self, **more):
        # An underscore stands for the dot of librdkafka's names.
        config = {"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 200, "log_level": 2}
        config.update({name.replace("_", "."): value for name, value in more.items()})
        return config

    def refused(self, error):
        return Refused(error.name(), error.retriable(), str(error))

    def create(self, c):
        admin = self.api.admin.AdminClient(self.config())
        topic = self.api.admin.NewTopic(c["topic"], c["partitions"], config=c.get("configs") or {})
        admin.create_topics([topic])[c["topic"]].result(30)
        return {}

    def produce(self, c):
        producer = self.api.Producer(
            self.config(
                compression_type=c["compression"],
                enable_idempotence=c["idempotent"],
                acks="all",
                linger_ms=5,
                message_max_bytes=2000000,
                message_timeout_ms=30000,
            )
        )
        offsets, errors = [None] * len(c["records"]), []

        def delivered(at):
            def on(error, message):
                if error is None:
                    offsets[at] = message.offset()
                else:
                    errors.append(error)

            return on

        for at, r in enumerate(c["records"]):
            producer.produce(
                c["topic"],
                value=decode(r["v"]),
                key=decode(r["k"]),
                partition=c["partition"],
                on_delivery=delivered(at),
                timestamp=r["t"],
                headers=[(name, decode(data)) for name, data in r["h"]],
            )
        producer.flush(30)
        if errors:
            raise self.refused(errors[0])
        return {"offsets": offsets}

    def read(self, c):
        consumer = self.api.Consumer(
            self.config(group_id="reader", enable_auto_commit=False, auto_offset_reset="error")
        )
        spot = self.api.TopicPartition
        parts = {p["p"]: dict(p, records=[]) for p in c["parts"]}
        timed = [spot(c["topic"], p["p"], p["t"]) for p in c["parts"] if p.get("t") is not None]
        start = [spot(c["topic"], p["p"], p["o"]) for p in c["parts"] if p.get("t") is None]
        if timed:
            start += consumer.offsets_for_times(timed, 30)
        consumer.assign(start)
        end, open_parts = time.time() + 30, len(parts)
        while open_parts and time.time() < end:
            for m in consumer.consume(500, 0.5):
                if m.error():
                    raise self.refused(m.error())
                p = parts[m.partition()]
                if len(p["records"]) < p["n"]:
                    p["records"].append(record(m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers()))
                    open_parts -= len(p["records"]) == p["n"]
        consumer.close()
        return {"parts": list(parts.values())}

    def member(self, topic, group, leaving, instance=None):
        held = set()
        consumer = self.api.Consumer(
            self.config(
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=30000 if instance else 6000,
                heartbeat_interval_ms=1000,
                max_poll_interval_ms=30000 if instance else 10000,
                partition_assignment_strategy="cooperative-sticky",
                **({"group_instance_id": instance} if instance else {}),
            )
        )

        def on(change):
            def callback(_, partitions):
                change({p.partition for p in partitions})
                say({"e": "assigned", "p": sorted(held)})

            return callback

        consumer.subscribe(
            [topic], on_assign=on(held.update), on_revoke=on(held.difference_update), on_lost=on(held.difference_update)
        )
        while not leaving.is_set():
            last = {}
            for m in consumer.consume(500, 0.2):
                if m.error():
                    say({"e": "error", "what": str(m.error())})
                    continue
                say({"e": "rec", "p": m.partition(), "o": m.offset(), "v": m.value().decode()})
                last[m.partition()] = m.offset() + 1
            if last:
                try:
                    spots = [self.api.TopicPartition(topic, p, o) for p, o in last.items()]
                    for done in consumer.commit(offsets=spots, asynchronous=False):
                        if done.error:
                            raise self.api.KafkaException(done.error)
                        say({"e": "committed", "p": done.partition, "o": done.offset})
                except self.api.KafkaException as e:
                    say({"e": "error", "what": str(e)})
        consumer.close()

    def load(self, topic, partitions, name, rate, leaving):
        out = []

        def delivered(error, m):
            value = m.value().decode()
            if error is None:
                out.append(f"ack {m.partition()} {m.offset()} {value}\n")
            else:
                out.append(f"error {m.partition()} {value} {error}\n")

        def flush():
            sys.stdout.write("".join(out))
            sys.stdout.flush()
            out.clear()

        producer = self.api.Producer(
            self.config(enable_idempotence=True, message_timeout_ms=60000, queue_buffering_max_messages=20000)
        )
        begun, sequence = time.time(), 0
        while not leaving.is_set():
            while sequence < (time.time() - begun) * rate:
                try:
                    producer.produce(topic, f"{name}-{sequence}", partition=sequence % partitions, on_delivery=delivered)
                    sequence += 1
                except BufferError:
                    break
            producer.poll(0.01)
            flush()
        producer.flush(60)
        out.append("done\n")
        flush()


class KafkaPython:
    """kafka-python."""

    def __init__(self, bootstrap):
        import kafka
        import kafka.admin
        import kafka.errors

        self.api, self.bootstrap = kafka, bootstrap

    def create(self, c):
        admin = self.api.KafkaAdminClient(bootstrap_servers=self.bootstrap)
        topic = self.api.admin.NewTopic(c["topic"], c["partitions"], -1, topic_configs=c.get("configs") or {})
        admin.create_topics([topic])
        admin.close()
        return {}

    def produce(self, c):
        compression = None if c["compression"] == "none" else c["compression"]
        producer = self.api.KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=compression,
            enable_idempotence=c["idempotent"],
            acks="all",
            linger_ms=5,
            max_request_size=2000000,
            delivery_timeout_ms=30000,
            request_timeout_ms=10000,
        )
        try:
            sent = [
                producer.send(
                    c["topic"],
                    decode(r["v"]),
                    decode(r["k"]),
                    [(name, decode(data)) for name, data in r["h"]],
                    c["partition"],
                    r["t"],
                )
                for r in c["records"]
            ]
            return {"offsets": [one.get(30).offset for one in sent]}
        except self.api.errors.KafkaError as e:
            raise Refused(type(e).__name__, e.retriable, str(e)) from e
        finally:
            producer.close(5)

    def read(self, c):
        consumer = self.api.KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=4 << 20,
        )
        parts = {self.api.TopicPartition(c["topic"], p["p"]): dict(p, records=[]) for p in c["parts"]}
        consumer.assign(list(parts))
        timed = consumer.offsets_for_times({tp: p["t"] for tp, p in parts.items() if p.get("t") is not None})
        for tp, p in parts.items():
            consumer.seek(tp, timed[tp].offset if p.get("t") is not None else p["o"])
        end, open_parts = time.time() + 30, len(parts)
        while open_parts and time.time() < end:
            for tp, messages in consumer.poll(500).items():
                p = parts[tp]
                for m in messages:
                    if len(p["records"]) < p["n"]:
                        p["records"].append(record(m.offset, m.timestamp, m.key, m.value, m.headers))
                        open_parts -= len(p["records"]) == p["n"]
        consumer.close()
        return {"parts": list(parts.values())}

    def member(self, topic, group, leaving, instance=None):
        consumer = self.api.KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=30000 if instance else 6000,
            heartbeat_interval_ms=1000,
            max_poll_interval_ms=30000 if instance else 10000,
            group_instance_id=instance,
        )
        held = set()

        class Listener(self.api.ConsumerRebalanceListener):
            def on_partitions_revoked(self, revoked):
                held.difference_update(tp.partition for tp in revoked)
                say({"e": "assigned", "p": sorted(held)})

            def on_partitions_assigned(self, assigned):
                held.update(tp.partition for tp in assigned)
                say({"e": "assigned", "p": sorted(held)})

        consumer.subscribe([topic], listener=Listener())
        while not leaving.is_set():
            last = {}
            for tp, messages in consumer.poll(200).items():
                for m in messages:
                    say({"e": "rec", "p": m.partition, "o": m.offset, "v": m.value.decode()})
                    last[tp] = self.api.OffsetAndMetadata(m.offset + 1, "", -1)
            if last:
                try:
                    consumer.commit(last)
                    for tp, o in last.items():
                        say({"e": "committed", "p": tp.partition, "o": o.offset})
                except self.api.errors.KafkaError as e:
                    say({"e": "error", "what": repr(e)})
        consumer.close()


def work(client):
    for line in sys.stdin:
        c = json.loads(line)
        try:
            answer = getattr(client, c["op"])(c)
        except Refused as e:
            answer = {"error": str(e), "code": e.name, "retriable": e.retriable}
        except Exception as e:  # the driver decides what an error means
            answer = {"error": repr(e), "code": type(e).__name__, "retriable": bool(getattr(e, "retriable", False))}
        say(answer)


def main():
    family, mode, bootstrap = sys.argv[1:4]
    client = {"confluent": Confluent, "kafka-python": KafkaPython}[family](bootstrap)
    if mode == "worker":
        return work(client)
    leaving = threading.Event()

    def watch():
        sys.stdin.read()
        leaving.set()

    threading.Thread(target=watch, daemon=True).start()
    if mode == "member":
        client.member(*sys.argv[4:6], leaving, *sys.argv[6:])
        say({"e": "left"})
    else:
        topic, partitions, name, rate = sys.argv[4:8]
        client.load(topic, int(partitions), name, int(rate), leaving)


main()

"""Confluent's serialisers against a node: with_confluent.py PHASE KAFKA REGISTRY POSTGRES, one line for each case.

PHASE is `before` or `after`: between them the node is killed and started again on what it has.
"""

import sys
import time
import traceback
import uuid
import warnings

warnings.filterwarnings("ignore")

import psycopg
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PHASE, KAFKA, REGISTRY, POSTGRES = sys.argv[1:5]
client = SchemaRegistryClient({"url": f"http://127.0.0.1:{REGISTRY}"})

V1 = """{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"},
    {"name": "place", "type": "string"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}"""
# Fields change their places, one comes and one goes; the one that goes had no default, so only new readers read old records.
V2 = """{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "id", "type": "long"}, {"name": "place", "type": "string", "default": "nowhere"}]}"""
WRONG = """{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "string"}]}"""


def case(phase):
    def run(check):
        if phase != PHASE:
            return
        name = f"{phase} {check.__name__}"
        try:
            check()
            print(f"ok {name}", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"failed {name}: {type(error).__name__}: {' '.join(str(error).split())[:500]}", flush=True)

    return run


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")


def refused(code, call):
    try:
        call()
    except SchemaRegistryError as error:
        equal(error.error_code, code)
        return
    raise AssertionError(f"not refused with {code}")


def value_of(topic):
    return SerializationContext(topic, MessageField.VALUE)


def produce(topic, serializer, rows):
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{KAFKA}", "enable.idempotence": True})
    failures = []
    for row in rows:
        value = serializer(row, value_of(topic))
        producer.produce(topic, value, on_delivery=lambda error, _: error and failures.append(error))
    producer.flush(30)
    equal(failures, [])


def consume(topic, deserializer, count):
    consumer = Consumer({
        "bootstrap.servers": f"127.0.0.1:{KAFKA}",
        "group.id": str(uuid.uuid4()),
        "auto.offset.reset": "earliest",
    })
    consumer.subscribe([topic])
    rows, until = [], time.time() + 30
    while len(rows) < count and time.time() < until:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            rows.append(deserializer(message.value(), value_of(topic)))
    consumer.close()
    return rows


def ask(*statements):
    with psycopg.connect(
        host="127.0.0.1", port=POSTGRES, user="forebay", dbname="forebay", autocommit=True
    ) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


def message_class(name, files):
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def proto_files():
    field = descriptor_pb2.FieldDescriptorProto
    money = descriptor_pb2.FileDescriptorProto(name="shop/money.proto", package="shop", syntax="proto3")
    message = money.message_type.add(name="Money")
    message.field.add(name="units", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    sale = descriptor_pb2.FileDescriptorProto(name="shop/sale.proto", package="shop", syntax="proto3")
    sale.dependency.append("shop/money.proto")
    sale.message_type.add(name="Other")
    message = sale.message_type.add(name="Sale")
    message.field.add(name="id", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    message.field.add(name="price", number=2, type=field.TYPE_MESSAGE, type_name=".shop.Money", label=field.LABEL_OPTIONAL)
    message.field.add(name="labels", number=3, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    entry = message.nested_type.add(name="StockEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    message.field.add(name="stock", number=4, type=field.TYPE_MESSAGE, type_name=".shop.Sale.StockEntry", label=field.LABEL_REPEATED)
    return money, sale


JSON_SCHEMA = """{"$schema": "http://json-schema.org/draft-07/schema#", "title": "Visit", "type": "object",
    "properties": {"id": {"type": "integer"}, "page": {"type": "string"}},
    "required": ["id", "page"], "additionalProperties": false}"""


def decimal(text):
    from decimal import Decimal

    return Decimal(text)


def old_orders():
    return [{"id": n, "place": f"p{n % 3}", "price": decimal("1.25") * n} for n in range(100)]


def new_orders():
    return [{"id": 100 + n, "place": f"p{n % 3}", "price": decimal("0.50"), "note": "new"} for n in range(100)]


@case("before")
def avro():
    produce("sr_avro", AvroSerializer(client, V1), old_orders())
    equal(consume("sr_avro", AvroDeserializer(client), 100), old_orders())
    equal(client.get_subjects(), ["sr_avro-value"])
    latest = client.get_latest_version("sr_avro-value")
    equal((latest.version, latest.schema_id), (1, 1))


@case("before")
def sql_source_of_the_subject():
    ask(
        "CREATE SOURCE sr_orders FROM TOPIC sr_avro FORMAT AVRO USING SCHEMA REGISTRY",
        "CREATE MATERIALIZED VIEW sr_sums AS SELECT place, count(*) AS n, sum(price) AS total FROM sr_orders GROUP BY place",
    )
    wanted = [("p0", 34, decimal("2103.75")), ("p1", 33, decimal("2021.25")), ("p2", 33, decimal("2062.50"))]
    equal(ask("SELECT * FROM sr_sums ORDER BY place"), wanted)


@case("before")
def avro_evolution():
    refused(409, lambda: client.register_schema("sr_avro-value", Schema(WRONG, "AVRO")))
    equal(client.test_compatibility("sr_avro-value", Schema(WRONG, "AVRO")), False)
    equal(client.test_compatibility("sr_avro-value", Schema(V2, "AVRO")), True)
    produce("sr_avro", AvroSerializer(client, V2), new_orders())
    equal(client.get_versions("sr_avro-value"), [1, 2])
    rows = consume("sr_avro", AvroDeserializer(client, V2), 200)
    equal(rows, [{**row, "note": None} for row in old_orders()] + new_orders())


@case("before")
def protobuf():
    sale = message_class("shop.Sale", proto_files())
    rows = []
    for n in range(50):
        row = sale(id=n, labels=["a", str(n)], stock={"x": n})
        row.price.units = 10 * n
        rows.append(row)
    produce("sr_proto", ProtobufSerializer(sale, client, {"use.deprecated.format": False}), rows)
    read = ProtobufDeserializer(sale, {"use.deprecated.format": False}, client)
    equal(consume("sr_proto", read, 50), rows)
    registered = client.get_latest_version("sr_proto-value")
    equal([reference.name for reference in registered.schema.references], ["shop/money.proto"])
    ask(
        "CREATE SOURCE sr_sales FROM TOPIC sr_proto (id BIGINT, units BIGINT PATH 'price.units', labels TEXT[])"
        " FORMAT PROTOBUF USING SCHEMA REGISTRY (MESSAGE 'shop.Sale')",
        "CREATE MATERIALIZED VIEW sr_sold AS SELECT count(*) AS n, sum(units) AS units, max(labels[2]) AS label FROM sr_sales",
    )
    equal(ask("SELECT * FROM sr_sold"), [(50, 12250, "9")])


@case("before")
def json_schema():
    rows = [{"id": n, "page": f"/{n}"} for n in range(20)]
    produce("sr_json", JSONSerializer(JSON_SCHEMA, client), rows)
    equal(consume("sr_json", JSONDeserializer(JSON_SCHEMA, schema_registry_client=client), 20), rows)
    client.set_compatibility("sr_json-value", "FULL")
    wider = JSON_SCHEMA.replace('"integer"', '"number"')
    equal(client.test_compatibility("sr_json-value", Schema(wider, "JSON")), False)
    client.set_compatibility("sr_json-value", "BACKWARD")
    equal(client.test_compatibility("sr_json-value", Schema(wider, "JSON")), True)


@case("before")
def deletion():
    client.register_schema("sr_gone", Schema('"int"', "AVRO"))
    client.register_schema("sr_gone", Schema('"long"', "AVRO"))
    equal(client.delete_version("sr_gone", 1), 1)
    equal(client.get_versions("sr_gone"), [2])
    refused(40402, lambda: client.get_version("sr_gone", 1))
    equal(client.delete_subject("sr_gone"), [2])
    equal(client.delete_subject("sr_gone", permanent=True), [1, 2])
    refused(40401, lambda: client.get_versions("sr_gone"))


@case("after")
def what_was_registered():
    equal(client.get_versions("sr_avro-value"), [1, 2])
    equal(client.get_compatibility("sr_json-value"), "BACKWARD")
    refused(40401, lambda: client.get_versions("sr_gone"))
    again = client.register_schema("sr_avro-value", Schema(V2, "AVRO"))
    equal(again, client.get_version("sr_avro-value", 2).schema_id)
    # Not a number that was given once.
    known = [client.get_latest_version(subject).schema_id for subject in client.get_subjects()]
    new = client.register_schema("sr_new", Schema('"double"', "AVRO"))
    equal(new > max(known), True)


@case("after")
def what_was_written():
    rows = consume("sr_avro", AvroDeserializer(client, V2), 200)
    equal(rows, [{**row, "note": None} for row in old_orders()] + new_orders())


@case("after")
def views():
    wanted = [("p0", 68, decimal("2120.75")), ("p1", 66, decimal("2037.75")), ("p2", 66, decimal("2079.00"))]
    equal(ask("SELECT * FROM sr_sums ORDER BY place"), wanted)
    equal(ask("SELECT * FROM sr_sold"), [(50, 12250, "9")])
    # One that is made now has the columns of the newer schema, and reads what was written with the older one.
    ask(
        "CREATE SOURCE sr_later FROM TOPIC sr_avro FORMAT AVRO USING SCHEMA REGISTRY",
        "CREATE MATERIALIZED VIEW sr_notes AS SELECT note, count(*) AS n FROM sr_later GROUP BY note",
    )
    equal(ask("SELECT * FROM sr_notes ORDER BY note NULLS FIRST"), [(None, 100), ("new", 100)])
    equal(ask("SELECT malformed FROM forebay.pipelines WHERE name = 'sr_notes'"), [(0,)])

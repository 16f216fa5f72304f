"""psycopg 3 against a node: with_psycopg.py PORT PREFIX, one line for each case."""

import datetime
import decimal
import sys
import threading
import time
import traceback
import uuid

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

PORT, PREFIX = sys.argv[1], sys.argv[2]
TABLE, VIEW = f"{PREFIX}_accounts", f"{PREFIX}_sums"


def connect(**more):
    return psycopg.connect(host="127.0.0.1", port=PORT, user="forebay", dbname="forebay", **more)


def case(name):
    def run(check):
        try:
            check()
            print(f"ok {name}", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"failed {name}: {type(error).__name__}: {' '.join(str(error).split())}", flush=True)

    return run


def equal(got, wanted):
    assert got == wanted, f"{got!r} instead of {wanted!r}"


@case("connect")
def _():
    with connect() as connection:
        assert connection.info.server_version >= 160000
        equal(connection.info.parameter_status("client_encoding"), "UTF8")
        equal(connection.execute("SELECT 1").fetchone(), (1,))


@case("statements")
def _():
    with connect(autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {TABLE} (id INT PRIMARY KEY, owner TEXT, balance NUMERIC(12,2) NOT NULL)")
        connection.execute(
            f"CREATE MATERIALIZED VIEW {VIEW} AS SELECT owner, count(*) AS accounts, sum(balance) AS balance FROM {TABLE} GROUP BY owner"
        )
        cursor = connection.cursor()
        rows = [(at, "ann" if at % 2 else "bob", decimal.Decimal(at)) for at in range(1, 7)]
        cursor.executemany(f"INSERT INTO {TABLE} VALUES (%s, %s, %s)", rows)
        equal(cursor.rowcount, 6)
        cursor.execute(f"UPDATE {TABLE} SET balance = balance + %s WHERE id = %s", (decimal.Decimal("0.50"), 1))
        equal(cursor.rowcount, 1)
        cursor.execute(f"DELETE FROM {TABLE} WHERE id = %s", (6,))
        equal(cursor.rowcount, 1)
        for _ in range(3):
            found = cursor.execute(f"SELECT owner, accounts, balance FROM {VIEW} ORDER BY owner", prepare=True).fetchall()
            equal(found, [("ann", 3, decimal.Decimal("9.50")), ("bob", 2, decimal.Decimal("6.00"))])
        equal([column.name for column in cursor.description], ["owner", "accounts", "balance"])
        # Several statements of one text are one transaction.
        cursor.execute("SELECT 1; SELECT 2")
        equal(cursor.fetchone(), (1,))
        assert cursor.nextset()
        equal(cursor.fetchone(), (2,))
        gone = cursor.execute(f"INSERT INTO {TABLE} VALUES (%s, %s, %s) RETURNING id, balance * 2 AS twice", (9, "cid", 1)).fetchone()
        equal(gone, (9, decimal.Decimal(2)))
        gone = cursor.execute(f"DELETE FROM {TABLE} WHERE id = 9 RETURNING owner").fetchall()
        equal(gone, [("cid",)])


@case("parameters")
def _():
    utc = datetime.timezone.utc
    values = [
        ("smallint", 3),
        ("integer", -5),
        ("bigint", 2**40),
        ("real", 1.5),
        ("double precision", 2.25),
        ("numeric", decimal.Decimal("1234.5678")),
        ("text", "ä 'quoted'"),
        ("varchar", "v"),
        ("boolean", True),
        ("date", datetime.date(2020, 2, 29)),
        ("time", datetime.time(1, 2, 3, 456)),
        ("timestamp", datetime.datetime(2020, 1, 2, 3, 4, 5, 678)),
        ("timestamptz", datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=utc)),
        ("interval", datetime.timedelta(days=2, seconds=3)),
        ("bytea", b"\x00\xff"),
        ("uuid", uuid.UUID(int=7)),
        ("jsonb", {"a": [1, None]}),
    ]
    with connect() as connection:
        for binary in (False, True):
            for kind, value in values:
                given = Jsonb(value) if kind == "jsonb" else value
                # %b and %t name the format of the parameter.
                mark = "%b" if binary else "%t"
                got = connection.cursor(binary=binary).execute(f"SELECT {mark}::{kind}", (given,)).fetchone()[0]
                equal((kind, got), (kind, value))
            got = connection.cursor(binary=binary).execute("SELECT %s::int, %s::text", (None, None)).fetchone()
            equal(got, (None, None))


@case("arrays")
def _():
    with connect() as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            for kind, value in [("int[]", [1, None, 3]), ("text[]", ["a", 'b"c', None, "d,e"]), ("float8[]", [0.5]), ("bigint[]", [])]:
                equal(cursor.execute(f"SELECT %s::{kind}", (value,)).fetchone()[0], value)
            found = cursor.execute(f"SELECT array_agg(id ORDER BY id) FROM {TABLE} WHERE id = ANY(%s)", ([2, 3, 77],)).fetchone()
            equal(found[0], [2, 3])


@case("transactions")
def _():
    with connect() as reader, connect(autocommit=True) as writer:
        count = f"SELECT count(*) FROM {TABLE}"
        before = reader.execute(count).fetchone()[0]
        writer.execute(f"INSERT INTO {TABLE} VALUES (100, 'dan', 1)")
        equal(reader.execute(count).fetchone()[0], before)
        equal(reader.execute(f"SELECT sum(accounts) FROM {VIEW}").fetchone()[0], before)
        reader.commit()
        equal(reader.execute(count).fetchone()[0], before + 1)
        reader.rollback()
        with reader.transaction():
            reader.execute(f"DELETE FROM {TABLE} WHERE id = 100")
            equal(reader.execute(count).fetchone()[0], before)
            equal(writer.execute(count).fetchone()[0], before + 1)
            try:
                with reader.transaction():
                    reader.execute(f"DELETE FROM {TABLE}")
                    raise KeyError
            except KeyError:
                pass
            equal(reader.execute(count).fetchone()[0], before)
        equal(writer.execute(count).fetchone()[0], before)


@case("errors")
def _():
    with connect(autocommit=True) as connection:
        for query, code, position in [
            (f"SELECT nope FROM {TABLE}", "42703", "8"),
            ("SELECT * FROM nowhere", "42P01", "15"),
            ("SELECT missing(1)", "42883", "8"),
            ("SELEC 1", "42601", "1"),
            (f"SELECT owner + 1 FROM {TABLE} WHERE owner = 1", "42883", None),
            ("SELECT 1 / 0", "22012", None),
            ("SELECT 'x'::int", "22P02", "8"),
            (f"INSERT INTO {TABLE} VALUES (1, 'again', 1)", "23505", None),
            (f"INSERT INTO {TABLE} (id) VALUES (55)", "23502", None),
            ("SELECT 2147483647 + 1", "22003", None),
        ]:
            try:
                connection.execute(query)
            except psycopg.Error as error:
                equal((query, error.sqlstate), (query, code))
                if position:
                    equal((query, error.diag.statement_position), (query, position))
            else:
                raise AssertionError(f"{query} is no error")
    with connect() as connection:
        try:
            connection.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            pass
        try:
            connection.execute("SELECT 1")
            raise AssertionError("a failed transaction answers")
        except psycopg.errors.InFailedSqlTransaction:
            pass
        connection.rollback()
        connection.execute("SELECT 1")


@case("cancel")
def _():
    with connect(autocommit=True) as connection:
        threading.Timer(0.3, connection.cancel_safe).start()
        try:
            connection.execute(f"SUBSCRIBE {VIEW}")
            raise AssertionError("SUBSCRIBE ended")
        except psycopg.errors.QueryCanceled:
            pass
        equal(connection.execute("SELECT 1").fetchone(), (1,))
        connection.execute("SET statement_timeout = '200ms'")
        began = time.monotonic()
        try:
            connection.execute(f"SUBSCRIBE {VIEW}")
            raise AssertionError("SUBSCRIBE ended")
        except psycopg.errors.QueryCanceled:
            pass
        assert time.monotonic() - began < 10
        # A COPY that waits for its client hears of both as well.
        for setting, cancel in [("200ms", None), ("0", connection.cancel_safe)]:
            connection.execute(f"SET statement_timeout = '{setting}'")
            if cancel:
                threading.Timer(0.3, cancel).start()
            try:
                with connection.cursor().copy(f"COPY {TABLE} (id) FROM STDIN") as copy:
                    copy.write("800\n")
                    time.sleep(1)
                raise AssertionError("COPY ended")
            except psycopg.errors.QueryCanceled:
                pass
            equal(connection.execute(f"SELECT count(*) FROM {TABLE} WHERE id = 800").fetchone(), (0,))


@case("copy")
def _():
    with connect() as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY (SELECT id, owner FROM {TABLE} WHERE id < 3 ORDER BY id) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            equal(list(copy.rows()), [(1, "ann"), (2, "bob")])
        with cursor.copy(f"COPY (SELECT id, owner FROM {TABLE} WHERE id < 3 ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)") as copy:
            equal(b"".join(copy), b"id,owner\n1,ann\n2,bob\n")
        for form in ["text", "binary"]:
            with cursor.copy(f"COPY {TABLE} (id, owner, balance) FROM STDIN (FORMAT {form})") as copy:
                copy.set_types(["int4", "text", "numeric"])
                copy.write_row((900, "a\tb", decimal.Decimal("1.5")))
            equal(cursor.rowcount, 1)
            cursor.execute(f"SELECT owner, balance FROM {TABLE} WHERE id = 900")
            equal(cursor.fetchone(), ("a\tb", decimal.Decimal("1.5")))
            connection.rollback()


@case("cursors")
def _():
    with connect() as connection:
        with connection.cursor(name="some") as cursor:
            cursor.itersize = 2
            cursor.execute(f"SELECT id FROM {TABLE} WHERE id < 6 ORDER BY id")
            equal([row[0] for row in cursor], [1, 2, 3, 4, 5])
        with connection.cursor() as cursor:
            equal([row[0] for row in cursor.stream("SELECT generate_series(1, 5)")], [1, 2, 3, 4, 5])


@case("subscribe")
def _():
    with connect(autocommit=True) as connection, connect(autocommit=True) as writer:
        changes = connection.cursor().stream(f"SUBSCRIBE {VIEW} WITH SNAPSHOT")
        first = [next(changes)[1:] for _ in range(2)]
        equal(sorted(first), [(1, "ann", 3, decimal.Decimal("9.50")), (1, "bob", 2, decimal.Decimal("6.00"))])
        writer.execute(f"INSERT INTO {TABLE} VALUES (50, 'bob', 4)")
        then = [next(changes)[1:] for _ in range(2)]
        equal(sorted(then), [(-1, "bob", 2, decimal.Decimal("6.00")), (1, "bob", 3, decimal.Decimal("10.00"))])
        # The driver cancels what it is not asked for any more.
        changes.close()


@case("metadata")
def _():
    with connect() as connection:
        found = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position", (TABLE,)
        ).fetchall()
        equal(found, [("id", "integer"), ("owner", "text"), ("balance", "numeric")])
        info = psycopg.types.TypeInfo.fetch(connection, "int4")
        equal((info.oid, info.array_oid), (23, 1007))
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(TABLE))).fetchone()
        assert found[0] > 0

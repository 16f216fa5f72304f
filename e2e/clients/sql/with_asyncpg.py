"""asyncpg against a node: with_asyncpg.py PORT PREFIX, one line for each case. Everything it sends and reads is binary."""

import asyncio
import datetime
import decimal
import io
import sys
import traceback
import uuid

import asyncpg

PORT, PREFIX = int(sys.argv[1]), sys.argv[2]
TABLE, VIEW = f"{PREFIX}_accounts", f"{PREFIX}_sums"
D = decimal.Decimal


def connect():
    return asyncpg.connect(host="127.0.0.1", port=PORT, user="forebay", database="forebay")


def equal(got, wanted):
    assert got == wanted, f"{got!r} instead of {wanted!r}"


async def fails(awaited, error):
    try:
        await awaited
    except error as found:
        return found
    raise AssertionError(f"no {error.__name__}")


async def of_connection(c):
    assert c.get_server_version().major >= 16
    equal(await c.fetchval("SELECT 1"), 1)
    async with asyncpg.create_pool(host="127.0.0.1", port=PORT, user="forebay", database="forebay", min_size=1, max_size=2) as pool:
        for _ in range(3):
            equal(await pool.fetchval("SELECT 2"), 2)


async def statements(c):
    await c.execute(f"CREATE TABLE {TABLE} (id INT PRIMARY KEY, owner TEXT, balance NUMERIC(12,2) NOT NULL)")
    await c.execute(
        f"CREATE MATERIALIZED VIEW {VIEW} AS SELECT owner, count(*) AS accounts, sum(balance) AS balance FROM {TABLE} GROUP BY owner"
    )
    rows = [(at, "ann" if at % 2 else "bob", D(at)) for at in range(1, 6)]
    await c.executemany(f"INSERT INTO {TABLE} VALUES ($1, $2, $3)", rows)
    equal(await c.execute(f"UPDATE {TABLE} SET balance = balance + $1 WHERE id = $2", D("0.50"), 1), "UPDATE 1")
    prepared = await c.prepare(f"SELECT owner, accounts, balance FROM {VIEW} WHERE accounts >= $1 ORDER BY owner")
    equal([a.type.name for a in prepared.get_attributes()], ["text", "int8", "numeric"])
    equal([p.name for p in prepared.get_parameters()], ["int8"])
    for _ in range(2):
        equal([tuple(row) for row in await prepared.fetch(0)], [("ann", 3, D("9.50")), ("bob", 2, D("6.00"))])
    equal(await c.fetchval(f"INSERT INTO {TABLE} VALUES ($1, $2, $3) RETURNING id", 9, "cid", D(1)), 9)
    equal(await c.fetchval(f"DELETE FROM {TABLE} WHERE id = $1 RETURNING owner", 9), "cid")


async def parameters(c):
    utc = datetime.timezone.utc
    for kind, value in [
        ("smallint", 3),
        ("integer", -5),
        ("bigint", 2**40),
        ("real", 1.5),
        ("double precision", 2.25),
        ("numeric", D("1234.5678")),
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
        ("jsonb", '{"a": [1, null]}'),
    ]:
        equal((kind, await c.fetchval(f"SELECT $1::{kind}", value)), (kind, value))
        equal((kind, await c.fetchval(f"SELECT $1::{kind}", None)), (kind, None))


async def arrays(c):
    for kind, value in [
        ("int[]", [1, None, 3]),
        ("text[]", ["a", 'b"c', None, "d,e"]),
        ("float8[]", [0.5]),
        ("bigint[]", []),
        ("timestamptz[]", [datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)]),
        ("numeric[]", [D("1.5")]),
    ]:
        equal((kind, await c.fetchval(f"SELECT $1::{kind}", value)), (kind, value))
    equal(await c.fetchval(f"SELECT array_agg(id ORDER BY id) FROM {TABLE} WHERE id = ANY($1)", [2, 3, 77]), [2, 3])


async def transactions(c):
    writer = await connect()
    count = f"SELECT count(*) FROM {TABLE}"
    async with c.transaction():
        before = await c.fetchval(count)
        await writer.execute(f"INSERT INTO {TABLE} VALUES (100, 'dan', 1)")
        equal(await c.fetchval(count), before)
        equal(await c.fetchval(f"SELECT sum(accounts) FROM {VIEW}"), before)
    equal(await c.fetchval(count), before + 1)
    try:
        async with c.transaction():
            await c.execute(f"DELETE FROM {TABLE}")
            equal(await c.fetchval(count), 0)
            raise KeyError
    except KeyError:
        pass
    async with c.transaction():
        await c.execute(f"DELETE FROM {TABLE} WHERE id = 100")
        try:
            async with c.transaction():
                await c.execute(f"DELETE FROM {TABLE}")
                raise KeyError
        except KeyError:
            pass
    equal(await writer.fetchval(count), before)
    await writer.close()


async def errors(c):
    for query, error, position in [
        (f"SELECT nope FROM {TABLE}", asyncpg.UndefinedColumnError, "8"),
        ("SELECT * FROM nowhere", asyncpg.UndefinedTableError, "15"),
        ("SELECT missing(1)", asyncpg.UndefinedFunctionError, "8"),
        ("SELEC 1", asyncpg.PostgresSyntaxError, "1"),
        ("SELECT 1 / 0", asyncpg.DivisionByZeroError, None),
        (f"INSERT INTO {TABLE} VALUES (1, 'again', 1)", asyncpg.UniqueViolationError, None),
        (f"INSERT INTO {TABLE} (id) VALUES (55)", asyncpg.NotNullViolationError, None),
    ]:
        found = await fails(c.fetch(query), error)
        if position:
            equal((query, found.position), (query, position))
    equal(await c.fetchval("SELECT 1"), 1)


async def cancel(c):
    # The driver cancels what takes longer than it may.
    await fails(c.fetch(f"SUBSCRIBE {VIEW}", timeout=0.3), asyncio.TimeoutError)
    equal(await c.fetchval("SELECT 1"), 1)
    await c.execute("SET statement_timeout = '200ms'")
    await fails(c.fetch(f"SUBSCRIBE {VIEW}"), asyncpg.QueryCanceledError)
    await c.execute("RESET statement_timeout")


async def copy(c):
    out = io.BytesIO()
    await c.copy_from_query(f"SELECT id, owner FROM {TABLE} WHERE id < $1 ORDER BY id", 3, output=out)
    equal(out.getvalue(), b"1\tann\n2\tbob\n")
    out = io.BytesIO()
    await c.copy_from_table(f"{TABLE}", columns=["id"], output=out, format="csv", header=True)
    assert out.getvalue().startswith(b"id\n"), out.getvalue()


async def cursors(c):
    async with c.transaction():
        found = [row["id"] async for row in c.cursor(f"SELECT id FROM {TABLE} WHERE id < 6 ORDER BY id", prefetch=2)]
        equal(found, [1, 2, 3, 4, 5])
        cursor = await c.cursor("SELECT generate_series(1, $1::int) AS n", 5)
        equal([row["n"] for row in await cursor.fetch(2)], [1, 2])
        equal([row["n"] for row in await cursor.fetch(9)], [3, 4, 5])


async def subscribe(c):
    writer = await connect()
    async with c.transaction():
        cursor = await c.cursor(f"SUBSCRIBE {VIEW} WITH SNAPSHOT")
        first = [tuple(row)[1:] for row in await cursor.fetch(2)]
        equal(sorted(first), [(1, "ann", 3, D("9.50")), (1, "bob", 2, D("6.00"))])
        await writer.execute(f"INSERT INTO {TABLE} VALUES (50, 'bob', 4)")
        then = [tuple(row)[1:] for row in await cursor.fetch(2)]
        equal(sorted(then), [(-1, "bob", 2, D("6.00")), (1, "bob", 3, D("10.00"))])
    await writer.close()


async def metadata(c):
    # A type that the driver does not know by itself makes it ask for all it is made of.
    await c.reload_schema_state()
    found = await c.fetch("SELECT typname, typelem::regtype::text AS of FROM pg_type WHERE oid = ANY($1::oid[]) ORDER BY 1", [1007, 1009])
    equal([tuple(row) for row in found], [("_int4", "integer"), ("_text", "text")])
    await c.set_type_codec("jsonb", encoder=str, decoder=str, schema="pg_catalog")
    equal(await c.fetchval("SELECT '[1]'::jsonb"), "[1]")
    await c.reset()


CASES = [
    ("connect", of_connection),
    ("statements", statements),
    ("parameters", parameters),
    ("arrays", arrays),
    ("transactions", transactions),
    ("errors", errors),
    ("cancel", cancel),
    ("copy", copy),
    ("cursors", cursors),
    ("subscribe", subscribe),
    ("metadata", metadata),
]


async def main():
    for name, check in CASES:
        connection = await connect()
        try:
            await check(connection)
            print(f"ok {name}", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"failed {name}: {type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        finally:
            connection.terminate()


asyncio.run(main())

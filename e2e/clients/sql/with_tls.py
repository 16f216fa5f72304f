"""psycopg 3 (libpq) and asyncpg against a node with users and TLS: with_tls.py PORT PREFIX, the root in $ROOT."""

import asyncio
import os
import ssl
import sys
import threading
import time
import traceback

import asyncpg
import psycopg

PORT, ROOT = int(sys.argv[1]), os.environ["ROOT"]
STRICT = {"sslmode": "verify-full", "sslrootcert": ROOT}


def connect(user="ann", password="pass\u00adword", **more):
    return psycopg.connect(
        host="localhost", hostaddr="127.0.0.1", port=PORT, user=user, password=password, dbname="forebay", **more
    )


def case(name):
    def run(check):
        try:
            check()
            print(f"ok {name}", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"failed {name}: {type(error).__name__}: {' '.join(str(error).split())}", flush=True)

    return run


def serves(connection, is_encrypted=True):
    with connection:
        assert connection.pgconn.ssl_in_use == is_encrypted
        assert connection.execute("SELECT current_user::text").fetchone() == (connection.info.user,)


def refused(wanted, **more):
    try:
        connect(**more).close()
    except psycopg.OperationalError as error:
        assert wanted in str(error), str(error)
    else:
        raise AssertionError(f"{more} is let in")


@case("users")
def _():
    serves(connect(sslmode="disable"), is_encrypted=False)
    serves(connect(user="bob", password="pencil", sslmode="disable"), is_encrypted=False)
    refused('password authentication failed for user "ann"', password="word", sslmode="disable")
    refused('password authentication failed for user "eve"', user="eve", sslmode="disable")
    refused("channel binding required", sslmode="disable", channel_binding="require")


@case("verify-full")
def _():
    serves(connect(**STRICT, channel_binding="require"))
    serves(connect(**STRICT, channel_binding="disable"))
    serves(connect(**STRICT, channel_binding="require", ssl_max_protocol_version="TLSv1.2"))
    refused('password authentication failed for user "eve"', user="eve", **STRICT, channel_binding="require")


@case("direct")
def _():
    serves(connect(**STRICT, channel_binding="require", sslnegotiation="direct"))


@case("cancel over TLS")
def _():
    with connect(**STRICT, autocommit=True) as connection:
        connection.execute("CREATE TABLE tls_t (n INT PRIMARY KEY)")

        def cancel():
            time.sleep(0.5)
            connection.cancel_safe()

        asking = threading.Thread(target=cancel)
        asking.start()
        try:
            connection.execute("SUBSCRIBE tls_t")
        except psycopg.errors.QueryCanceled:
            pass
        asking.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


@case("asyncpg")
def _():
    async def run():
        context = ssl.create_default_context(cafile=ROOT)
        for more in ({"ssl": context}, {"ssl": context, "direct_tls": False}, {"ssl": False}):
            connection = await asyncpg.connect(
                host="localhost", port=PORT, user="bob", password="pencil", database="forebay", **more
            )
            assert await connection.fetchval("SELECT 41 + 1") == 42
            await connection.close()
        try:
            await asyncpg.connect(host="localhost", port=PORT, user="bob", password="pen", database="forebay")
        except asyncpg.InvalidPasswordError:
            return
        raise AssertionError("it is let in")

    asyncio.run(run())

"""A few events of Nexmark, and DuckDB's answers to its queries over them.

    python3 nexmark.py FILE

Prices and times of bids differ, so that every order is total. What is sliced out of a query's columns stands behind its
number: averages are rounded, and times of records are left out.
"""

import random
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

sys.dont_write_bytecode = True

import duckdb

from generate import shown

QUERIES = Path(__file__).parents[4] / "bench/nexmark/queries"
START = datetime(2026, 1, 1, 7, 59, 50)
TABLES = {
    "person": 'id BIGINT, name TEXT, "emailAddress" TEXT, "creditCard" TEXT, city TEXT, state TEXT, "dateTime" BIGINT, '
    "rowtime TIMESTAMP, extra TEXT",
    "auction": 'id BIGINT, "itemName" TEXT, description TEXT, "initialBid" BIGINT, reserve BIGINT, "dateTime" BIGINT, '
    "rowtime TIMESTAMP, expires BIGINT, seller BIGINT, category BIGINT, extra TEXT",
    "bid": 'auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, "dateTime" BIGINT, rowtime TIMESTAMP, '
    "extra TEXT, written TIMESTAMP",
    "side_input": "key BIGINT, value TEXT",
}
# No average is near a half here, of which DuckDB makes more and Postgres an even number.
ROUNDED = "CAST(round(CAST({} AS DOUBLE PRECISION) * 100 + 0.37) AS BIGINT)"
SHOWN = {
    4: f"category, {ROUNDED.format('final')}",
    6: f"seller, {ROUNDED.format('average')}",
    17: f"auction, day, total_bids, rank1_bids, rank2_bids, rank3_bids, min_price, max_price, {ROUNDED.format('avg_price')}, sum_price",
}


def text(value):
    return "'" + value.replace("'", "''") + "'"


def moment(after_ms):
    at = START + timedelta(milliseconds=after_ms)
    return str(int((at - datetime(1970, 1, 1)).total_seconds() * 1000)), f"TIMESTAMP '{at.isoformat(sep=' ', timespec='milliseconds')}'"


def rows(r):
    """Statements, those of one table among those of others."""
    out = []
    for at in range(24):
        ms, ts = moment(at * 1700)
        state = r.choice(["OR", "ID", "CA", "WA"])
        values = [str(1000 + at), text(f"person {at}"), "'a@b'", "'1'", "'town'", text(state), ms, ts, "''"]
        out.append((at * 1700, "person", values))
    for at in range(30):
        ms, ts = moment(at * 1300)
        expires = int(ms) + r.choice([2000, 9000, 30000])
        values = [str(2000 + at), text(f"item {at}"), "'what'", "1", str(r.randint(1, 9)), ms, ts, str(expires)]
        values += [str(r.choice([1000 + min(23, at * 1300 // 1700), 1000 + r.randrange(24)])), str(r.randint(10, 12)), "'x'"]
        out.append((at * 1300, "auction", values))
    prices = r.sample(range(100, 30000), 65) + r.sample(range(1000000, 60000000), 30)
    r.shuffle(prices)
    for at, price in enumerate(prices):
        after = at * 400 + r.randint(0, 100)
        # Some come long after their time.
        after = max(1, after - 12000) if r.random() < 0.1 else after
        ms, ts = moment(after)
        channel = r.choice(["Apple", "Google", "Facebook", "Baidu", "channel-7"])
        url = f"https://www.nexmark.com/{r.choice('abc')}/{r.choice('def')}/item.htm?query=1"
        url += f"&channel_id={at}" if r.random() < 0.5 else ""
        auction = 2000 + min(29, max(0, after // 1300 - r.choice([0, 0, 1, 7])))
        auction = 2091 if at % 11 == 0 else auction
        values = [str(auction), str(1000 + r.randrange(6)), str(price), text(channel), text(url), ms, ts]
        values += [text("".join(r.choices("abc", k=5))), moment(at * 400)[1]]
        out.append((at * 400, "bid", values))
    out.sort(key=lambda row: row[0])
    for key in range(2000, 2100, 3):
        yield "side_input", [str(key), text(f"side {key}")]
    for _, table, values in out:
        yield table, values


def duck(query):
    windows = r"{}\((\w+), (\w+), ([^,()]*)(?:, (?!PARTITION)([^,()]*))?(?:, PARTITION BY (\w+))?\)"
    bucket = "time_bucket({}, {}, TIMESTAMP '1970-01-01')"

    def tumble(found):
        start = bucket.format(found[3], found[2])
        return f"(SELECT *, {start} AS window_start, {start} + {found[3]} AS window_end FROM {found[1]})"

    def hop(found):
        start = f"{bucket.format(found[3], found[2])} - n * {found[3]}"
        return f"(SELECT * EXCLUDE (n), {start} AS window_start, {start} + {found[4]} AS window_end FROM {found[1]}, range(5) AS r (n))"

    def session(found):
        table, at, gap, _, key = found.groups()
        first = f"CASE WHEN {at} - lag({at}) OVER (PARTITION BY {key} ORDER BY {at}) < {gap} THEN 0 ELSE 1 END"
        number = f"SELECT *, sum(f) OVER (PARTITION BY {key} ORDER BY {at}) AS g FROM (SELECT *, {first} AS f FROM {table})"
        of = f"OVER (PARTITION BY {key}, g)"
        return f"(SELECT *, min({at}) {of} AS window_start, max({at}) {of} + {gap} AS window_end FROM ({number}))"

    for name, to in (("TUMBLE", tumble), ("HOP", hop), ("SESSION", session)):
        query = re.sub(windows.format(name), to, query)
    query = query.replace("to_char(rowtime, 'YYYY-MM-DD')", "strftime(rowtime, '%Y-%m-%d')")
    query = query.replace("to_char(rowtime, 'HH24:MI')", "strftime(rowtime, '%H:%M')")
    query = re.sub(r"\(regexp_match\(url, ('[^']*')\)\)\[2\]", r"nullif(regexp_extract(url, \1, 2), '')", query)
    return query


def main():
    db = duckdb.connect()
    lines = []
    for table, columns in TABLES.items():
        lines += ["statement", f"CREATE TABLE {table} ({columns})", ""]
        db.execute(f"CREATE TABLE {table} ({columns})")
    waiting = {}

    def write():
        for table, all in waiting.items():
            sql = f"INSERT INTO {table} VALUES {', '.join(all)}"
            lines.extend(["statement", sql, ""])
            db.execute(sql)
        waiting.clear()

    for at, (table, values) in enumerate(rows(random.Random(22))):
        waiting.setdefault(table, []).append(f"({', '.join(values)})")
        if at % 40 == 39:
            write()
    write()
    for number in range(23):
        query = re.sub(r"--.*", "", (QUERIES / f"q{number}.sql").read_text())
        columns = SHOWN.get(number, "*")
        answer = db.execute(f"SELECT {columns} FROM ({duck(query)}) AS q").fetchall()
        assert answer, f"q{number} has no answer"
        text = sorted(" ".join(shown(v) for v in row) for row in answer)
        lines += [f"answer {number} {columns}", *text, ""]
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write("\n".join(lines))


main()

"""Random values, expressions and conditions, in both dialects."""

import math
import re
from datetime import datetime

import duckdb

INT, BIG, TEXT, FLOAT, DEC, BOOL, TS = "INT", "BIGINT", "TEXT", "DOUBLE PRECISION", "NUMERIC(10,2)", "BOOLEAN", "TIMESTAMP"
DATE, SMALL = "DATE", "SMALLINT"
TYPES = [INT, BIG, TEXT, FLOAT, DEC, BOOL, TS, DATE, SMALL]
# Lists are only made, handed on and taken apart.
INTS, TEXTS = "INT[]", "TEXT[]"
LISTS = {INT: INTS, TEXT: TEXTS}


def either(postgres, duck):
    """Words that differ: ours, and DuckDB's."""
    return f"\x01{postgres}\x02{duck}\x03"


BOTH = re.compile("\x01([^\x01\x02\x03]*)\x02([^\x01\x02\x03]*)\x03")


def dialect(sql, which):
    while "\x01" in sql:
        sql = BOTH.sub(lambda found: found[which], sql)
    return sql


def postgres(sql):
    return dialect(sql, 1)


def duck(sql):
    return dialect(sql, 2)


def literal(r, t, odd=None):
    """A value; those that are seldom right come with `odd`: its kind."""
    if odd == "numbers" and r.random() < 0.3:
        edges = {
            INT: ["2147483647", "(-2147483647 - 1)", "2147483646"],
            BIG: ["9223372036854775807", "(-9223372036854775807 - 1)", "4294967296"],
            SMALL: ["CAST(32767 AS SMALLINT)", "CAST(-32768 AS SMALLINT)"],
            DEC: ["CAST(99999999.99 AS NUMERIC(10,2))", "CAST(-99999999.99 AS NUMERIC(10,2))"],
            # The large one is a power of two, of which sums are exact in any order.
            FLOAT: [f"CAST('{v}' AS DOUBLE PRECISION)" for v in ("NaN", "Infinity", "-Infinity", "1.3393857589828342e300", "5e-324")],
            DATE: ["DATE '1969-12-31'", "DATE '2400-02-29'"],
            TS: ["TIMESTAMP '1969-12-31 23:59:59.999999'", "TIMESTAMP '2400-02-29 00:00:00'"],
        }
        if t in edges:
            return r.choice(edges[t])
    if odd == "text" and t == TEXT:
        return "'" + r.choice(["日本", "é", "ÉA", " a ", "a%", "_", "\U0001f600b", "null", "NULL", '"', "{", "a b", "\\", "''"]) + "'"
    if t == SMALL:
        return f"CAST({r.randint(-3, 6)} AS SMALLINT)"
    if t == DATE:
        return f"DATE '2020-0{r.randint(1, 3)}-0{r.randint(1, 3)}'"
    if t in (INT, BIG):
        return str(r.randint(-3, 6))
    if t == TEXT:
        return "'" + r.choice(["a", "b", "c", "ab", "", "z", "Ab", "a,b", "ä"]) + "'"
    if t == FLOAT:
        return f"CAST({r.randint(-8, 8) / 4} AS DOUBLE PRECISION)"
    if t == DEC:
        return f"CAST({r.randint(-300, 300) / 100} AS NUMERIC(10,2))"
    if t == BOOL:
        return r.choice(["true", "false"])
    if t in (INTS, TEXTS):
        of = INT if t == INTS else TEXT
        return f"ARRAY[{', '.join(literal(r, of) for _ in range(r.randint(1, 3)))}]"
    return f"TIMESTAMP '2020-01-0{r.randint(1, 3)} {r.randint(0, 5):02}:{r.choice([0, 15, 30, 59]):02}:00'"


def database():
    """One for all cases, each in a schema of its own: to open one takes longer than most cases."""
    # Without an order of joins of its own, some joins of joins are of every row with every other: they are refused.
    db = duckdb.connect(config={"threads": 1, "memory_limit": "1GB", "temp_directory": ""})
    # It computes what is written: otherwise it takes `a + 1 > 2` for `a > 1`, and does not fail where Postgres does. Its
    # optimizer also makes some answers wrong (a `count(column)` of a view that becomes a `count(*)` above two joins, say), and
    # takes longer than to do without.
    db.execute("PRAGMA disable_optimizer")
    return db


def shown(v, inside=False):
    if v is None:
        return "NULL"
    if v is True:
        return "t"
    if v is False:
        return "f"
    if isinstance(v, float):
        if not math.isfinite(v):
            return "NaN" if v != v else "Infinity" if v > 0 else "-Infinity"
        v = repr(v)
        return v[:-2] if v.endswith(".0") else v
    if isinstance(v, datetime) and v.microsecond:
        return str(v).rstrip("0")
    if isinstance(v, list):
        return "{" + ",".join(shown(x, True) for x in v) + "}"
    if inside and isinstance(v, str):
        is_plain = re.fullmatch(r"[^\s,{}\"\\]+", v) and v.lower() != "null"
        return v if is_plain else '"' + re.sub(r"([\"\\])", r"\\\1", v) + '"'
    return str(v) or "(empty)"


class Expressions:
    """What names its columns, knows which values are wanted (`odd`), and has a source of chance (`r`)."""

    def name(self, p="c"):
        self.n += 1
        return f"{p}{self.n}"

    def literal(self, t):
        return literal(self.r, t, self.odd)

    def nullif(self, one, other):
        """Of one thing with itself DuckDB makes a constant, and asks nothing more of what that is compared with, which may fail."""
        return one if one == other and self.odd == "numbers" else f"nullif({one}, {other})"

    def value(self, cols, t, depth=2):
        r = self.r
        fit = [c for c, ct in cols if ct == t]
        k = r.random()
        if fit and (k < 0.6 or depth == 0):
            return r.choice(fit)
        if depth == 0 or k < 0.7:
            return self.literal(t)
        v = lambda t: self.value(cols, t, depth - 1)
        any_type = lambda: [
            lambda: f"coalesce({v(t)}, {v(t)})",
            lambda: f"CASE WHEN {self.pred(cols, depth - 1)} THEN {v(t)} ELSE {v(t)} END",
            lambda: self.nullif(v(t), v(t)),
        ]
        if t in (INTS, TEXTS):
            return f"coalesce({v(t)}, {v(t)})"
        if t == BOOL:
            return f"({self.pred(cols, depth - 1)})"
        if t == INT:
            of = any_type() + [
                lambda: f"({v(t)} + {v(t)})",
                lambda: f"({v(t)} - {v(t)})",
                lambda: f"abs({v(t)})",
                lambda: f"({v(t)} % 3)",
                lambda: f"(- {v(t)})",
                lambda: f"greatest({v(t)}, {v(t)})",
                lambda: f"least({v(t)}, {v(t)})",
                lambda: (lambda a, b: either(f"({a} / {b})", f"({a} // {b})"))(v(t), r.choice([2, 3, -2])),
                lambda: f"CAST(length({v(TEXT)}) AS INT)",
                lambda: f"CAST(extract({r.choice(['hour', 'minute', 'day', 'dow'])} FROM {v(TS)}) AS INT)",
                lambda: f"CAST({v(BOOL)} AS INT)",
                lambda: f"CAST({v(DEC)} AS INT)",
                lambda: f"CAST({v(SMALL)} AS INT)",
                lambda: f"({v(t)} * {r.randint(-2, 2)})",
                lambda: f"CAST(extract(day FROM {v(DATE)}) AS INT)",
                lambda: f"CAST(strpos({v(TEXT)}, {self.literal(TEXT)}) AS INT)",
            ]
        elif t == SMALL:
            of = any_type() + [lambda: f"abs({v(t)})", lambda: f"CAST(least(greatest({v(INT)}, -32768), 32767) AS SMALLINT)", lambda: f"greatest({v(t)}, {v(t)})"]
        elif t == DATE:
            of = any_type() + [lambda: f"CAST({v(TS)} AS DATE)", lambda: f"({v(t)} + {r.randint(-3, 3)})", lambda: f"least({v(t)}, {v(t)})"]
        elif t == BIG:
            of = any_type() + [lambda: f"({v(t)} + {v(INT)})", lambda: f"({v(t)} - {v(t)})", lambda: f"CAST({v(INT)} AS BIGINT)"]
        elif t == FLOAT:
            of = any_type() + [
                lambda: f"({v(t)} + {v(t)})",
                lambda: f"({v(t)} - {v(t)})",
                lambda: f"({v(t)} * 2)",
                lambda: f"abs({v(t)})",
                lambda: f"floor({v(t)})",
                # No zero below zero: among keys that are equal it is chance which one is shown.
                lambda: f"(ceil({v(t)}) + 0.0)",
                lambda: f"greatest({v(t)}, {v(t)})",
                lambda: f"CAST({v(INT)} AS DOUBLE PRECISION)",
            ]
        elif t == DEC:
            of = any_type() + [
                lambda: f"CAST({v(t)} + {v(t)} AS NUMERIC(10,2))",
                lambda: f"CAST({v(t)} - {v(t)} AS NUMERIC(10,2))",
                lambda: f"CAST({self.literal(t)} * {self.literal(t)} AS NUMERIC(10,2))",
                lambda: f"CAST(round({v(t)}, 1) AS NUMERIC(10,2))",
                lambda: f"CAST({v(INT)} AS NUMERIC(10,2))",
            ]
        elif t == TEXT:
            of = any_type() + [
                lambda: f"({v(t)} || {v(t)})",
                lambda: f"upper({v(t)})",
                lambda: f"lower({v(t)})",
                lambda: f"substr({v(t)}, 1, 1)",
                lambda: f"CASE {v(INT)} WHEN 1 THEN {v(t)} WHEN 2 THEN {v(t)} END",
                lambda: f"replace({v(t)}, 'a', 'xy')",
                lambda: f"trim({v(t)})",
                lambda: f"reverse({v(t)})",
                lambda: f"left({v(t)}, 1)",
                lambda: f"concat({v(t)}, '-', {v(INT)})",
                lambda: f"split_part({v(t)}, ',', 1)",
                lambda: f"lpad({v(t)}, 3, '.')",
                lambda: f"CAST({v(INT)} AS TEXT)",
                lambda: f"CAST({v(DEC)} AS TEXT)",
                lambda: f"CAST({v(DATE)} AS TEXT)",
                lambda: f"right({v(t)}, 2)",
                lambda: f"repeat({v(t)}, 2)",
                lambda: f"ltrim({v(t)}, 'a')",
            ]
        else:
            of = any_type() + [
                lambda: f"({v(t)} + INTERVAL '90 minutes')",
                lambda: f"({v(t)} - INTERVAL '1 day')",
                lambda: f"date_trunc('{r.choice(['hour', 'day', 'month'])}', {v(t)})",
            ]
        return r.choice(of)()

    def pred(self, cols, depth=2):
        r = self.r
        k = r.random()
        if depth > 0 and k < 0.15:
            return f"({self.pred(cols, depth - 1)} AND {self.pred(cols, depth - 1)})"
        if depth > 0 and k < 0.3:
            return f"({self.pred(cols, depth - 1)} OR {self.pred(cols, depth - 1)})"
        if depth > 0 and k < 0.35:
            return f"NOT ({self.pred(cols, depth - 1)})"
        t = r.choice([t for _, t in cols])
        a = self.value(cols, t, 1)
        if k < 0.45 or t in (INTS, TEXTS):
            null = f"{a} IS {'NOT ' if r.random() < 0.5 else ''}NULL"
            # Bare, DuckDB answers it by a column's statistics and computes nothing: so what fails does not.
            return null if a in (c for c, _ in cols) else either(null, f"({null}) IS TRUE")
        if k < 0.55:
            n = "NOT " if r.random() < 0.3 else ""
            values = [self.literal(t) for _ in range(r.randint(1, 4))] + (["NULL"] if r.random() < 0.15 else [])
            return f"{a} {n}IN ({', '.join(values)})"
        if k < 0.6 and t == TEXT:
            return f"{a} LIKE '{r.choice(['a%', '%b', '_', '%'])}'"
        if k < 0.65:
            return f"{a} IS {'NOT ' if r.random() < 0.5 else ''}DISTINCT FROM {self.value(cols, t, 0)}"
        if k < 0.72:
            return f"{a} BETWEEN {self.value(cols, t, 0)} AND {self.value(cols, t, 0)}"
        if k < 0.75 and t == BOOL:
            return f"{a} IS {r.choice(['TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE'])}"
        return f"{a} {r.choice(['=', '<>', '<', '<=', '>', '>='])} {self.value(cols, t, 1)}"

"""Random queries over random tables, with DuckDB's answers, as cases of sqllogictest.

    pip install duckdb zstandard
    python3 generate.py SEED COUNT FILE

FILE is compressed when it ends in .zst. Each case has tables, views on them, and queries over both. Rows come, change and
go in several statements; after each of several points among them stand the queries with DuckDB's answers over what had come
by then. The tests ask each query as it stands, and read it as a view that was made before the first row.

Values are chosen so that every answer is one text in both engines: floats are quarters, so their sums are exact, and
orders are total. Where the dialects differ (`//` is DuckDB's whole division, and it has no `TUMBLE`), both stand in the text
of a query, see `either`.
"""

import random
import re
import sys

import duckdb

INT, BIG, TEXT, FLOAT, DEC, BOOL, TS = "INT", "BIGINT", "TEXT", "DOUBLE PRECISION", "NUMERIC(10,2)", "BOOLEAN", "TIMESTAMP"
TYPES = [INT, BIG, TEXT, FLOAT, DEC, BOOL, TS]
# Lists are only made, handed on and taken apart.
INTS, TEXTS = "INT[]", "TEXT[]"
LISTS = {INT: INTS, TEXT: TEXTS}

ANSWER_ROWS_MAX = 200


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


class Q:
    """A query and its columns."""

    def __init__(self, sql, cols):
        self.sql, self.cols = sql, cols


def literal(r, t):
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


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.n = 0
        # Relations that queries read: tables, then views.
        self.base = {}

    def name(self, p="c"):
        self.n += 1
        return f"{p}{self.n}"

    def tables(self):
        r = self.r
        out = []
        for i in range(r.randint(1, 3)):
            types = [INT, r.choice(TYPES), r.choice(TYPES)] + ([r.choice(TYPES)] if r.random() < 0.5 else [])
            if r.random() < 0.4:
                types.append(TS)
            cols = [(f"k{i}{j}", t) for j, t in enumerate(types)]
            self.base[f"t{i}"] = cols
            out.append((f"t{i}", cols))
        return out

    def view(self, at):
        """A view that the queries, and later views, read like a table."""
        q = self.rel(self.r.randint(1, 2))
        cols = [(f"v{at}{j}", t) for j, (_, t) in enumerate(q.cols)]
        name = f"m{at}"
        self.base[name] = cols
        names = ", ".join(c for c, _ in cols)
        return f"CREATE {either('MATERIALIZED VIEW', 'VIEW')} {name} ({names}) AS {q.sql}"

    def row(self, cols):
        r = self.r
        return "(" + ", ".join("NULL" if r.random() < 0.15 else literal(r, t) for _, t in cols) + ")"

    # Expressions over columns.
    def value(self, cols, t, depth=2):
        r = self.r
        fit = [c for c, ct in cols if ct == t]
        k = r.random()
        if fit and (k < 0.6 or depth == 0):
            return r.choice(fit)
        if depth == 0 or k < 0.7:
            return literal(r, t)
        v = lambda t: self.value(cols, t, depth - 1)
        any_type = lambda: [
            lambda: f"coalesce({v(t)}, {v(t)})",
            lambda: f"CASE WHEN {self.pred(cols, depth - 1)} THEN {v(t)} ELSE {v(t)} END",
            lambda: f"nullif({v(t)}, {v(t)})",
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
                lambda: f"CAST(strpos({v(TEXT)}, {literal(r, TEXT)}) AS INT)",
            ]
        elif t == BIG:
            of = any_type() + [lambda: f"({v(t)} + {v(INT)})", lambda: f"({v(t)} - {v(t)})", lambda: f"CAST({v(INT)} AS BIGINT)"]
        elif t == FLOAT:
            of = any_type() + [
                lambda: f"({v(t)} + {v(t)})",
                lambda: f"({v(t)} - {v(t)})",
                lambda: f"({v(t)} * 2)",
                lambda: f"abs({v(t)})",
                lambda: f"floor({v(t)})",
                lambda: f"ceil({v(t)})",
                lambda: f"greatest({v(t)}, {v(t)})",
                lambda: f"CAST({v(INT)} AS DOUBLE PRECISION)",
            ]
        elif t == DEC:
            of = any_type() + [
                lambda: f"CAST({v(t)} + {v(t)} AS NUMERIC(10,2))",
                lambda: f"CAST({v(t)} - {v(t)} AS NUMERIC(10,2))",
                lambda: f"CAST({literal(r, t)} * {literal(r, t)} AS NUMERIC(10,2))",
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
            return f"{a} IS {'NOT ' if r.random() < 0.5 else ''}NULL"
        if k < 0.55:
            n = "NOT " if r.random() < 0.3 else ""
            return f"{a} {n}IN ({', '.join(literal(r, t) for _ in range(r.randint(1, 4)))})"
        if k < 0.6 and t == TEXT:
            return f"{a} LIKE '{r.choice(['a%', '%b', '_', '%'])}'"
        if k < 0.65:
            return f"{a} IS {'NOT ' if r.random() < 0.5 else ''}DISTINCT FROM {self.value(cols, t, 0)}"
        if k < 0.72:
            return f"{a} BETWEEN {self.value(cols, t, 0)} AND {self.value(cols, t, 0)}"
        if k < 0.75 and t == BOOL:
            return f"{a} IS {r.choice(['TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE'])}"
        return f"{a} {r.choice(['=', '<>', '<', '<=', '>', '>='])} {self.value(cols, t, 1)}"

    # Relations.
    def rel(self, depth):
        r = self.r
        if depth == 0 or r.random() < 0.1:
            t = r.choice(list(self.base))
            return Q(f"SELECT * FROM {t}", list(self.base[t]))
        f = r.choice(
            [self.filter, self.project, self.join, self.join, self.group, self.group, self.distinct, self.setop]
            + [self.subquery, self.subquery, self.top, self.limit, self.windows, self.scalar, self.rollup, self.over]
            + [self.common, self.values, self.lists, self.distinct_on]
        )
        return f(depth)

    def sub(self, depth):
        q = self.rel(depth - 1)
        # Names that differ everywhere keep joins of joins simple.
        cols = [(self.name(), t) for _, t in q.cols]
        names = ", ".join(c for c, _ in cols)
        return Q(f"({q.sql}) AS {self.name('q')} ({names})", cols)

    def filter(self, d):
        q = self.sub(d)
        return Q(f"SELECT * FROM {q.sql} WHERE {self.pred(q.cols)}", q.cols)

    def project(self, d):
        q = self.sub(d)
        items, cols = [], []
        for _ in range(self.r.randint(1, 4)):
            t = self.r.choice([t for _, t in q.cols])
            if self.r.random() < 0.2 and t not in (INTS, TEXTS):
                t = self.r.choice(TYPES)
            n = self.name()
            items.append(f"{self.value(q.cols, t)} AS {n}")
            cols.append((n, t))
        return Q(f"SELECT {', '.join(items)} FROM {q.sql}", cols)

    def pairs(self, a, b):
        return [(x, y) for x, t in a for y, u in b if t == u and t not in (FLOAT, INTS, TEXTS)]

    def join(self, d):
        r = self.r
        a, b = self.sub(d), self.sub(d)
        pairs = self.pairs(a.cols, b.cols)
        r.shuffle(pairs)
        kind = r.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"])
        on = [f"{x} = {y}" for x, y in pairs[: r.randint(1, 2)]]
        if on and r.random() < 0.1:
            # Nulls that are equal.
            on[0] = on[0].replace(" = ", " IS NOT DISTINCT FROM ")
        if not on or kind == "CROSS JOIN":
            kind, cond = "CROSS JOIN", ""
        else:
            if r.random() < 0.3 and kind != "FULL JOIN":
                on.append(self.pred(a.cols + b.cols, 1))
            cond = " ON " + " AND ".join(on)
        cols = a.cols + b.cols
        r.shuffle(cols)
        cols = cols[: r.randint(1, len(cols))]
        head = ", ".join(c for c, _ in cols)
        return Q(f"SELECT {head} FROM {a.sql} {kind} {b.sql}{cond}", cols)

    def common(self, d):
        """A WITH that is read twice."""
        r = self.r
        q = self.rel(d - 1)
        cols = [(self.name(), t) for _, t in q.cols]
        w, a, b = self.name("w"), self.name("a"), self.name("b")
        keys = [c for c, t in cols if t not in (FLOAT, INTS, TEXTS)]
        on = f"{a}.{r.choice(keys)} = {b}.{r.choice(keys)}" if keys else "true"
        types = dict(cols)
        if keys:
            x = r.choice(keys)
            y = r.choice([k for k in keys if types[k] == types[x]])
            on = f"{a}.{x} = {b}.{y}"
        out = [(c, t, self.name()) for c, t in r.sample(cols, r.randint(1, min(3, len(cols))))]
        side = lambda: r.choice([a, b])
        head = ", ".join(f"{side()}.{c} AS {n}" for c, _, n in out)
        names = ", ".join(c for c, _ in cols)
        sql = f"WITH {w} ({names}) AS ({q.sql}) SELECT {head} FROM {w} AS {a} {r.choice(['JOIN', 'LEFT JOIN'])} {w} AS {b} ON {on}"
        return Q(sql, [(n, t) for _, t, n in out])

    def values(self, d):
        """Rows of the query itself beside those of tables."""
        r = self.r
        q = self.sub(d)
        keys = [(c, t) for c, t in q.cols if t in (INT, TEXT, BIG)]
        if not keys:
            return self.filter(d)
        key, t = r.choice(keys)
        n, m, a = self.name(), self.name(), self.name("q")
        rows = ", ".join(f"({literal(r, t)}, {literal(r, TEXT)})" for _ in range(r.randint(1, 4)))
        kind = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
        sql = f"SELECT {key}, {n}, {m} FROM {q.sql} {kind} (VALUES {rows}) AS {a} ({n}, {m}) ON {key} = {n}"
        return Q(sql, [(key, t), (n, t), (m, TEXT)])

    def lists(self, d):
        """Lists of groups, whole or their parts."""
        r = self.r
        q = self.sub(d)
        fit = [(c, t) for c, t in q.cols if t in LISTS]
        if not fit:
            return self.group(d)
        c, t = r.choice(fit)
        keys = r.sample(q.cols, 1)
        n = self.name()
        k = r.random()
        made = f"array_agg({'DISTINCT ' if r.random() < 0.2 else ''}{c} ORDER BY {c} {r.choice(['ASC', 'DESC'])} NULLS {r.choice(['FIRST', 'LAST'])})"
        if k < 0.6:
            item, out = made, LISTS[t]
        elif k < 0.8:
            item, out = f"({made})[{r.randint(1, 2)}]", t
        else:
            item, out = f"CAST(array_length({made}, 1) AS INT)", INT
        return Q(f"SELECT {keys[0][0]}, {item} AS {n} FROM {q.sql} GROUP BY {keys[0][0]}", keys + [(n, out)])

    def average(self, c, t):
        if t != DEC:
            return f"avg({c})", FLOAT
        # DuckDB's average of decimals is a float: here whole numbers are divided, half away from zero.
        exact = (
            f"CAST(CAST(sign(sum({c})) * ((CAST(abs(sum({c})) * 100 AS BIGINT) * 2 + count({c})) // (2 * count({c}))) AS BIGINT)"
            f" / 100.0 AS NUMERIC(10,2))"
        )
        return either(f"CAST(avg({c}) AS NUMERIC(10,2))", exact), DEC

    def calls(self, cols):
        r = self.r
        items, out = [], []

        def add(call, t):
            n = self.name()
            items.append(f"{call} AS {n}")
            out.append((n, t))

        for _ in range(r.randint(1, 3)):
            c, t = r.choice(cols)
            k = r.random()
            f = ""
            if r.random() < 0.15:
                f = f" FILTER (WHERE {self.pred(cols, 1)})"
            if k < 0.15:
                add(f"count(*){f}", BIG)
            elif k < 0.35:
                add(f"count({'DISTINCT ' if r.random() < 0.5 and t not in (INTS, TEXTS) else ''}{c}){f}", BIG)
            elif k < 0.6 and t not in (BOOL, INTS, TEXTS):
                add(f"{r.choice(['min', 'max'])}({c}){f}", t)
            elif t in (INT, FLOAT):
                g = r.choice(["sum", "sum", "avg"] + (["bit_and", "bit_or", "bit_xor"] if t == INT else []))
                distinct = "DISTINCT " if g in ("sum", "avg") and r.random() < 0.2 else ""
                add(f"{g}({distinct}{c}){f}", INT if g.startswith("bit") else BIG if g == "sum" and t == INT else FLOAT)
            elif t == DEC and r.random() < 0.3:
                add(*self.average(c, t))
            elif t == DEC:
                add(f"CAST(sum({c}){f} AS NUMERIC(10,2))", DEC)
            elif t == TEXT:
                add(f"string_agg({c}, ',' ORDER BY {c}){f}", TEXT)
            elif t == BOOL:
                add(f"{r.choice(['bool_and', 'bool_or'])}({c}){f}", BOOL)
            else:
                add(f"count({c})", BIG)
        return items, out

    def group(self, d):
        r = self.r
        q = self.sub(d)
        keys = r.sample(q.cols, r.randint(0, min(2, len(q.cols))))
        items, out = self.calls(q.cols)
        head = ", ".join([c for c, _ in keys] + items)
        tail = ""
        if keys:
            tail = " GROUP BY " + ", ".join(c for c, _ in keys)
            if r.random() < 0.25:
                tail += f" HAVING count(*) {r.choice(['>', '<', '='])} {r.randint(0, 3)}"
        return Q(f"SELECT {head} FROM {q.sql}{tail}", keys + out)

    def rollup(self, d):
        r = self.r
        q = self.sub(d)
        keys = r.sample(q.cols, min(2, len(q.cols)))
        items, out = self.calls(q.cols)
        head = ", ".join([c for c, _ in keys] + items)
        names = ", ".join(c for c, _ in keys)
        sets = r.choice([f"ROLLUP ({names})", f"CUBE ({names})", f"GROUPING SETS (({names}), ({keys[0][0]}), ())"])
        return Q(f"SELECT {head} FROM {q.sql} GROUP BY {sets}", keys + out)

    def distinct(self, d):
        q = self.sub(d)
        cols = self.r.sample(q.cols, self.r.randint(1, len(q.cols)))
        return Q(f"SELECT DISTINCT {', '.join(c for c, _ in cols)} FROM {q.sql}", cols)

    def distinct_on(self, d):
        r = self.r
        q = self.sub(d)
        key = r.choice(q.cols)[0]
        rest = [(c, t) for c, t in q.cols if c != key]
        order = f"{key}" + (f", {self.order(rest)}" if rest else "")
        inner = f"SELECT DISTINCT ON ({key}) * FROM {q.sql} ORDER BY {order}"
        return Q(f"SELECT * FROM ({inner}) AS {self.name('q')}", q.cols)

    def setop(self, d):
        r = self.r
        a, b = self.sub(d), self.sub(d)
        pairs = [(x, y) for x in a.cols for y in b.cols if x[1] == y[1]]
        if not pairs:
            return self.filter(d)
        pairs = r.sample(pairs, min(len(pairs), r.randint(1, 3)))
        op = r.choice(["UNION", "UNION ALL", "EXCEPT", "EXCEPT ALL", "INTERSECT", "INTERSECT ALL"])
        x = ", ".join(f"{p[0][0]} AS {self.name()}" for p in pairs)
        y = ", ".join(p[1][0] for p in pairs)
        cols = [(f"s{i}", p[0][1]) for i, p in enumerate(pairs)]
        return Q(f"SELECT {x} FROM {a.sql} {op} SELECT {y} FROM {b.sql}", cols)

    def subquery(self, d):
        r = self.r
        a, b = self.sub(d), self.sub(d)
        pairs = self.pairs(a.cols, b.cols)
        if not pairs:
            return self.filter(d)
        x, y = r.choice(pairs)
        no = "NOT " if r.random() < 0.4 else ""
        other = f" OR {self.pred(a.cols, 0)}" if r.random() < 0.2 else ""
        if r.random() < 0.5:
            where = f"{x} {no}IN (SELECT {y} FROM {b.sql})"
        else:
            where = f"{no}EXISTS (SELECT 1 FROM {b.sql} WHERE {x} = {y})"
        return Q(f"SELECT * FROM {a.sql} WHERE {where}{other}", a.cols)

    def scalar(self, d):
        r = self.r
        a, b = self.sub(d), self.sub(d)
        c, t = r.choice(b.cols)
        n = self.name()
        if t in (INT, FLOAT, TEXT, TS, DEC, BIG):
            f, out = f"{r.choice(['min', 'max'])}({c})", t
        else:
            f, out = "count(*)", BIG
        where = ""
        pairs = self.pairs(a.cols, b.cols)
        if pairs and r.random() < 0.6:
            x, y = r.choice(pairs)
            where = f" WHERE {x} = {y}"
        keep = r.choice(a.cols)
        return Q(f"SELECT {keep[0]}, (SELECT {f} FROM {b.sql}{where}) AS {n} FROM {a.sql}", [keep, (n, out)])

    def order(self, cols):
        cols = list(cols)
        self.r.shuffle(cols)
        return ", ".join(f"{c} {self.r.choice(['ASC', 'DESC'])} NULLS {self.r.choice(['FIRST', 'LAST'])}" for c, _ in cols)

    def top(self, d):
        r = self.r
        q = self.sub(d)
        n = self.name()
        part = ""
        if r.random() < 0.7:
            part = "PARTITION BY " + ", ".join(c for c, _ in r.sample(q.cols, r.randint(1, min(2, len(q.cols)))))
        rank = r.choice(["row_number", "rank", "dense_rank"])
        order = self.order(q.cols if rank == "row_number" else r.sample(q.cols, 1))
        names = [c for c, _ in q.cols]
        inner = f"SELECT *, {rank}() OVER ({part} ORDER BY {order}) AS {n} FROM {q.sql}"
        cond = r.choice([f"{n} <= {r.randint(1, 3)}", f"{n} = {r.randint(1, 2)}", f"{n} < 3", f"{n} > 1", f"{n} BETWEEN 2 AND 3"])
        shown = names + ([n] if rank != "row_number" or r.random() < 0.3 else [])
        cols = q.cols + ([(n, BIG)] if n in shown else [])
        return Q(f"SELECT {', '.join(shown)} FROM ({inner}) AS {self.name('q')} WHERE {cond}", cols)

    def limit(self, d):
        r = self.r
        q = self.sub(d)
        tail = f"ORDER BY {self.order(q.cols)} LIMIT {r.randint(0, 5)}" + (f" OFFSET {r.randint(0, 3)}" if r.random() < 0.3 else "")
        return Q(f"SELECT * FROM (SELECT * FROM {q.sql} {tail}) AS {self.name('q')}", q.cols)

    def windows(self, d):
        r = self.r
        times = [(t, c) for t, cs in self.base.items() for c, ct in cs if ct == TS]
        if not times:
            return self.group(d)
        t, c = r.choice(times)
        cols = self.base[t]
        size = r.choice([30, 60, 1440])
        iv = f"INTERVAL '{size} minutes'"
        start, end = self.name(), self.name()
        names = ", ".join(c for c, _ in cols)
        shown = f"{names}, window_start AS {start}, window_end AS {end}"
        if r.random() < 0.5:
            bucket = f"time_bucket({iv}, {c}, TIMESTAMP '1970-01-01')"
            q = either(
                f"SELECT {shown} FROM TUMBLE({t}, {c}, {iv})",
                f"SELECT {names}, {bucket} AS {start}, {bucket} + {iv} AS {end} FROM {t} WHERE {c} IS NOT NULL",
            )
        else:
            slide = f"INTERVAL '{size // 2} minutes'"
            bucket = f"time_bucket({slide}, {c}, TIMESTAMP '1970-01-01')"
            q = either(
                f"SELECT {shown} FROM HOP({t}, {c}, {slide}, {iv})",
                f"SELECT {names}, b AS {start}, b + {iv} AS {end} FROM (SELECT *, {bucket} AS b FROM {t} WHERE {c} IS NOT NULL "
                f"UNION ALL SELECT *, {bucket} - {slide} AS b FROM {t} WHERE {c} IS NOT NULL)",
            )
        items, out = self.calls(cols)
        keys = [(start, TS)] + ([r.choice(self.base[t])] if r.random() < 0.5 else [])
        head = ", ".join([c for c, _ in keys] + items)
        group = ", ".join(c for c, _ in keys)
        return Q(f"SELECT {head} FROM ({q}) AS {self.name('q')} GROUP BY {group}", keys + out)

    def over(self, d):
        r = self.r
        q = self.sub(d)
        k, _ = r.choice(q.cols)
        n = self.name()
        c, t = r.choice(q.cols)
        f, out = ("count(*)", BIG) if t in (BOOL, INTS, TEXTS) else (f"{r.choice(['min', 'max'])}({c})", t)
        part = f"PARTITION BY {k}" if r.random() < 0.8 else ""
        return Q(f"SELECT *, {f} OVER ({part}) AS {n} FROM {q.sql}", q.cols + [(n, out)])


def shown(v, inside=False):
    if v is None:
        return "NULL"
    if v is True:
        return "t"
    if v is False:
        return "f"
    if isinstance(v, float):
        v = repr(v)
        return v[:-2] if v.endswith(".0") else v
    if isinstance(v, list):
        return "{" + ",".join(shown(x, True) for x in v) + "}"
    if inside:
        return v if isinstance(v, str) and re.fullmatch(r"[^\s,{}\"\\]+", v) and v.lower() != "null" else f'"{v}"' if isinstance(v, str) else str(v)
    return str(v) or "(empty)"


class Case:
    def __init__(self, seed):
        self.g = Generator(seed)
        self.r = self.g.r
        self.db = duckdb.connect()
        self.lines = [f"# Case {seed}.", "reset", ""]

    def statement(self, sql):
        self.db.execute(duck(sql))
        self.lines.extend(["statement ok", postgres(sql), ""])

    def change(self, step, tables):
        """Rows come, some of them again, change and go."""
        g, r = self.g, self.r
        r.shuffle(tables)
        for name, cols in tables:
            k = r.random()
            if step > 0 and k < 0.25:
                self.statement(f"DELETE FROM {name} WHERE {g.pred(cols, 0)}")
            elif step > 0 and k < 0.4:
                c, t = r.choice(cols)
                self.statement(f"UPDATE {name} SET {c} = {literal(r, t)} WHERE {g.pred(cols, 0)}")
            elif k < 0.95:
                rows = [g.row(cols) for _ in range(r.randint(1, 9))]
                rows += r.choices(rows, k=r.randint(0, 2))
                r.shuffle(rows)
                self.statement(f"INSERT INTO {name} VALUES {', '.join(rows)}")

    def ask(self, queries):
        for q in queries:
            rows = self.db.execute(duck(q.sql)).fetchall()
            if len(rows) > ANSWER_ROWS_MAX:
                return False
            # Whether a row has no columns or empty text must be seen.
            text = sorted(" ".join(shown(v) for v in row) for row in rows)
            self.lines.extend(["query", postgres(q.sql), "----", *text, ""])
        return True

    def text(self):
        g, r = self.g, self.r
        tables = g.tables()
        for name, cols in tables:
            self.statement(f"CREATE TABLE {name} (" + ", ".join(f"{c} {t}" for c, t in cols) + ")")
        for at in range(r.choice([0, 0, 1, 1, 2])):
            self.statement(g.view(at))
        queries = [g.rel(r.randint(1, 3)) for _ in range(2)]
        for step in range(r.randint(1, 3)):
            for part in range(r.randint(1, 2)):
                self.change(step + part, tables)
            if not self.ask(queries):
                return None
        return "\n".join(self.lines) + "\n"


def cases(first, count):
    seed = first
    while count > 0:
        try:
            text = Case(seed).text()
        except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.BinderException) as error:
            print(f"# {seed}: {type(error).__name__} {error}", file=sys.stderr)
            text = None
        if text:
            count -= 1
            yield text
        seed += 1


def main():
    first, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    text = "".join(cases(first, count)).encode()
    if path.endswith(".zst"):
        import zstandard

        text = zstandard.ZstdCompressor(level=19).compress(text)
    with open(path, "wb") as out:
        out.write(text)


main()

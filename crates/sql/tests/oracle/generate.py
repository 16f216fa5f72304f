"""Random queries over random tables, with DuckDB's answers, as cases of sqllogictest.

    pip install duckdb zstandard
    python3 generate.py SEED COUNT FILE

FILE is compressed when it ends in .zst. Each case has tables, views on them, and queries over both. Rows come, change and
go in several statements; after each of several points among them stand the queries with DuckDB's answers over what had come
by then. The tests ask each query as it stands, and read it as a view that was made before the first row. Rows of sources
arrive in partitions, and some of them late: views that drop those are compared with what the rule of watermarks leaves.

Values are chosen so that every answer is one text in both engines: floats are quarters, so their sums are exact, and
orders are total. Where the dialects differ (`//` is DuckDB's whole division, and it has no `TUMBLE`), both stand in the text
of a query, see `either`.
"""

import random
import re
import sys
import threading
from datetime import timedelta

sys.dont_write_bytecode = True

import duckdb

from arrivals import NEVER, START, Sessions, Source, minutes, timestamp
from expressions import BIG, BOOL, DATE, DEC, FLOAT, INT, INTS, LISTS, SMALL, TEXT, TEXTS, TS, TYPES, Expressions, database, duck, either, postgres, shown

ANSWER_ROWS_MAX = 200
# Joins upon joins grow beyond what anybody waits for.
ANSWER_SECONDS_MAX = 10


def even(average):
    """A multiple of a 64th: sums of such have no rounding, so their order does not matter."""
    return f"(floor({average} * 64) / 64)"


class Q:
    """A query and its columns."""

    def __init__(self, sql, cols):
        self.sql, self.cols = sql, cols


class Generator(Expressions):
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.n = 0
        # Relations that queries read: tables, sources, then views.
        self.base = {}
        self.sources = []
        self.sessions = []
        self.has_clock = False
        # What queries are made of, each a query by itself.
        self.parts = []
        k = self.r.random()
        self.odd = "numbers" if k < 0.08 else "text" if k < 0.16 else None
        self.nulls = self.r.choice([0.15, 0.15, 0.15, 0.0, 0.5])

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
        if r.random() < 0.5:
            for i in range(r.randint(1, 2)):
                cols = [(f"h{i}", INT), (f"g{i}", r.choice(TYPES))]
                cols += [(f"f{i}", r.choice([INT, TEXT]))] if r.random() < 0.5 else []
                self.sources.append(Source(r, i, cols + [("ts", TS)]))
                self.base[f"s{i}"] = self.sources[-1].cols
        return out

    def view(self, at):
        """A view that the queries, and later views, read like a table."""
        q = self.rel(self.r.randint(1, 2))
        cols = [(f"v{at}{j}", t) for j, (_, t) in enumerate(q.cols)]
        name = f"m{at}"
        self.base[name] = cols
        names = ", ".join(c for c, _ in cols)
        return f"CREATE {either('MATERIALIZED VIEW', 'VIEW')} {name} ({names}) AS {q.sql}"

    def cells(self, cols):
        return ["NULL" if self.r.random() < self.nulls else self.literal(t) for _, t in cols]

    def row(self, cols):
        return "(" + ", ".join(self.cells(cols)) + ")"

    def arrivals(self, source, step):
        """Rows of several partitions: most about as late as the step, some long after their time."""
        r = self.r
        rows = []
        for _ in range(r.randint(0, 8)):
            at = START + timedelta(hours=2 * step, minutes=15 * r.randint(-8, 8))
            at -= timedelta(hours=4) if r.random() < 0.15 else timedelta()
            at = None if r.random() < 0.05 else at
            values = self.cells(source.cols[:-1]) + [timestamp(at) if at else "NULL"]
            rows.append((r.randrange(source.partitions), values, at))
        rows += r.choices(rows, k=r.randint(0, 2)) if rows else []
        r.shuffle(rows)
        return rows

    # Relations.
    def rel(self, depth):
        r = self.r
        if depth == 0 or r.random() < 0.1:
            t = r.choice(list(self.base))
            return Q(f"SELECT * FROM {t}", list(self.base[t]))
        f = r.choice(
            [self.filter, self.project, self.join, self.join, self.group, self.group, self.distinct, self.setop]
            + [self.subquery, self.subquery, self.top, self.limit, self.windows, self.scalar, self.rollup, self.over]
            + [self.common, self.values, self.lists, self.distinct_on, self.windows, self.sessioned, self.as_of]
            + [self.nearby, self.moment, self.compared, self.lateral, self.chain, self.chain]
            + [self.merged]
        )
        return f(depth)

    def sub(self, depth):
        q = self.rel(depth - 1)
        self.parts.append(q.sql)
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

    def chain(self, d):
        """Joins of joins without a query in between, whose conditions stand in ON and in WHERE."""
        r = self.r
        parts = [self.sub(max(d - 1, 1)) for _ in range(3)]
        known, sql, later = list(parts[0].cols), parts[0].sql, []
        for part in parts[1:]:
            pairs = self.pairs(known, part.cols)
            kind = r.choice(["JOIN", "JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
            if not pairs:
                sql += f" CROSS JOIN {part.sql}"
            else:
                on = [
                    f"{x} {'IS NOT DISTINCT FROM' if r.random() < 0.5 else '='} {y}"
                    for x, y in r.sample(pairs, min(len(pairs), r.randint(1, 2)))
                ]
                sql += f" {kind} {part.sql} ON {' AND '.join(on)}"
                if r.random() < 0.4:
                    x, y = r.choice(pairs)
                    later.append(f"{x} {r.choice(['=', '=', 'IS NOT DISTINCT FROM'])} {y}")
            known += part.cols
        where = f" WHERE {' AND '.join(later)}" if later else ""
        cols = r.sample(known, r.randint(1, min(5, len(known))))
        return Q(f"SELECT {', '.join(c for c, _ in cols)} FROM {sql}{where}", cols)

    def common(self, d):
        """A WITH that is read twice."""
        r = self.r
        q = self.rel(d - 1)
        cols = [(self.name(), t) for _, t in q.cols]
        w, a, b = self.name("w"), self.name("a"), self.name("b")
        keys = [c for c, t in cols if t not in (FLOAT, INTS, TEXTS)]
        on = "true"
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
        rows = ", ".join(f"({self.literal(t)}, {self.literal(TEXT)})" for _ in range(r.randint(1, 4)))
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
            return even(f"avg({c})"), FLOAT
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
            elif k < 0.7 and t not in (FLOAT, INTS, TEXTS):
                # The order is total: what is equal in it looks the same.
                way = f"{r.choice(['ASC', 'DESC'])} NULLS {r.choice(['FIRST', 'LAST'])}"
                g = r.choice([("first_value", "first"), ("last_value", "last")])
                add(either(*(f"{name}({c} ORDER BY {c} {way}){f}" for name in g)), t)
            elif t in (INT, FLOAT) and k > 0.9 and self.odd is None:
                g = r.choice(["var_pop", "var_samp", "stddev_pop", "stddev_samp"])
                # The last digits are the engine's own; no answer is near a half.
                add(f"CAST(round(CAST({g}({c}){f} * 1000 + 0.37 AS DOUBLE PRECISION)) AS BIGINT)", BIG)
            elif t in (INT, FLOAT) and k > 0.85 and self.odd is None:
                at = r.choice(["0.5", "0.25", "0", "1"])
                add(either(f"percentile_cont({at}) WITHIN GROUP (ORDER BY {c}){f}", f"quantile_cont(CAST({c} AS DOUBLE), {at}){f}"), FLOAT)
            elif t in (INT, FLOAT):
                g = r.choice(["sum", "sum", "avg"] + (["bit_and", "bit_or", "bit_xor"] if t == INT else []))
                distinct = "DISTINCT " if g in ("sum", "avg") and r.random() < 0.2 else ""
                call = f"{g}({distinct}{c}){f}"
                is_whole = g == "sum" and t == INT
                # DuckDB's sum of integers has more digits than a bigint.
                call = even(call) if g == "avg" else f"CAST({call} AS BIGINT)" if is_whole else call
                add(call, INT if g.startswith("bit") else BIG if is_whole else FLOAT)
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
        if r.random() < 0.3:
            n = self.name()
            head += f", CAST(grouping({keys[0][0]}) AS INT) AS {n}"
            out.append((n, INT))
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
        # DuckDB moves what joins ask for below its own DISTINCT ON, where another row is the first.
        n = self.name()
        names = ", ".join(c for c, _ in q.cols)
        number = f"row_number() OVER (PARTITION BY {key} ORDER BY {order}) AS {n}"
        theirs = f"SELECT {names} FROM (SELECT *, {number} FROM {q.sql}) WHERE {n} = 1"
        return Q(f"SELECT * FROM ({either(inner, theirs)}) AS {self.name('q')}", q.cols)

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
        kind = r.random()
        if kind < 0.25:
            where = f"{x} {no}IN (SELECT {y} FROM {b.sql})"
        elif kind < 0.5:
            where = f"{no}EXISTS (SELECT 1 FROM {b.sql} WHERE {x} = {y})"
        elif kind < 0.75:
            where = f"{x} {no}IN (SELECT {y} FROM {b.sql} WHERE {self.asked(pairs)})"
        else:
            # One row, whatever matches.
            having = r.choice(["", "", " HAVING count(*) > 1", " HAVING count(*) = 0"])
            one = f"FROM {b.sql} WHERE {self.asked(pairs)}{having}"
            y_type = dict(b.cols)[y]
            if y_type == BOOL or r.random() < 0.4:
                where = f"{no}EXISTS (SELECT count(*) {one})"
            else:
                where = f"{x} {no}IN (SELECT {r.choice(['min', 'max'])}({y}) {one})"
        return Q(f"SELECT * FROM {a.sql} WHERE {where}{other}", a.cols)

    def asked(self, pairs):
        """A condition that a subquery has for its outer row."""
        r = self.r
        x, y = r.choice(pairs)
        first = f"{x} {r.choice(['=', '=', '=', '<', '<>', 'IS NOT DISTINCT FROM'])} {y}"
        if len(pairs) > 1 and r.random() < 0.3:
            x, y = r.choice(pairs)
            first += f" {r.choice(['AND', 'AND', 'OR'])} {x} = {y}"
        return first

    def merged(self, d):
        """A column that a join makes of two."""
        r = self.r
        a, b = self.sub(d), self.sub(d)
        pairs = self.pairs(a.cols, b.cols)
        if not pairs:
            return self.join(d)
        x, y = r.choice(pairs)
        cols = [(x if c == y else c, t) for c, t in b.cols]
        named = ", ".join(f"{c} AS {x}" if c == y else c for c, _ in b.cols)
        kind = r.choice(["FULL", "FULL", "RIGHT", "LEFT", ""])
        joined = f"FROM {a.sql} {kind} JOIN (SELECT {named} FROM {b.sql}) AS {self.name('q')} USING ({x})"
        if r.random() < 0.5:
            first = [(c, t) for c, t in a.cols if c == x]
            rest = [(c, t) for c, t in a.cols + cols if c != x]
            # DuckDB leaves it in its place.
            names = ", ".join(c for c, _ in first + rest)
            return Q(f"SELECT {either('*', names)} {joined}", first + rest)
        keep = r.choice([(c, t) for c, t in a.cols + cols if c != x] + [(x, dict(a.cols)[x])])
        if keep[0] == x:
            n = self.name()
            return Q(f"SELECT {x}, count(*) AS {n} {joined} GROUP BY {x}", [keep, (n, BIG)])
        return Q(f"SELECT {x}, {keep[0]} {joined}", [(x, dict(a.cols)[x]), keep])

    def scalar(self, d):
        r = self.r
        a, b = self.sub(d), self.sub(d)
        c, t = r.choice(b.cols)
        n = self.name()
        if t in (INT, FLOAT, TEXT, TS, DEC, BIG, DATE, SMALL) and r.random() < 0.7:
            f, out = f"{r.choice(['min', 'max'])}({c})", t
        else:
            f, out = "count(*)", BIG
        where = ""
        pairs = self.pairs(a.cols, b.cols)
        if pairs and r.random() < 0.6:
            where = f" WHERE {self.asked(pairs)}"
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

    def spread(self, at, ours, theirs, names, shape=None):
        """The rows of a relation once for each of their windows, ours and DuckDB's; start and end behind the others."""
        r = self.r
        size, count, kind = shape or self.shape()
        start, end = self.name(), self.name()
        step = minutes(size // count)
        shown = f"{names}, window_start AS {start}, window_end AS {end}"
        known = f"FROM {theirs} WHERE {at} IS NOT NULL"
        bucket = lambda by: f"time_bucket({by}, {at}, TIMESTAMP '1970-01-01')"
        whole = minutes(size)
        if kind == "tumble":
            ours = f"SELECT {shown} FROM TUMBLE({ours}, {at}, {whole})"
            parts = [f"SELECT *, {bucket(whole)} AS {start}, {bucket(whole)} + {whole} AS {end} {known}"]
        elif kind == "hop":
            ours = f"SELECT {shown} FROM HOP({ours}, {at}, {step}, {whole})"
            begin = [f"{bucket(step)} - {minutes(n * size // count)}" for n in range(count)]
            parts = [f"SELECT *, {b} AS {start}, {b} + {whole} AS {end} {known}" for b in begin]
        else:
            ours = f"SELECT {shown} FROM CUMULATE({ours}, {at}, {step}, {whole})"
            ends = [f"{bucket(whole)} + {minutes(n * size // count)}" for n in range(1, count + 1)]
            parts = [f"SELECT *, {bucket(whole)} AS {start}, {e} AS {end} {known} AND {at} < {e}" for e in ends]
        return ours, f"({' UNION ALL '.join(parts)})", start, end

    def shape(self):
        r = self.r
        return r.choice([30, 60, 360]), r.choice([2, 3, 5]), r.choice(["tumble", "hop", "cumulate"])

    def times(self, of=(TS,)):
        # Of windows there is one at a time in a row.
        known = [(t, cs) for t, cs in self.base.items() if ("window_end", TS) not in cs]
        return [(t, c) for t, cs in known for c, ct in cs if ct in of]

    def over_windows(self, sql, cols, start, end):
        r = self.r
        items, out = self.calls(cols)
        keys = [(start, TS), (end, TS)][: r.randint(1, 2)] + ([r.choice(cols)] if r.random() < 0.5 else [])
        head = ", ".join([c for c, _ in keys] + items)
        group = ", ".join(c for c, _ in keys)
        return Q(f"SELECT {head} FROM ({sql}) AS {self.name('q')} GROUP BY {group}", keys + out)

    def windows(self, d):
        r = self.r
        times = self.times()
        if not times:
            return self.group(d)
        t, c = r.choice(times)
        cols = self.base[t]
        names = ", ".join(c for c, _ in cols)
        where = f" WHERE {self.pred(cols, 1)}" if r.random() < 0.3 else ""
        from_ = f"(SELECT * FROM {t}{where})" if where else t
        self.parts.append(f"SELECT * FROM {from_}")
        ours, theirs, start, end = self.spread(c, from_, from_, names)
        q = either(ours, f"SELECT * FROM {theirs}")
        if r.random() < 0.2:
            return Q(q, cols + [(start, TS), (end, TS)])
        return self.over_windows(q, cols, start, end)

    def sessioned(self, d):
        r = self.r
        times = self.times()
        if not times:
            return self.group(d)
        t, c = r.choice(times)
        cols = self.base[t]
        gap = minutes(r.choice([20, 60, 300]))
        by = [k for k, _ in r.sample(cols, r.randint(0, min(2, len(cols)))) if k != c]
        start, end = self.name(), self.name()
        names = ", ".join(c for c, _ in cols)
        part = f"PARTITION BY {', '.join(by)}" if by else ""
        more = f", {', '.join(by)}" if by else ""
        duck = (
            f"SELECT {names}, min({c}) OVER (PARTITION BY g_{more}) AS {start}, max({c}) OVER (PARTITION BY g_{more}) + {gap} AS {end} FROM "
            f"(SELECT *, sum(n_) OVER ({part} ORDER BY {c}) AS g_ FROM (SELECT *, CASE WHEN {c} - lag({c}) OVER ({part} ORDER BY {c}) < {gap} "
            f"THEN 0 ELSE 1 END AS n_ FROM {t} WHERE {c} IS NOT NULL))"
        )
        ours = f"SELECT {names}, window_start AS {start}, window_end AS {end} FROM SESSION({t}, {c}, {gap}{', ' + part if by else ''})"
        q = either(ours, duck)
        if r.random() < 0.3:
            return Q(q, cols + [(start, TS), (end, TS)])
        return self.over_windows(q, cols, start, end)

    def late_view(self, at):
        """A view of windows that counts and drops what comes when they are closed, and may show them only then."""
        r = self.r
        source = r.choice(self.sources)
        if r.random() < 0.25:
            return self.late_sessions(at, source)
        kinds = ["group", "group", "distinct", "top"] + (["join", "semi"] if len(self.sources) > 1 else [])
        kind = r.choice(kinds)
        shape = self.shape()
        closed = f"w{source.name[1]}_" if kind not in ("join", "semi") else "least(w0_, w1_)"

        def open_rows(source):
            names = ", ".join(c for c, _ in source.cols)
            ours, theirs, _, end = self.spread("ts", source.name, f"raw_{source.name}", names, shape)
            cols = [(self.name(), t) for _, t in source.cols] + [(self.name(), TS), (self.name(), TS)]
            start = re.search(r"window_start AS (\w+)", ours)[1]
            q = either(ours, f"SELECT {names}, {start}, {end} FROM {theirs} WHERE {end} > {closed}")
            named = f"({q}) AS {self.name('q')} ({', '.join(c for c, _ in cols)})"
            return Q(named, cols[:-2]), cols[-1][0]

        q, end = open_rows(source)
        if kind == "group":
            items, out = self.calls(q.cols[:-1])
            keys = r.sample(q.cols[:-1], r.randint(0, 1))
            group = ", ".join([end] + [c for c, _ in keys])
            text = f"SELECT {', '.join([f'{end} AS window_end'] + [c for c, _ in keys] + items)} FROM {q.sql} GROUP BY {group}"
            cols = [("window_end", TS)] + keys + out
        elif kind == "distinct":
            keys = r.sample(q.cols[:-1], 1)
            text = f"SELECT DISTINCT {end} AS window_end, {keys[0][0]} FROM {q.sql}"
            cols = [("window_end", TS)] + keys
        elif kind == "top":
            n = self.name()
            order = self.order(q.cols)
            inner = f"SELECT *, row_number() OVER (PARTITION BY {end} ORDER BY {order}) AS {n} FROM {q.sql}"
            keys = q.cols[:-1]
            text = f"SELECT {end} AS window_end, {', '.join(c for c, _ in keys)} FROM ({inner}) AS {self.name('q')} WHERE {n} <= {r.randint(1, 2)}"
            cols = [("window_end", TS)] + keys
        else:
            other = [s for s in self.sources if s is not source][0]
            b, other_end = open_rows(other)
            on = f"{end} = {other_end}" + (f" AND {q.cols[0][0]} = {b.cols[0][0]}" if r.random() < 0.6 else "")
            if kind == "semi":
                text = f"SELECT {end} AS window_end, {q.cols[0][0]} FROM {q.sql} WHERE {r.choice(['', 'NOT '])}EXISTS (SELECT 1 FROM {b.sql} WHERE {on})"
                cols = [("window_end", TS), q.cols[0]]
            else:
                text = f"SELECT {end} AS window_end, {q.cols[0][0]}, {b.cols[0][0]} FROM {q.sql} {r.choice(['JOIN', 'LEFT JOIN'])} {b.sql} ON {on}"
                cols = [("window_end", TS), q.cols[0], b.cols[0]]
        name = f"m{at}"
        self.base[name] = cols
        if r.random() < 0.4:
            moved = f"getvariable('w{source.name[1]}')" if kind not in ("join", "semi") else "least(getvariable('w0'), getvariable('w1'))"
            return either(
                f"CREATE MATERIALIZED VIEW {name} AS {text} EMIT ON WINDOW CLOSE",
                f"CREATE VIEW {name} AS SELECT * FROM ({text}) WHERE window_end <= {moved}",
            )
        option = "WITH (late_rows = 'drop') "
        return f"CREATE {either('MATERIALIZED VIEW', 'VIEW')} {name} {either(option, '')}AS {text}"

    def late_sessions(self, at, source):
        r = self.r
        gap, key = r.choice([30, 60, 150]), 0
        name = f"m{at}"
        of = Sessions(f"z{at}", source, key, gap)
        self.sessions.append(of)
        names = ", ".join(c for c, _ in source.cols)
        by = source.cols[key][0]
        items, out = self.calls(source.cols)
        q = either(
            f"SELECT {names}, window_start, window_end FROM SESSION({source.name}, ts, {minutes(gap)}, PARTITION BY {by})", f"SELECT * FROM {of.name}"
        )
        text = f"SELECT window_start, window_end, {by}, {', '.join(items)} FROM ({q}) AS {self.name('q')} GROUP BY window_start, window_end, {by}"
        self.base[name] = [("window_start", TS), ("window_end", TS), source.cols[key]] + out
        return either(
            f"CREATE MATERIALIZED VIEW {name} WITH (late_rows = 'drop') AS {text}",
            f"CREATE VIEW {name} AS {text}",
        )

    def as_of(self, d):
        """Each row with the newest of another relation; of equal keys and times there is one there."""
        r = self.r
        a, b = self.sub(d), self.sub(d)
        times = [(x, y) for x, t in a.cols for y, u in b.cols if t == u and t in (TS, INT, DATE)]
        if not times:
            return self.join(d)
        x, y = r.choice(times)
        pairs = [p for p in self.pairs(a.cols, b.cols) if p[0] != x and p[1] != y]
        rest = [c for c in b.cols if c[0] != y and c[1] in (INT, TEXT, TS, BIG)]
        if not pairs or not rest:
            return self.join(d)
        k, l = r.choice(pairs)
        value, t = r.choice(rest)
        n, m, o, alias = self.name(), self.name(), self.name(), self.name("q")
        one = f"(SELECT {l} AS {n}, {y} AS {m}, max({value}) AS {o} FROM {b.sql} GROUP BY {l}, {y}) AS {alias}"
        kind = r.choice(["ASOF JOIN", "ASOF LEFT JOIN"])
        head = ", ".join(c for c, _ in a.cols)
        return Q(f"SELECT {head}, {o} FROM {a.sql} {kind} {one} ON {k} = {n} AND {x} >= {m}", a.cols + [(o, t)])

    def nearby(self, d):
        """Rows that are close in time."""
        r = self.r
        a, b = self.sub(d), self.sub(d)
        times = [(x, y) for x, t in a.cols for y, u in b.cols if t == u == TS]
        if not times:
            return self.join(d)
        x, y = r.choice(times)
        near = f"{x} BETWEEN {y} - {minutes(r.choice([0, 60, 300]))} AND {y} + {minutes(r.choice([15, 300]))}"
        pairs = self.pairs(a.cols, b.cols)
        if pairs and r.random() < 0.7:
            k, l = r.choice(pairs)
            near += f" AND {k} = {l}"
        cols = r.sample(a.cols + b.cols, r.randint(1, 3)) if len(a.cols + b.cols) > 2 else a.cols
        kind = r.choice(["JOIN", "LEFT JOIN"])
        if kind == "LEFT JOIN" and " = " not in near:
            kind = "JOIN"
        return Q(f"SELECT {', '.join(c for c, _ in cols)} FROM {a.sql} {kind} {b.sql} ON {near}", cols)

    def moment(self, d):
        """Rows of now, or of before or after it."""
        r = self.r
        times = self.times()
        if not times:
            return self.filter(d)
        t, c = r.choice(times)
        self.has_clock = True
        now = either("CAST(now() AS TIMESTAMP)", "getvariable('now')")
        first = f"{c} {r.choice(['>', '>=', '<', '<='])} {now} - {minutes(r.choice([0, 90, 600]))}"
        if r.random() < 0.4:
            first += f" AND {c} {r.choice(['<', '<='])} {now} + {minutes(r.choice([60, 600]))}"
        if r.random() < 0.3:
            first += f" AND {self.pred(self.base[t], 1)}"
        return Q(f"SELECT * FROM {t} WHERE {first}", list(self.base[t]))

    def compared(self, d):
        """A comparison with all of some rows, or any."""
        r = self.r
        a, b = self.sub(d), self.sub(d)
        pairs = self.pairs(a.cols, b.cols)
        if not pairs:
            return self.filter(d)
        x, y = r.choice(pairs)
        of = f" WHERE {self.asked(pairs)}" if r.random() < 0.4 else ""
        where = f"{x} {r.choice(['=', '<>', '<', '<=', '>', '>='])} {r.choice(['ALL', 'ANY'])} (SELECT {y} FROM {b.sql}{of})"
        return Q(f"SELECT * FROM {a.sql} WHERE {where}", a.cols)

    def lateral(self, d):
        """A subquery in FROM that reads what stands before it."""
        r = self.r
        a, b = self.sub(d), self.sub(d)
        pairs = self.pairs(a.cols, b.cols)
        if not pairs:
            return self.join(d)
        x, y = r.choice(pairs)
        items, out = self.calls(b.cols)
        if r.random() < 0.5:
            cols = r.sample(b.cols, 1)
            n = self.name()
            inner, out = f"SELECT {cols[0][0]} AS {n} FROM {b.sql} WHERE {x} = {y}", [(n, cols[0][1])]
            if r.random() < 0.4:
                inner += f" ORDER BY {self.order(b.cols)} LIMIT {r.randint(1, 2)}"
        else:
            inner = f"SELECT {', '.join(items)} FROM {b.sql} WHERE {x} = {y}"
            self.parts.append(f"SELECT {', '.join(items)} FROM {b.sql} GROUP BY {y}")
        keep = r.choice(a.cols)
        q = self.name("q")
        return Q(f"SELECT {keep[0]}, {', '.join(c for c, _ in out)} FROM {a.sql} CROSS JOIN LATERAL ({inner}) AS {q}", [keep] + out)

    def over(self, d):
        r = self.r
        q = self.sub(d)
        k, _ = r.choice(q.cols)
        n = self.name()
        c, t = r.choice(q.cols)
        f, out = ("count(*)", BIG) if t in (BOOL, INTS, TEXTS) else (f"{r.choice(['min', 'max'])}({c})", t)
        if t == INT and r.random() < 0.5:
            f, out = f"{r.choice(['sum', 'count'])}({c})", BIG
        part = f"PARTITION BY {k}" if r.random() < 0.8 else ""
        return Q(f"SELECT *, {f} OVER ({part}) AS {n} FROM {q.sql}", q.cols + [(n, out)])


class Case:
    def __init__(self, seed, db):
        self.g = Generator(seed)
        self.r = self.g.r
        self.db = db
        self.db.execute("DROP SCHEMA IF EXISTS of_case CASCADE")
        self.db.execute("CREATE SCHEMA of_case")
        self.db.execute("SET schema = 'of_case'")
        self.now = START
        self.lines = [f"# Case {seed}.", "reset", ""]
        # What is computed whenever rows come, where numbers are odd: it must never fail, also where nobody asks. A part that
        # fails while the other side of its join is empty, say, or a group that a lateral join does not ask for, would fail or
        # not by the order of evaluation alone; that of a view is not DuckDB's, for it has computed the part when the other
        # side's rows come.
        self.kept = []

    def statement(self, sql):
        self.db.execute(duck(sql))
        self.lines.extend(["statement ok", postgres(sql), ""])
        self.compute()

    def compute(self):
        for sql in self.kept if self.g.odd == "numbers" else []:
            self.db.execute(sql).fetchall()

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
                self.statement(f"UPDATE {name} SET {c} = {g.value(cols, t, 1)} WHERE {g.pred(cols, 1)}")
            elif step > 0 and k < 0.45:
                self.statement(f"INSERT INTO {name} SELECT * FROM {name} WHERE {g.pred(cols, 0)}")
            elif k < 0.95:
                rows = [g.row(cols) for _ in range(r.randint(1, 9))]
                rows += r.choices(rows, k=r.randint(0, 2))
                r.shuffle(rows)
                self.statement(f"INSERT INTO {name} VALUES {', '.join(rows)}")

    def arrive(self, step):
        """One epoch for each source's rows: what is late is so by the watermarks before it."""
        g = self.g
        for source in g.sources:
            rows = g.arrivals(source, step)
            if not rows:
                continue
            text = ", ".join(f"({', '.join([str(partition)] + values)})" for partition, values, _ in rows)
            self.lines.extend([f"arrive {source.name} {source.partitions}", f"VALUES {text}", ""])
            before = [timestamp(s.watermark) for s in g.sources] + [timestamp(NEVER)]
            came = ", ".join(f"({', '.join(values + before[:2])})" for _, values, _ in rows)
            self.db.execute(f"INSERT INTO raw_{source.name} VALUES {came}")
            old = source.watermark
            source.seen(rows)
            for of in (s for s in g.sessions if s.source is source):
                self.db.execute(f"DELETE FROM {of.name}")
                for values, start, end in of.take(rows, old):
                    self.db.execute(f"INSERT INTO {of.name} VALUES ({', '.join(values + [timestamp(start), timestamp(end)])})")
            self.watermarks()
            self.compute()

    def watermarks(self):
        for source in self.g.sources:
            self.db.execute(f"SET VARIABLE w{source.name[1]} = {timestamp(source.watermark)}")

    def clock(self):
        self.lines.extend(["clock", f"SELECT {timestamp(self.now)}", ""])
        self.db.execute(f"SET VARIABLE now = {timestamp(self.now)}")
        self.compute()

    def ask(self, queries):
        for q in queries:
            limit = threading.Timer(ANSWER_SECONDS_MAX, self.db.interrupt)
            limit.start()
            try:
                rows = self.db.execute(duck(q.sql)).fetchall()
            finally:
                limit.cancel()
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
        for source in g.sources:
            cols = ", ".join(f"{c} {t}" for c, t in source.cols)
            self.lines.extend(["statement ok", source.definition(), ""])
            self.db.execute(f"CREATE TABLE raw_{source.name} ({cols}, w0_ TIMESTAMP, w1_ TIMESTAMP)")
            self.db.execute(f"CREATE VIEW {source.name} AS SELECT {', '.join(c for c, _ in source.cols)} FROM raw_{source.name}")
        self.watermarks()
        self.db.execute(f"SET VARIABLE now = {timestamp(self.now)}")
        for at in range(r.choice([0, 0, 1, 1, 2])):
            is_late = g.sources and r.random() < 0.5
            made = g.late_view(at) if is_late else g.view(at)
            for of in g.sessions[-1:] if is_late else []:
                cols = ", ".join(f"{c} {t}" for c, t in of.source.cols)
                self.db.execute(f"CREATE TABLE IF NOT EXISTS {of.name} ({cols}, window_start TIMESTAMP, window_end TIMESTAMP)")
            self.statement(made)
            self.kept.append(f"SELECT * FROM m{at}")
        queries = [g.rel(r.randint(1, 3)) for _ in range(2)]
        self.kept += [duck(q.sql) for q in queries]
        self.kept += [duck(sql) for sql in g.parts]
        steps = r.randint(2, 4) if g.sources else r.randint(1, 3)
        for step in range(steps):
            for part in range(r.randint(1, 2)):
                self.change(step + part, tables)
                self.arrive(step + part)
            if g.has_clock and r.random() < 0.7:
                self.now += timedelta(minutes=r.choice([15, 60, 137, 700]))
                self.clock()
            if not self.ask(queries):
                return None
        return "\n".join(self.lines) + "\n"


def cases(first, count):
    seed = first
    db = database()
    while count > 0:
        try:
            text = Case(seed, db).text()
        except (
            duckdb.ConversionException,
            duckdb.OutOfRangeException,
            duckdb.BinderException,
            duckdb.OutOfMemoryException,
            duckdb.InterruptException,
        ) as error:
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


if __name__ == "__main__":
    main()

"""Random queries over random tables, with DuckDB's answers, as cases of sqllogictest.

    pip install --target /tmp/py duckdb
    PYTHONPATH=/tmp/py python3 generate.py SEED COUNT > cases.slt

Values are chosen so that every answer is one text in both engines: floats are quarters, so their sums are exact, and
orders are total. `DuckDB` has `//` for the whole division and no `TUMBLE`; a query is made in both dialects at once.
"""
import random
import sys

import duckdb

INT, BIG, TEXT, FLOAT, DEC, BOOL, TS = "INT", "BIGINT", "TEXT", "DOUBLE PRECISION", "NUMERIC(10,2)", "BOOLEAN", "TIMESTAMP"
TYPES = [INT, BIG, TEXT, FLOAT, DEC, BOOL, TS]
NUMBERS = [INT, BIG, FLOAT, DEC]


class Q:
    """A query in both dialects and its columns."""

    def __init__(self, pg, duck, cols):
        self.pg, self.duck, self.cols = pg, duck, cols


def literal(r, t):
    if t in (INT, BIG):
        return str(r.randint(-3, 6))
    if t == TEXT:
        return "'" + r.choice(["a", "b", "c", "ab", "", "z"]) + "'"
    if t == FLOAT:
        return f"CAST({r.randint(-8, 8) / 4} AS DOUBLE PRECISION)"
    if t == DEC:
        return f"CAST({r.randint(-300, 300) / 100} AS NUMERIC(10,2))"
    if t == BOOL:
        return r.choice(["true", "false"])
    return f"TIMESTAMP '2020-01-0{r.randint(1, 3)} {r.randint(0, 5):02}:{r.choice([0, 15, 30, 59]):02}:00'"


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.n = 0

    def name(self, p="c"):
        self.n += 1
        return f"{p}{self.n}"

    def tables(self):
        r = self.r
        self.base = {}
        out = []
        for i in range(r.randint(1, 3)):
            types = [INT, r.choice(TYPES), r.choice(TYPES)] + ([r.choice(TYPES)] if r.random() < 0.5 else [])
            if r.random() < 0.4:
                types.append(TS)
            cols = [(f"k{i}{j}", t) for j, t in enumerate(types)]
            self.base[f"t{i}"] = cols
            out.append((f"t{i}", cols))
        return out

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
        if t in (INT, FLOAT):
            return r.choice([
                lambda: f"({v(t)} + {v(t)})",
                lambda: f"({v(t)} - {v(t)})",
                lambda: f"coalesce({v(t)}, {v(t)})",
                lambda: f"CASE WHEN {self.pred(cols, depth - 1)} THEN {v(t)} ELSE {v(t)} END",
                lambda: f"abs({v(t)})",
                lambda: f"({v(t)} % 3)" if t == INT else f"({v(t)} * 2)",
                lambda: f"greatest({v(t)}, {v(t)})",
                lambda: f"nullif({v(t)}, {v(t)})",
            ])()
        if t == TEXT:
            return r.choice([
                lambda: f"({v(t)} || {v(t)})",
                lambda: f"upper({v(t)})",
                lambda: f"coalesce({v(t)}, {v(t)})",
                lambda: f"substr({v(t)}, 1, 1)",
                lambda: f"CASE {v(INT)} WHEN 1 THEN {v(t)} WHEN 2 THEN {v(t)} END",
            ])()
        if t == BOOL:
            return f"({self.pred(cols, depth - 1)})"
        return f"coalesce({v(t)}, {v(t)})"

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
        if k < 0.45:
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
        return f"{a} {r.choice(['=', '<>', '<', '<=', '>', '>='])} {self.value(cols, t, 1)}"

    # Relations.
    def rel(self, depth):
        r = self.r
        if depth == 0 or r.random() < 0.1:
            t = r.choice(list(self.base))
            return Q(f"SELECT * FROM {t}", f"SELECT * FROM {t}", list(self.base[t]))
        f = r.choice([self.filter, self.project, self.join, self.join, self.group, self.group, self.distinct, self.setop,
                      self.subquery, self.subquery, self.top, self.limit, self.windows, self.scalar, self.rollup, self.over])
        return f(depth)

    def sub(self, depth):
        q = self.rel(depth - 1)
        a = self.name("q")
        # Names that differ everywhere keep joins of joins simple.
        cols = [(self.name(), t) for _, t in q.cols]
        names = ", ".join(c for c, _ in cols)
        return Q(f"({q.pg}) AS {a} ({names})", f"({q.duck}) AS {a} ({names})", cols)

    def wrap(self, q, head, tail, cols):
        return Q(f"SELECT {head} FROM {q.pg} {tail}".strip(), f"SELECT {head} FROM {q.duck} {tail}".strip(), cols)

    def filter(self, d):
        q = self.sub(d)
        return self.wrap(q, "*", f"WHERE {self.pred(q.cols)}", q.cols)

    def project(self, d):
        q = self.sub(d)
        items, cols = [], []
        for _ in range(self.r.randint(1, 4)):
            t = self.r.choice([t for _, t in q.cols])
            n = self.name()
            items.append(f"{self.value(q.cols, t)} AS {n}")
            cols.append((n, t))
        return self.wrap(q, ", ".join(items), "", cols)

    def pairs(self, a, b):
        return [(x, y) for x, t in a for y, u in b if t == u and t != FLOAT]

    def join(self, d):
        r = self.r
        a, b = self.sub(d), self.sub(d)
        pairs = self.pairs(a.cols, b.cols)
        r.shuffle(pairs)
        kind = r.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"])
        on = [f"{x} = {y}" for x, y in pairs[: r.randint(1, 2)]]
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
        return Q(f"SELECT {head} FROM {a.pg} {kind} {b.pg}{cond}", f"SELECT {head} FROM {a.duck} {kind} {b.duck}{cond}", cols)

    def calls(self, cols):
        r = self.r
        items, out = [], []
        for _ in range(r.randint(1, 3)):
            n = self.name()
            c, t = r.choice(cols)
            k = r.random()
            f = ""
            if r.random() < 0.15:
                f = f" FILTER (WHERE {self.pred(cols, 1)})"
            if k < 0.2:
                items.append(f"count(*){f} AS {n}")
                out.append((n, BIG))
            elif k < 0.4:
                items.append(f"count({'DISTINCT ' if r.random() < 0.5 else ''}{c}){f} AS {n}")
                out.append((n, BIG))
            elif k < 0.7 and t != BOOL:
                items.append(f"{r.choice(['min', 'max'])}({c}){f} AS {n}")
                out.append((n, t))
            elif t in (INT, FLOAT):
                g = r.choice(["sum", "sum", "avg"])
                items.append(f"{g}({'DISTINCT ' if r.random() < 0.2 else ''}{c}){f} AS {n}")
                out.append((n, BIG if g == "sum" and t == INT else FLOAT))
            elif t == DEC:
                items.append(f"CAST(sum({c}){f} AS NUMERIC(10,2)) AS {n}")
                out.append((n, DEC))
            elif t == TEXT:
                items.append(f"string_agg({c}, ',' ORDER BY {c}){f} AS {n}")
                out.append((n, TEXT))
            elif t == BOOL:
                items.append(f"{r.choice(['bool_and', 'bool_or'])}({c}){f} AS {n}")
                out.append((n, BOOL))
            else:
                items.append(f"count({c}) AS {n}")
                out.append((n, BIG))
        return items, out

    def group(self, d):
        r = self.r
        q = self.sub(d)
        keys = r.sample(q.cols, r.randint(0, min(2, len(q.cols))))
        items, out = self.calls(q.cols)
        head = ", ".join([c for c, _ in keys] + items)
        tail = ""
        if keys:
            tail = "GROUP BY " + ", ".join(c for c, _ in keys)
            if r.random() < 0.25:
                tail += f" HAVING count(*) {r.choice(['>', '<', '='])} {r.randint(0, 3)}"
        return self.wrap(q, head, tail, keys + out)

    def rollup(self, d):
        r = self.r
        q = self.sub(d)
        keys = r.sample(q.cols, min(2, len(q.cols)))
        items, out = self.calls(q.cols)
        head = ", ".join([c for c, _ in keys] + items)
        names = ", ".join(c for c, _ in keys)
        return self.wrap(q, head, f"GROUP BY {r.choice(['ROLLUP', 'CUBE'])} ({names})", keys + out)

    def distinct(self, d):
        q = self.sub(d)
        cols = self.r.sample(q.cols, self.r.randint(1, len(q.cols)))
        return self.wrap(q, "DISTINCT " + ", ".join(c for c, _ in cols), "", cols)

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
        return Q(f"SELECT {x} FROM {a.pg} {op} SELECT {y} FROM {b.pg}", f"SELECT {x} FROM {a.duck} {op} SELECT {y} FROM {b.duck}", cols)

    def subquery(self, d):
        r = self.r
        a, b = self.sub(d), self.sub(d)
        pairs = self.pairs(a.cols, b.cols)
        if not pairs:
            return self.filter(d)
        x, y = r.choice(pairs)
        k = r.random()
        no = "NOT " if r.random() < 0.4 else ""
        other = f" OR {self.pred(a.cols, 0)}" if r.random() < 0.2 else ""
        if k < 0.5:
            make = lambda p, q: f"SELECT * FROM {p} WHERE {x} {no}IN (SELECT {y} FROM {q}){other}"
        else:
            make = lambda p, q: f"SELECT * FROM {p} WHERE {no}EXISTS (SELECT 1 FROM {q} WHERE {x} = {y}){other}"
        return Q(make(a.pg, b.pg), make(a.duck, b.duck), a.cols)

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
        make = lambda p, q: f"SELECT {keep[0]}, (SELECT {f} FROM {q}{where}) AS {n} FROM {p}"
        return Q(make(a.pg, b.pg), make(a.duck, b.duck), [keep, (n, out)])

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
        inner = f"SELECT *, {rank}() OVER ({part} ORDER BY {order}) AS {n} FROM "
        cond = r.choice([f"{n} <= {r.randint(1, 3)}", f"{n} = {r.randint(1, 2)}", f"{n} < 3", f"{n} > 1", f"{n} BETWEEN 2 AND 3"])
        shown = names + ([n] if rank != "row_number" or r.random() < 0.3 else [])
        cols = q.cols + ([(n, BIG)] if n in shown else [])
        a = self.name("q")
        make = lambda p: f"SELECT {', '.join(shown)} FROM ({inner}{p}) AS {a} WHERE {cond}"
        return Q(make(q.pg), make(q.duck), cols)

    def limit(self, d):
        r = self.r
        q = self.sub(d)
        a = self.name("q")
        tail = f"ORDER BY {self.order(q.cols)} LIMIT {r.randint(0, 5)}" + (f" OFFSET {r.randint(0, 3)}" if r.random() < 0.3 else "")
        make = lambda p: f"SELECT * FROM (SELECT * FROM {p} {tail}) AS {a}"
        return Q(make(q.pg), make(q.duck), q.cols)

    def windows(self, d):
        r = self.r
        times = [(t, c) for t, cs in self.base.items() for c, ct in cs if ct == TS]
        if not times:
            return self.group(d)
        t, c = r.choice(times)
        cols = self.base[t]
        a = self.name("q")
        size = r.choice([30, 60, 1440])
        iv = f"INTERVAL '{size} minutes'"
        start, end = self.name(), self.name()
        names = ", ".join(c for c, _ in cols)
        if r.random() < 0.5:
            pg = f"SELECT {names}, window_start AS {start}, window_end AS {end} FROM TUMBLE({t}, {c}, {iv})"
            bucket = f"time_bucket({iv}, {c}, TIMESTAMP '1970-01-01')"
            duck = f"SELECT {names}, {bucket} AS {start}, {bucket} + {iv} AS {end} FROM {t} WHERE {c} IS NOT NULL"
        else:
            slide = f"INTERVAL '{size // 2} minutes'"
            pg = f"SELECT {names}, window_start AS {start}, window_end AS {end} FROM HOP({t}, {c}, {slide}, {iv})"
            bucket = f"time_bucket({slide}, {c}, TIMESTAMP '1970-01-01')"
            duck = (f"SELECT {names}, b AS {start}, b + {iv} AS {end} FROM (SELECT *, {bucket} AS b FROM {t} WHERE {c} IS NOT NULL "
                    f"UNION ALL SELECT *, {bucket} - {slide} AS b FROM {t} WHERE {c} IS NOT NULL)")
        items, out = self.calls(cols)
        cols = cols + [(start, TS), (end, TS)]
        keys = [(start, TS)] + ([r.choice(self.base[t])] if r.random() < 0.5 else [])
        head = ", ".join([c for c, _ in keys] + items)
        group = ", ".join(c for c, _ in keys)
        make = lambda q: f"SELECT {head} FROM ({q}) AS {a} GROUP BY {group}"
        return Q(make(pg), make(duck), keys + out)

    def over(self, d):
        r = self.r
        q = self.sub(d)
        k, _ = r.choice(q.cols)
        n = self.name()
        c, t = r.choice(q.cols)
        f, out = ("count(*)", BIG) if t in (BOOL,) else (f"{r.choice(['min', 'max'])}({c})", t)
        part = f"PARTITION BY {k}" if r.random() < 0.8 else ""
        return self.wrap(q, f"*, {f} OVER ({part}) AS {n}", "", q.cols + [(n, out)])


def shown(v):
    if v is None:
        return "NULL"
    if v is True:
        return "t"
    if v is False:
        return "f"
    if isinstance(v, float):
        v = repr(v)
        return v[:-2] if v.endswith(".0") else v
    return str(v) or "(empty)"


def case(seed, out):
    g = Generator(seed)
    r = g.r
    db = duckdb.connect()
    lines = [f"# Case {seed}.", "reset", ""]

    def statement(sql):
        lines.extend(["statement ok", sql, ""])
        db.execute(sql)

    tables = g.tables()
    for name, cols in tables:
        statement(f"CREATE TABLE {name} (" + ", ".join(f"{c} {t}" for c, t in cols) + ")")
    queries = [g.rel(r.randint(1, 3)) for _ in range(2)]
    for step in range(r.randint(1, 3)):
        for name, cols in tables:
            k = r.random()
            if step > 0 and k < 0.25:
                statement(f"DELETE FROM {name} WHERE {g.pred(cols, 0)}")
            elif step > 0 and k < 0.4:
                c, t = r.choice(cols)
                statement(f"UPDATE {name} SET {c} = {literal(r, t)} WHERE {g.pred(cols, 0)}")
            elif k < 0.95:
                rows = ", ".join(g.row(cols) for _ in range(r.randint(1, 9)))
                statement(f"INSERT INTO {name} VALUES {rows}")
        for q in queries:
            rows = db.execute(q.duck).fetchall()
            if len(rows) > 200:
                return False
            # Whether a row has no columns or empty text must be seen.
            text = sorted(" ".join(shown(v) for v in row) for row in rows)
            lines.extend(["query", q.pg, "----", *text, ""])
    out.write("\n".join(lines) + "\n")
    return True


def main():
    first, count = int(sys.argv[1]), int(sys.argv[2])
    done = seed = 0
    while done < count:
        try:
            done += case(first + seed, sys.stdout)
        except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.BinderException) as error:
            print(f"# {first + seed}: {type(error).__name__}", file=sys.stderr)
        seed += 1


main()

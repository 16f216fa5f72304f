"""Rows that come by partitions, and what the rule of watermarks makes of those that come late."""

from datetime import datetime, timedelta

START = datetime(2020, 1, 1)
# What a watermark is before there is one.
NEVER = datetime(1, 1, 1)


def timestamp(at):
    return f"TIMESTAMP '{at.isoformat(sep=' ')}'"


def minutes(count):
    return f"INTERVAL '{count} minutes'"


class Source:
    """Rows that come by partitions, and how far the time among them has come."""

    def __init__(self, r, at, cols):
        self.name, self.cols = f"s{at}", cols
        self.partitions = r.randint(1, 3)
        self.delay = r.choice([0, 30, 120])
        self.times = [None] * self.partitions
        self.watermark = NEVER

    def definition(self):
        cols = ", ".join(f"{c} {t}" for c, t in self.cols)
        return (
            f"CREATE SOURCE {self.name} FROM TOPIC {self.name} ({cols}, WATERMARK FOR ts AS ts - {minutes(self.delay)})"
            " FORMAT JSON WITH (max_future = '1000 days')"
        )

    def seen(self, rows):
        for partition, _, at in rows:
            if at and (self.times[partition] is None or at > self.times[partition]):
                self.times[partition] = at
        if None not in self.times:
            self.watermark = max(self.watermark, min(self.times) - timedelta(minutes=self.delay))


class Sessions:
    """Sessions that are forgotten once the watermark has passed their end: which they are depends on when rows came."""

    def __init__(self, name, source, key, gap):
        self.name, self.source, self.key, self.gap = name, source, key, timedelta(minutes=gap)
        self.open, self.closed = {}, []

    def take(self, rows, before):
        """Rows, and the watermark before they came."""
        for _, values, at in rows:
            if at and at + self.gap > before:
                self.open.setdefault(values[self.key], []).append((at, values))
        shown = list(self.closed)
        for key, known in self.open.items():
            kept = []
            for session in self.split(sorted(known)):
                start, end = session[0][0], session[-1][0] + self.gap
                out = [(values, start, end) for _, values in session]
                shown += out
                if end <= self.source.watermark:
                    self.closed += out
                else:
                    kept += session
            self.open[key] = kept
        return shown

    def split(self, known):
        for at, row in enumerate(known):
            if at == 0 or row[0] - known[at - 1][0] >= self.gap:
                session = []
            session.append(row)
            if at + 1 == len(known) or known[at + 1][0] - row[0] >= self.gap:
                yield session

#!/usr/bin/env python3
"""Makes flights-2001-01.zst from flights-3m.parquet of the npm package vega-datasets (see README.md).

    npm pack vega-datasets@3.2.1 && tar xzf vega-datasets-3.2.1.tgz
    pip install pyarrow numpy zstandard
    python3 make_flights.py package/data/flights-3m.parquet flights-2001-01.zst
"""
import struct
import sys

import numpy as np
import pyarrow.parquet as pq
import zstandard

MINUTES_PER_DAY = 1440
DAYS = 31


def varints(values):
    out = bytearray()
    for value in values:
        value = int(value)
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def main(source, target):
    table = pq.read_table(source)
    minute = table["date"].to_numpy().astype("datetime64[m]").astype("i8")
    start = int(minute.min()) // MINUTES_PER_DAY * MINUTES_PER_DAY
    keep = minute < start + DAYS * MINUTES_PER_DAY
    minute = minute[keep]
    delay = table["delay"].to_numpy()[keep]
    distance = table["distance"].to_numpy()[keep]
    origin = np.array(table["origin"].to_pylist())[keep]
    destination = np.array(table["destination"].to_pylist())[keep]

    # The distance belongs to the route, so a row is (minute, route, delay).
    flown = sorted(set(zip(origin.tolist(), destination.tolist(), distance.tolist())))
    number = {route: at for at, route in enumerate(flown)}
    assert len({route[:2] for route in flown}) == len(flown), "one distance per route"
    route = np.array([number[r] for r in zip(origin.tolist(), destination.tolist(), distance.tolist())])

    order = np.lexsort((route, minute))  # by time; within a minute by route, which packs better
    minute, route, delay = minute[order], route[order], delay[order]

    minutes = varints(np.diff(minute, prepend=start))
    delays = varints(np.where(delay >= 0, 2 * delay, -2 * delay - 1))
    out = bytearray(b"FLT1")
    out += struct.pack("<qII", start, len(minute), len(flown))
    for a, b, miles in flown:
        out += a.encode("ascii") + b.encode("ascii") + struct.pack("<H", miles)
    for column in (minutes, (route & 0xFF).astype("u1").tobytes(), (route >> 8).astype("u1").tobytes(), delays):
        out += struct.pack("<I", len(column)) + column
    packed = zstandard.ZstdCompressor(level=22, write_checksum=True).compress(bytes(out))
    with open(target, "wb") as file:
        file.write(packed)
    print(f"{len(minute)} flights, {len(flown)} routes, {len(out)} bytes packed into {len(packed)}")
    print(f"delay sum {int(delay.sum())}, distance sum {int(distance.sum())}, airports {len(set(origin.tolist()))}")


if __name__ == "__main__":
    main(*sys.argv[1:])

-- Calculation: conversion, time of day, letters counted, on a part of the bids.
SELECT auction, bidder, 0.908 * price AS price,
  CASE
    WHEN EXTRACT(HOUR FROM rowtime) >= 8 AND EXTRACT(HOUR FROM rowtime) <= 18 THEN 'dayTime'
    WHEN EXTRACT(HOUR FROM rowtime) <= 6 OR EXTRACT(HOUR FROM rowtime) >= 20 THEN 'nightTime'
    ELSE 'otherTime'
  END AS bid_time_type,
  rowtime, extra, length(extra) - length(replace(extra, 'c', '')) AS c_counts
FROM bid
WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000

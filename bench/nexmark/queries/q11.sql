-- User sessions: bids of each bidder until 10 s without one.
SELECT bidder, count(*) AS bid_count, window_start, window_end
FROM SESSION(bid, rowtime, INTERVAL '10 seconds', PARTITION BY bidder)
GROUP BY bidder, window_start, window_end

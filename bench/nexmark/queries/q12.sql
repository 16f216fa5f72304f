-- Bids per bidder in 10 s windows of the time at which the records came into the log.
SELECT bidder, count(*) AS bid_count, window_start, window_end
FROM TUMBLE(bid, written, INTERVAL '10 seconds')
GROUP BY bidder, window_start, window_end

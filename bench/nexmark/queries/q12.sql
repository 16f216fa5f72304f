-- Bids per bidder in 10 s windows of processing time.
SELECT bidder, count(*) AS bid_count, window_start, window_end
FROM TUMBLE(bid, proctime(), INTERVAL '10 seconds')
GROUP BY bidder, window_start, window_end

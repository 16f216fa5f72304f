-- Highest bid of each 10 s window, with the bids that reached it.
SELECT B.auction, B.bidder, B.price, B.rowtime, B.extra
FROM bid B
JOIN (
  SELECT MAX(price) AS maxprice, window_end AS w_end
  FROM TUMBLE(bid, rowtime, INTERVAL '10 seconds')
  GROUP BY window_start, window_end
) B1
ON B.price = B1.maxprice
WHERE B.rowtime >= B1.w_end - INTERVAL '10 seconds' AND B.rowtime < B1.w_end

-- The last bid of each bidder on each auction.
SELECT auction, bidder, price, channel, url, rowtime, extra
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY rowtime DESC) AS rank_number FROM bid) AS ranked
WHERE rank_number <= 1

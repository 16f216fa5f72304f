-- Log to a file system: each bid with the day and the minute it is filed under.
SELECT auction, bidder, price, rowtime, extra, to_char(rowtime, 'YYYY-MM-DD') AS day, to_char(rowtime, 'HH24:MI') AS minute
FROM bid

-- Bounded side input: bids with the value that a small table has for them.
SELECT B.auction, B.bidder, B.price, B.rowtime, S.value
FROM bid AS B INNER JOIN side_input AS S ON MOD(B.auction, 10000) = S.key

-- Bids with the details of their auction, category 10 only; state kept for ever.
SELECT B.auction, B.bidder, B.price, B.channel, B.url, B.rowtime AS bid_time, B.extra AS bid_extra,
  A."itemName", A.description, A."initialBid", A.reserve, A.rowtime AS auction_time, A.expires, A.seller, A.category,
  A.extra AS auction_extra
FROM bid AS B INNER JOIN auction AS A ON B.auction = A.id
WHERE A.category = 10

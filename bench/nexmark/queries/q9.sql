-- Winning bids: the highest bid of each auction, the earliest of those.
SELECT id, "itemName", description, "initialBid", reserve, rowtime, expires, seller, category, extra,
  auction, bidder, price, bid_time, bid_extra
FROM (
  SELECT A.id, A."itemName", A.description, A."initialBid", A.reserve, A.rowtime, A.expires, A.seller, A.category,
    A.extra, B.auction, B.bidder, B.price, B.rowtime AS bid_time, B.extra AS bid_extra,
    ROW_NUMBER() OVER (PARTITION BY A.id ORDER BY B.price DESC, B.rowtime ASC) AS place
  FROM auction A, bid B
  WHERE A.id = B.auction AND B."dateTime" BETWEEN A."dateTime" AND A.expires
) AS ranked
WHERE place <= 1

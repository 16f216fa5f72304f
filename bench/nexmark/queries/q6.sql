-- Average selling price of each seller's last ten auctions: the winning bid of each, the newest ten, their average.
SELECT T.seller, AVG(T.final) AS average
FROM (
  SELECT Q.seller, Q.final,
    ROW_NUMBER() OVER (PARTITION BY Q.seller ORDER BY Q."dateTime" DESC, Q.id) AS place
  FROM (
    SELECT A.id, A.seller, B.price AS final, B."dateTime",
      ROW_NUMBER() OVER (PARTITION BY A.id ORDER BY B.price DESC, B."dateTime") AS rank
    FROM auction A, bid B
    WHERE A.id = B.auction AND B."dateTime" BETWEEN A."dateTime" AND A.expires
  ) Q
  WHERE Q.rank = 1
) T
WHERE T.place <= 10
GROUP BY T.seller

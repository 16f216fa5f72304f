-- Pass through: five fields of each bid.
SELECT auction, bidder, price, rowtime, extra FROM bid

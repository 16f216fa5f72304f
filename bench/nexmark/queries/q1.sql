-- Currency conversion: a projection with decimal arithmetic.
SELECT auction, bidder, 0.908 * price AS price, rowtime, extra FROM bid

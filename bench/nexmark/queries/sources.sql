-- The three topics. Times are milliseconds in the records, rowtime is the event time, and the watermark 4 s behind it.
CREATE SOURCE person FROM TOPIC ${prefix}_person (
  id BIGINT, name TEXT, "emailAddress" TEXT, "creditCard" TEXT, city TEXT, state TEXT, "dateTime" BIGINT,
  rowtime TIMESTAMPTZ PATH 'dateTime', extra TEXT,
  WATERMARK FOR rowtime AS rowtime - INTERVAL '4 seconds') ${person};

CREATE SOURCE auction FROM TOPIC ${prefix}_auction (
  id BIGINT, "itemName" TEXT, description TEXT, "initialBid" BIGINT, reserve BIGINT, "dateTime" BIGINT,
  rowtime TIMESTAMPTZ PATH 'dateTime', expires BIGINT, seller BIGINT, category BIGINT, extra TEXT,
  WATERMARK FOR rowtime AS rowtime - INTERVAL '4 seconds') ${auction};

CREATE SOURCE bid FROM TOPIC ${prefix}_bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, "dateTime" BIGINT,
  rowtime TIMESTAMPTZ PATH 'dateTime', extra TEXT,
  written TIMESTAMPTZ METADATA FROM 'timestamp',
  WATERMARK FOR rowtime AS rowtime - INTERVAL '4 seconds') ${bid};

// node-postgres against a node: with_pg.js PORT PREFIX, one line for each case.
"use strict";

const assert = require("node:assert/strict");
const { Client, Pool, Query } = require("pg");
const Cursor = require("pg-cursor");
const { to: copyTo } = require("pg-copy-streams");

const [port, prefix] = process.argv.slice(2);
const table = `${prefix}_accounts`;
const view = `${prefix}_sums`;
const address = { host: "127.0.0.1", port: Number(port), user: "forebay", database: "forebay" };

async function connected(use) {
  const client = new Client(address);
  client.on("error", () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

async function refused(promise, code) {
  const error = await promise.then(
    () => assert.fail(`no error ${code}`),
    (error) => error,
  );
  assert.equal(error.code, code, error.message);
  return error;
}

/** Rows of a query that never ends, one at a time; what is not asked for yet waits. */
function rowsOf(client, text) {
  const query = client.query(new Query({ text, rowMode: "array" }));
  const rows = [];
  const waiting = [];
  let failed;
  const give = () => {
    while (waiting.length > 0 && (rows.length > 0 || failed)) {
      const { resolve, reject } = waiting.shift();
      rows.length > 0 ? resolve(rows.shift()) : reject(failed);
    }
  };
  query.on("row", (row) => (rows.push(row), give()));
  query.on("error", (error) => ((failed = error), give()));
  return { query, next: () => new Promise((resolve, reject) => (waiting.push({ resolve, reject }), give())) };
}

/** By a connection of its own, with the key that the server gave. */
async function cancel(client) {
  const other = new Client(address);
  await new Promise((resolve, reject) => {
    other.connection.once("end", resolve);
    other.connection.once("error", reject);
    other.connection.once("connect", () => other.connection.cancel(client.processID, client.secretKey));
    other.connection.connect(address.port, address.host);
  });
}

const cases = {
  async connect() {
    await connected(async (client) => {
      assert.equal((await client.query("SELECT 1 AS one")).rows[0].one, 1);
    });
    const pool = new Pool({ ...address, max: 2 });
    assert.deepEqual(await Promise.all([1, 2, 3].map(async (n) => (await pool.query("SELECT $1::int AS n", [n])).rows[0].n)), [1, 2, 3]);
    await pool.end();
  },

  async statements() {
    await connected(async (client) => {
      await client.query(`CREATE TABLE ${table} (id INT PRIMARY KEY, owner TEXT, balance NUMERIC(12,2) NOT NULL)`);
      await client.query(
        `CREATE MATERIALIZED VIEW ${view} AS SELECT owner, count(*) AS accounts, sum(balance) AS balance FROM ${table} GROUP BY owner`,
      );
      for (let at = 1; at <= 5; at++) {
        const insert = { name: "insert", text: `INSERT INTO ${table} VALUES ($1, $2, $3)`, values: [at, at % 2 ? "ann" : "bob", at] };
        assert.equal((await client.query(insert)).rowCount, 1);
      }
      assert.equal((await client.query(`UPDATE ${table} SET balance = balance + $1 WHERE id = $2`, ["0.50", 1])).rowCount, 1);
      const sums = { name: "sums", text: `SELECT * FROM ${view} WHERE accounts >= $1 ORDER BY owner`, values: [0] };
      for (let time = 0; time < 2; time++) {
        assert.deepEqual((await client.query(sums)).rows, [
          { owner: "ann", accounts: "3", balance: "9.50" },
          { owner: "bob", accounts: "2", balance: "6.00" },
        ]);
      }
      const several = await client.query("SELECT 1 AS n; SELECT 2 AS n");
      assert.deepEqual(several.map((result) => result.rows[0].n), [1, 2]);
      const come = await client.query(`INSERT INTO ${table} VALUES ($1, $2, $3) RETURNING id, owner`, [9, "cid", 1]);
      assert.deepEqual([come.rows, come.rowCount], [[{ id: 9, owner: "cid" }], 1]);
      assert.deepEqual((await client.query(`DELETE FROM ${table} WHERE id = 9 RETURNING owner`)).rows, [{ owner: "cid" }]);
    });
  },

  async parameters() {
    const values = [
      ["smallint", 3],
      ["integer", -5],
      ["bigint", "1099511627776"],
      ["real", 1.5],
      ["double precision", 2.25],
      ["numeric", "1234.5678"],
      ["text", "ä 'quoted'"],
      ["varchar", "v"],
      ["boolean", true],
      ["time", "01:02:03.000456"],
      ["timestamptz", new Date("2020-01-02T03:04:05Z")],
      ["bytea", Buffer.from([0, 255])],
      ["uuid", "00000000-0000-0000-0000-000000000007"],
      ["jsonb", { a: [1, null] }],
    ];
    await connected(async (client) => {
      for (const [kind, value] of values) {
        const found = (await client.query(`SELECT $1::${kind} AS v`, [value])).rows[0].v;
        assert.deepEqual(found, value, kind);
      }
      const day = (await client.query("SELECT $1::date AS v, $1::timestamp AS t", ["2020-02-29"])).rows[0];
      assert.deepEqual([day.v, day.t], [new Date(2020, 1, 29), new Date(2020, 1, 29)]);
      const span = (await client.query("SELECT $1::interval AS v", ["2 days 3 seconds"])).rows[0].v;
      assert.deepEqual([span.days, span.seconds], [2, 3]);
      assert.deepEqual((await client.query("SELECT $1::int AS v", [null])).rows, [{ v: null }]);
    });
  },

  async arrays() {
    await connected(async (client) => {
      for (const [kind, value] of [["int[]", [1, null, 3]], ["text[]", ["a", 'b"c', null, "d,e"]], ["float8[]", [0.5]], ["boolean[]", []]]) {
        assert.deepEqual((await client.query(`SELECT $1::${kind} AS v`, [value])).rows[0].v, value, kind);
      }
      const found = await client.query(`SELECT array_agg(id ORDER BY id) AS ids FROM ${table} WHERE id = ANY($1)`, [[2, 3, 77]]);
      assert.deepEqual(found.rows[0].ids, [2, 3]);
    });
  },

  async transactions() {
    await connected(async (reader) => {
      await connected(async (writer) => {
        const count = async (client) => Number((await client.query(`SELECT count(*) FROM ${table}`)).rows[0].count);
        await reader.query("BEGIN");
        const before = await count(reader);
        await writer.query(`INSERT INTO ${table} VALUES (100, 'dan', 1)`);
        assert.equal(await count(reader), before);
        assert.equal(Number((await reader.query(`SELECT sum(accounts) AS n FROM ${view}`)).rows[0].n), before);
        await reader.query("COMMIT");
        assert.equal(await count(reader), before + 1);
        await reader.query("BEGIN");
        await reader.query(`DELETE FROM ${table} WHERE id = 100`);
        assert.deepEqual([await count(reader), await count(writer)], [before, before + 1]);
        await reader.query("ROLLBACK");
        assert.equal(await count(reader), before + 1);
        await writer.query(`DELETE FROM ${table} WHERE id = 100`);
      });
    });
  },

  async errors() {
    await connected(async (client) => {
      for (const [text, code, position] of [
        [`SELECT nope FROM ${table}`, "42703", "8"],
        ["SELECT * FROM nowhere", "42P01", "15"],
        ["SELECT missing(1)", "42883", "8"],
        ["SELEC 1", "42601", "1"],
        ["SELECT 1 / 0", "22012"],
        [`INSERT INTO ${table} VALUES (1, 'again', 1)`, "23505"],
        [`INSERT INTO ${table} (id) VALUES (55)`, "23502"],
      ]) {
        const error = await refused(client.query(text), code);
        assert.equal(error.position, position, text);
        assert.equal((await refused(client.query({ text, values: [], queryMode: "extended" }), code)).position, position, text);
      }
      assert.equal((await client.query("SELECT 1 AS n")).rows[0].n, 1);
    });
  },

  async cancel() {
    await connected(async (client) => {
      const endless = client.query(`SUBSCRIBE ${view}`);
      setTimeout(() => cancel(client), 300);
      await refused(endless, "57014");
      assert.equal((await client.query("SELECT 1 AS n")).rows[0].n, 1);
      await client.query("SET statement_timeout = '200ms'");
      await refused(client.query(`SUBSCRIBE ${view}`), "57014");
    });
  },

  async copy() {
    await connected(async (client) => {
      const stream = client.query(copyTo(`COPY (SELECT id, owner FROM ${table} WHERE id < 3 ORDER BY id) TO STDOUT`));
      const parts = [];
      for await (const part of stream) parts.push(part);
      assert.equal(Buffer.concat(parts).toString(), "1\tann\n2\tbob\n");
    });
  },

  async cursors() {
    await connected(async (client) => {
      const cursor = client.query(new Cursor(`SELECT id FROM ${table} WHERE id < $1 ORDER BY id`, [6]));
      const found = [];
      for (let rows = await cursor.read(2); rows.length > 0; rows = await cursor.read(2)) found.push(rows.map((row) => row.id));
      assert.deepEqual(found, [[1, 2], [3, 4], [5]]);
      await cursor.close();
    });
  },

  async subscribe() {
    await connected(async (client) => {
      await connected(async (writer) => {
        const changes = rowsOf(client, `SUBSCRIBE ${view} WITH SNAPSHOT`);
        const two = async () => [(await changes.next()).slice(1), (await changes.next()).slice(1)].sort();
        assert.deepEqual(await two(), [["1", "ann", "3", "9.50"], ["1", "bob", "2", "6.00"]]);
        await writer.query(`INSERT INTO ${table} VALUES (50, 'bob', 4)`);
        assert.deepEqual(await two(), [["-1", "bob", "2", "6.00"], ["1", "bob", "3", "10.00"]]);
        await cancel(client);
        await refused(changes.next(), "57014");
      });
    });
  },

  async metadata() {
    await connected(async (client) => {
      const text = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position";
      assert.deepEqual((await client.query({ text, values: [table], rowMode: "array" })).rows, [
        ["id", "integer"],
        ["owner", "text"],
        ["balance", "numeric"],
      ]);
      const { fields } = await client.query(`SELECT id, owner, balance FROM ${table} LIMIT 0`);
      assert.deepEqual(fields.map((field) => [field.name, field.dataTypeID]), [["id", 23], ["owner", 25], ["balance", 1700]]);
    });
  },
};

(async () => {
  for (const [name, check] of Object.entries(cases)) {
    try {
      await check();
      console.log(`ok ${name}`);
    } catch (error) {
      console.error(error);
      console.log(`failed ${name}: ${error.name}: ${String(error.message).replace(/\s+/g, " ")}`);
    }
  }
})();

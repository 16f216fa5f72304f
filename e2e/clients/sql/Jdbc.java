// pgjdbc against a node: Jdbc PORT PREFIX, one line for each case.

import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

public class Jdbc {
    static String url, table, view;

    interface Check {
        void run() throws Exception;
    }

    public static void main(String[] args) {
        url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/forebay?user=forebay";
        table = args[1] + "_accounts";
        view = args[1] + "_sums";
        check("connect", Jdbc::connects);
        check("statements", Jdbc::statements);
        check("parameters", Jdbc::parameters);
        check("arrays", Jdbc::arrays);
        check("transactions", Jdbc::transactions);
        check("errors", Jdbc::errors);
        check("cancel", Jdbc::cancel);
        check("copy", Jdbc::copy);
        check("cursors", Jdbc::cursors);
        check("subscribe", Jdbc::subscribe);
        check("metadata", Jdbc::metadata);
        System.exit(0);
    }

    static void check(String name, Check check) {
        try {
            check.run();
            System.out.println("ok " + name);
        } catch (Throwable error) {
            error.printStackTrace();
            System.out.println("failed " + name + ": " + String.valueOf(error).replaceAll("\\s+", " "));
        }
    }

    static void equal(Object got, Object wanted) {
        if (!Objects.equals(got, wanted)) throw new AssertionError(got + " instead of " + wanted);
    }

    static Connection connection() throws SQLException {
        return DriverManager.getConnection(url);
    }

    /** Values of all rows, as text. */
    static List<List<String>> rows(ResultSet found) throws SQLException {
        List<List<String>> rows = new ArrayList<>();
        int width = found.getMetaData().getColumnCount();
        while (found.next()) {
            List<String> row = new ArrayList<>();
            for (int at = 1; at <= width; at++) row.add(found.getString(at));
            rows.add(row);
        }
        return rows;
    }

    static List<List<String>> ask(Connection c, String sql) throws SQLException {
        try (Statement statement = c.createStatement()) {
            return rows(statement.executeQuery(sql));
        }
    }

    static void connects() throws Exception {
        try (Connection c = connection()) {
            equal(ask(c, "SELECT 1").toString(), "[[1]]");
            equal(c.isValid(2), true);
            equal(c.getMetaData().getDatabaseProductName(), "PostgreSQL");
        }
    }

    static void statements() throws Exception {
        try (Connection c = connection(); Statement s = c.createStatement()) {
            s.execute("CREATE TABLE " + table + " (id INT PRIMARY KEY, owner TEXT, balance NUMERIC(12,2) NOT NULL)");
            s.execute("CREATE MATERIALIZED VIEW " + view + " AS SELECT owner, count(*) AS accounts, sum(balance) AS balance FROM "
                + table + " GROUP BY owner");
            try (PreparedStatement insert = c.prepareStatement("INSERT INTO " + table + " VALUES (?, ?, ?)")) {
                for (int at = 1; at <= 5; at++) {
                    insert.setInt(1, at);
                    insert.setString(2, at % 2 == 1 ? "ann" : "bob");
                    insert.setBigDecimal(3, BigDecimal.valueOf(at));
                    insert.addBatch();
                }
                equal(Arrays.toString(insert.executeBatch()), "[1, 1, 1, 1, 1]");
            }
            equal(s.executeUpdate("UPDATE " + table + " SET balance = balance + 0.50 WHERE id = 1"), 1);
            String sums = "SELECT owner, accounts, balance FROM " + view + " WHERE accounts >= ? ORDER BY owner";
            try (PreparedStatement ask = c.prepareStatement(sums)) {
                // From the fifth time on the driver keeps the statement at the server and reads binary values.
                for (int time = 0; time < 8; time++) {
                    ask.setLong(1, 0);
                    equal(rows(ask.executeQuery()).toString(), "[[ann, 3, 9.50], [bob, 2, 6.00]]");
                }
            }
            try (PreparedStatement come = c.prepareStatement("INSERT INTO " + table + " VALUES (9, 'cid', 1)",
                    Statement.RETURN_GENERATED_KEYS)) {
                equal(come.executeUpdate(), 1);
                equal(rows(come.getGeneratedKeys()).toString(), "[[9, cid, 1.00]]");
            }
            equal(ask(c, "DELETE FROM " + table + " WHERE id = 9 RETURNING owner").toString(), "[[cid]]");
            equal(s.execute("SELECT 1; SELECT 2"), true);
            equal(s.getMoreResults(), true);
            equal(rows(s.getResultSet()).toString(), "[[2]]");
        }
    }

    static void parameters() throws Exception {
        Object[][] values = {
            {"smallint", 3},
            {"integer", -5},
            {"bigint", 1L << 40},
            {"real", 1.5f},
            {"double precision", 2.25},
            {"numeric", new BigDecimal("1234.5678")},
            {"text", "ä 'quoted'"},
            {"varchar", "v"},
            {"boolean", true},
            {"date", LocalDate.of(2020, 2, 29)},
            {"time", LocalTime.of(1, 2, 3, 456000)},
            {"timestamp", LocalDateTime.of(2020, 1, 2, 3, 4, 5, 678000)},
            {"timestamptz", OffsetDateTime.of(2020, 1, 2, 3, 4, 5, 0, ZoneOffset.UTC)},
            {"uuid", new UUID(0, 7)},
        };
        // By text, and from the first time on in binary.
        for (String mode : new String[] {"&binaryTransfer=false", "&prepareThreshold=-1"}) {
            try (Connection c = DriverManager.getConnection(url + mode)) {
                for (Object[] value : values) {
                    try (PreparedStatement ask = c.prepareStatement("SELECT ?::" + value[0])) {
                        ask.setObject(1, value[1]);
                        ResultSet found = ask.executeQuery();
                        found.next();
                        equal(found.getObject(1, value[1].getClass()), value[1]);
                        ask.setNull(1, Types.NULL);
                        found = ask.executeQuery();
                        found.next();
                        equal(found.getObject(1), null);
                    }
                }
                try (PreparedStatement ask = c.prepareStatement("SELECT ?::bytea, ?::interval, ?::jsonb")) {
                    ask.setBytes(1, new byte[] {0, -1});
                    ask.setObject(2, new org.postgresql.util.PGInterval("2 days 3 seconds"));
                    ask.setString(3, "{\"a\": [1, null]}");
                    ResultSet found = ask.executeQuery();
                    found.next();
                    equal(Arrays.toString(found.getBytes(1)), "[0, -1]");
                    equal(((org.postgresql.util.PGInterval) found.getObject(2)).getDays(), 2);
                    equal(found.getString(3), "{\"a\": [1, null]}");
                }
            }
        }
    }

    static void arrays() throws Exception {
        for (String mode : new String[] {"", "&prepareThreshold=-1"}) {
            try (Connection c = DriverManager.getConnection(url + mode)) {
                Object[][] lists = {
                    {"int4", new Integer[] {1, null, 3}},
                    {"text", new String[] {"a", "b\"c", null, "d,e"}},
                    {"float8", new Double[] {0.5}},
                    {"int8", new Long[] {}},
                };
                for (Object[] list : lists) {
                    try (PreparedStatement ask = c.prepareStatement("SELECT ?::" + list[0] + "[]")) {
                        ask.setArray(1, c.createArrayOf((String) list[0], (Object[]) list[1]));
                        ResultSet found = ask.executeQuery();
                        found.next();
                        equal(Arrays.toString((Object[]) found.getArray(1).getArray()), Arrays.toString((Object[]) list[1]));
                    }
                }
                String any = "SELECT array_agg(id ORDER BY id) FROM " + table + " WHERE id = ANY(?)";
                try (PreparedStatement ask = c.prepareStatement(any)) {
                    ask.setArray(1, c.createArrayOf("int4", new Integer[] {2, 3, 77}));
                    ResultSet found = ask.executeQuery();
                    found.next();
                    equal(Arrays.toString((Object[]) found.getArray(1).getArray()), "[2, 3]");
                }
            }
        }
    }

    static void transactions() throws Exception {
        try (Connection reader = connection(); Connection writer = connection()) {
            reader.setAutoCommit(false);
            String count = "SELECT count(*) FROM " + table;
            String before = ask(reader, count).toString();
            writer.createStatement().executeUpdate("INSERT INTO " + table + " VALUES (100, 'dan', 1)");
            equal(ask(reader, count).toString(), before);
            equal(ask(reader, "SELECT sum(accounts) FROM " + view).toString(), before);
            reader.commit();
            String after = ask(writer, count).toString();
            equal(ask(reader, count).toString(), after);
            Savepoint savepoint = reader.setSavepoint();
            reader.createStatement().executeUpdate("DELETE FROM " + table);
            equal(ask(reader, count).toString(), "[[0]]");
            reader.rollback(savepoint);
            reader.createStatement().executeUpdate("DELETE FROM " + table + " WHERE id = 100");
            equal(ask(writer, count).toString(), after);
            reader.commit();
            equal(ask(writer, count).toString(), before);
        }
    }

    static void refused(Connection c, String sql, String state, int position) throws Exception {
        try {
            try (PreparedStatement ask = c.prepareStatement(sql)) {
                ask.execute();
            }
            throw new AssertionError(sql + " is no error");
        } catch (PSQLException error) {
            equal(sql + " " + error.getSQLState(), sql + " " + state);
            if (position > 0) equal(error.getServerErrorMessage().getPosition(), position);
        }
    }

    static void errors() throws Exception {
        try (Connection c = connection()) {
            refused(c, "SELECT nope FROM " + table, "42703", 8);
            refused(c, "SELECT * FROM nowhere", "42P01", 15);
            refused(c, "SELECT missing(1)", "42883", 8);
            refused(c, "SELEC 1", "42601", 1);
            refused(c, "SELECT 1 / 0", "22012", 0);
            refused(c, "INSERT INTO " + table + " VALUES (1, 'again', 1)", "23505", 0);
            refused(c, "INSERT INTO " + table + " (id) VALUES (55)", "23502", 0);
            c.setAutoCommit(false);
            refused(c, "SELECT 1 / 0", "22012", 0);
            refused(c, "SELECT 1", "25P02", 0);
            c.rollback();
            equal(ask(c, "SELECT 1").toString(), "[[1]]");
        }
    }

    static void cancel() throws Exception {
        try (Connection c = connection(); Statement s = c.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    Thread.sleep(300);
                    s.cancel();
                } catch (Exception error) {
                    error.printStackTrace();
                }
            });
            canceller.start();
            try {
                s.executeQuery("SUBSCRIBE " + view);
                throw new AssertionError("SUBSCRIBE ended");
            } catch (PSQLException error) {
                equal(error.getSQLState(), "57014");
            }
            canceller.join();
            equal(ask(c, "SELECT 1").toString(), "[[1]]");
            s.setQueryTimeout(1);
            try {
                s.executeQuery("SUBSCRIBE " + view);
                throw new AssertionError("SUBSCRIBE ended");
            } catch (PSQLException error) {
                equal(error.getSQLState(), "57014");
            }
        }
    }

    static void copy() throws Exception {
        try (Connection c = connection()) {
            StringWriter out = new StringWriter();
            String query = "COPY (SELECT id, owner FROM " + table + " WHERE id < 3 ORDER BY id) TO STDOUT";
            equal(c.unwrap(PGConnection.class).getCopyAPI().copyOut(query, out), 2L);
            equal(out.toString(), "1\tann\n2\tbob\n");
        }
    }

    static void cursors() throws Exception {
        try (Connection c = connection()) {
            c.setAutoCommit(false);
            try (PreparedStatement ask = c.prepareStatement("SELECT id FROM " + table + " WHERE id < ? ORDER BY id")) {
                ask.setFetchSize(2);
                ask.setInt(1, 6);
                equal(rows(ask.executeQuery()).toString(), "[[1], [2], [3], [4], [5]]");
            }
        }
    }

    static void subscribe() throws Exception {
        try (Connection c = connection(); Connection writer = connection()) {
            c.setAutoCommit(false);
            Statement s = c.createStatement();
            s.setFetchSize(2);
            ResultSet changes = s.executeQuery("SUBSCRIBE " + view + " WITH SNAPSHOT");
            equal(two(changes).toString(), "[1 ann 3 9.50, 1 bob 2 6.00]");
            writer.createStatement().executeUpdate("INSERT INTO " + table + " VALUES (50, 'bob', 4)");
            equal(two(changes).toString(), "[-1 bob 2 6.00, 1 bob 3 10.00]");
        }
    }

    static List<String> two(ResultSet changes) throws SQLException {
        List<String> found = new ArrayList<>();
        for (int row = 0; row < 2; row++) {
            changes.next();
            found.add(changes.getString("weight") + " " + changes.getString("owner") + " " + changes.getString("accounts") + " "
                + changes.getString("balance"));
        }
        Collections.sort(found);
        return found;
    }

    static List<String> column(ResultSet found, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (found.next()) values.add(found.getString(name));
        return values;
    }

    static void metadata() throws Exception {
        try (Connection c = connection()) {
            DatabaseMetaData m = c.getMetaData();
            equal(column(m.getTables(null, "public", table, new String[] {"TABLE"}), "TABLE_NAME").toString(), "[" + table + "]");
            equal(column(m.getTables(null, "public", view, null), "TABLE_TYPE").toString(), "[MATERIALIZED VIEW]");
            equal(column(m.getSchemas(), "TABLE_SCHEM").contains("public"), true);
            equal(column(m.getCatalogs(), "TABLE_CAT").toString(), "[forebay]");
            equal(column(m.getTableTypes(), "TABLE_TYPE").contains("TABLE"), true);
            ResultSet columns = m.getColumns(null, "public", table, "%");
            List<String> found = new ArrayList<>();
            while (columns.next()) {
                found.add(columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME") + " " + columns.getInt("DATA_TYPE") + " "
                    + columns.getInt("COLUMN_SIZE") + " " + columns.getInt("DECIMAL_DIGITS") + " " + columns.getString("IS_NULLABLE") + " "
                    + columns.getInt("ORDINAL_POSITION"));
            }
            equal(found.toString(), "[id int4 4 10 0 NO 1, owner text 12 2147483647 0 YES 2, balance numeric 2 12 2 NO 3]");
            ResultSet key = m.getPrimaryKeys(null, "public", table);
            equal(key.next(), true);
            equal(key.getString("COLUMN_NAME") + " " + key.getInt("KEY_SEQ") + " " + key.getString("PK_NAME"), "id 1 " + table + "_pkey");
            ResultSet index = m.getIndexInfo(null, "public", table, true, false);
            equal(index.next(), true);
            equal(index.getString("INDEX_NAME") + " " + index.getString("COLUMN_NAME") + " " + index.getBoolean("NON_UNIQUE"),
                table + "_pkey id false");
            equal(column(m.getImportedKeys(null, "public", table), "FK_NAME").toString(), "[]");
            equal(column(m.getExportedKeys(null, "public", table), "FK_NAME").toString(), "[]");
            equal(column(m.getProcedures(null, "public", "%"), "PROCEDURE_NAME").toString(), "[]");
            m.getFunctions(null, "public", "%").close();
            m.getUDTs(null, "public", "%", null).close();
            m.getTablePrivileges(null, "public", table).close();
            m.getColumnPrivileges(null, "public", table, "%").close();
            m.getBestRowIdentifier(null, "public", table, DatabaseMetaData.bestRowSession, true).close();
            m.getVersionColumns(null, "public", table).close();
            m.getClientInfoProperties().close();
            equal(column(m.getTypeInfo(), "TYPE_NAME").contains("int4"), true);
            try (PreparedStatement ask = c.prepareStatement("SELECT id, balance AS b FROM " + table + " WHERE owner = ?")) {
                ResultSetMetaData shown = ask.getMetaData();
                equal(shown.getColumnName(1) + " " + shown.getColumnTypeName(2) + " " + shown.getColumnLabel(2), "id numeric b");
                equal(ask.getParameterMetaData().getParameterTypeName(1), "text");
                shown.isAutoIncrement(1);
                shown.isNullable(1);
            }
        }
    }
}

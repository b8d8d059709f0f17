import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.Objects;

/** JDBC: prepared statements in text and (after five executions) in binary, batches, fetch sizes, types, timeouts. */
public final class WithJdbc {
    private static int ok = 0;
    private static int wrong = 0;

    private interface Part {
        void run(Connection connection) throws Exception;
    }

    public static void main(String[] arguments) {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/millrace?user=millrace&socketTimeout=60";
        part(url, "types", WithJdbc::types);
        part(url, "batches", WithJdbc::batches);
        part(url, "fetchSize", WithJdbc::fetchSize);
        part(url, "errors", WithJdbc::errors);
        part(url, "metadata", WithJdbc::metadata);
        System.out.println(ok + " ok, " + wrong + " wrong");
    }

    private static void part(String url, String name, Part part) {
        try (Connection connection = DriverManager.getConnection(url)) {
            part.run(connection);
        } catch (Exception error) {
            wrong++;
            System.out.println("WRONG " + name + ": " + error);
        }
    }

    private static void check(String name, Object found, Object expected) {
        if (Objects.equals(found, expected)) {
            ok++;
        } else {
            wrong++;
            System.out.println("WRONG " + name + ": expected " + expected + ", found " + found);
        }
    }

    /** From the sixth execution on, the driver asks for binary results. */
    private static void types(Connection connection) throws SQLException {
        String sql = "select ?::int4 as i, ?::int8, ?::numeric(10,2) as n, ?::text, true, 1.5::float8,"
            + " timestamp '2026-01-02 03:04:05', date '2026-01-02', null::int4, case when true then 1 else 2.5 end";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int round = 0; round < 8; round++) {
                statement.setInt(1, round);
                statement.setLong(2, 1L << 40);
                statement.setBigDecimal(3, new BigDecimal("-123.45"));
                statement.setString(4, "grün");
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    check("int4", rows.getObject(1), round);
                    check("int8", rows.getObject(2), 1L << 40);
                    check("numeric", rows.getObject(3), new BigDecimal("-123.45"));
                    check("text", rows.getObject(4), "grün");
                    check("bool", rows.getObject(5), true);
                    check("float8", rows.getObject(6), 1.5);
                    check("timestamp", rows.getTimestamp(7).toString(), "2026-01-02 03:04:05.0");
                    check("date", rows.getDate(8).toString(), "2026-01-02");
                    check("null", rows.getObject(9), null);
                    check("numeric of two", rows.getBigDecimal(10).compareTo(BigDecimal.ONE), 0);
                    check("name", rows.getMetaData().getColumnName(1), "i");
                    check("type", rows.getMetaData().getColumnType(3), Types.NUMERIC);
                    check("precision", rows.getMetaData().getPrecision(3), 10);
                    check("scale", rows.getMetaData().getScale(3), 2);
                }
            }
        }
    }

    private static void batches(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("create table jdbc_rows (a int, b text)");
        }
        connection.setAutoCommit(false);
        try (PreparedStatement insert = connection.prepareStatement("insert into jdbc_rows values (?, ?)")) {
            for (int row = 0; row < 100; row++) {
                insert.setInt(1, row);
                insert.setString(2, "row " + row);
                insert.addBatch();
            }
            int inserted = 0;
            for (int count : insert.executeBatch()) {
                inserted += count;
            }
            check("batch", inserted, 100);
        }
        connection.rollback();
        check("rolled back", single(connection, "select count(*) from jdbc_rows"), 0L);
        try (Statement statement = connection.createStatement()) {
            check("update count", statement.executeUpdate("insert into jdbc_rows values (1, 'x'), (2, 'y')"), 2);
        }
        connection.commit();
        check("committed", single(connection, "select count(*) from jdbc_rows"), 2L);
        connection.commit();
    }

    private static void fetchSize(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (PreparedStatement statement =
                 connection.prepareStatement("select i from generate_series(1, 10000) as g(i)")) {
            statement.setFetchSize(100);
            long sum = 0;
            try (ResultSet rows = statement.executeQuery()) {
                while (rows.next()) {
                    sum += rows.getLong(1);
                }
            }
            check("fetched in portions", sum, 50005000L);
        }
        connection.commit();
    }

    private static void errors(Connection connection) throws SQLException {
        check("division", state(connection, "select 1/0", 0), "22012");
        check("table", state(connection, "select * from nowhere", 0), "42P01");
        String endless = "select count(*) from generate_series(1, 20000) as a(i) cross join"
            + " generate_series(1, 20000) as b(j) where length(repeat('x', (i + j) % 100)) < 0";
        check("query timeout", state(connection, endless, 1), "57014");
        check("after errors", single(connection, "select 1"), 1);
    }

    private static void metadata(Connection connection) throws SQLException {
        check("version", connection.getMetaData().getDatabaseMajorVersion(), 15);
        boolean found = false;
        try (ResultSet tables = connection.getMetaData().getTables(null, "public", "jdbc_rows", null)) {
            while (tables.next()) {
                found |= tables.getString("TABLE_NAME").equals("jdbc_rows");
            }
        }
        check("getTables", found, true);
        int columns = 0;
        try (ResultSet rows = connection.getMetaData().getColumns(null, "public", "jdbc_rows", null)) {
            while (rows.next()) {
                columns++;
            }
        }
        check("getColumns", columns, 2);
    }

    private static Object single(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getObject(1);
        }
    }

    private static String state(Connection connection, String sql, int timeoutSeconds) {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(timeoutSeconds);
            statement.executeQuery(sql).close();
            return "none";
        } catch (SQLException error) {
            return error.getSQLState();
        }
    }
}

"""psycopg 3: both protocols, both formats, prepared statements, pipelines, cursors, COPY, cancelling."""

import sys
import threading
import time

import psycopg
from psycopg.errors import DivisionByZero, QueryCanceled, UndefinedTable

from checks import broken, check, report
from values import ENDLESS, VALUES

DSN = f"host=127.0.0.1 port={sys.argv[1]} user=millrace dbname=millrace"


def types(connection):
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        for sql, expected in VALUES:
            found = cursor.execute(f"select {sql}").fetchone()[0]
            if hasattr(found, "astimezone") and found.tzinfo:
                found = found.astimezone(expected.tzinfo)
            check(f"{sql} binary={binary}", found, expected)
    check("json", connection.execute("select '{\"a\": [1]}'::json").fetchone()[0], {"a": [1]})
    check("parameter", connection.execute("select %s + 1", (41,)).fetchone()[0], 42)
    check("text parameter", connection.execute("select %s::text || 'b'", ("a",)).fetchone()[0], "ab")
    check("null parameter", connection.execute("select %s::text", (None,)).fetchone()[0], None)


def prepared(connection):
    for number in range(10):
        check("prepared", connection.execute("select %s::int8 * 2", (number,), prepare=True).fetchone()[0], number * 2)
    connection.execute("deallocate all")
    check("after deallocate", connection.execute("select 1").fetchone()[0], 1)


def errors(connection):
    for sql, expected in (("select 1/0", DivisionByZero), ("select * from nowhere", UndefinedTable)):
        try:
            connection.execute(sql)
            found = None
        except psycopg.Error as error:
            found = type(error)
        check(sql, found, expected)
    check("after errors", connection.execute("select 1").fetchone()[0], 1)


def transactions(connection):
    connection.execute("create table psycopg_rows (a int, b text)")
    try:
        with connection.transaction():
            connection.execute("insert into psycopg_rows values (1, 'gone')")
            raise KeyError("undo")
    except KeyError:
        pass
    check("rolled back", connection.execute("select count(*) from psycopg_rows").fetchone()[0], 0)
    with connection.transaction():
        connection.execute("insert into psycopg_rows values (1, 'kept')")
        inserted = connection.execute("insert into psycopg_rows values (2, 'kept')")
    check("row count", inserted.rowcount, 1)
    check("committed", connection.execute("select count(*) from psycopg_rows").fetchone()[0], 2)


def pipeline(connection):
    with connection.pipeline():
        results = [connection.execute("select %s::int", (number,)) for number in range(20)]
        check("pipeline", [result.fetchone()[0] for result in results], list(range(20)))


def cursors(connection):
    with connection.transaction():
        with connection.cursor("server_side") as cursor:
            cursor.itersize = 100
            cursor.execute("select i from generate_series(1, 1000) as g(i)")
            check("server-side cursor", sum(row[0] for row in cursor), 500500)
    rows = connection.cursor().stream("select i from generate_series(1, 1000) as g(i)")
    check("stream", sum(row[0] for row in rows), 500500)


def copy(connection):
    connection.execute("create table psycopg_copied (a int, b text)")
    cursor = connection.cursor()
    with cursor.copy("copy psycopg_copied from stdin") as target:
        for number in range(1000):
            target.write_row((number, f"row\t{number}" if number % 10 else None))
    check("copy in", cursor.rowcount, 1000)
    with cursor.copy("copy psycopg_copied to stdout") as source:
        check("copy out", sum(1 for _ in source.rows()), 1000)
    check("nulls", cursor.execute("select count(*) from psycopg_copied where b is null").fetchone()[0], 100)


def cancel(connection):
    timer = threading.Timer(0.5, connection.cancel_safe)
    timer.start()
    began = time.time()
    try:
        connection.execute(ENDLESS)
        found = None
    except QueryCanceled as error:
        found = error.sqlstate
    timer.join()
    check("cancelled", found, "57014")
    check("cancelled soon", time.time() - began < 10, True)
    check("after cancelling", connection.execute("select 1").fetchone()[0], 1)


def subscribe(connection):
    connection.execute("create table psycopg_watched (a int)")
    connection.execute("create materialized view psycopg_view as select sum(a) as s from psycopg_watched where a > 0")
    writer = psycopg.connect(DSN, autocommit=True)
    seen = []
    for row in connection.cursor().stream("subscribe psycopg_view"):
        seen.append((row[1], row[2]))
        if len(seen) == 1:
            writer.execute("insert into psycopg_watched values (5)")
        if len(seen) >= 3:
            break
    check("subscribe", sorted(seen, key=str), sorted([(1, None), (-1, None), (1, 5)], key=str))
    writer.close()


def main():
    for part in (types, prepared, errors, transactions, pipeline, cursors, copy, cancel, subscribe):
        try:
            with psycopg.connect(DSN, autocommit=True) as connection:
                part(connection)
        except Exception:
            broken(part.__name__)
    report()


main()

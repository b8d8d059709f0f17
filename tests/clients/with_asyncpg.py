"""asyncpg: the extended protocol in binary, always with prepared statements."""

import asyncio
import sys

import asyncpg

from checks import broken, check, report
from values import ENDLESS, VALUES


async def types(connection):
    # FIXME: asyncpg asks for what arrays are made of by a recursive query over the catalog, which is refused.
    try:
        found = await connection.fetchval("select array[1]")
    except asyncpg.FeatureNotSupportedError:
        found = "refused"
    check("array", found, "refused")
    for sql, expected in (value for value in VALUES if not value[0].startswith("array")):
        found = await connection.fetchval(f"select {sql}")
        if hasattr(found, "astimezone") and found.tzinfo:
            found = found.astimezone(expected.tzinfo)
        check(sql, found, expected)
    for sql_type, value in (
        ("int4", 7),
        ("text", "x"),
        ("float8", 1.5),
        ("bytea", b"\x00"),
    ):
        check(f"parameter {sql_type}", await connection.fetchval(f"select $1::{sql_type}", value), value)
    for _, value in (value for value in VALUES if type(value[1]).__name__ in ("Decimal", "UUID", "date", "time")):
        sql_type = {"Decimal": "numeric(38,2)", "UUID": "uuid", "date": "date", "time": "time"}[type(value).__name__]
        if len(str(value)) < 38:
            check(f"parameter {sql_type}", await connection.fetchval(f"select $1::{sql_type}", value), value)


async def parameters_by_number(connection):
    """Eleven parameters: $10 and $11 must not sort before $2."""
    sql = "select " + ", ".join(f"${number}::{'text' if number % 2 else 'int4'}" for number in range(1, 12))
    values = [str(number) if number % 2 else number for number in range(1, 12)]
    check("eleven parameters", list(await connection.fetchrow(sql, *values)), values)


async def tables(connection):
    await connection.execute("create table asyncpg_rows (a int primary key, b text)")
    await connection.executemany("insert into asyncpg_rows values ($1, $2)", [(n, f"row {n}") for n in range(100)])
    check("executemany", await connection.fetchval("select count(*) from asyncpg_rows"), 100)
    check("status", await connection.execute("update asyncpg_rows set b = 'new' where a < 10"), "UPDATE 10")
    check("returning", await connection.fetchval("delete from asyncpg_rows where a = $1 returning b", 5), "new")


async def transactions(connection):
    async with connection.transaction():
        total = 0
        async for row in connection.cursor("select i from generate_series(1, 500) as g(i)", prefetch=50):
            total += row["i"]
        check("cursor", total, 125250)
    try:
        async with connection.transaction():
            await connection.execute("select 1/0")
        found = None
    except asyncpg.PostgresError as error:
        found = error.sqlstate
    check("error", found, "22012")
    check("after the error", await connection.fetchval("select 1"), 1)


async def timeouts(connection):
    try:
        await connection.fetch(ENDLESS, timeout=0.5)
        found = None
    except asyncio.TimeoutError:
        found = "timeout"
    check("timeout", found, "timeout")
    check("after the timeout", await connection.fetchval("select 1"), 1)


async def main():
    for part in (types, parameters_by_number, tables, transactions, timeouts):
        try:
            connection = await asyncpg.connect(
                host="127.0.0.1", port=int(sys.argv[1]), user="millrace", database="millrace", timeout=10
            )
            try:
                await part(connection)
            finally:
                await connection.close(timeout=5)
        except Exception:
            broken(part.__name__)
    report()


asyncio.run(main())

"""A value of every type, as SQL writes it and as Python has it; and a query that nobody waits for."""

import datetime
import decimal
import uuid

UTC = datetime.timezone.utc

ENDLESS = (
    "select count(*) from generate_series(1, 20000) as a(i) cross join generate_series(1, 20000) as b(j)"
    " where length(repeat('x', (i + j) % 100)) < 0"
)

VALUES = [
    ("true", True),
    ("(-2)::int2", -2),
    ("2147483647", 2147483647),
    ("9223372036854775807::int8", 9223372036854775807),
    ("1.5::float4", 1.5),
    ("1e20::float8", 1e20),
    ("'-Infinity'::float8", float("-inf")),
    ("(-123.45)::numeric(10,2)", decimal.Decimal("-123.45")),
    ("99999999999999999999999999999999999999::numeric(38,0)", decimal.Decimal("9" * 38)),
    ("'grün'::text", "grün"),
    ("'ab'::varchar(3)", "ab"),
    ("'\\x00ff'::bytea", b"\x00\xff"),
    ("date '1970-01-02'", datetime.date(1970, 1, 2)),
    ("time '10:20:30.5'", datetime.time(10, 20, 30, 500000)),
    ("timestamp '2026-01-02 03:04:05.678'", datetime.datetime(2026, 1, 2, 3, 4, 5, 678000)),
    ("timestamptz '2026-01-02 03:04:05+01'", datetime.datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
    ("interval '3 days 04:05:06'", datetime.timedelta(days=3, hours=4, minutes=5, seconds=6)),
    ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ("array[1, null, 3]", [1, None, 3]),
    ("array['a', 'b c']", ["a", "b c"]),
    ("null::int", None),
]

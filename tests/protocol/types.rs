//! Every type, in text and in binary, in both directions. The expected bytes are what PostgreSQL 15 sends.

use crate::server::Server;
use crate::wire::Wire;

/// A type, its OID, a value in text, and the same value in binary (hexadecimal).
const VALUES: &[(&str, i32, &str, &str)] = &[
    ("bool", 16, "t", "01"),
    ("int2", 21, "-2", "fffe"),
    ("int4", 23, "2147483647", "7fffffff"),
    ("int8", 20, "-9223372036854775808", "8000000000000000"),
    ("float4", 700, "1.5", "3fc00000"),
    ("float8", 701, "-Infinity", "fff0000000000000"),
    ("float8", 701, "1e+20", "4415af1d78b58c40"),
    ("numeric(10,2)", 1700, "-123.45", "0002000040000002007b1194"),
    ("numeric", 1700, "1.5", "000200000000000100011388"),
    (
        "numeric(38,0)",
        1700,
        "99999999999999999999999999999999999999",
        "000a0009000000000063270f270f270f270f270f270f270f270f270f",
    ),
    ("text", 25, "grün", "6772c3bc6e"),
    ("varchar", 1043, "a b", "612062"),
    ("bytea", 17, "\\x00ff", "00ff"),
    ("date", 1082, "1970-01-01", "ffffd533"),
    ("time", 1083, "10:20:30.5", "00000008ab1c58a0"),
    ("timestamp", 1114, "1970-01-01 00:00:00", "fffca2fec4c82000"),
    ("timestamptz", 1184, "1970-01-01 00:00:00+00", "fffca2fec4c82000"),
    ("interval", 1186, "1 year 2 mons 3 days 04:05:06.000001", "000000036c8bc081000000030000000e"),
    ("uuid", 2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
    ("json", 114, "{\"a\": 1}", "7b2261223a20317d"),
    ("jsonb", 3802, "{\"a\": 1}", "017b2261223a20317d"),
    ("int4[]", 1007, "{7,NULL}", "00000001000000010000001700000002000000010000000400000007ffffffff"),
    ("text[]", 1009, "{}", "000000000000000000000019"),
    ("oid", 26, "1259", "000004eb"),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The value and OID that come back for a parameter that is sent as it is.
async fn echo(wire: &mut Wire, sql_type: &str, value: &[u8], format_in: u8, format_out: u8) -> (Vec<u8>, i32) {
    let parse = format!("\0select $1::{sql_type}\0\0\0");
    let mut bind = vec![0, 0, 0, 1, 0, format_in, 0, 1];
    bind.extend((value.len() as i32).to_be_bytes());
    bind.extend(value);
    bind.extend([0, 1, 0, format_out]);
    wire.send(&[('P', parse.as_bytes()), ('B', &bind), ('D', b"P\0"), ('E', b"\0\0\0\0\0"), ('S', b"")]).await;
    let replies = wire.until_ready().await;
    let errors: Vec<_> = replies.iter().filter(|reply| reply.kind == 'E').map(|reply| reply.field(b'M')).collect();
    assert!(errors.is_empty(), "{sql_type} {format_in} {format_out}: {errors:?}");
    let row = replies.iter().find(|reply| reply.kind == 'D').unwrap();
    let description = &replies.iter().find(|reply| reply.kind == 'T').unwrap().body;
    let after_name = 2 + description[2..].iter().position(|&byte| byte == 0).unwrap() + 1;
    let oid = i32::from_be_bytes(description[after_name + 6..after_name + 10].try_into().unwrap());
    (row.raw_values()[0].clone().unwrap(), oid)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_travels_in_both_formats() {
    let server = Server::start().await;
    let mut wire = Wire::connect(server.address).await;
    for (sql_type, oid, text, hex) in VALUES {
        let (binary, text) = (bytes(hex), text.as_bytes().to_vec());
        for (format_in, given) in [(0, &text), (1, &binary)] {
            for (format_out, expected) in [(0, &text), (1, &binary)] {
                let (found, found_oid) = echo(&mut wire, sql_type, given, format_in, format_out).await;
                let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                assert_eq!(found_oid, *oid, "{sql_type}");
                assert_eq!(&found, expected, "{sql_type}: {} for {}", shown(&found), shown(given));
            }
        }
    }
    server.stop().await;
}

//! The house rules that a compiler does not check: who may import whom, which crates stay in which room, and what a file
//! looks like. `src/README.md` says why.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms and what each may import of ours, apart from itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("dataflow", &["types"]),
    ("store", &["types", "dataflow"]),
    ("catalog", &["types", "store"]),
    ("connect", &["types"]),
    ("sql", &["types", "catalog", "dataflow"]),
    ("engine", &["types", "dataflow", "store", "catalog", "connect", "sql"]),
    ("server", &["types", "engine"]),
    // Beside the rooms: programs that know the database over the wire, or measure it from outside.
    ("slt", &["types"]),
    ("bench", &["types", "dataflow", "store", "catalog", "connect", "sql", "engine", "server"]),
];

/// Crates that never leave a folder.
const CONFINED: &[(&str, &[&str])] = &[
    ("rdkafka", &["src/connect/kafka"]),
    ("iceberg", &["src/connect/iceberg"]),
    ("pgwire", &["src/server"]),
    ("rocksdb", &["src/store"]),
    ("timely", &["src/dataflow", "src/bench"]),
    ("differential_dataflow", &["src/dataflow", "src/bench"]),
    ("tokio_postgres", &["src/slt", "src/bench"]),
    ("axum", &["src/server"]),
];

/// The one file that may be unsafe: it maps batch files.
const UNSAFE_ALLOWED: &str = "src/store/map.rs";

const FILE_LINES_MAX: usize = 1000;

/// A source file: its path from the top, its first line, and the lines that are not tests.
struct Source {
    path: String,
    first: String,
    lines: Vec<String>,
    length: usize,
}

fn sources() -> Vec<Source> {
    // Asked when it runs: checkouts share what is built.
    let top = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let top = Path::new(&top);
    let mut paths = Vec::new();
    collect(&top.join("src"), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("source files are UTF-8");
        let path = path.strip_prefix(top).expect("found below the top").display().to_string();
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let (first, length) = (lines.first().cloned().unwrap_or_default(), lines.len());
        let lines = lines[..tests_begin(&path, &lines)].to_vec();
        Source { path, first, lines, length }
    };
    paths.into_iter().map(read).collect()
}

/// Where the tests of a file begin: at its unit tests, or at once in a file of nothing else.
fn tests_begin(path: &str, lines: &[String]) -> usize {
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.ends_with("tests.rs") || name.starts_with("test_") || path.contains("/tests/") {
        return 0;
    }
    let marks = |pair: &[String]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_end().ends_with("tests {");
    lines.windows(2).position(marks).unwrap_or(lines.len())
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Runs a check over every line of code (comments left out) and fails with all that it finds.
fn check_lines(what: &str, check: impl Fn(&Source, &str) -> Option<String>) {
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(problem) = check(&source, code) {
                found.push(format!("{}:{}: {problem}", source.path, number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Whether a line of code speaks of this name as a whole word followed by `::`.
fn names_path(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(place, _)| {
        let before = code[..place].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        starts && code[place + name.len()..].starts_with("::")
    })
}

#[test]
fn imports_go_down_the_rooms_only() {
    check_lines("a room imports what it must not know", |source, code| {
        let inside = source.path.strip_prefix("src/")?;
        let room = inside.split('/').next()?.trim_end_matches(".rs");
        let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == room)?;
        let imported = code.split("crate::").skip(1).find_map(|rest| {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let known = ROOMS.iter().any(|(other, _)| *other == name);
            (known && name != room && !allowed.contains(&name.as_str())).then_some(name)
        })?;
        Some(format!("{room} imports {imported}"))
    });
}

#[test]
fn every_folder_of_src_is_a_room() {
    let rooms: Vec<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    for source in sources() {
        let inside = source.path.strip_prefix("src/").expect("sources are below src");
        if let Some((room, _)) = inside.split_once('/') {
            assert!(rooms.contains(&room), "{}: src/{room} is not in the table of rooms", source.path);
        }
    }
}

#[test]
fn crates_stay_in_their_rooms() {
    check_lines("a crate is used outside of its folder", |source, code| {
        let (name, folders) = CONFINED.iter().find(|(name, folders)| {
            names_path(code, name) && !folders.iter().any(|folder| source.path.starts_with(folder))
        })?;
        Some(format!("{name} belongs to {}", folders.join(", ")))
    });
}

#[test]
fn only_one_file_may_be_unsafe() {
    check_lines("unsafe code", |source, code| {
        let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        let is_unsafe = words.into_iter().any(|word| word == "unsafe");
        (is_unsafe && source.path != UNSAFE_ALLOWED).then(|| "unsafe".to_string())
    });
}

#[test]
fn nothing_is_left_half_done() {
    check_lines("say why it cannot fail with expect, and finish what is begun", |_, code| {
        let marks = [".unwrap()", "todo!(", "unimplemented!(", "dbg!("];
        marks.iter().find(|mark| code.contains(*mark)).map(|mark| mark.to_string())
    });
}

#[test]
fn the_wall_clock_and_randomness_live_in_one_file() {
    check_lines("take the time and random numbers from types::clock", |source, code| {
        let marks = ["SystemTime::now", "Utc::now", "Local::now", "rand::random", "rand::rng", "RandomState::new"];
        let found = marks.iter().find(|mark| code.contains(*mark))?;
        (source.path != "src/types/clock.rs").then(|| found.to_string())
    });
}

#[test]
fn files_say_what_they_are_and_are_not_too_long() {
    let mut found = Vec::new();
    for source in sources() {
        if !source.first.starts_with("//!") {
            found.push(format!("{}: does not open with //!", source.path));
        }
        if source.length > FILE_LINES_MAX {
            found.push(format!("{}: {} lines; do two nouns live there?", source.path, source.length));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_rule_finds_what_it_looks_for() {
    assert!(names_path("use rdkafka::config::ClientConfig;", "rdkafka"));
    assert!(names_path("let x = rdkafka::Offset::End;", "rdkafka"));
    assert!(!names_path("use my_rdkafka::x;", "rdkafka"));
    assert!(!names_path("let timely = 1;", "timely"));
}

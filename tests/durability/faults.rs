//! A disk that fails: see faults.c, which is built here and preloaded into the server.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The built library, in a folder of its own.
pub struct Faults {
    folder: tempfile::TempDir,
}

impl Faults {
    pub fn build() -> Faults {
        let folder = tempfile::tempdir().unwrap();
        // Asked when it runs: checkouts share what is built.
        let top = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        let source = Path::new(&top).join("tests/durability/faults.c");
        let faults = Faults { folder };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(faults.library()).arg(source);
        assert!(compiler.status().expect("a C compiler, which the build needs too").success());
        faults
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("faults.so")
    }

    /// What the server is started with, so that one call in `odds` on files below `directory` fails.
    pub fn environment(&self, directory: &Path, odds: u64) -> Vec<(String, String)> {
        let pairs = [
            ("LD_PRELOAD", self.library().display().to_string()),
            ("MILLRACE_FAULTS_DIR", directory.display().to_string()),
            ("MILLRACE_FAULTS_ODDS", odds.to_string()),
        ];
        pairs.map(|(name, value)| (name.to_string(), value)).to_vec()
    }
}

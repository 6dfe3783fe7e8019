//! What a service's projections and decisions may not do, seen refused by the linter.

use std::{fs, path::Path, process::Command};

/// What a projection might try, and what the refusal names.
const TRIES: [(&str, &str); 9] = [
    ("let _ = std::time::SystemTime::now();", "std::time::SystemTime::now"),
    ("let _ = std::time::Instant::now();", "std::time::Instant::now"),
    ("let _ = std::env::var(\"LIMIT\");", "std::env::var"),
    ("let _ = std::fs::File::open(\"rates\");", "std::fs::File::open"),
    ("let _ = std::fs::read_to_string(\"rates\");", "std::fs::read_to_string"),
    ("let _ = std::fs::write(\"told\", \"\");", "std::fs::write"),
    ("let _ = std::net::TcpStream::connect(\"localhost:25\");", "std::net::TcpStream::connect"),
    ("let _ = std::process::Command::new(\"mail\");", "std::process::Command::new"),
    ("std::thread::spawn(|| ());", "std::thread::spawn"),
];

#[test]
fn io_and_clock_are_refused_in_the_crates_of_services() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let body: String = TRIES.iter().map(|(code, _)| format!("    {code}\n")).collect();
    let projection = folder.path().join("projection.rs");
    fs::write(&projection, format!("pub fn project() {{\n{body}}}\n")).unwrap();
    for service in ["accounts", "transfers", "statements"] {
        let member = root.join("services").join(service);
        // The nearest file counts: one of its own would take the place of this one.
        let nearest = member.ancestors().find(|folder| folder.join("clippy.toml").exists()).unwrap();
        let linted = Command::new("clippy-driver")
            .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "-Wclippy::disallowed_methods"])
            .arg("--out-dir")
            .arg(folder.path())
            .arg(&projection)
            .env("CLIPPY_CONF_DIR", nearest)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&linted.stderr);
        for (code, path) in TRIES {
            assert!(
                said.contains(&format!("use of a disallowed method `{path}`")),
                "{service}: `{code}` passes:\n{said}"
            );
        }
    }
}

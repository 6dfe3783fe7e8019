//! A service is whole without the others: a copy of the workspace that holds one service alone compiles and runs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use system_tests::{PortBase, Process};

use crate::places::{target_folder, workspace};

/// How long a service may take to become ready, and to stop: far more than it needs, so that a slow machine passes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);
/// What the copy holds besides the files of the root and the one service.
const FOLDERS: [&str; 7] = [".cargo", "crates", "docs", "fuzz", "system-tests", "tools", "xtask"];
/// Members of the workspace that know several services, and stay out.
const WITH_SEVERAL: [&str; 2] = ["bench", "torture"];
/// The version of every crate in the copy.
const COPY_VERSION: &str = "0.0.0-alone";
/// The copies share one folder, so that the crates they have in common are compiled once.
static ONE_COPY_AT_A_TIME: Mutex<()> = Mutex::new(());

#[tokio::test]
async fn accounts_compiles_and_runs_without_the_bank_and_the_others() {
    runs(&compiled_alone("accounts")).await;
}

#[tokio::test]
async fn transfers_compiles_and_runs_without_the_bank_and_the_others() {
    runs(&compiled_alone("transfers")).await;
}

#[tokio::test]
async fn statements_compiles_and_runs_without_the_bank_and_the_others() {
    runs(&compiled_alone("statements")).await;
}

/// Starts the service, waits until it is ready, and stops it as an operator does.
async fn runs(binary: &Path) {
    let site = tempfile::tempdir().unwrap();
    let ports = PortBase::take().unwrap();
    let port = ports.get() + 1;
    let mut command = Command::new(binary);
    command.arg("--port").arg(port.to_string()).arg("--data").arg(site.path().join("data"));
    let mut service = Process::start(command, site.path(), "service").unwrap();

    let begun = Instant::now();
    while status_of(port, "/readyz") != Some(200) {
        assert!(!service.has_ended().unwrap(), "ended instead of getting ready: {}", service.stderr());
        assert!(begun.elapsed() < PATIENCE, "not ready within {PATIENCE:?}: {}", service.stderr());
        tokio::time::sleep(POLL).await;
    }
    service.terminate().unwrap();
    let ended = service.end_within(PATIENCE).await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "after SIGTERM: {}", ended.stderr);
}

/// Builds the service in a copy of the workspace that has no other, and returns its binary.
fn compiled_alone(service: &str) -> PathBuf {
    let _turn = ONE_COPY_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let copy = target_folder().join("independence/workspace");
    copy_with_one_service(&workspace(), &copy, service);
    assert_eq!(names_in(&copy.join("services")), [service.to_owned()].into());
    build(&copy, service)
}

/// Builds the service in the copy and returns its binary.
fn build(copy: &Path, service: &str) -> PathBuf {
    let finished = target_folder().join("independence");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--package", service])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", &finished)
        // What others' crates compile to is the same in both workspaces; only the finished binaries must not meet.
        .env("CARGO_BUILD_BUILD_DIR", target_folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{service} alone:\n{}", String::from_utf8_lossy(&output.stderr));
    finished.join("debug").join(service)
}

/// The status of a GET, or nothing while nobody answers.
fn status_of(port: u16, path: &str) -> Option<u16> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(connection, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.split_whitespace().nth(1)?.parse().ok()
}

/// Makes `to` a copy of the workspace in which the service is the only one.
fn copy_with_one_service(from: &Path, to: &Path, service: &str) {
    let services = to.join("services");
    fs::create_dir_all(&services).unwrap();
    for name in names_in(from) {
        if FOLDERS.contains(&name.as_str()) || from.join(&name).is_file() {
            mirror(&from.join(&name), &to.join(&name));
        }
    }
    for other in names_in(&services).iter().filter(|name| *name != service) {
        fs::remove_dir_all(services.join(other)).unwrap();
    }
    mirror(&from.join("services").join(service), &services.join(service));

    let mut manifest: toml::Table = fs::read_to_string(from.join("Cargo.toml")).unwrap().parse().unwrap();
    let workspace = manifest["workspace"].as_table_mut().unwrap();
    workspace["members"]
        .as_array_mut()
        .unwrap()
        .retain(|member| !WITH_SEVERAL.iter().any(|one| member.as_str() == Some(one)));
    workspace["default-members"] = vec![format!("services/{service}")].into();
    // Crates of the same name and version are the same to cargo wherever they lie: it would take the copy's for ours,
    // and compile ours again only when the copy changes.
    workspace["package"]["version"] = COPY_VERSION.into();
    write_if_different(&to.join("Cargo.toml"), manifest.to_string().as_bytes());
}

/// Makes `to` equal to `from`. Files that are equal already stay untouched, or cargo would compile them again.
fn mirror(from: &Path, to: &Path) {
    if !from.is_dir() {
        write_if_different(to, &fs::read(from).unwrap());
        return;
    }
    fs::create_dir_all(to).unwrap();
    let names = names_in(from);
    for gone in names_in(to).difference(&names) {
        let gone = to.join(gone);
        if gone.is_dir() { fs::remove_dir_all(gone) } else { fs::remove_file(gone) }.unwrap();
    }
    for name in names {
        mirror(&from.join(&name), &to.join(&name));
    }
}

fn write_if_different(path: &Path, bytes: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(bytes) {
        fs::write(path, bytes).unwrap();
    }
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

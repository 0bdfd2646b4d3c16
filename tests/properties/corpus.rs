//! Every input that the fuzzer kept, and every one that was once a finding, runs again.
//! Not a search: what is here passed before, or was mended.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::bodies;

/// Runs one target's files, and names the one that fails.
fn replay(target: &str, body: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let corpus = files(&fuzz.join("corpus").join(target));
    assert!(!corpus.is_empty(), "the corpus of {target} is gone");
    for path in corpus.into_iter().chain(files(&fuzz.join("regressions").join(target))) {
        let bytes = fs::read(&path).expect("a file that was just listed");
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&bytes)));
        assert!(outcome.is_ok(), "{} fails, see above", path.display());
    }
}

/// The files of a directory, in order; none where there is no directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[test]
fn the_corpus_of_heads_passes() {
    replay("http_head", bodies::http_head::run);
}

#[test]
fn the_corpus_of_frames_passes() {
    replay("frames", bodies::frames::run);
}

#[test]
fn the_corpus_of_configurations_passes() {
    replay("config", bodies::config::run);
}

#[test]
fn the_corpus_of_admin_requests_passes() {
    replay("admin_request", bodies::admin_request::run);
}

#[test]
fn the_corpus_of_the_wheel_passes() {
    replay("wheel", bodies::wheel::run);
}

#[test]
fn the_corpus_of_outboxes_passes() {
    replay("outbox", bodies::outbox::run);
}

#[test]
fn the_corpus_of_proxy_headers_passes() {
    replay("proxy_header", bodies::proxy_header::run);
}

#[test]
fn the_corpus_of_chains_of_proxies_passes() {
    replay("forwarded", bodies::forwarded::run);
}

#[test]
fn the_corpus_of_compressed_messages_passes() {
    replay("inflate", bodies::inflate::run);
}

#[test]
fn the_corpus_of_tls_handshakes_passes() {
    replay("tls_handshake", bodies::tls_handshake::run);
}

/// A file that no target reads any more would be forgotten in silence.
#[test]
fn every_directory_of_inputs_belongs_to_a_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    for directory in files(&fuzz.join("corpus")).iter().chain(&files(&fuzz.join("regressions"))) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let target = fuzz.join("fuzz_targets").join(format!("{name}.rs"));
        assert!(target.is_file(), "nothing reads {}", directory.display());
    }
}

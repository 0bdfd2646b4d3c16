//! What is said of compression, and what makes no sense of it.
//! Not for what is agreed with a client.

use super::super::{Compression, CompressionMode, compare};
use super::{Typed, file, flags};

#[test]
fn compression_is_off_unless_asked_for_and_its_defaults_stand_ready() {
    let none: [&str; 0] = [];
    let expected = Compression {
        mode: CompressionMode::Off,
        min_size: 256,
        level: 2,
        window: 12,
        memory: 256 << 20,
    };
    assert_eq!(flags(none).config().unwrap().compression, expected);
}

#[test]
fn every_word_of_it_is_read_from_flags_and_file() {
    let expected = Compression {
        mode: CompressionMode::Dedicated,
        min_size: 0,
        level: 9,
        window: 15,
        memory: 1 << 30,
    };
    let typed = flags([
        "--compression=dedicated",
        "--compression-min-size=0",
        "--compression-level=9",
        "--compression-window=15",
        "--compression-memory=1GiB",
    ]);
    assert_eq!(typed.config().unwrap().compression, expected);
    let text = "compression = \"dedicated\"\ncompression_min_size = 0\ncompression_level = 9\n\
                compression_window = 15\ncompression_memory = \"1GiB\"\n";
    assert_eq!(file(text).config().unwrap().compression, expected);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    for (flag, problem) in [
        ("--compression=on", "write one of off, shared, dedicated"),
        ("--compression=share", "did you mean shared?"),
        ("--compression-level=0", "\"0\" is not a level; write 1 to 9"),
        ("--compression-level=10", "write 1 to 9"),
        ("--compression-level=-1", "write 1 to 9"),
        ("--compression-level=300", "\"300\" is not a level; write 1 to 9"),
        ("--compression-window=8", "\"8\" is not a window; write 9 to 15"),
        ("--compression-window=16", "write 9 to 15"),
        ("--compression-window=4KiB", "write 9 to 15"),
        ("--compression-min-size=2GiB", "2GiB is too large; write at most 1GiB"),
        ("--compression-memory=0", "--compression shared, which takes none"),
        ("--compression-memory=2TiB", "write 1 to 1TiB"),
    ] {
        let error = flags([flag]).config().unwrap_err().join("\n");
        assert!(error.contains(problem), "{flag}: {error}");
    }
}

#[test]
fn all_of_it_needs_a_restart() {
    let old = Typed::default().config().unwrap();
    for flag in [
        "--compression=shared",
        "--compression-min-size=1",
        "--compression-level=1",
        "--compression-window=9",
        "--compression-memory=1MiB",
    ] {
        let reloaded = compare(&old, &flags([flag]).config().unwrap());
        assert_eq!((reloaded.taken.len(), reloaded.needs_restart.len()), (0, 1), "{flag}");
    }
}

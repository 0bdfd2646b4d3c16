//! Which driver is wished for, and what it may take of memory; and what makes no sense of either.
//! Not whether the kernel has it: `io` finds that out.

use super::super::{DriverSettings, compare};
use super::{Typed, file, flags};
use crate::io::DriverChoice;

fn driver(typed: Typed) -> DriverSettings {
    typed.config().unwrap().driver
}

#[test]
fn it_is_epoll_unless_another_is_asked_for() {
    let expected = DriverSettings { choice: DriverChoice::Epoll, buffers: 1 << 20 };
    assert_eq!(driver(Typed::default()), expected);
}

#[test]
fn each_is_read_from_flags_environment_and_file() {
    for (word, choice) in [
        ("epoll", DriverChoice::Epoll),
        ("io_uring", DriverChoice::IoUring),
        ("auto", DriverChoice::Auto),
    ] {
        let expected = DriverSettings { choice, buffers: 8 << 20 };
        let flag = format!("--driver={word}");
        assert_eq!(driver(flags([&*flag, "--io-uring-buffers", "8MiB"])), expected);
        let variables = Typed::default()
            .variable("PULSEWHEEL_DRIVER", word)
            .variable("PULSEWHEEL_IO_URING_BUFFERS", "8388608");
        assert_eq!(driver(variables), expected);
        let toml = format!("driver = \"{word}\"\nio_uring_buffers = \"8MiB\"\n");
        assert_eq!(driver(file(&toml)), expected);
    }
}

#[test]
fn the_flag_is_stronger_than_the_variable_and_that_than_the_file() {
    let weak = || file("driver = \"io_uring\"");
    let stronger = || weak().variable("PULSEWHEEL_DRIVER", "epoll");
    assert_eq!(driver(weak()).choice, DriverChoice::IoUring);
    assert_eq!(driver(stronger()).choice, DriverChoice::Epoll);
    assert_eq!(driver(stronger().flags(["--driver", "auto"])).choice, DriverChoice::Auto);
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    for (typed, problem) in [
        (
            flags(["--driver=kqueue"]),
            "--driver: \"kqueue\" is unknown; write one of epoll, io_uring, auto",
        ),
        (flags(["--driver=io-uring"]), "did you mean io_uring?"),
        (flags(["--driver=uring"]), "did you mean io_uring?"),
        (flags(["--driver=epol"]), "did you mean epoll?"),
        (flags(["--drivers=auto"]), "did you mean --driver"),
        (
            Typed::default().variable("PULSEWHEEL_DRIVER", "on"),
            "environment PULSEWHEEL_DRIVER: \"on\" is unknown",
        ),
        (file("driver = true"), "driver"),
        (file("drivr = \"auto\""), "did you mean driver?"),
        (flags(["--io-uring-buffers=65535"]), "65535 is too little; write 64KiB to 4GiB"),
        (flags(["--io-uring-buffers=0"]), "0 is too little; write 64KiB to 4GiB"),
        (flags(["--io-uring-buffers=5GiB"]), "5GiB is too much; write 64KiB to 4GiB"),
        (flags(["--io-uring-buffers=much"]), "\"much\" is"),
        (file("io_uring_buffers = \"1KiB\""), "F:1 io_uring_buffers: 1KiB is too little"),
    ] {
        let error = typed.config().unwrap_err().join("\n");
        assert!(error.contains(problem), "{problem}: {error}");
    }
}

#[test]
fn the_bounds_themselves_are_taken() {
    for (text, buffers) in [("64KiB", 1 << 16), ("4GiB", 1 << 32)] {
        assert_eq!(driver(flags(["--io-uring-buffers", text])).buffers, buffers);
    }
}

#[test]
fn both_need_a_restart() {
    let old = Typed::default().config().unwrap();
    for (flag, told) in [
        ("--driver=io_uring", "driver epoll -> io_uring"),
        ("--io-uring-buffers=2MiB", "io-uring-buffers 1MiB -> 2MiB"),
    ] {
        let reloaded = compare(&old, &flags([flag]).config().unwrap());
        assert_eq!((reloaded.taken, reloaded.needs_restart), (vec![], vec![told.to_owned()]));
    }
}

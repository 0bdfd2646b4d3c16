//! Peers that reset, before servers of the test's own: whether they were noticed is seen in the
//! descriptors of this process, so that nothing else may run in it.
//! Not the other kinds; those see by themselves (`zombies`).

mod harness;
mod zombie_server;

use zombie_server::{Deadlines, assert_noticed, keeping, oblivious, of_kind, report, run};

#[test]
fn a_server_that_gives_descriptors_back_has_noticed_and_one_that_keeps_them_has_not() {
    let own = std::process::id();
    let flags = format!("-c 3 --zombies 7 --mix reset --server-pid {own}");
    let output = run(keeping(Deadlines::SHORT), &format!("{flags} --grace 10s"));
    assert_noticed(&report(&output), "reset", 7, "descriptor closed");
    assert_eq!(output.status.code(), Some(0));

    let output = run(oblivious(), &flags);
    let told = report(&output);
    let found = of_kind(&told, "reset");
    assert_eq!((&found["noticed"], &found["not_noticed"]), (&0.into(), &7.into()), "{told}");
    assert_eq!(told["zombies"]["healthy_errors"], 0, "{told}");
    assert_eq!(output.status.code(), Some(1));

    let output = run(keeping(Deadlines::SHORT), "-c 3 --zombies 7 --mix reset");
    let told = report(&output);
    let found = of_kind(&told, "reset");
    assert!(found["noticed"].is_null() && found["not_noticed"].is_null(), "{told}");
    assert_eq!(found["note"], "not visible without --server-pid");
    assert_eq!(output.status.code(), Some(0));
}

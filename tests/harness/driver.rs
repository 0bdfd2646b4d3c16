//! Which driver servers inside a test's own process have: the one that `PULSEWHEEL_DRIVER` names.
//! Not for the binary, which reads that variable itself.

use pulsewheel::config::{Command, DriverSettings, load};

/// What the environment asks for, or the default.
pub fn settings() -> DriverSettings {
    let environment = |name: &str| {
        let is_asked_for = name == "PULSEWHEEL_DRIVER";
        is_asked_for.then(|| std::env::var_os(name)).flatten()
    };
    let handlers = ["echo", "broadcast"];
    match load(["pulsewheel".into()], &environment, &handlers) {
        Ok(Command::Serve(config)) => config.driver,
        Ok(other) => panic!("not a server's configuration: {other:?}"),
        Err(errors) => panic!("{errors}"),
    }
}

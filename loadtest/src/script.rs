//! A scenario, spelled out as scenes that all generator threads play together.
//! Not how a thread plays its part (`generator`) nor who calls the next scene (`conductor`).

use std::time::Duration;

/// What the generator threads do during a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Each thread opens its share of the connections. Done when each is open or has failed.
    Open,
    /// Closed loop: every connection keeps `--pipeline` messages in flight.
    Echo,
    /// Publishers send at `--rate`; every connection receives.
    Publish,
    /// Nothing is sent but pongs.
    Hold,
    /// Nothing is sent at all: the server must take the connections for dead.
    Mute,
    /// Every connection sends one message. Done when each has its answer.
    EchoOnce,
    /// Some connections send one large fragmented message each. Done when each has its answer.
    Bulk,
    /// As `Echo`, beside peers that reset their connections. Done when the server has got over it.
    Resets,
    /// As `Echo`, beside peers that go wrong. Done when each was noticed, or watched long enough.
    Zombies,
    /// Nothing new is sent. Done when nothing is in flight.
    Settle,
    /// Connections are closed. Done when none is left.
    Close,
}

/// When a scene is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// After so long.
    After(Duration),
    /// When every thread has done its part, or has tried for so long.
    WhenDone(Duration),
}

/// One scene of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Its name in the report.
    pub label: &'static str,
    /// What is done.
    pub act: Act,
    /// For how long.
    pub ends: Ends,
    /// Whether this is what the run is about: latencies are recorded, rates and CPU shares taken.
    pub measured: bool,
}

impl Scene {
    fn timed(label: &'static str, act: Act, lasts: Duration) -> Scene {
        Scene { label, act, ends: Ends::After(lasts), measured: false }
    }

    fn until_done(label: &'static str, act: Act, at_most: Duration) -> Scene {
        Scene { label, act, ends: Ends::WhenDone(at_most), measured: false }
    }

    fn measured(self) -> Scene {
        Scene { measured: true, ..self }
    }
}

const SETTLE: Duration = Duration::from_secs(10);
const CLOSE: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(60);

/// Opening ends when all have answered; this only catches a server that accepts and says nothing.
fn open(label: &'static str) -> Scene {
    Scene::until_done(label, Act::Open, Duration::from_secs(600))
}

fn close(label: &'static str) -> Scene {
    Scene::until_done(label, Act::Close, CLOSE)
}

/// Warm up, measure, and let what is in flight come home.
pub fn echo(warmup: Duration, duration: Duration) -> Vec<Scene> {
    vec![
        open("open"),
        Scene::timed("warmup", Act::Echo, warmup),
        Scene::timed("measure", Act::Echo, duration).measured(),
        Scene::until_done("settle", Act::Settle, SETTLE),
        close("close"),
    ]
}

/// As [`echo`], beside peers that go wrong; `resets` and `others` say whether any reset their
/// connections and whether any do anything else.
pub fn zombies(warmup: Duration, resets: bool, others: bool, at_most: Duration) -> Vec<Scene> {
    let mut scenes = vec![open("open"), Scene::timed("warmup", Act::Echo, warmup)];
    if resets {
        let scene = Scene::until_done("resets", Act::Resets, at_most);
        scenes.push(Scene { measured: !others, ..scene });
    }
    if others {
        scenes.push(Scene::until_done("zombies", Act::Zombies, at_most).measured());
    }
    scenes.extend([Scene::until_done("settle", Act::Settle, SETTLE), close("close")]);
    scenes
}

/// As [`echo`], with messages from few to all.
pub fn broadcast(warmup: Duration, duration: Duration) -> Vec<Scene> {
    vec![
        open("open"),
        Scene::timed("warmup", Act::Publish, warmup),
        Scene::timed("measure", Act::Publish, duration).measured(),
        Scene::until_done("settle", Act::Settle, SETTLE),
        close("close"),
    ]
}

/// What the `idle` scenario does beside holding the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idle {
    /// Let all speak at once after the measurement, and hold them for so long again.
    pub speak_then_hold: Option<Duration>,
    /// At the end let each echo a message, to prove that it lives.
    pub final_echo: bool,
    /// Let all speak at once and say nothing any more, pongs included, while measuring.
    pub mute: bool,
}

/// Hold the connections.
pub fn idle(warmup: Duration, duration: Duration, idle: Idle) -> Vec<Scene> {
    let mut scenes = vec![open("open"), Scene::timed("warmup", Act::Hold, warmup)];
    if idle.mute {
        scenes.push(Scene::until_done("last words", Act::EchoOnce, ANSWER));
        scenes.push(Scene::timed("silence", Act::Mute, duration).measured());
    } else {
        scenes.push(Scene::timed("measure", Act::Hold, duration).measured());
    }
    if let Some(again) = idle.speak_then_hold {
        scenes.push(Scene::until_done("all speak", Act::EchoOnce, ANSWER));
        scenes.push(Scene::timed("after speaking", Act::Hold, again));
    }
    if idle.final_echo {
        scenes.push(Scene::until_done("final echo", Act::EchoOnce, ANSWER));
    }
    scenes.push(close("close"));
    scenes
}

/// A whole day of a server in minutes: idle, a word from each, large messages, all leave, others
/// come. After each the report tells the server's memory; `pause` lets the server settle before.
pub fn lifecycle(hold: Duration, pause: Duration, bulk_at_most: Duration) -> Vec<Scene> {
    let rest = |label| Scene::timed(label, Act::Hold, pause);
    vec![
        open("open"),
        rest("after opening"),
        Scene::timed("idle", Act::Hold, hold).measured(),
        Scene::until_done("echo each", Act::EchoOnce, ANSWER),
        rest("after echo"),
        Scene::until_done("bulk", Act::Bulk, bulk_at_most),
        rest("after bulk"),
        close("close all"),
        rest("after closing"),
        open("open others"),
        rest("after reopening"),
        Scene::until_done("echo each again", Act::EchoOnce, ANSWER),
        rest("after second echo"),
        close("close"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_opens_first_closes_last_and_measures_once() {
        let second = Duration::from_secs(1);
        let scripts = [
            echo(second, second),
            broadcast(second, second),
            idle(second, second, Idle::default()),
            idle(second, second, Idle { mute: true, ..Idle::default() }),
            idle(
                second,
                second,
                Idle { speak_then_hold: Some(second), final_echo: true, mute: false },
            ),
            lifecycle(second, second, second),
            zombies(second, true, true, second),
            zombies(second, true, false, second),
            zombies(second, false, true, second),
        ];
        for scenes in scripts {
            assert_eq!(scenes.first().map(|scene| scene.act), Some(Act::Open));
            assert_eq!(scenes.last().map(|scene| scene.act), Some(Act::Close));
            assert_eq!(scenes.iter().filter(|scene| scene.measured).count(), 1);
        }
    }
}

//! A scenario, spelled out as scenes that all generator threads play together.
//! Not how a thread plays its part (`generator`) nor who calls the next scene (`conductor`).

use std::time::Duration;

/// What the generator threads do during a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Each thread opens its share of the connections, or lets go those beyond it. Done when each is
    /// open or has failed.
    Open,
    /// Closed loop: every connection keeps `--pipeline` messages in flight.
    Echo,
    /// Open loop: every connection sends when it is its turn, at the scene's rate in total.
    Rate,
    /// Publishers send at the scene's rate in total; every connection receives.
    Publish,
    /// Nothing is sent but pongs, and pings from the probes.
    Hold,
    /// Nothing is sent at all: the server must take the connections for dead.
    Mute,
    /// Every connection sends one message. Done when each has its answer.
    EchoOnce,
    /// Some connections send one large fragmented message each. Done when each has its answer.
    Bulk,
    /// Connections come, echo one message, and go.
    Churn,
    /// All connections drop and come back. Done when all are back.
    Herd,
    /// Connections come and go, and send in bursts, as drawn.
    Mixed,
    /// As `Rate`, beside peers that reset their connections. Done when the server has got over it.
    Resets,
    /// As `Rate`, beside peers that go wrong. Done when each was noticed, or watched long enough.
    Zombies,
    /// Nothing new is sent. Done when nothing is in flight.
    Settle,
    /// Nothing happens, at once: the conductor looks at what was measured and says how to go on.
    Judge,
    /// Connections are closed. Done when none is left.
    Close,
}

impl Act {
    /// Whether a timetable that is under way goes on in it.
    pub fn goes_by_the_clock(self) -> bool {
        matches!(self, Act::Rate | Act::Resets | Act::Zombies | Act::Publish)
    }
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scene {
    /// Its name in the report.
    pub label: &'static str,
    /// What is done.
    pub act: Act,
    /// For how long.
    pub ends: Ends,
    /// Whether this is what the run is about: latencies are recorded, rates and CPU shares taken.
    /// Where two such scenes follow each other, rates are of the second, latencies of both.
    pub measured: bool,
    /// Messages a second, all threads together; 0 where the act has no rate.
    pub rate: f64,
    /// How many connections there are to be, where they are opened; `None` for all of the plan.
    pub connections: Option<usize>,
}

impl Scene {
    /// What is on before the first scene is called.
    pub fn nothing() -> Scene {
        Scene::timed("nothing", Act::Judge, Duration::ZERO)
    }

    fn timed(label: &'static str, act: Act, lasts: Duration) -> Scene {
        let ends = Ends::After(lasts);
        Scene { label, act, ends, measured: false, rate: 0.0, connections: None }
    }

    fn until_done(label: &'static str, act: Act, at_most: Duration) -> Scene {
        let ends = Ends::WhenDone(at_most);
        Scene { ends, ..Scene::timed(label, act, at_most) }
    }

    fn measured(self) -> Scene {
        Scene { measured: true, ..self }
    }

    fn at(self, rate: f64) -> Scene {
        Scene { rate, ..self }
    }

    /// The longest it can take.
    pub fn at_most(&self) -> Duration {
        let (Ends::After(time) | Ends::WhenDone(time)) = self.ends;
        time
    }
}

const SETTLE: Duration = Duration::from_secs(10);
const CLOSE: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(60);
const OPEN: Duration = Duration::from_secs(600);

/// Opening ends when all have answered; this only catches a server that accepts and says nothing.
fn open(label: &'static str) -> Scene {
    Scene::until_done(label, Act::Open, OPEN)
}

fn close(label: &'static str) -> Scene {
    Scene::until_done(label, Act::Close, CLOSE)
}

/// Warm up, measure, and let what is in flight come home: the frame of most scenarios.
pub fn load(act: Act, rate: f64, warmup: Duration, duration: Duration) -> Vec<Scene> {
    let mut scenes = vec![open("open")];
    scenes.extend(step(act, rate, warmup, duration));
    scenes.push(close("close"));
    scenes
}

/// The time that a server has to take subscriptions in, before anything is published: how it would
/// say that it has differs from one to the next.
pub fn subscribe() -> Scene {
    Scene::timed("subscribe", Act::Hold, Duration::from_millis(500))
}

/// As [`load`] by the open loop, beside peers that go wrong; `resets` and `others` say whether any
/// reset their connections and whether any do anything else.
pub fn zombies(
    rate: f64,
    warmup: Duration,
    (resets, others): (bool, bool),
    at_most: Duration,
) -> Vec<Scene> {
    let mut scenes = vec![open("open"), Scene::timed("warmup", Act::Rate, warmup).at(rate)];
    if resets {
        scenes.push(Scene::until_done("resets", Act::Resets, at_most).at(rate).measured());
    }
    if others {
        scenes.push(Scene::until_done("zombies", Act::Zombies, at_most).at(rate).measured());
    }
    scenes.extend([Scene::until_done("settle", Act::Settle, SETTLE), close("close")]);
    scenes
}

fn step(act: Act, rate: f64, warmup: Duration, duration: Duration) -> [Scene; 3] {
    [
        Scene::timed("warmup", act, warmup).at(rate),
        Scene::timed("measure", act, duration).at(rate).measured(),
        Scene::until_done("settle", Act::Settle, SETTLE),
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

/// Open all and measure that.
pub fn connect() -> Vec<Scene> {
    vec![open("open").measured(), close("close")]
}

/// Come and go.
pub fn churn(warmup: Duration, duration: Duration) -> Vec<Scene> {
    vec![
        Scene::timed("warmup", Act::Churn, warmup),
        Scene::timed("measure", Act::Churn, duration).measured(),
        Scene::until_done("settle", Act::Settle, SETTLE),
        close("close"),
    ]
}

/// Drop all, and see them come back; `at_most` is how long that may take.
pub fn herd(warmup: Duration, at_most: Duration) -> Vec<Scene> {
    vec![
        open("open"),
        Scene::timed("warmup", Act::Hold, warmup),
        Scene::until_done("herd", Act::Herd, at_most).measured(),
        Scene::until_done("final echo", Act::EchoOnce, ANSWER),
        close("close"),
    ]
}

/// The beginning of a search; the conductor puts [`search_step`]s before the close.
pub fn search(connections: usize) -> Vec<Scene> {
    let first = Scene { connections: Some(connections), ..open("open") };
    vec![first, judge(), close("close")]
}

/// One step of a search, up to where it is judged.
pub fn search_step(
    rate: f64,
    connections: usize,
    warmup: Duration,
    duration: Duration,
) -> Vec<Scene> {
    let mut scenes = vec![Scene { connections: Some(connections), ..open("populate") }];
    scenes.extend(step(Act::Rate, rate, warmup, duration));
    scenes.push(judge());
    scenes
}

fn judge() -> Scene {
    Scene::until_done("judge", Act::Judge, SETTLE)
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
    fn every_script_closes_last_and_measures_in_one_stretch() {
        let second = Duration::from_secs(1);
        let scripts = [
            load(Act::Echo, 0.0, second, second),
            load(Act::Publish, 5.0, second, second),
            idle(second, second, Idle::default()),
            idle(second, second, Idle { mute: true, ..Idle::default() }),
            idle(
                second,
                second,
                Idle { speak_then_hold: Some(second), final_echo: true, mute: false },
            ),
            connect(),
            churn(second, second),
            herd(second, second),
            lifecycle(second, second, second),
            search_step(1.0, 1, second, second).into_iter().chain([close("close")]).collect(),
            zombies(1.0, second, (true, true), second),
            zombies(1.0, second, (true, false), second),
            zombies(1.0, second, (false, true), second),
        ];
        for scenes in scripts {
            assert_eq!(scenes.last().map(|scene| scene.act), Some(Act::Close));
            let stretches = scenes.chunk_by(|one, next| one.measured == next.measured);
            assert_eq!(stretches.filter(|stretch| stretch[0].measured).count(), 1);
        }
    }
}

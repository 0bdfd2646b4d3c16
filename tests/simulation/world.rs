//! One world: reactors, clients and the network between them, from one event to the next.
//! Not what befalls the server as a whole (see `fate`), nor what must hold (see `invariants`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pulsewheel::CloseReason;
use pulsewheel::io::{Chunk, Done, Driver, Ending, Token};
use pulsewheel::reactor::Shared;
use pulsewheel::reactor::audit::Grave;
use pulsewheel::simulation::Berth;

use crate::client::{Bound, Client, End, Scene};
use crate::driver::SimulatedDriver;
use crate::households::socket_of;
use crate::kernel::Purpose;
use crate::net::{Event, Net, Server, SharedNet, SocketId, Stage};
use crate::ringed::RingedDriver;
use crate::rules::{Rules, SECOND};
use crate::serve::{self, Visits};
use crate::trace::Trace;
use crate::turn::Station;

/// A world under way.
pub struct World {
    pub rules: Rules,
    pub net: SharedNet,
    pub stations: Vec<Station>,
    pub shared: Arc<Shared>,
    pub visits: Arc<Visits>,
    pub clients: Vec<Client>,
    pub stage: Stage,
    pub lost: Vec<u64>,
    pub missed: u64,
    pub graves: u64,
    pub reloads: usize,
    pub reloaded: u64,
    pub published: Vec<(u64, Arc<pulsewheel::reactor::Fanout>)>,
    pub settled: crate::ledger::Settled,
    pub drain_began: Option<u64>,
    pub overspent_since: Option<u64>,
    /// When all stalls and long turns that have begun are over.
    pub disturbed_until: u64,
}

/// How a world ended that kept to all rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub steps: u64,
    pub digest: u64,
    pub simulated: u64,
    pub connections: u64,
    pub messages: u64,
    pub clients: usize,
}

/// What was broken, and when.
#[derive(Clone, Debug)]
pub struct Breach {
    pub step: u64,
    pub micros: u64,
    pub what: String,
}

impl World {
    pub fn new(seed: u64, trace: bool) -> Self {
        let rules = Rules::of(seed);
        let trace = Trace::new(trace);
        let mut net = Net::new(rules.epoch, seed, rules.faults.clone(), rules.reactors, trace);
        net.households = rules.households;
        let net = Rc::new(RefCell::new(net));
        let wakes: Vec<_> = (0..rules.reactors).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let ring = |(id, shape): (usize, &Option<_>)| {
            shape.map(|shape| RingedDriver::new(&net, id, shape, rules.capacity.min(1 << 12)))
        };
        let rings: Vec<_> = rules.rings.iter().enumerate().map(ring).collect();
        let berth = |(id, wake): (usize, &Arc<AtomicBool>)| {
            let files = rules.rings[id].map_or(usize::MAX, |shape| shape.files);
            net.borrow_mut().ports[id].descriptors = rules.descriptors.min(files);
            let driver: Box<dyn Driver> = match &rings[id] {
                Some(ring) => Box::new(ring.clone()),
                None => Box::new(SimulatedDriver { net: Rc::clone(&net), id }),
            };
            let seed = seed.wrapping_mul(31) + id as u64;
            Berth { driver, wake: Arc::clone(wake), capacity: rules.capacity, seed }
        };
        let berths = wakes.iter().enumerate().map(berth).collect();
        let visits = Arc::new(Visits::default());
        let (reactors, shared) = serve::routes(&visits).start(
            berths,
            (rules.limits, &rules.admission),
            rules.mailbox_limit,
            rules.max_connections,
        );
        let stations = reactors.into_iter().zip(rings).zip(wakes);
        let stations =
            stations.map(|((reactor, ring), wake)| Station::new(reactor, ring, wake)).collect();
        let mut world = World {
            net,
            stations,
            shared,
            visits,
            clients: Vec::new(),
            stage: Stage::Busy,
            lost: vec![0; rules.reactors],
            missed: 0,
            graves: 0,
            reloads: 0,
            reloaded: 0,
            published: Vec::new(),
            settled: Default::default(),
            drain_began: None,
            overspent_since: None,
            disturbed_until: 0,
            rules,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        let mut net = self.net.borrow_mut();
        for (id, manner) in self.rules.clients.iter().enumerate() {
            let returns = net.random.u32(1..6);
            self.clients.push(Client::new(id as u32, *manner, returns));
            let begins = net.random.u64(0..self.rules.arrivals);
            net.after(begins, Event::Act { client: id as u32, session: 0 });
        }
        for id in 0..self.rules.reactors {
            net.after(0, Event::Turn(id));
            self.stations[id].turn_at = Some(net.now);
        }
        let fate = net.random.u64(0..self.rules.fates);
        net.after(fate, Event::Fate);
        let span = self.rules.span;
        let (stage, at) = match self.rules.is_cut_short {
            true => (Stage::Drain, net.random.u64(0..span)),
            false => (Stage::Calm, span),
        };
        net.after(at, Event::Stage(stage));
    }

    /// Runs to the end, or to the first thing that is broken.
    pub fn run(&mut self) -> Result<Summary, Breach> {
        loop {
            let (event, now) = {
                let mut net = self.net.borrow_mut();
                let event = net.pop();
                net.trace.steps += 1;
                (event, net.now)
            };
            let Some(event) = event else { break };
            if event == Event::Stage(Stage::End) {
                self.at_the_end().map_err(|what| self.breach(what))?;
                break;
            }
            self.net.borrow().trace.say(now, || format!("{event:?}"));
            self.step(event).map_err(|what| self.breach(what))?;
            self.wake_all();
        }
        let net = self.net.borrow();
        Ok(Summary {
            steps: net.trace.steps,
            digest: net.trace.digest,
            simulated: net.now - self.rules.epoch,
            connections: net.sockets.len() as u64,
            messages: self.shared.shards.iter().map(|shard| shard.messages_received.get()).sum(),
            clients: self.clients.len(),
        })
    }

    fn breach(&self, what: String) -> Breach {
        let net = self.net.borrow();
        Breach { step: net.trace.steps, micros: net.now - self.rules.epoch, what }
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Turn(id) => return self.turn(id),
            Event::Act { client, session } => {
                if self.clients[client as usize].number == session {
                    return self.with(client, |client, scene| client.act(scene));
                }
            }
            Event::Judge { client, session, lost } => return self.judge(client, session, lost),
            Event::Connect(socket) => self.connect(socket),
            Event::Up { socket, bytes, fin } => self.net.borrow_mut().arrive(socket, bytes, fin),
            Event::Break(socket) => {
                let mut net = self.net.borrow_mut();
                net.socket(socket).broken_here = true;
                net.socket(socket).up.clear();
                net.signal(socket);
                net.notice(socket, &[Purpose::Room, Purpose::End]);
            }
            Event::Signal(socket) => {
                let mut net = self.net.borrow_mut();
                net.socket(socket).is_signalled = false;
                net.make_ready(socket);
            }
            Event::Writable(socket) => self.writable(socket),
            Event::Down(socket) => {
                let arrival = self.net.borrow_mut().deliver(socket);
                if let Some(arrival) = arrival {
                    return self.at_client(socket, |client, scene| client.receive(scene, arrival));
                }
            }
            Event::Broken(socket) => {
                return self.at_client(socket, |client, scene| client.ended(scene, End::Reset));
            }
            Event::Room(socket) => self.net.borrow_mut().pump(socket),
            Event::Cancelled { port, key, serial } => {
                self.net.borrow_mut().cancelled(port, key, serial);
            }
            Event::Stale { port, token, kind } => self.stale(port, token, kind),
            Event::Fate => self.fate(),
            Event::Stage(stage) => return self.enter(stage),
        }
        Ok(())
    }

    fn connect(&mut self, socket: SocketId) {
        let mut net = self.net.borrow_mut();
        let (port, latency) = (net.socket(socket).port, net.socket(socket).latency);
        let is_over = net.ports[port].accepting == pulsewheel::io::Accepting::Over;
        if is_over || self.stations[port].reactor.is_none() {
            net.socket(socket).server = Server::Gone;
            net.socket(socket).was_cut = true;
            net.after(latency, Event::Broken(socket));
        } else {
            net.ports[port].queue.push_back(socket);
            if net.ports[port].kernel.is_some() {
                net.knock(port);
            }
            net.wake(port);
        }
    }

    fn writable(&mut self, socket: SocketId) {
        let mut net = self.net.borrow_mut();
        let spurious = net.faults.spurious;
        let is_spurious = net.chance(spurious);
        let port = net.socket(socket).port;
        if net.ports[port].kernel.is_some() {
            if std::mem::replace(&mut net.socket(socket).wants_write, false) || is_spurious {
                net.notice(socket, &[Purpose::Room]);
            }
            return;
        }
        let Some(token) = net.socket(socket).token else { return };
        if std::mem::replace(&mut net.socket(socket).wants_write, false) || is_spurious {
            net.ports[port].writable.push_back(token);
            net.wake(port);
        }
    }

    fn stale(&mut self, port: usize, (generation, index): (u32, u32), kind: u8) {
        let mut net = self.net.borrow_mut();
        let token = Token { index, generation };
        let done = match kind {
            0 => Done::Received(token, Chunk::new(vec![0xff; 9].into(), 9)),
            1 => Done::Ended(token, Ending::Finished),
            _ => Done::Sent(token, 0),
        };
        net.ports[port].stale.push_back(done);
        net.wake(port);
    }

    /// Calls a client with what it may see and touch.
    pub fn with(
        &mut self,
        client: u32,
        act: impl FnOnce(&mut Client, &mut Scene<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut net = self.net.borrow_mut();
        let mut scene = Scene {
            net: &mut net,
            rules: &self.rules,
            is_calm: self.stage != Stage::Busy && self.drain_began.is_none(),
            lost: &self.lost,
            missed: &mut self.missed,
        };
        let client = &mut self.clients[client as usize];
        let (id, manner) = (client.id, client.manner);
        act(client, &mut scene).map_err(|what| format!("client {id}, {manner:?}: {what}"))
    }

    /// Calls the client that is still in the session of a stream.
    fn at_client(
        &mut self,
        socket: SocketId,
        act: impl FnOnce(&mut Client, &mut Scene<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let (client, session) = {
            let mut net = self.net.borrow_mut();
            let socket = net.socket(socket);
            if socket.is_vanished {
                return Ok(());
            }
            (socket.client, socket.session)
        };
        if self.clients[client as usize].number != session {
            return Ok(());
        }
        self.with(client, act)
    }

    /// Nobody stays longer than its deadlines, but for what stalls have added to them.
    fn judge(&mut self, client: u32, session: u32, lost: u64) -> Result<(), String> {
        let mut net = self.net.borrow_mut();
        let who = &self.clients[client as usize];
        if who.number != session || who.is_gone(&mut net) {
            return Ok(());
        }
        let Some(live) = &who.session else { return Ok(()) };
        let port = net.socket(live.socket).port;
        let busy_until = self.stations[port].stalled_until.max(net.ports[port].clock);
        let stall = busy_until.saturating_sub(net.now);
        // New limits begin some spans anew.
        let [heartbeat, rest @ ..] = &Bound::ALL;
        let longest =
            self.rules.bound(&[*heartbeat]).unwrap_or(0) + self.rules.bound(rest).unwrap_or(0);
        let begun = self.reloaded.max(net.socket(live.socket).adopted);
        let is_later = begun > live.began + SECOND;
        let begun_anew = (begun + longest).saturating_sub(net.now) * u64::from(is_later);
        let more = self.lost[port] - lost + if stall > 0 { stall + SECOND } else { begun_anew };
        if more > 0 {
            let lost = self.lost[port];
            net.after(more, Event::Judge { client, session, lost });
            return Ok(());
        }
        let now = net.now;
        let socket = net.socket(live.socket);
        if socket.server == Server::Queued {
            // No deadline of its own runs before it is accepted.
            net.after(10 * SECOND, Event::Judge { client, session, lost });
            return Ok(());
        }
        let index = socket.token.map_or(u32::MAX, |token| token.index);
        let seconds = (now - live.began) as f64 / 1e6;
        let manner = who.manner;
        let mut reactor = self.stations[port].reactor.as_mut();
        let slot = reactor.as_mut().and_then(|reactor| reactor.audit().slot(index));
        let now = reactor.map(|reactor| reactor.audit().now());
        Err(format!(
            "client {client}, {manner:?}: it is still there, {seconds} s after it began\n    \
             {slot:?}\n    now {now:?}"
        ))
    }

    /// A connection has left its slot.
    pub fn bury(&mut self, id: usize, grave: Grave) -> Result<(), String> {
        self.graves += 1;
        let Some(socket) = socket_of(grave.peer) else { return Ok(()) };
        let (client, session) = {
            let mut net = self.net.borrow_mut();
            let now = net.now;
            net.trace.say(now, || format!("reactor {id} buries {grave:?}"));
            net.trace.mix(grave.reason.index() as u64);
            let socket = net.socket(socket);
            socket.graves += 1;
            if socket.graves > 1 {
                return Err(format!("{grave:?} ends a second time"));
            }
            (socket.client, socket.session)
        };
        let who = &mut self.clients[client as usize];
        if who.number != session {
            return Ok(());
        }
        who.session.iter_mut().for_each(|session| session.grave = Some(grave.reason));
        self.entitled(client, grave.reason)?;
        self.with(client, |client, scene| client.settle(scene))
    }

    fn entitled(&mut self, client: u32, reason: CloseReason) -> Result<(), String> {
        let who = &self.clients[client as usize];
        let mut net = self.net.borrow_mut();
        let is_entitled = !who.manner.is_good() || who.may_end(reason, &mut net, self);
        if !is_entitled {
            let session = who.session.as_ref();
            return Err(format!(
                "client {client}, {:?}: it ended with {reason}\n    {session:?}",
                who.manner
            ));
        }
        Ok(())
    }
}

//! One broker.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    fetched::Fetched,
    left::Left,
    properties::{self, Listener},
    wire,
};
use crate::{
    Error, PortBase,
    files::{copy_folder, last_lines, remove_folder},
    owned::{Owned, start_unowned},
};

const NAME: &str = "Kafka";
/// How long a broker may take to answer once it is started. One that recovers its log takes longer.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to stop when it is told to, and to be gone when it is killed.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How often it is asked whether it answers.
const POLL: Duration = Duration::from_millis(20);

/// What a broker is to be like.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    folder: PathBuf,
    listeners: Vec<String>,
    settings: Vec<(String, String)>,
}

impl KafkaOptions {
    /// A broker with everything it writes below `folder`; what lies there already is gone on with.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), listeners: Vec::new(), settings: Vec::new() }
    }

    /// One more listener: clients that come by it can be told another port than others, that of a proxy.
    #[must_use]
    pub fn listener(mut self, name: &str) -> Self {
        self.listeners.push(name.to_owned());
        self
    }

    /// A line of `server.properties`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A broker of one node. Killed when dropped, and when the process that owns it ends in whatever way.
#[derive(Debug)]
pub struct Kafka {
    fetched: Fetched,
    folder: PathBuf,
    settings: Vec<(String, String)>,
    listeners: Vec<Listener>,
    ports: PortBase,
    running: Option<Owned>,
}

impl Kafka {
    /// Fetches what is missing, and chooses ports that stay the broker's through every start. At most eight listeners.
    ///
    /// # Errors
    /// [`Error::Missing`] without Java or Maven; files that cannot be fetched or written.
    pub fn prepare(options: KafkaOptions) -> Result<Self, Error> {
        let KafkaOptions { folder, listeners: named, settings } = options;
        let fetched = Fetched::get()?;
        let ports = PortBase::take()?;
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let folder = folder.canonicalize().map_err(Error::file(&folder))?;
        // The controller's is the first above the base.
        let mut port = ports.get() + 1;
        let mut next = || {
            port += 1;
            port
        };
        let mut listeners = vec![Listener::plain(next())];
        listeners.extend(named.iter().map(|name| Listener { name: name.to_uppercase(), ..Listener::plain(next()) }));
        let kafka = Self { fetched, folder, settings, listeners, ports, running: None };
        if !kafka.log().is_dir() {
            copy_folder(&kafka.fetched.formatted(), &kafka.log())?;
        }
        Ok(kafka)
    }

    /// Where a listener listens.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn port_of(&self, listener: &str) -> u16 {
        let listener = listener.to_uppercase();
        self.listeners.iter().find(|one| one.name == listener).expect("a listener that was asked for").port
    }

    /// Tells clients that come by a listener to come by this port; from the next start on.
    pub fn advertise(&mut self, listener: &str, port: u16) {
        let listener = listener.to_uppercase();
        for one in self.listeners.iter_mut().filter(|one| one.name == listener) {
            one.advertised = port;
        }
    }

    /// Where clients find it that come by no listener in particular: `host:port`.
    pub fn bootstrap(&self) -> String {
        self.listeners[0].address()
    }

    /// Starts it, and waits until it answers on every listener. One that runs is left alone.
    ///
    /// # Errors
    /// [`Error::NotUp`] with the end of what it said.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.is_running() {
            return Ok(());
        }
        let (properties, log) = (self.configured()?, self.said());
        let broker = Owned::start(&self.fetched.broker(&properties)?, &log).map_err(Error::file(&log))?;
        self.running = Some(broker);
        let up = self.comes_up(|kafka| kafka.is_running());
        if up.is_err() {
            self.running = None;
        }
        up
    }

    /// Starts it so that it outlives its owner. `tell` is called before it answers, so that it can be found also when this
    /// process ends meanwhile: [`Left::tell`], for everyone.
    ///
    /// # Errors
    /// As [`Kafka::start`], and of `tell`; it does not run then.
    pub fn start_and_leave(mut self, tell: impl FnOnce(&Left) -> Result<(), Error>) -> Result<Left, Error> {
        let (properties, log) = (self.configured()?, self.said());
        let mut broker = start_unowned(&mut self.fetched.broker(&properties)?, &log).map_err(Error::file(&log))?;
        let left = Left { bootstrap: self.bootstrap(), pid: broker.id(), folder: self.folder.clone() };
        let up = tell(&left).and_then(|()| self.comes_up(|_| matches!(broker.try_wait(), Ok(None))));
        if up.is_err() {
            // Nobody would look for one that was said not to be there. One that has ended is of no account.
            let _ = broker.kill();
            let _ = broker.wait();
        }
        up?;
        Ok(left)
    }

    fn configured(&self) -> Result<PathBuf, Error> {
        let path = self.folder.join("server.properties");
        let text = properties::of(&self.listeners, self.ports.get() + 1, &self.log(), &self.settings);
        fs::write(&path, text).map_err(Error::file(&path))?;
        Ok(path)
    }

    fn comes_up(&mut self, mut still_runs: impl FnMut(&mut Self) -> bool) -> Result<(), Error> {
        let begun = Instant::now();
        let addresses: Vec<String> = self.listeners.iter().map(Listener::address).collect();
        while !addresses.iter().all(|address| wire::answers(address)) {
            let ended = !still_runs(self);
            if ended || begun.elapsed() > START_MAX {
                let said = last_lines(&fs::read_to_string(self.said()).unwrap_or_default());
                return Err(Error::NotUp { name: NAME, within: (!ended).then_some(START_MAX), said });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether it runs, or is paused.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(Owned::is_running)
    }

    /// Sends SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.end(Signal::KILL)
    }

    /// Sends SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end in time; it is killed then.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.end(Signal::TERM)
    }

    fn end(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(mut broker) = self.running.take() else { return Ok(()) };
        broker.signal(signal)?;
        if broker.ends_within(STOP_MAX) {
            return Ok(());
        }
        let said = format!("it has not ended within {STOP_MAX:?} after {signal:?}");
        Err(Error::Failed { what: "ending Kafka", said })
    }

    /// Sends SIGSTOP: it is there, and answers nobody until [`Kafka::resume`].
    ///
    /// # Errors
    /// [`Error::Running`] when it does not run.
    pub fn pause(&mut self) -> Result<(), Error> {
        self.signal(Signal::STOP)
    }

    /// Sends SIGCONT.
    ///
    /// # Errors
    /// [`Error::Running`] when it does not run.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        match &mut self.running {
            Some(broker) => broker.signal(signal),
            None => Err(Error::Running { name: NAME, runs: false }),
        }
    }

    /// Deletes a topic with all that it holds, under those who use it.
    ///
    /// # Errors
    /// [`Error::Request`]: it does not answer, or has no such topic.
    pub fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        wire::delete_topic(self.address(), topic).map_err(Error::Request)
    }

    /// Deletes what a partition holds before an offset, as retention does.
    ///
    /// # Errors
    /// [`Error::Request`]: it does not answer, has no such partition, or that one ends before.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<(), Error> {
        wire::delete_records(self.address(), topic, partition, before).map_err(Error::Request)
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.listeners[0].port))
    }

    /// Copies all it knows to `to`, in place of what is there. Of a broker that runs and is not paused, every file is of
    /// a moment of its own.
    ///
    /// # Errors
    /// Files.
    pub fn copy_log(&self, to: &Path) -> Result<(), Error> {
        remove_folder(to)?;
        copy_folder(&self.log(), to)
    }

    /// Puts a copy in place of all it knows: what it acknowledged since is lost.
    ///
    /// # Errors
    /// [`Error::Running`] while it runs; files.
    pub fn put_back(&mut self, from: &Path) -> Result<(), Error> {
        if self.is_running() {
            return Err(Error::Running { name: NAME, runs: true });
        }
        remove_folder(&self.log())?;
        copy_folder(from, &self.log())
    }

    /// Where it keeps all it knows.
    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What it says, of all its starts.
    pub fn said(&self) -> PathBuf {
        self.folder.join("kafka.log")
    }
}

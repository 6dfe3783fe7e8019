//! What goes wrong, one thing or two at a time, by a seed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use crate::{
    proxy::Weather,
    town::{Town, Who},
};

/// How long most things last, at most.
const SHORT_MAX: Duration = Duration::from_secs(4);
/// How long a process is stopped, at most, once in [`LONG_EVERY`] times: longer than the session of a consumer and what
/// clients wait for an answer.
const LONG_MAX: Duration = Duration::from_secs(40);
/// How often a stop may be a long one.
const LONG_EVERY: u64 = 6;
/// By how much a slow connection delays each chunk, at most.
const DELAY_MAX: Duration = Duration::from_millis(300);
/// How long it is quiet between two faults, at most.
const QUIET_MAX: Duration = Duration::from_secs(3);

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL, and a start.
    Kill(Who),
    /// SIGSTOP, and SIGCONT.
    Stop(Who),
    /// SIGKILL while another process stands by.
    KillWithStandby(Who),
    /// A second `statements` is started, or killed.
    Replica,
    /// Accounts goes on with relays that were displaced and do not know.
    Twins,
    /// The broker is killed, and started again.
    KillKafka,
    /// The broker is stopped, and goes on.
    StopKafka,
    /// The broker is killed, and started with a copy of its log made earlier: what it acknowledged since is lost.
    ForgetfulKafka,
    /// A service's connections are cut.
    Cut(Who),
    /// They are slow.
    Slow(Who),
    /// There are none.
    Dark(Who),
}

/// Every kind.
const ALL: [Fault; 22] = [
    Fault::Kill(Who::Accounts),
    Fault::Kill(Who::Transfers),
    Fault::Kill(Who::Statements),
    Fault::Stop(Who::Accounts),
    Fault::Stop(Who::Transfers),
    Fault::Stop(Who::Statements),
    Fault::KillWithStandby(Who::Accounts),
    Fault::KillWithStandby(Who::Transfers),
    Fault::Replica,
    Fault::Replica,
    Fault::Twins,
    Fault::KillKafka,
    Fault::StopKafka,
    Fault::ForgetfulKafka,
    Fault::Cut(Who::Accounts),
    Fault::Cut(Who::Transfers),
    Fault::Cut(Who::Statements),
    Fault::Slow(Who::Accounts),
    Fault::Slow(Who::Transfers),
    Fault::Slow(Who::Statements),
    Fault::Dark(Who::Accounts),
    Fault::Dark(Who::Transfers),
];

/// Which faults come next: each kind once, in an order by chance, and again.
pub struct Course {
    random: fastrand::Rng,
    left: Vec<Fault>,
    /// How often each came.
    pub counts: BTreeMap<Fault, u64>,
}

impl Course {
    /// The course of a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), left: Vec::new(), counts: BTreeMap::new() }
    }

    /// Lets the next thing go wrong, and mends it; says what it was, and how long it took until it was mended.
    pub async fn next(&mut self, town: &mut Town) -> anyhow::Result<String> {
        if self.left.is_empty() {
            self.left = ALL.to_vec();
            self.random.shuffle(&mut self.left);
        }
        let Some(fault) = self.left.pop() else { bail!("there are no faults") };
        *self.counts.entry(fault).or_default() += 1;
        let begun = Instant::now();
        self.happens(fault, town).await.with_context(|| format!("{fault:?}"))?;
        let told = format!("{fault:?} for {:.1} s", begun.elapsed().as_secs_f64());
        sleep(self.up_to(QUIET_MAX)).await;
        Ok(told)
    }

    fn up_to(&mut self, limit: Duration) -> Duration {
        limit.mul_f64(self.random.f64())
    }

    /// How long a process is stopped.
    fn stopped(&mut self) -> Duration {
        let limit = if self.random.u64(..LONG_EVERY) == 0 { LONG_MAX } else { SHORT_MAX };
        self.up_to(limit)
    }

    async fn happens(&mut self, fault: Fault, town: &mut Town) -> anyhow::Result<()> {
        match fault {
            Fault::Kill(who) => {
                town.process(who)?.kill()?;
                sleep(self.up_to(SHORT_MAX)).await;
                town.start(who).await
            }
            Fault::Stop(who) => {
                town.process(who)?.pause()?;
                sleep(self.stopped()).await;
                town.process(who)?.resume()
            }
            Fault::KillWithStandby(who) => {
                let standby = town.stand_by(who)?;
                sleep(self.up_to(SHORT_MAX)).await;
                town.process(who)?.kill()?;
                town.take_over(who, standby).await
            }
            Fault::Replica => match town.replica.take() {
                Some(mut replica) => replica.kill(),
                None => town.start_replica().await,
            },
            Fault::Twins => {
                town.process(Who::Accounts)?.kill()?;
                town.start_with_twins(self.random.u64(..)).await
            }
            Fault::KillKafka => {
                town.kafka.kill()?;
                sleep(self.up_to(SHORT_MAX)).await;
                Ok(town.kafka.start()?)
            }
            Fault::StopKafka => {
                town.kafka.pause()?;
                sleep(self.stopped()).await;
                Ok(town.kafka.resume()?)
            }
            Fault::ForgetfulKafka => self.forgets(town).await,
            Fault::Cut(who) => {
                for _ in 0..self.random.u8(1..=5) {
                    town.way(who).cut();
                    sleep(self.up_to(SHORT_MAX / 4)).await;
                }
                Ok(())
            }
            Fault::Slow(who) => {
                let delay = self.up_to(DELAY_MAX);
                self.weather(town, who, Weather::Slow(delay)).await;
                Ok(())
            }
            Fault::Dark(who) => {
                self.weather(town, who, Weather::Dark).await;
                Ok(())
            }
        }
    }

    async fn weather(&mut self, town: &Town, who: Who, weather: Weather) {
        town.way(who).set(weather);
        sleep(self.up_to(SHORT_MAX)).await;
        town.way(who).set(Weather::Fair);
    }

    /// A copy of the log as it is at one moment; what is acknowledged after that is lost.
    async fn forgets(&mut self, town: &mut Town) -> anyhow::Result<()> {
        let copy = town.log_copy();
        town.kafka.pause()?;
        let copied = town.kafka.copy_log(&copy);
        town.kafka.resume()?;
        copied?;
        sleep(self.up_to(SHORT_MAX)).await;
        town.kafka.kill()?;
        town.kafka.put_back(&copy)?;
        sleep(self.up_to(SHORT_MAX / 2)).await;
        Ok(town.kafka.start()?)
    }
}

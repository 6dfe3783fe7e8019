//! Stores that live through random work and random crashes, several times over, beside a naive model.

use std::sync::Arc;

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{
    Append, AppendError, CommandRecord, Drive, Engine, Entropy, ExpectedVersion, OpenError, Options, Version,
};

use crate::support::{all_texts, event, now, stream};

const SEEDS: std::ops::Range<u64> = 0..120;
const LIVES: u64 = 6;
const STREAMS: u64 = 4;

/// Chance by seed (xorshift64*, Vigna 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

type Events = Vec<(String, String)>;

#[derive(Default)]
struct Model {
    events: Events,
    /// Whole appends of the group that was under way, in order.
    under_way: Vec<Events>,
    commands: Vec<(CommandRecord, u64)>,
    texts: u64,
}

impl Model {
    fn version(&self, name: &str, staged: &[Events]) -> Version {
        let events = self.events.iter().chain(staged.iter().flatten());
        Version::new(events.filter(|(stream, _)| stream == name).count() as u64)
    }

    /// What an opening found becomes what is known, if it may be.
    fn adopt(&mut self, found: Events, story: &str) {
        let mut allowed = vec![self.events.clone()];
        for batch in std::mem::take(&mut self.under_way) {
            let mut longer = allowed[allowed.len() - 1].clone();
            longer.extend(batch);
            allowed.push(longer);
        }
        assert!(allowed.contains(&found), "{story}: {} events found, {} known", found.len(), self.events.len());
        self.events = found;
    }

    /// Submits a group and steps; an append that must be refused is refused.
    fn group(&mut self, engine: &Engine, chance: &mut Chance, story: &str) -> Result<(), AppendError> {
        let (mut staged, mut tickets, mut commands) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=chance.below(4) {
            if chance.below(6) == 0 && !self.commands.is_empty() {
                let (record, last) = self.commands[chance.below(self.commands.len() as u64) as usize];
                let again = Append::new(1).stream(stream("x-1"), ExpectedVersion::NoStream, vec![event("again")]);
                tickets.push((engine.submit(again.command(record)), Some(last), true));
                continue;
            }
            let name = format!("s-{}", chance.below(STREAMS));
            let actual = self.version(&name, &staged);
            let fits = chance.below(5) > 0;
            let expected = ExpectedVersion::Exact(if fits { actual } else { actual.next() });
            let texts: Vec<String> = (0..=chance.below(3))
                .map(|_| {
                    self.texts += 1;
                    format!("{} ", self.texts).repeat(1 + chance.below(400) as usize)
                })
                .collect();
            let mut append = Append::new(1);
            append = append.stream(stream(&name), expected, texts.iter().map(|text| event(text)).collect());
            if fits {
                staged.push(texts.into_iter().map(|text| (name.clone(), text)).collect::<Events>());
                if chance.below(2) == 0 {
                    let record = CommandRecord { id: u128::from(self.texts).to_le_bytes(), fingerprint: [1; 16] };
                    let last = (self.events.len() + staged.iter().map(Vec::len).sum::<usize>()) as u64;
                    commands.push((record, last));
                    append = append.command(record);
                }
            }
            tickets.push((engine.submit(append), None, fits));
        }
        self.under_way = staged;
        engine.step();
        for (ticket, repeats, fits) in tickets {
            match now(ticket) {
                Ok(receipt) => {
                    assert!(fits, "{story}: accepted at a wrong version");
                    assert_eq!(receipt.repeated, repeats.is_some(), "{story}");
                    assert!(repeats.is_none_or(|last| last == receipt.last.get()), "{story}: another receipt");
                }
                Err(AppendError::Conflict { .. }) => assert!(!fits, "{story}: refused at the right version"),
                Err(error) => return Err(error),
            }
        }
        self.events.extend(std::mem::take(&mut self.under_way).into_iter().flatten());
        self.commands.extend(commands);
        Ok(())
    }
}

fn live(seed: u64) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let options = Options::default().drive(Drive::Manual).entropy(Entropy::Seeded(seed)).segment_bytes(8_192);
    let (mut disk, mut model, mut closed) = (SimDisk::new(), Model::default(), false);
    for life in 0..LIVES {
        let story = format!("seed {seed}, life {life}");
        if life + 1 < LIVES {
            let fault = match chance.below(6) {
                0 => SimFault::Error(std::io::ErrorKind::Other),
                _ => SimFault::PowerLoss,
            };
            disk.fail_at(1 + chance.below(60), fault);
        }
        match Engine::open_on(Arc::new(disk.clone()), options.clone()) {
            Ok(engine) => {
                assert!(!closed || engine.recovery().clean, "{story}: closed and not clean");
                model.adopt(all_texts(&engine), &story);
                engine.verify(&mut |_| {}).expect(&story);
                for (record, last) in &model.commands {
                    let known = engine.command(record.id).expect(&story).expect(&story);
                    assert_eq!(known.receipt.last.get(), *last, "{story}");
                }
                closed = false;
                let steps = chance.below(20);
                let broken = (0..steps).any(|_| model.group(&engine, &mut chance, &story).is_err());
                closed = !broken && chance.below(3) == 0 && engine.close().is_ok() || closed;
            }
            Err(OpenError::Io(_)) => closed = false,
            Err(error) => panic!("{story}: {error}"),
        }
        disk = match chance.below(3) {
            0 => disk.after_kill(),
            _ => disk.after_power_loss(chance.below(1_000)),
        };
    }
}

/// A torn tail was cut, the process killed before the zeros in its place were synced, the next one rolled on to another
/// segment, and the power failed: the tail was back, in a sealed segment, and was taken for damage.
#[test]
fn a_cut_tail_that_comes_back_in_a_sealed_segment_is_of_no_account() {
    live(5_582);
}

#[test]
fn every_life_begins_with_what_the_ones_before_it_acknowledged() {
    for seed in SEEDS {
        live(seed);
    }
}

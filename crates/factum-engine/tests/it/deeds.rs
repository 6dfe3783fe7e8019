//! What is done to a store in one life, at random, and what each answer must be.

use std::collections::HashSet;
use std::sync::Arc;

use factum_engine::sim::{SimDisk, SimFault};
use factum_engine::{
    AppendError, Direction, Drive, Durability, Engine, FollowError, Follower, FollowerOptions, Page, Position,
    ProgressError, ReadError, Receipt, Selection, SyncError, VerifyError, Version,
};

use crate::model::{Fact, Model};
use crate::support::{Chance, now, stream};
use crate::tally::Tally;

pub const STREAMS: [&str; 6] = ["a-1", "a-2", "b-1", "b-2", "c", "ü-1"];
const PROGRESS: [&str; 2] = ["relay", "projection"];

/// How often a read may fail in a row: each trouble of the disk is one of a kind.
const READS_TRIED_MAX: usize = 8;

type Answer = Result<Receipt, AppendError>;

/// The power failed: nothing more can be learnt before the next opening.
#[derive(Debug)]
pub struct Dark;

/// One opening of a store, until it is closed or crashes.
pub struct Life<'a> {
    pub engine: &'a Engine,
    pub disk: &'a SimDisk,
    pub model: &'a mut Model,
    pub chance: &'a mut Chance,
    pub tally: &'a mut Tally,
    pub story: &'a str,
    pub durability: Durability,
    /// The operation of the disk at which the power fails.
    pub dark_at: Option<u64>,
    /// An append was answered that a write failed: no other will be accepted.
    pub poisoned: bool,
    /// Reads the store as another process would.
    pub follower: Option<Follower>,
    /// The disk failed or was full: followers may not have been told of everything.
    pub troubled: bool,
    /// Progress records of which something is not known.
    pub unsure: HashSet<&'static str>,
}

impl Life<'_> {
    fn is_dark(&self) -> bool {
        self.dark_at.is_some_and(|operation| self.disk.operations() >= operation)
    }

    /// Reads fail only when the power did; or, once, when the disk was in trouble while a damaged index file was to be made
    /// anew.
    fn read<T>(&self, ask: impl Fn(&Engine) -> Result<T, ReadError>) -> Result<T, Dark> {
        for _ in 0..READS_TRIED_MAX {
            match ask(self.engine) {
                Ok(answer) => return Ok(answer),
                Err(ReadError::Unavailable(_)) if self.is_dark() => return Err(Dark),
                Err(ReadError::Unavailable(_)) if self.troubled => self.disk.set_space(None),
                Err(error) => panic!("{}: {error:?}", self.story),
            }
        }
        panic!("{}: reading fails again and again", self.story)
    }

    /// Does something.
    pub fn act(&mut self) -> Result<(), Dark> {
        self.trouble();
        match self.chance.below(13) {
            12 => self.follow(),
            0..=5 => self.append_group(),
            6 | 7 => self.read_some(),
            8 => self.read_a_stream(),
            9 => self.look_up(),
            10 => self.sync(),
            _ => self.record_progress(),
        }
    }

    /// Now and then the disk fails or is full, from one of the next operations on.
    fn trouble(&mut self) {
        let next = self.disk.operations() + 1 + self.chance.below(4);
        if Some(next) == self.dark_at {
            return;
        }
        let trouble = self.chance.below(100);
        self.troubled |= trouble < 5;
        match trouble {
            0 => self.disk.fail_at(next, SimFault::Error(std::io::ErrorKind::Other)),
            1 | 2 => self.disk.fail_at(next, SimFault::FullAfter(self.chance.below(1_200) as usize)),
            3 | 4 => self.disk.set_space(Some(self.chance.below(12_000))),
            5..=15 => self.disk.set_space(None),
            _ => {}
        }
    }

    fn append_group(&mut self) -> Result<(), Dark> {
        let many = if self.chance.once_in(3) { 1 + self.chance.below(4) } else { 1 };
        let mut verdicts = Vec::new();
        let mut appends = Vec::new();
        for _ in 0..many {
            let append = self.some_append();
            if !self.poisoned {
                verdicts.push(self.model.judge(&append));
            }
            appends.push(append);
        }
        let answers: Vec<_> = if many == 1 && self.chance.once_in(2) {
            appends.iter().map(|append| self.engine.append(append.clone())).collect()
        } else {
            let tickets: Vec<_> = appends.iter().map(|append| self.engine.submit(append.clone())).collect();
            self.engine.step();
            tickets.into_iter().map(now).collect()
        };
        self.tally.appends += many;
        answers.iter().for_each(|answer| self.tally.count(answer));
        let unasked = |answer: &Answer| matches!(answer, Err(AppendError::Unavailable(_)));
        if !answers.iter().any(unasked) || self.is_dark() {
            return self.judge_answers(&verdicts, &answers);
        }
        // What is needed to judge them could not be read: they never were in the group.
        assert!(self.troubled, "{}: {answers:?}", self.story);
        self.model.refuse();
        let (appends, answers): (Vec<_>, Vec<_>) =
            appends.into_iter().zip(answers).filter(|(_, answer)| !unasked(answer)).unzip();
        let verdicts: Vec<_> = appends.iter().map(|append| self.model.judge(append)).collect();
        if answers.is_empty() { Ok(()) } else { self.judge_answers(&verdicts, &answers) }
    }

    fn judge_answers(&mut self, verdicts: &[Answer], answers: &[Answer]) -> Result<(), Dark> {
        let story = self.story;
        let staged = self.model.staged_head() > self.model.head();
        let all = |is: fn(&AppendError) -> bool| answers.iter().all(|answer| answer.as_ref().is_err_and(is));
        let poisoned = |error: &AppendError| matches!(error, AppendError::Poisoned(_));
        if self.poisoned {
            assert!(all(poisoned), "{story}: answered after a failed write: {answers:?}");
        } else if all(poisoned) {
            assert!(staged, "{story}: nothing was to be written: {answers:?}");
            self.model.doubt();
            self.poisoned = true;
        } else if all(|error| matches!(error, AppendError::DiskFull)) {
            assert!(staged, "{story}: nothing was to be written: {answers:?}");
            self.model.refuse();
        } else if answers.iter().any(|answer| matches!(answer, Err(AppendError::Unavailable(_)))) {
            assert!(self.is_dark(), "{story}: {answers:?}");
            self.model.doubt();
            return Err(Dark);
        } else {
            for (answer, verdict) in answers.iter().zip(verdicts) {
                assert_eq!(format!("{answer:?}"), format!("{verdict:?}"), "{story}");
            }
            if staged {
                self.model.acknowledge();
            }
        }
        self.compare_heads();
        Ok(())
    }

    /// Reads everything or a selection from somewhere to the end, in pages.
    fn read_some(&mut self) -> Result<(), Dark> {
        let selection = if self.chance.once_in(3) { Selection::everything() } else { self.some_selection() };
        let head = self.model.head();
        let (after, direction) = match self.chance.below(5) {
            0 => (Position::ZERO, Direction::Forward),
            1 => (Position::MAX, Direction::Backward),
            2 => (Position::new(self.chance.below(head + 3)), Direction::Backward),
            _ => (Position::new(self.chance.below(head + 3)), Direction::Forward),
        };
        let limit = 1 + self.chance.below(9) as usize;
        self.read_and_compare(&selection, after, direction, limit)
    }

    /// Reads a selection to its end and holds it against the model.
    pub fn read_and_compare(
        &mut self,
        selection: &Selection,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<(), Dark> {
        let story = self.story;
        let (mut after, mut found) = (from, Vec::new());
        loop {
            self.tally.reads += 1;
            let page = self.read(|engine| engine.read(selection, after, direction, limit))?;
            self.compare(&page, limit, &mut found);
            if page.end {
                let expected = if direction == Direction::Forward { self.model.synced().max(from.get()) } else { 0 };
                assert_eq!(page.read_to.get(), expected, "{story}: read to the end, {direction:?} from {from}");
                break;
            }
            let moved = if direction == Direction::Forward { page.read_to > after } else { page.read_to < after };
            assert!(moved, "{story}: no page leads on from {after}");
            after = page.read_to;
        }
        assert_eq!(
            found,
            self.model.selected(selection, from, direction),
            "{story}: {direction:?} {from} {selection:?}"
        );
        Ok(())
    }

    /// Holds each event of a page against the model's at its position.
    fn compare(&self, page: &Page, limit: usize, found: &mut Vec<u64>) {
        assert!(page.events.len() <= limit, "{}: {} of {limit} events", self.story, page.events.len());
        for event in &page.events {
            let position = event.position().get();
            let known = self.model.facts().get(position as usize - 1);
            assert_eq!(Some(&Fact::of(event)), known, "{}: position {position}", self.story);
            found.push(position);
        }
    }

    fn read_a_stream(&mut self) -> Result<(), Dark> {
        let name = if self.chance.once_in(9) { "nobody" } else { *self.chance.choice(&STREAMS) };
        let (from, direction) = match self.chance.below(4) {
            0 => (Version::MAX, Direction::Backward),
            1 => (Version::new(self.chance.below(12)), Direction::Backward),
            2 => (Version::new(self.chance.below(12)), Direction::Forward),
            _ => (Version::ZERO, Direction::Forward),
        };
        let limit = 1 + self.chance.below(9) as usize;
        self.read_stream_and_compare(name, from, direction, limit)
    }

    pub fn read_stream_and_compare(
        &mut self,
        name: &str,
        from: Version,
        direction: Direction,
        limit: usize,
    ) -> Result<(), Dark> {
        let (mut next, mut found) = (from, Vec::new());
        loop {
            self.tally.reads += 1;
            let page = self.read(|engine| engine.read_stream(&stream(name), next, direction, limit))?;
            self.compare(&page, limit, &mut found);
            let last = page.events.last().map_or(0, |event| event.version().get());
            if page.end {
                break;
            }
            assert!(last > 0, "{}: an empty page of {name} that is not the last", self.story);
            next = Version::new(if direction == Direction::Forward { last + 1 } else { last - 1 });
        }
        assert_eq!(found, self.model.of_stream(name, from, direction), "{}: {name} {direction:?} {from}", self.story);
        Ok(())
    }

    /// The written head is where the model says; the synced one too in the strong mode, else it may be behind.
    pub fn compare_heads(&mut self) {
        let heads = self.engine.heads();
        assert_eq!(heads.written.get(), self.model.head(), "{}", self.story);
        self.model.sync_to(heads.synced.get(), self.story);
        if self.durability == Durability::Synced {
            assert_eq!(heads.synced, heads.written, "{}", self.story);
        }
    }

    fn sync(&mut self) -> Result<(), Dark> {
        self.tally.look_ups += 1;
        match self.engine.sync() {
            Ok(heads) => assert_eq!(heads.synced.get(), self.model.head(), "{}", self.story),
            Err(SyncError::Poisoned(_)) => self.poisoned = true,
            Err(error) => panic!("{}: {error:?}", self.story),
        }
        self.compare_heads();
        Ok(())
    }

    /// A follower sees what is synced, up to some group; all of it, unless the disk was in trouble.
    fn follow(&mut self) -> Result<(), Dark> {
        let story = self.story;
        self.tally.follows += 1;
        self.compare_heads();
        let options = FollowerOptions::default().drive(Drive::Manual);
        let news = match &self.follower {
            Some(follower) => follower.refresh().map(|_| follower.clone()),
            None => Follower::open_on(Arc::new(self.disk.clone()), options),
        };
        let follower = match news {
            Ok(follower) => follower,
            Err(FollowError::Unavailable(_)) if self.is_dark() => return Err(Dark),
            Err(FollowError::NoHead) if self.troubled => return Ok(()),
            Err(error) => panic!("{story}: {error:?}"),
        };
        let seen = follower.synced().get();
        let all = seen == self.model.synced();
        assert!(all || self.troubled && seen < self.model.synced(), "{story}: a follower sees up to {seen}");
        let (mut after, mut found) = (Position::ZERO, Vec::new());
        loop {
            match follower.read(&Selection::everything(), after, Direction::Forward, 20) {
                Ok(page) => {
                    self.compare(&page, 20, &mut found);
                    after = page.read_to;
                    if page.end {
                        break;
                    }
                }
                Err(FollowError::Unavailable(_)) if self.is_dark() => return Err(Dark),
                Err(error) => panic!("{story}: {error:?}"),
            }
        }
        assert_eq!(found, (1..=seen).collect::<Vec<_>>(), "{story}");
        self.follower = Some(follower);
        Ok(())
    }

    fn look_up(&mut self) -> Result<(), Dark> {
        self.tally.look_ups += 1;
        let name = *self.chance.choice(&STREAMS);
        let version = self.model.of_stream(name, Version::ZERO, Direction::Forward).len() as u64;
        let found = self.read(|engine| engine.stream_version(&stream(name)))?;
        assert_eq!(found.get(), version, "{}: {name}", self.story);
        self.compare_heads();
        if self.model.commands().is_empty() {
            return Ok(());
        }
        let index = self.chance.below(self.model.commands().len() as u64) as usize;
        self.compare_command(index)
    }

    /// Looks a command up that was accepted, or is in doubt.
    pub fn compare_command(&self, index: usize) -> Result<(), Dark> {
        let (record, receipt) = self.model.commands()[index].clone();
        let found = self.read(|engine| engine.command(record.id))?;
        let acknowledged = receipt.last.get() <= self.model.head();
        let expected = acknowledged.then(|| Receipt { repeated: true, ..receipt.clone() });
        assert_eq!(found.as_ref().map(|known| &known.receipt), expected.as_ref(), "{}", self.story);
        assert!(found.is_none_or(|known| known.fingerprint == record.fingerprint), "{}", self.story);
        Ok(())
    }

    fn record_progress(&mut self) -> Result<(), Dark> {
        let name = *self.chance.choice(&PROGRESS);
        if self.unsure.contains(name) {
            return Ok(());
        }
        self.tally.progress += 1;
        let record = self.model.progress.entry(name).or_default().clone();
        let (epoch, value) = (record.epoch, record.value.as_deref());
        let next = self.chance.below(1 << 40).to_le_bytes().repeat(1 + self.chance.below(200) as usize);
        match self.chance.below(6) {
            0 => {
                let claimed = self.engine.claim_progress(name).map(|claimed| (claimed.epoch, claimed.value));
                self.settle(name, claimed, (epoch + 1, record.value.clone()))
            }
            1 => {
                let fenced = self.engine.advance_progress(name, epoch + 1, value, &next);
                assert!(matches!(fenced, Err(ProgressError::Fenced { current, .. }) if current == epoch), "{fenced:?}");
                Ok(())
            }
            2 => {
                let moved = self.engine.advance_progress(name, epoch, Some(b"nobody"), &next);
                assert!(
                    matches!(&moved, Err(ProgressError::Moved { current }) if *current == record.value),
                    "{moved:?}"
                );
                Ok(())
            }
            _ => {
                let advanced = self.engine.advance_progress(name, epoch, value, &next);
                self.settle(name, advanced.map(|()| (epoch, Some(next.clone()))), (epoch, Some(next)))
            }
        }
    }

    fn settle(
        &mut self,
        name: &'static str,
        answer: Result<(u64, Option<Vec<u8>>), ProgressError>,
        wanted: (u64, Option<Vec<u8>>),
    ) -> Result<(), Dark> {
        let record = self.model.progress.entry(name).or_default();
        match answer {
            Ok(found) => {
                assert_eq!(found, wanted, "{}", self.story);
                (record.epoch, record.value) = wanted;
                Ok(())
            }
            Err(ProgressError::DiskFull) => Ok(()),
            Err(ProgressError::Unavailable(_)) => {
                record.perhaps.push(wanted);
                self.unsure.insert(name);
                if self.is_dark() { Err(Dark) } else { Ok(()) }
            }
            Err(error) => panic!("{}: {error:?}", self.story),
        }
    }

    /// Everything there is to ask, after an opening.
    pub fn compare_all(&mut self) -> Result<(), Dark> {
        let everything = Selection::everything();
        self.read_and_compare(&everything, Position::MAX, Direction::Backward, 100)?;
        for name in STREAMS {
            self.read_stream_and_compare(name, Version::ZERO, Direction::Forward, 100)?;
        }
        for index in 0..self.model.commands().len() {
            self.tally.look_ups += 1;
            self.compare_command(index)?;
        }
        for name in PROGRESS {
            self.tally.progress += 1;
            match self.engine.progress(name) {
                Ok(found) => self.model.progress.entry(name).or_default().shown(found.epoch, found.value, self.story),
                // Showing it writes it again first, which may fail.
                Err(ProgressError::DiskFull | ProgressError::Unavailable(_)) => {
                    self.unsure.insert(name);
                }
                Err(error) => panic!("{}: {error:?}", self.story),
            }
        }
        let report = self.read(|engine| {
            engine.verify(&mut |_| {}).map_err(|error| match error {
                VerifyError::Unavailable(error) => ReadError::Unavailable(error),
                error => panic!("{error:?}"),
            })
        })?;
        self.tally.segments = self.tally.segments.max(report.segments.into());
        assert_eq!(report.events, self.model.synced(), "{}", self.story);
        Ok(())
    }
}

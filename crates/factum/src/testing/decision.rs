//! The end of a story: what was decided, held against what was expected.

use std::fmt::Debug;

use super::{IntoEvents, Story, story_text};
use crate::{Aggregate, Rejection, model::InvalidField};

/// What came of a command.
pub(super) enum Ending<A: Aggregate> {
    Accepted(Vec<A::Event>),
    Rejected(A::Rejection),
    Invalid(InvalidField),
}

/// A decision that waits for what the story expects of it. Made by [`Story::when`].
///
/// Every `then…` panics when it was decided otherwise, and tells the story.
#[must_use = "a story without an end proves nothing"]
pub struct Decision<A: Aggregate> {
    pub(super) story: Story<A>,
    pub(super) when: String,
    pub(super) ending: Ending<A>,
}

impl<A: Aggregate> Decision<A>
where
    A::Event: PartialEq + Debug,
{
    /// Accepted, and exactly these events happened, in this order.
    #[track_caller]
    pub fn then(self, events: impl IntoEvents<A::Event>) -> Story<A> {
        let expected = events.into_events();
        match &self.ending {
            Ending::Accepted(got) if *got == expected => {}
            Ending::Accepted(got) => {
                let (expected, got) = story_text::compared(&expected, got);
                self.ended_otherwise(&expected, &got);
            }
            _ => self.ended_otherwise(&story_text::compared(&expected, &[]).0, &self.got()),
        }
        let Self { mut story, when, .. } = self;
        story = story.later(when);
        for event in &expected {
            story.happened(event);
        }
        story
    }

    /// Accepted, and there was nothing to do.
    #[track_caller]
    pub fn then_nothing(self) -> Story<A> {
        self.then(Vec::<A::Event>::new())
    }

    /// Rejected, with this rejection.
    #[track_caller]
    pub fn then_rejected(self, expected: A::Rejection) -> Story<A>
    where
        A::Rejection: PartialEq,
    {
        if !matches!(&self.ending, Ending::Rejected(rejection) if *rejection == expected) {
            self.ended_otherwise(&story_text::listed(&[story_text::rejection(&expected)]), &self.got());
        }
        self.story.later(self.when)
    }

    /// Rejected, with a rejection of this code.
    #[track_caller]
    pub fn then_rejected_with(self, code: &str) -> Story<A> {
        if !matches!(&self.ending, Ending::Rejected(rejection) if rejection.code() == code) {
            self.ended_otherwise(&story_text::listed(&[format!("rejected with {code}")]), &self.got());
        }
        self.story.later(self.when)
    }

    /// Not even decided on: the value of this field is not allowed.
    #[track_caller]
    pub fn then_invalid(self, field: &str) -> Story<A> {
        if !matches!(&self.ending, Ending::Invalid(invalid) if invalid.field == field) {
            self.ended_otherwise(&story_text::listed(&[format!("{field} is invalid")]), &self.got());
        }
        self.story.later(self.when)
    }

    fn got(&self) -> String {
        match &self.ending {
            Ending::Accepted(events) => story_text::compared(events, events).0,
            Ending::Rejected(rejection) => story_text::listed(&[story_text::rejection(rejection)]),
            Ending::Invalid(invalid) => {
                story_text::listed(&[format!("{} is invalid: {}", invalid.field, invalid.reason)])
            }
        }
    }

    #[track_caller]
    fn ended_otherwise(&self, expected: &str, got: &str) -> ! {
        let given = story_text::listed(&self.story.told);
        panic!("the story ends differently\ngiven\n{given}when\n  {}\nexpected\n{expected}got\n{got}", self.when)
    }
}

//! A transfer over time: what follows from what it hears, and what it asks for.

use std::time::Duration;

use factum::{ChannelSpec, CommandChannel as _, Context, Delivery, Effects, Events, Input, ProcessManager};

use crate::{
    domain::{
        CreditOverdue, CreditRefused, FundsHeld, HoldOverdue, Settlement, TargetCredited, Terms, Transfer,
        TransferCompleted, TransferEvent, TransferRejected, TransferRequested, TransferStalled,
    },
    messages::{
        ACCOUNT_TOPIC, AccountCommands, AccountMessage, CaptureHold, CreditAccount, HoldFunds, OUTCOME_TOPIC,
        ReleaseHold, stream_of,
    },
};

/// Setting the money aside, at the account that gives: a step, and the timer of its deadline.
pub const HOLD: &str = "hold";
/// Crediting it, at the account that takes.
pub const CREDIT: &str = "credit";
/// Taking out what was set aside.
pub const CAPTURE: &str = "capture";
/// Giving back what was set aside.
pub const RELEASE: &str = "release";

/// How long a step may take. A constant and no setting: what an event sets off is a function of the event.
pub const STEP_TIME_MAX: Duration = Duration::from_secs(30);

/// What is written down as the reason when an account says that there was nothing to do. Nothing came of the command, as
/// of one that is refused: no money is taken for moved that no account says it moved.
const NOTHING_TO_DO: &str = "nothing-to-do";

impl ProcessManager for Transfer {
    type Message = AccountMessage;
    const TOPICS: &'static [&'static str] = &[ACCOUNT_TOPIC, OUTCOME_TOPIC];
    const CHANNELS: &'static [ChannelSpec] = &[ChannelSpec::of::<AccountCommands>()];

    fn decide(&self, input: Input<'_, AccountMessage>, _: &Context) -> Events<TransferEvent> {
        match self {
            Self::Holding { terms, overdue } => holding(terms, *overdue, input),
            Self::Crediting { terms, overdue } => crediting(terms, *overdue, input),
            Self::Capturing => capturing(input),
            Self::Releasing { reason } => releasing(reason, input),
            // Nothing that is heard begins a transfer, and what has ended stays as it ended.
            Self::Unrequested | Self::Completed | Self::Rejected => Events::none(),
        }
    }

    fn effects(event: &TransferEvent, delivery: &Delivery) -> Effects {
        let transfer_id = delivery.aggregate_id().to_owned();
        let step = |name| Effects::none().due_after(name, delivery, STEP_TIME_MAX);
        match event {
            TransferEvent::TransferRequested(TransferRequested { terms }) => {
                let Terms { from: account_id, amount: amount_minor, currency, .. } = *terms;
                let hold = HoldFunds { account_id, transfer_id, amount_minor, currency };
                step(HOLD).send(AccountCommands::command(HOLD, stream_of(account_id), &hold))
            }
            TransferEvent::HoldOverdue(HoldOverdue { from }) => {
                Effects::none().send(AccountCommands::cancel(HOLD, stream_of(*from)))
            }
            TransferEvent::FundsHeld(FundsHeld { terms }) => {
                let Terms { to: account_id, amount: amount_minor, currency, .. } = *terms;
                let credit = CreditAccount { account_id, transfer_id, amount_minor, currency };
                step(CREDIT).clear(HOLD).send(AccountCommands::command(CREDIT, stream_of(account_id), &credit))
            }
            TransferEvent::CreditOverdue(CreditOverdue { to }) => {
                Effects::none().send(AccountCommands::cancel(CREDIT, stream_of(*to)))
            }
            TransferEvent::TargetCredited(TargetCredited { from }) => {
                let capture = CaptureHold { account_id: *from, transfer_id };
                step(CAPTURE).clear(CREDIT).send(AccountCommands::command(CAPTURE, stream_of(*from), &capture))
            }
            TransferEvent::CreditRefused(CreditRefused { from, .. }) => {
                let release = ReleaseHold { account_id: *from, transfer_id };
                step(RELEASE).clear(CREDIT).send(AccountCommands::command(RELEASE, stream_of(*from), &release))
            }
            TransferEvent::TransferStalled(_) => Effects::none(),
            TransferEvent::TransferCompleted(_) => Effects::none().clear(CAPTURE),
            // From holding or from releasing: a timer that is not set is not cleared either.
            TransferEvent::TransferRejected(_) => Effects::none().clear(HOLD).clear(RELEASE),
        }
    }
}

fn holding(terms: &Terms, overdue: bool, input: Input<'_, AccountMessage>) -> Events<TransferEvent> {
    match input {
        Input::Message { message: AccountMessage::Held(_), step: Some(HOLD) } => {
            Events::one(FundsHeld { terms: terms.clone() })
        }
        Input::Refused { step: HOLD, refusal } => Events::one(TransferRejected { reason: refusal.code.clone() }),
        Input::NothingToDo { step: HOLD } => Events::one(TransferRejected { reason: NOTHING_TO_DO.to_owned() }),
        Input::Due { timer: HOLD } if !overdue => Events::one(HoldOverdue { from: terms.from }),
        _ => Events::none(),
    }
}

fn crediting(terms: &Terms, overdue: bool, input: Input<'_, AccountMessage>) -> Events<TransferEvent> {
    match input {
        Input::Message { message: AccountMessage::Credited(_), step: Some(CREDIT) } => {
            Events::one(TargetCredited { from: terms.from })
        }
        Input::Refused { step: CREDIT, refusal } => {
            Events::one(CreditRefused { from: terms.from, reason: refusal.code.clone() })
        }
        Input::NothingToDo { step: CREDIT } => {
            Events::one(CreditRefused { from: terms.from, reason: NOTHING_TO_DO.to_owned() })
        }
        Input::Due { timer: CREDIT } if !overdue => Events::one(CreditOverdue { to: terms.to }),
        _ => Events::none(),
    }
}

fn capturing(input: Input<'_, AccountMessage>) -> Events<TransferEvent> {
    match input {
        Input::Message { message: AccountMessage::Captured(_), step: Some(CAPTURE) } => {
            Events::one(TransferCompleted {})
        }
        Input::Refused { step: CAPTURE, refusal } => stalled(Settlement::Capture, Some(&refusal.code)),
        Input::NothingToDo { step: CAPTURE } => stalled(Settlement::Capture, Some(NOTHING_TO_DO)),
        Input::Due { timer: CAPTURE } => stalled(Settlement::Capture, None),
        _ => Events::none(),
    }
}

fn releasing(reason: &str, input: Input<'_, AccountMessage>) -> Events<TransferEvent> {
    match input {
        Input::Message { message: AccountMessage::Released(_), step: Some(RELEASE) } => {
            Events::one(TransferRejected { reason: reason.to_owned() })
        }
        Input::Refused { step: RELEASE, refusal } => stalled(Settlement::Release, Some(&refusal.code)),
        Input::NothingToDo { step: RELEASE } => stalled(Settlement::Release, Some(NOTHING_TO_DO)),
        Input::Due { timer: RELEASE } => stalled(Settlement::Release, None),
        _ => Events::none(),
    }
}

fn stalled(step: Settlement, refused: Option<&str>) -> Events<TransferEvent> {
    Events::one(TransferStalled { step, refused: refused.map(str::to_owned) })
}

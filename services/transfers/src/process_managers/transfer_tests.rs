//! Every state against everything that can be heard, and what each event asks for.

use factum::{
    Aggregate as _, CommandChannel as _, Context, Effects, Event as _, Input, ProcessManager as _, StreamName, Version,
    model::{ActorId, ContextParts, Refusal, Sent, TimerChange, What},
    testing::{ACTOR, COMMAND_ID, NOW, assert_total, delivery, given},
};
use serde_json::json;

use super::{CAPTURE, CREDIT, HOLD, RELEASE, STEP_TIME_MAX};
use crate::{
    domain::{
        AccountId, CreditOverdue, CreditRefused, FundsHeld, HoldOverdue, Settlement, TargetCredited, Terms, Transfer,
        TransferCompleted, TransferEvent, TransferRejected, TransferRequested, TransferStalled,
    },
    messages::{self, AccountCommands, AccountMessage},
};

const ID: &str = "7a2b8d2f-0000-4000-8000-000000000001";
const ADA: &str = "6f1a7c1e-0000-4000-8000-000000000001";
const BOB: &str = "6f1a7c1e-0000-4000-8000-000000000002";

fn account(id: &str) -> AccountId {
    id.parse().expect("is a UUID")
}

fn terms() -> Terms {
    Terms { from: account(ADA), to: account(BOB), amount: 1_250, currency: "EUR".parse().expect("is a currency") }
}

fn requested() -> TransferEvent {
    TransferRequested { terms: terms() }.into()
}

fn hold_overdue() -> TransferEvent {
    HoldOverdue { from: account(ADA) }.into()
}

fn held() -> TransferEvent {
    FundsHeld { terms: terms() }.into()
}

fn credit_overdue() -> TransferEvent {
    CreditOverdue { to: account(BOB) }.into()
}

fn credited() -> TransferEvent {
    TargetCredited { from: account(ADA) }.into()
}

fn credit_refused(reason: &str) -> TransferEvent {
    CreditRefused { from: account(ADA), reason: reason.to_owned() }.into()
}

fn stalled(step: Settlement, refused: Option<&str>) -> TransferEvent {
    TransferStalled { step, refused: refused.map(str::to_owned) }.into()
}

fn completed() -> TransferEvent {
    TransferCompleted {}.into()
}

fn rejected(reason: &str) -> TransferEvent {
    TransferRejected { reason: reason.to_owned() }.into()
}

/// What a test lets a transfer hear.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    /// What an account published, because of this step.
    Of(AccountMessage, Option<&'static str>),
    /// A command was refused, with a code.
    No(&'static str, &'static str),
    /// A command changed nothing.
    Nothing(&'static str),
    /// A deadline passed.
    Late(&'static str),
}

fn message_held() -> AccountMessage {
    messages::FundsHeld { account_id: ADA.to_owned(), transfer_id: ID.to_owned() }.into()
}

fn message_credited() -> AccountMessage {
    messages::AccountCredited { account_id: BOB.to_owned(), transfer_id: ID.to_owned() }.into()
}

fn message_captured() -> AccountMessage {
    messages::HoldCaptured { account_id: ADA.to_owned(), transfer_id: ID.to_owned() }.into()
}

fn message_released() -> AccountMessage {
    messages::HoldReleased { account_id: ADA.to_owned(), transfer_id: ID.to_owned() }.into()
}

/// Everything that can be heard: each message under each step, and under none.
fn everything() -> Vec<Heard> {
    let mut all = Vec::new();
    for step in [HOLD, CREDIT, CAPTURE, RELEASE, "another"] {
        all.extend([Heard::No(step, "account-closed"), Heard::No(step, Refusal::CANCELLED)]);
        all.extend([Heard::Nothing(step), Heard::Late(step)]);
        for message in [message_held(), message_credited(), message_captured(), message_released()] {
            all.push(Heard::Of(message, Some(step)));
        }
    }
    all.extend(
        [message_held(), message_credited(), message_captured(), message_released()].map(|it| Heard::Of(it, None)),
    );
    all
}

/// What a transfer to which this has happened decides.
fn decide(happened: &[TransferEvent], heard: &Heard) -> Vec<TransferEvent> {
    let mut transfer = Transfer::default();
    happened.iter().for_each(|event| transfer.apply(event));
    let context = Context::new(ContextParts {
        now: NOW,
        command_id: COMMAND_ID,
        actor: ActorId::new(ACTOR).expect("is an actor"),
        stream: StreamName::new(format!("transfer-{ID}")).expect("is a stream"),
        version: Version::new(happened.len() as u64),
    });
    let refusal = |code: &str| Refusal { code: code.to_owned(), message: String::new() };
    let events = match heard {
        Heard::Of(message, step) => transfer.decide(Input::Message { message, step: *step }, &context),
        Heard::No(step, code) => transfer.decide(Input::Refused { step, refusal: &refusal(code) }, &context),
        Heard::Nothing(step) => transfer.decide(Input::NothingToDo { step }, &context),
        Heard::Late(timer) => transfer.decide(Input::Due { timer }, &context),
    };
    events.into_vec()
}

/// Holds one state against everything: what leads to an event is listed, all else to nothing.
#[track_caller]
fn hears_only(happened: &[TransferEvent], listed: &[(Heard, TransferEvent)]) {
    let mut found = 0;
    for heard in everything() {
        let expected: Vec<_> = listed.iter().filter(|(it, _)| *it == heard).map(|(_, event)| event.clone()).collect();
        assert_eq!(decide(happened, &heard), expected, "{heard:?} after {happened:?}");
        found += expected.len();
    }
    assert_eq!(found, listed.len(), "what is listed is among everything");
}

#[test]
fn money_that_can_be_held_and_credited_is_transferred() {
    let capture = messages::CaptureHold { account_id: account(ADA), transfer_id: ID.to_owned() };
    given::<Transfer>([requested()])
        .for_id(ID.parse().expect("is a UUID"))
        .hears(message_held(), HOLD)
        .then([held()])
        .hears(message_credited(), CREDIT)
        .then([credited()])
        .then_sends([AccountCommands::command(CAPTURE, messages::stream_of(account(ADA)), &capture)])
        .hears(message_captured(), CAPTURE)
        .then([completed()])
        .then_sends([])
        .then_state(|transfer| assert!(transfer.has_ended()));
}

#[test]
fn money_that_cannot_be_credited_goes_back() {
    given::<Transfer>((requested(), held()))
        .due(CREDIT)
        .then([credit_overdue()])
        .refused(CREDIT, Refusal::CANCELLED)
        .then([credit_refused("cancelled")])
        .hears(message_released(), RELEASE)
        .then([rejected("cancelled")])
        .hears(message_credited(), CREDIT)
        .then_nothing();
}

#[test]
fn every_state_has_an_answer_to_everything() {
    let credited = vec![requested(), held(), credited()];
    let refused = vec![requested(), held(), credit_refused("account-closed")];
    let messages = [message_held(), message_credited(), message_captured(), message_released()];
    assert_total::<Transfer>([vec![requested()], credited, refused], messages);
}

#[test]
fn a_hold_is_recorded_refused_cancelled_or_late() {
    let answers = [
        (Heard::Of(message_held(), Some(HOLD)), held()),
        (Heard::Nothing(HOLD), rejected("nothing-to-do")),
        (Heard::No(HOLD, "account-closed"), rejected("account-closed")),
        (Heard::No(HOLD, Refusal::CANCELLED), rejected("cancelled")),
    ];
    let late = (Heard::Late(HOLD), hold_overdue());
    hears_only(&[requested()], &[&answers[..], &[late]].concat());
    // Late once; which of hold and cancel came first is still what the account says.
    hears_only(&[requested(), hold_overdue()], &answers);
}

#[test]
fn a_credit_is_recorded_refused_cancelled_or_late() {
    let answers = [
        (Heard::Of(message_credited(), Some(CREDIT)), credited()),
        (Heard::Nothing(CREDIT), credit_refused("nothing-to-do")),
        (Heard::No(CREDIT, "account-closed"), credit_refused("account-closed")),
        (Heard::No(CREDIT, Refusal::CANCELLED), credit_refused("cancelled")),
    ];
    let late = (Heard::Late(CREDIT), credit_overdue());
    hears_only(&[requested(), held()], &[&answers[..], &[late]].concat());
    hears_only(&[requested(), hold_overdue(), held(), credit_overdue()], &answers);
}

#[test]
fn a_capture_is_waited_for_however_late() {
    let listed = [
        (Heard::Of(message_captured(), Some(CAPTURE)), completed()),
        (Heard::Nothing(CAPTURE), stalled(Settlement::Capture, Some("nothing-to-do"))),
        (Heard::No(CAPTURE, "account-closed"), stalled(Settlement::Capture, Some("account-closed"))),
        (Heard::No(CAPTURE, Refusal::CANCELLED), stalled(Settlement::Capture, Some("cancelled"))),
        (Heard::Late(CAPTURE), stalled(Settlement::Capture, None)),
    ];
    let happened = [requested(), held(), credited(), stalled(Settlement::Capture, None)];
    hears_only(&happened[..3], &listed);
    hears_only(&happened, &listed);
}

#[test]
fn a_release_is_waited_for_however_late() {
    let listed = [
        (Heard::Of(message_released(), Some(RELEASE)), rejected("currency-mismatch")),
        (Heard::Nothing(RELEASE), stalled(Settlement::Release, Some("nothing-to-do"))),
        (Heard::No(RELEASE, "account-closed"), stalled(Settlement::Release, Some("account-closed"))),
        (Heard::No(RELEASE, Refusal::CANCELLED), stalled(Settlement::Release, Some("cancelled"))),
        (Heard::Late(RELEASE), stalled(Settlement::Release, None)),
    ];
    let happened = [requested(), held(), credit_refused("currency-mismatch"), stalled(Settlement::Release, None)];
    hears_only(&happened[..3], &listed);
    hears_only(&happened, &listed);
}

#[test]
fn what_has_ended_stays_as_it_ended_and_nothing_heard_begins_a_transfer() {
    hears_only(&[], &[]);
    hears_only(&[requested(), held(), credited(), completed()], &[]);
    hears_only(&[requested(), rejected("insufficient-funds")], &[]);
    hears_only(&[requested(), held(), credit_refused("account-closed"), rejected("account-closed")], &[]);
}

#[test]
fn every_event_survives_its_wire_format() {
    let events = [
        requested(),
        hold_overdue(),
        held(),
        credit_overdue(),
        credited(),
        credit_refused("cancelled"),
        stalled(Settlement::Capture, None),
        stalled(Settlement::Release, Some("malformed")),
        completed(),
        rejected("account-not-found"),
    ];
    for event in events {
        let mut data = Vec::new();
        event.encode(&mut data);
        let raw = factum::RawEvent { name: event.name(), schema: 1, data: &data };
        let decoded = TransferEvent::decode(raw).expect("can be read back");
        assert!(matches!(decoded, factum::Decoded::Known(read) if read == event), "{event:?}");
    }
}

fn effects(event: &TransferEvent) -> Effects {
    Transfer::effects(event, &delivery(&format!("transfer-{ID}"), 1))
}

/// A command as it goes out.
fn sends(effects: &Effects, step: &str, target: &str, name: &str, document: &serde_json::Value) {
    let [sent] = &effects.sent[..] else { panic!("sends one command: {effects:?}") };
    let Sent { topic, step: under, target: to, what } = sent;
    assert_eq!((*topic, *under, to.as_str()), (AccountCommands::TOPIC, step, &*format!("account-{target}")));
    let What::Command { name: sent, data } = what else { panic!("a command: {what:?}") };
    assert_eq!(*sent, name);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(data).expect("is JSON"), *document);
}

fn set(timer: &'static str) -> TimerChange {
    TimerChange::Set { timer, due: NOW.plus(STEP_TIME_MAX) }
}

#[test]
fn each_step_asks_for_the_next_and_sets_its_deadline() {
    let hold = effects(&requested());
    let document = json!({ "account_id": ADA, "transfer_id": ID, "amount_minor": 1_250, "currency": "EUR" });
    sends(&hold, HOLD, ADA, "bank.accounts.hold-funds.v1", &document);
    assert_eq!(hold.timers, [set(HOLD)]);

    let credit = effects(&held());
    let document = json!({ "account_id": BOB, "transfer_id": ID, "amount_minor": 1_250, "currency": "EUR" });
    sends(&credit, CREDIT, BOB, "bank.accounts.credit-account.v1", &document);
    assert_eq!(credit.timers, [set(CREDIT), TimerChange::Clear { timer: HOLD }]);

    let (capture, release) = (effects(&credited()), effects(&credit_refused("account-closed")));
    let document = json!({ "account_id": ADA, "transfer_id": ID });
    sends(&capture, CAPTURE, ADA, "bank.accounts.capture-hold.v1", &document);
    assert_eq!(capture.timers, [set(CAPTURE), TimerChange::Clear { timer: CREDIT }]);
    sends(&release, RELEASE, ADA, "bank.accounts.release-hold.v1", &document);
    assert_eq!(release.timers, [set(RELEASE), TimerChange::Clear { timer: CREDIT }]);
}

#[test]
fn hold_and_credit_are_cancelled_when_late_and_capture_and_release_never() {
    for (event, step, target) in [(hold_overdue(), HOLD, ADA), (credit_overdue(), CREDIT, BOB)] {
        let cancel = AccountCommands::cancel(step, messages::stream_of(account(target)));
        assert_eq!(effects(&event), Effects::none().send(cancel));
    }
    for step in [Settlement::Capture, Settlement::Release] {
        assert_eq!(effects(&stalled(step, None)), Effects::none());
    }
}

#[test]
fn an_end_leaves_no_timer_behind() {
    assert_eq!(effects(&completed()), Effects::none().clear(CAPTURE));
    assert_eq!(effects(&rejected("account-closed")), Effects::none().clear(HOLD).clear(RELEASE));
}

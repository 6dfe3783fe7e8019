use serde_json::json;

use super::*;
use crate::audit::fold::Ledger;
use crate::client::Log;

const ID: &str = "018f3c1e-0000-7000-8000-0000000000f1";
const ANN: &str = "018f3c1e-0000-7000-8000-000000000001";
const BEN: &str = "018f3c1e-0000-7000-8000-000000000002";

fn id(text: &str) -> Uuid {
    Uuid::parse_str(text).unwrap()
}

/// The events of one transfer of 25.00 EUR from Ann to Ben.
fn history(names: &[&str]) -> (Ledger, Vec<String>) {
    let mut ledger = Ledger::default();
    let mut broken = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let event = json!({
            "position": index + 1, "stream": format!("transfer-{ID}"), "version": index + 1,
            "type": format!("transfer.{name}"),
            "data": { "from": ANN, "to": BEN, "amount": 2_500, "currency": "EUR", "reason": "account-closed" },
            "metadata": { "command_id": format!("command-{index}") }
        });
        broken.extend(ledger.apply(Log::Transfers, &serde_json::from_value(event).unwrap()));
    }
    (ledger, broken)
}

fn fold(names: &[&str]) -> TransferFold {
    let (ledger, broken) = history(names);
    assert!(broken.is_empty(), "{broken:?}");
    ledger.transfers()[&id(ID)].clone()
}

#[track_caller]
fn breaks(names: &[&str], rule: &str) {
    let (_, broken) = history(names);
    assert!(broken.len() == 1 && broken[0].contains(rule), "expected {rule:?}, got {broken:?}");
}

const COMPLETED: [&str; 4] = ["requested", "funds-held", "target-credited", "completed"];
const RELEASED: [&str; 4] = ["requested", "funds-held", "credit-refused", "rejected"];

fn leg(account: &str, amount: i128) -> Leg {
    Leg { account: id(account), amount, currency: "EUR".to_owned() }
}

fn legs(moved: &[(Movement, Leg)]) -> Legs {
    let (mut legs, mut broken) = (Legs::default(), Vec::new());
    moved.iter().for_each(|(movement, leg)| legs.note(*movement, leg.clone(), &mut broken));
    assert!(broken.is_empty(), "{broken:?}");
    legs
}

#[test]
fn a_transfer_goes_through_its_states() {
    assert_eq!(fold(&COMPLETED).state, State::Completed);
    assert_eq!(fold(&RELEASED).state, State::Rejected("account-closed".to_owned()));
    assert_eq!(fold(&["requested", "hold-overdue", "rejected"]).state, State::Rejected("account-closed".to_owned()));
    let late = ["requested", "hold-overdue", "funds-held", "credit-overdue", "target-credited", "stalled", "completed"];
    assert_eq!(fold(&late).state, State::Completed);
}

#[test]
fn no_state_is_left_out_or_entered_twice() {
    breaks(&["funds-held"], "comes before its transfer was requested");
    breaks(&["requested", "requested"], "there already");
    breaks(&["requested", "target-credited"], "comes to a transfer that waits for the hold");
    breaks(&["requested", "funds-held", "completed"], "comes to a transfer that waits for the credit");
    breaks(
        &["requested", "funds-held", "target-credited", "rejected"],
        "comes to a transfer that waits for the capture",
    );
    breaks(&["requested", "funds-held", "target-credited", "completed", "stalled"], "a transfer that completed");
    breaks(&["requested", "frozen"], "comes to a transfer that waits for the hold");
}

#[test]
fn what_completed_moved_once_and_the_same_amount() {
    let (held, credited, captured) = (
        (Movement::Held, leg(ANN, 2_500)),
        (Movement::Credited, leg(BEN, 2_500)),
        (Movement::Captured, leg(ANN, 2_500)),
    );
    let fold = fold(&COMPLETED);
    let differs = |moved: &[(Movement, Leg)]| fold.differs_from(&legs(moved)).unwrap_or_default();
    assert_eq!(differs(&[held.clone(), credited.clone(), captured.clone()]), "");
    assert!(differs(&[held.clone(), captured.clone()]).contains("nothing is credited"));
    assert!(differs(&[held.clone(), credited.clone()]).contains("nothing is captured"));
    let more = (Movement::Credited, leg(BEN, 2_501));
    assert!(differs(&[held.clone(), more, captured.clone()]).contains("2501 EUR"));
    let elsewhere = (Movement::Credited, leg(ANN, 2_500));
    assert!(differs(&[held.clone(), elsewhere, captured.clone()]).contains("is credited"));
    let released = (Movement::Released, leg(ANN, 2_500));
    assert!(differs(&[held, credited, captured, released]).contains("is released, where it must be nothing"));
}

#[test]
fn what_was_rejected_moved_nothing() {
    let (held, released) = ((Movement::Held, leg(ANN, 2_500)), (Movement::Released, leg(ANN, 2_500)));
    let given_back = fold(&RELEASED);
    assert_eq!(given_back.differs_from(&legs(&[held.clone(), released.clone()])), None);
    assert!(given_back.differs_from(&legs(std::slice::from_ref(&held))).unwrap().contains("nothing is released"));
    let credited = (Movement::Credited, leg(BEN, 2_500));
    assert!(given_back.differs_from(&legs(&[held.clone(), released, credited])).unwrap().contains("is credited"));
    let refused = fold(&["requested", "rejected"]);
    assert_eq!(refused.differs_from(&Legs::default()), None);
    assert!(refused.differs_from(&legs(&[held])).unwrap().contains("is held, where it must be nothing"));
}

#[test]
fn a_transfer_under_way_is_not_judged() {
    assert_eq!(fold(&["requested", "funds-held"]).differs_from(&Legs::default()), None);
}

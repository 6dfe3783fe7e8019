//! Somebody outside is told of each large withdrawal.

use factum::{
    Delivery, Outside, Reactions, Reactor,
    model::{EffectId, Timestamp},
    reactor::EffectError,
};
use serde::Serialize;

use super::webhook::{Caller, Webhook};
use crate::domain::{AccountEvent, FundsWithdrawn, decimal};

/// Tells of withdrawals above the limit of a [`Webhook`], one after the other for each account, at least once.
pub struct LargeWithdrawals {
    webhook: Webhook,
    caller: Caller,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LargeWithdrawal {
    /// From which account.
    pub account_id: String,
    /// How much, as a decimal.
    pub amount: String,
    /// In which currency: an ISO 4217 code.
    pub currency: &'static str,
    /// When it was recorded.
    pub at: Timestamp,
}

/// The whole document.
#[derive(Serialize)]
struct Document<'a> {
    effect_id: EffectId,
    #[serde(flatten)]
    withdrawal: &'a LargeWithdrawal,
}

impl LargeWithdrawals {
    /// Tells those who listen there.
    pub fn new(webhook: Webhook) -> Self {
        Self { caller: Caller::new(webhook.url().clone()), webhook }
    }
}

impl Reactor for LargeWithdrawals {
    const NAME: &'static str = "large-withdrawals";
    type Event = AccountEvent;
    type Effect = LargeWithdrawal;

    fn react(&self, event: &AccountEvent, delivery: &Delivery) -> Reactions<LargeWithdrawal> {
        match event {
            AccountEvent::FundsWithdrawn(FundsWithdrawn { amount, currency, .. })
                if self.webhook.is_large(*amount, *currency) =>
            {
                Reactions::one(LargeWithdrawal {
                    account_id: delivery.aggregate_id().to_owned(),
                    amount: decimal(*amount, *currency),
                    currency: currency.code(),
                    at: delivery.recorded_at,
                })
            }
            _ => Reactions::none(),
        }
    }

    async fn perform(&self, withdrawal: &LargeWithdrawal, outside: &Outside) -> Result<(), EffectError> {
        let document = serde_json::to_vec(&Document { effect_id: outside.id(), withdrawal });
        let document = document.map_err(|error| EffectError::Never(error.to_string()))?;
        self.caller.post(document, outside).await
    }
}

#[cfg(test)]
mod tests {
    use factum::testing;

    use super::*;
    use crate::domain::AccountClosed;

    fn reacts(limit: u64, amount: u64, currency: &str) -> Option<LargeWithdrawal> {
        let reactor = LargeWithdrawals::new(Webhook::new("http://localhost/told", limit).expect("is a URL"));
        let currency = currency.parse().expect("is a currency");
        let event = AccountEvent::FundsWithdrawn(FundsWithdrawn { amount, currency, balance: 0, held: 0 });
        let reactions = reactor.react(&event, &testing::delivery("account-7f3", 4));
        assert!(reactions.as_slice().len() <= 1);
        reactions.as_slice().first().cloned()
    }

    #[test]
    fn only_what_is_above_the_limit_is_told_in_whole_units_of_each_currency() {
        assert_eq!(reacts(100, 10_000, "EUR"), None);
        assert_eq!(reacts(100, 100, "JPY"), None);
        let told = reacts(100, 10_001, "EUR").expect("is above it");
        let expected = LargeWithdrawal {
            account_id: "7f3".to_owned(),
            amount: "100.01".to_owned(),
            currency: "EUR",
            at: testing::NOW,
        };
        assert_eq!(told, expected);
        assert_eq!(reacts(100, 101, "JPY").expect("is above it").amount, "101");
        assert_eq!(reacts(u64::MAX, u64::MAX, "EUR"), None, "a limit that no amount reaches");
    }

    #[test]
    fn nothing_else_is_told() {
        let reactor = LargeWithdrawals::new(Webhook::new("http://localhost/", 0).expect("is a URL"));
        let closed = AccountEvent::AccountClosed(AccountClosed {});
        assert_eq!(reactor.react(&closed, &testing::delivery("account-1", 1)), Reactions::none());
    }
}

//! The order service fails, and is killed, between any two of its steps: each order ends once, as its outcome says.

use factum::Service;
use uuid::Uuid;

use super::{
    CheckedOut, PAY_TIME_MAX, PaymentTaken,
    shop::{PaymentRefused, Shop},
};
use crate::{
    faults::{Fault, Faults, faulty, killed_anywhere},
    world::{World, within, world},
};

const PAID: Uuid = Uuid::from_u128(1);
const REFUSED: Uuid = Uuid::from_u128(2);
const FORGOTTEN: Uuid = Uuid::from_u128(3);

/// The order service on a store and a bus that fail, started anew as often as it is killed.
struct Mortal {
    shop: Shop,
    faults: Faults,
    service: Option<Service>,
}

impl Mortal {
    fn new(shop: &Shop, faults: Faults) -> Self {
        let world = World { store: shop.store.clone(), bus: shop.bus.clone(), ..world().0 };
        let World { store, bus, .. } = faulty(&world, &faults);
        Self { shop: Shop { store, bus, ..shop.clone() }, faults, service: None }
    }

    /// Runs until a condition is met on what is recorded.
    async fn until(&mut self, shop: &Shop, stories: &[(Uuid, &[&str])]) {
        let met = async {
            loop {
                if self.faults.take_death() || self.service.is_none() {
                    drop(self.service.take());
                    self.service = Some(self.shop.orders().await);
                }
                let mut met = true;
                for (order, story) in stories {
                    met &= shop.story(*order).await == *story;
                }
                if met {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        within(met).await;
    }
}

/// One story: orders come, are paid, refused or forgotten, with a fault somewhere. Says where it was, if the story was
/// long enough.
async fn story(at: u64, fault: Fault) -> Option<&'static str> {
    let shop = Shop::new();
    let _others = shop.others().await;
    let mut mortal = Mortal::new(&shop, Faults::new(at, fault));
    for order in [PAID, REFUSED, FORGOTTEN] {
        shop.happens(order, CheckedOut { order, amount: 5 }).await;
    }
    mortal.until(&shop, &[(PAID, &["placed"]), (REFUSED, &["placed"]), (FORGOTTEN, &["placed"])]).await;
    shop.happens(PAID, PaymentTaken { amount: 5 }).await;
    let paid: (Uuid, &[&str]) = (PAID, &["placed", "paid"]);
    mortal.until(&shop, &[paid]).await;
    shop.clock.advance(PAY_TIME_MAX * 2);
    let overdue: [(Uuid, &[&str]); 3] =
        [paid, (REFUSED, &["placed", "payment-overdue"]), (FORGOTTEN, &["placed", "payment-overdue"])];
    mortal.until(&shop, &overdue).await;
    shop.happens(REFUSED, PaymentRefused { code: "cancelled".to_owned() }).await;
    let ended: [(Uuid, &[&str]); 3] =
        [paid, (REFUSED, &["placed", "payment-overdue", "cancelled"]), (FORGOTTEN, &["placed", "payment-overdue"])];
    mortal.until(&shop, &ended).await;
    assert_eq!(shop.fired().await, 2, "call {at}, {fault:?} at {:?}", mortal.faults.site());
    mortal.faults.release();
    mortal.faults.site()
}

#[tokio::test]
async fn process_manager_killed_anywhere() {
    let sites = [
        ("store.append", 6),
        ("store.claim_progress", 1),
        ("store.advance_progress", 1),
        ("store.read_stream", 1),
        ("consumer.next", 1),
    ];
    killed_anywhere(&sites, story).await;
}

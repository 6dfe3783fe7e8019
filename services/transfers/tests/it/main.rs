//! What others see of the service.

mod consumed_from_accounts;
mod contract;
mod contracts;
mod schemas;
mod sent_to_accounts;

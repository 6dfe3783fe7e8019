//! What others see of the service.

mod contract;
mod schemas;

//! What librdkafka says went wrong, and what that means for its caller.

use std::{fmt, sync::Arc};

use factum::bus::BusError;
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

/// A failure of the client, with what can be done about it where that is known.
#[derive(Debug)]
pub(crate) struct Failure {
    what: &'static str,
    source: KafkaError,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)?;
        match self.source.rdkafka_error_code().and_then(advice) {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// It did not happen within its limit of time.
#[derive(Debug, thiserror::Error)]
#[error("{what}: no answer within {seconds} s")]
pub(crate) struct TimedOut {
    pub(crate) what: &'static str,
    pub(crate) seconds: u64,
}

pub(crate) fn timed_out(what: &'static str, limit: std::time::Duration) -> BusError {
    BusError::Unavailable(Box::new(TimedOut { what, seconds: limit.as_secs() }))
}

pub(crate) fn unavailable(what: &'static str, source: KafkaError) -> BusError {
    BusError::Unavailable(Box::new(Failure { what, source }))
}

/// What became of something done with a topic.
pub(crate) fn of_topic(what: &'static str, topic: &Arc<str>, source: KafkaError) -> BusError {
    match source.rdkafka_error_code() {
        Some(code) if is_unknown_topic(code) => BusError::UnknownTopic(topic.clone()),
        _ => unavailable(what, source),
    }
}

pub(crate) const fn is_unknown_topic(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopicId
    )
}

/// Whether a consumer must be given up: whatever else is wrong, the client goes on trying by itself.
pub(crate) const fn ends_consumer(code: RDKafkaErrorCode) -> bool {
    advice(code).is_some() || matches!(code, RDKafkaErrorCode::Fatal)
}

/// What a person can do about it.
const fn advice(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            Some("the broker refuses the credentials: check `sasl.mechanism`, `sasl.username` and `sasl.password`")
        }
        RDKafkaErrorCode::SSL => Some("no TLS connection: check `ssl.ca.location` and `security.protocol`"),
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            Some("the broker lets this user not use the topic: grant Read, Write, Describe and DescribeConfigs on it")
        }
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            Some("the broker lets this user not use the group: grant Read on it")
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Some("the broker lets this user not do that: grant Create on the cluster, or make the topics by hand")
        }
        _ => None,
    }
}

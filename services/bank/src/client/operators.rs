//! What operators ask the services and decide, and what they are answered. Unknown fields are tolerated.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{
    Method,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{Ask, BankClient, ClientError, Problem, Service};

/// The most keys of a projection, or messages of a key, an answer about what is quarantined has.
const PARKED_PAGE_MAX: u32 = 1_000;

impl BankClient {
    /// The keys that are quarantined in any of the services.
    ///
    /// # Errors
    /// As [`BankClient::query`].
    pub async fn parked(&self) -> Result<Vec<ParkedKey>, ClientError> {
        let mut keys = Vec::new();
        for surface in self.surfaces.all() {
            let path = format!("/admin/quarantine?limit={PARKED_PAGE_MAX}");
            keys.extend(self.get(surface, path, Vec::new()).await?.json::<Quarantine>()?.keys);
        }
        Ok(keys)
    }

    /// A quarantined key with its messages: as many as one answer has, those after one where that is named.
    ///
    /// # Errors
    /// As [`BankClient::query`].
    pub async fn parked_messages(
        &self,
        handler: &str,
        key: &str,
        after: Option<&str>,
    ) -> Result<Vec<ParkedMessages>, ClientError> {
        Ok(self.parked_at(handler, key, after, PARKED_PAGE_MAX).await?.1)
    }

    /// The same, and the service whose handler it is: the one that knows it.
    async fn parked_at(
        &self,
        handler: &str,
        key: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(SocketAddr, Vec<ParkedMessages>), ClientError> {
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        parameters.append_pair("handler", handler).append_pair("key", key);
        parameters.extend_pairs(after.map(|after| ("after", after)));
        let limit = limit.to_string();
        let path = format!("/admin/quarantine/messages?{}", parameters.append_pair("limit", &limit).finish());
        self.whose(async |surface| {
            let answer = self.get(surface, path.clone(), Vec::new()).await?;
            Ok((surface, answer.json::<Parked>()?.parked))
        })
        .await
    }

    /// The answer of the service that has the handler asked about; each of the others says which ones it has.
    async fn whose<T>(&self, ask: impl AsyncFn(SocketAddr) -> Result<T, ClientError>) -> Result<T, ClientError> {
        let mut unknown: Option<Problem> = None;
        for surface in self.surfaces.all() {
            match ask(surface).await {
                Err(ClientError::Problem(problem)) if problem.field.as_deref() == Some("handler") => match &mut unknown
                {
                    // Each says which handlers it has.
                    Some(unknown) => unknown.detail = format!("{}; {}", unknown.detail, problem.detail),
                    None => unknown = Some(problem),
                },
                answered => return answered,
            }
        }
        Err(ClientError::Problem(unknown.expect("there are surfaces")))
    }

    /// Has a quarantined key tried again (`retry`), or its first message dropped (`discard`).
    ///
    /// # Errors
    /// As [`BankClient::query`]; it is sent once.
    pub async fn decide_about_parked(
        &self,
        decision: &str,
        (handler, key): (&str, &str),
        body: &Value,
    ) -> Result<Handled, ClientError> {
        let (to, _) = self.parked_at(handler, key, None, 1).await?;
        self.decide(to, format!("/admin/quarantine/{decision}"), body).await
    }

    /// Has keys of a handler tried again, those after one where that is named: as many as one answer tells.
    ///
    /// # Errors
    /// As [`BankClient::query`]; it is sent once.
    pub async fn retry_keys(&self, body: &Value) -> Result<RetriedKeys, ClientError> {
        self.whose(async |surface| self.decide(surface, "/admin/quarantine/retry-all".to_owned(), body).await).await
    }

    /// What came to accounts as a command, is none, and waits to be acknowledged.
    ///
    /// # Errors
    /// As [`BankClient::query`].
    pub async fn dead_letters(&self) -> Result<DeadLetters, ClientError> {
        self.get(self.surfaces.accounts, "/admin/dead-letters".to_owned(), Vec::new()).await?.json()
    }

    /// Acknowledges a dead letter, and those before it on its partition.
    ///
    /// # Errors
    /// As [`BankClient::query`]; it is sent once.
    pub async fn acknowledge_dead_letters(&self, body: &Value) -> Result<Acknowledged, ClientError> {
        self.decide(self.surfaces.accounts, "/admin/dead-letters/acknowledge".to_owned(), body).await
    }

    /// Sends what an operator decided, once.
    async fn decide<T: DeserializeOwned>(
        &self,
        to: SocketAddr,
        path_and_query: String,
        body: &Value,
    ) -> Result<T, ClientError> {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let body = Bytes::from(body.to_string());
        let ask = Ask { to, method: Method::POST, path_and_query, headers, body, repeatable: false };
        self.ask(&ask).await?.json()
    }

    /// Who of a service stands at a fork.
    ///
    /// # Errors
    /// As [`BankClient::query`].
    pub async fn forks(&self, service: Service) -> Result<Vec<Fork>, ClientError> {
        let answer = self.get(self.surfaces.of(service), "/admin/forks".to_owned(), Vec::new()).await?;
        Ok(answer.json::<Forks>()?.forks)
    }

    /// Lets who of a service stands at a fork go on. Asked again, it changes nothing.
    ///
    /// # Errors
    /// As [`BankClient::query`].
    pub async fn accept_forks(&self, service: Service, body: &Value) -> Result<Vec<AcceptedFork>, ClientError> {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let (to, path_and_query) = (self.surfaces.of(service), "/admin/forks/accept".to_owned());
        let body = Bytes::from(body.to_string());
        let ask = Ask { to, method: Method::POST, path_and_query, headers, body, repeatable: true };
        Ok(self.ask(&ask).await?.json::<AcceptedForks>()?.accepted)
    }
}

/// The answer to `/admin/forks`.
#[derive(Debug, Deserialize)]
struct Forks {
    forks: Vec<Fork>,
}

/// The answer to `/admin/forks/accept`.
#[derive(Debug, Deserialize)]
struct AcceptedForks {
    accepted: Vec<AcceptedFork>,
}

/// A fork from which a consumer goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedFork {
    /// Where it stood.
    pub fork: Fork,
    /// It goes on already.
    pub goes_on: bool,
}

/// A consumer that stands at a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The consumer.
    pub consumer: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The store that was restored.
    pub source: String,
    /// The history that was left.
    pub left: String,
    /// The history that it goes on with.
    pub history: String,
    /// The last position that the two share.
    pub fork: u64,
    /// The last position that was heard of the one that was left.
    pub watermark: u64,
    /// What was heard beyond the fork.
    pub heard: HeardBeyond,
}

/// What was heard beyond a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardBeyond {
    /// How many messages.
    pub count: u64,
    /// Whether there are no more.
    pub all: bool,
    /// The processes whose commands they answered.
    pub processes: Vec<String>,
    /// The first of the messages.
    pub messages: Vec<HeardMessage>,
}

/// A message beyond a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardMessage {
    /// Its position in the history that was left.
    pub position: u64,
    /// The id of its event, which is gone.
    pub event_id: String,
    /// Its name.
    pub name: String,
    /// The stream of its event.
    pub stream: String,
    /// The process whose command it answered.
    pub process: Option<String>,
}

/// The answer to `/admin/quarantine`.
#[derive(Debug, Deserialize)]
struct Quarantine {
    keys: Vec<ParkedKey>,
}

/// The answer to `/admin/quarantine/messages`.
#[derive(Debug, Deserialize)]
struct Parked {
    parked: Vec<ParkedMessages>,
}

/// A key that is quarantined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedKey {
    /// What has it parked: a projection, `process/…` or `reactor/…`.
    pub handler: String,
    /// Its version, where it has one.
    pub version: Option<u32>,
    /// The key.
    pub key: String,
    /// Why its first message failed.
    pub reason: String,
    /// When it was parked.
    pub since: String,
    /// How often its first message was tried.
    pub attempts: u32,
    /// How many messages are parked.
    pub messages: u64,
    /// The id of the event of its first message.
    pub event_id: String,
    /// The name of its first message.
    pub name: String,
    /// Everything else, kept so that it can be shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A key with its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedMessages {
    /// The key.
    pub about: ParkedKey,
    /// Its messages, in order.
    pub messages: Vec<ParkedMessage>,
    /// After which message to ask for the rest; none: this is all.
    pub next: Option<String>,
}

/// A message that is quarantined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedMessage {
    /// The id of its event.
    pub event_id: String,
    /// Its name.
    pub name: String,
    /// Its stream.
    pub stream: String,
    /// Its number in that stream.
    pub version: u64,
    /// Its position in its store.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: String,
    /// Its document as text.
    pub data: Option<String>,
    /// Its document, where it is no text.
    pub data_base64: Option<String>,
    /// Everything else, kept so that it can be shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The answer to `/admin/quarantine/retry-all`.
#[derive(Debug, Deserialize)]
pub struct RetriedKeys {
    /// Each key that was tried, in order.
    pub keys: Vec<RetriedKey>,
    /// After which key to ask for the rest; none: these were the last ones.
    pub next: Option<String>,
}

/// What became of a quarantined key's messages, when all keys were tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetriedKey {
    /// The key.
    pub key: String,
    /// What became of its messages.
    #[serde(flatten)]
    pub handled: Handled,
}

/// What became of a quarantined key's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handled {
    /// How many are parked no longer.
    pub done: u64,
    /// How many still are.
    pub left: u64,
    /// Why the first of those failed again.
    pub failed: Option<String>,
}

/// What came to accounts as a command and is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// How many nobody has acknowledged.
    pub open: u64,
    /// The first of them.
    pub letters: Vec<DeadLetter>,
}

/// A record that is no command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The id of the event that keeps it.
    pub event_id: String,
    /// When it came.
    pub received_at: String,
    /// Where it came.
    pub topic: String,
    /// Where on that topic.
    pub partition: u32,
    /// Where on that partition.
    pub offset: u64,
    /// Why it is no command.
    pub reason: String,
    /// The beginning of it, where it is text.
    pub text: Option<String>,
    /// Its size in bytes.
    pub value_bytes: u64,
    /// Everything else, kept so that it can be shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// What became of letters that were acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// How many wait no longer.
    pub done: u64,
    /// How many still wait.
    pub left: u64,
}

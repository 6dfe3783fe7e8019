use std::net::Ipv4Addr;
use std::sync::Mutex;

use serde_json::json;

use super::fake::{Answered, FakeServer};
use super::*;

/// Answers with each of `answers` in turn, and with the last for ever.
async fn server(answers: Vec<Answered>) -> FakeServer {
    let left = Mutex::new(answers);
    FakeServer::start(move |_| {
        let mut left = left.lock().unwrap();
        if left.len() > 1 { left.remove(0) } else { left[0].clone() }
    })
    .await
}

fn client(server: &FakeServer) -> BankClient {
    BankClient::at(Surfaces::all_at(server.address))
}

fn receipt() -> Answered {
    Answered::json(&json!({
        "id": "a", "stream": "account-a", "version": 2, "position": 17, "token": "t17", "new_field": 1
    }))
}

fn deposit<'a>(body: &'a Value, idempotency_key: Option<&'a str>) -> CommandRequest<'a> {
    CommandRequest { to: Log::Accounts, name: "deposit-funds", body, idempotency_key, if_match: None }
}

#[tokio::test]
async fn a_command_goes_out_with_its_key_and_version_and_comes_back_as_a_receipt() {
    let server = server(vec![receipt()]).await;
    let body = json!({ "account_id": "a", "amount": "1.00", "currency": "EUR" });
    let request = CommandRequest { if_match: Some(1), ..deposit(&body, Some("key-1")) };

    let answer = client(&server).command(request).await.unwrap();

    assert_eq!(answer, Receipt { version: 2, token: "t17".to_owned() });
    let asked = &server.asked()[0];
    assert_eq!(asked.path_and_query, "/commands/deposit-funds");
    assert_eq!(asked.headers["idempotency-key"], "key-1");
    assert_eq!(asked.headers["if-match"], "\"1\"");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(asked.body, body.to_string());
}

#[tokio::test]
async fn a_refusal_is_a_problem_with_its_code_and_is_not_repeated() {
    let server = server(vec![Answered::problem(422, "insufficient-funds")]).await;

    let refused = client(&server).command(deposit(&json!({}), Some("key-1"))).await.unwrap_err();

    assert_eq!(refused.code(), Some("insufficient-funds"));
    assert_eq!(refused.to_string(), "422 insufficient-funds (a detail)");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_command_with_a_key_is_repeated_under_it_while_the_answer_is_not_now() {
    let answers = vec![
        Answered::problem(503, "unavailable").with("retry-after", "0"),
        Answered::problem(409, "contended"),
        Answered::problem(429, "too-many-requests"),
        receipt(),
    ];
    let server = server(answers).await;

    client(&server).command(deposit(&json!({}), Some("key-1"))).await.unwrap();

    let keys: Vec<_> = server.asked().iter().map(|asked| asked.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys, ["key-1"; 4]);
}

#[tokio::test]
async fn a_command_without_a_key_is_sent_once() {
    let server = server(vec![Answered::problem(503, "unavailable"), receipt()]).await;

    let refused = client(&server).command(deposit(&json!({}), None)).await.unwrap_err();

    assert_eq!(refused.code(), Some("unavailable"));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn repeating_ends_with_the_last_answer() {
    let server = server(vec![Answered::problem(503, "unavailable").with("retry-after", "0")]).await;

    let refused = client(&server).command(deposit(&json!({}), Some("key-1"))).await.unwrap_err();

    assert_eq!(refused.code(), Some("unavailable"));
    assert_eq!(server.asked().len(), ATTEMPTS_MAX as usize);
}

#[tokio::test]
async fn nobody_listening_is_said_in_a_line() {
    // A socket that is bound and does not listen: its port is nobody else's, and refuses.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let at = bound.local_addr().unwrap();
    let client = BankClient::at(Surfaces::all_at(at));

    let lost = client.command(deposit(&json!({}), None)).await.unwrap_err();

    assert!(matches!(lost, ClientError::Unreachable { .. }));
    assert_eq!(lost.to_string(), format!("no answer from {at}: Connection refused (os error 111)"));
}

#[tokio::test]
async fn a_query_carries_its_token_and_is_repeated_until_it_is_visible() {
    let summary = json!({
        "account_id": "a", "holder": "Ann", "status": "open", "balance": "1.00", "available": "1.00",
        "currency": "EUR", "version": 2, "updated_at": "2026-11-23T10:00:00Z"
    });
    let server = server(vec![Answered::problem(503, "not-yet"), Answered::json(&summary)]).await;

    let path = "/queries/account-summary?account_id=a".to_owned();
    let shown: Summary = client(&server).query(path, Some("t17")).await.unwrap();

    assert_eq!(shown.balance, "1.00");
    assert_eq!(server.asked().len(), 2);
    assert!(server.asked().iter().all(|asked| asked.headers["factum-at-least"] == "t17"));
}

#[tokio::test]
async fn a_foreign_body_is_shortened_and_a_wrong_answer_is_named() {
    let server = server(vec![Answered::raw(500, &"x".repeat(10_000)), Answered::raw(200, "<html>")]).await;
    let client = client(&server);

    let ClientError::Problem(problem) = client.events(Log::Accounts, 0, 10).await.unwrap_err() else {
        panic!("a problem")
    };
    assert_eq!((problem.status, problem.code.as_str(), problem.detail.len()), (500, "", 200));
    assert!(matches!(client.events(Log::Accounts, 0, 10).await.unwrap_err(), ClientError::Malformed(_)));
}

#[tokio::test]
async fn a_key_that_is_no_header_is_refused_before_it_is_sent() {
    let server = server(vec![receipt()]).await;
    let refused = client(&server).command(deposit(&json!({}), Some("a\nb"))).await.unwrap_err();
    assert!(matches!(refused, ClientError::Unsendable(_)));
    assert!(server.asked().is_empty());
}

/// The last service asked told of its own handlers only, and what was wrong at another one was taken for that.
#[tokio::test]
async fn who_asks_for_an_unknown_handler_hears_of_all_and_of_anything_else_at_once() {
    let unknown = |known: &str| {
        let detail = format!("no handler `x` parks here: {known}");
        Answered::raw(400, &json!({ "code": "invalid", "detail": detail, "field": "handler" }).to_string())
    };
    let server = server(vec![unknown("reactor/a does"), unknown("process/b does"), unknown("c does")]).await;
    let told = client(&server).parked_messages("x", "y", None).await.unwrap_err().to_string();
    assert!(["reactor/a", "process/b", "c does"].iter().all(|known| told.contains(known)), "{told}");
    let invalid =
        Answered::raw(400, &json!({ "code": "invalid", "detail": "no such message", "field": "after" }).to_string());
    let server = self::server(vec![invalid, unknown("c does")]).await;
    let told = client(&server).parked_messages("x", "y", Some("z")).await.unwrap_err().to_string();
    assert!(told.contains("no such message"), "{told}");
}

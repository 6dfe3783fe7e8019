//! `/admin/read-models`.

use crate::toy::{Toy, from, get, near, post, send, with};

/// A page of any site could discard, roll back and rebuild what a service on the reader's own machine answers from: a
/// browser sends a POST without a body anywhere, and only keeps the answer from the page.
#[tokio::test]
async fn operations_are_for_callers_on_the_same_machine_and_not_for_pages_from_elsewhere() {
    let app = Toy::new().read_app();
    for operation in ["rebuild", "replace", "verify", "roll-back", "discard"] {
        let path = format!("/admin/read-models/{operation}");
        let refused = (403, "loopback-only".to_owned());
        assert_eq!(send(&app, from("192.0.2.7:5000", post(&path, ""))).await.refusal(), refused, "{operation}");
        let page = with(post(&path, ""), &[("origin", "https://attacker.example")]);
        assert_eq!(send(&app, near(page)).await.refusal(), refused, "{operation}");
    }
    assert_eq!(send(&app, from("192.0.2.7:5000", get("/admin/read-models"))).await.refusal().0, 403);
    assert_eq!(send(&app, near(get("/admin/read-models"))).await.status, 200);
}

#[tokio::test]
async fn what_names_no_operation_and_no_read_model_is_refused_as_a_problem() {
    let app = Toy::new().read_app();
    for (path, status, code) in [
        ("/admin/read-models/begin", 404, "not-found"),
        ("/admin/read-models/%FF", 404, "not-found"),
        ("/admin/read-models/rebuild?projection=none", 400, "invalid"),
        ("/admin/read-models/rebuild?projection=a&projection=b", 400, "invalid"),
        ("/admin/read-models/rebuild?all=yes", 400, "unknown-field"),
    ] {
        assert_eq!(send(&app, near(post(path, ""))).await.refusal(), (status, code.to_owned()), "{path}");
    }
    let unknown = send(&app, near(get("/admin/read-models?all=yes"))).await;
    assert_eq!(unknown.refusal(), (400, "unknown-field".to_owned()));
}

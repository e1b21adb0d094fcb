//! What requests that change something make invalid.

use super::*;

/// `/a` is in a group, and so is whatever else is asked for; changes say what their fields say.
fn grouped(status: StatusCode) -> Site {
    site(move |request, number| {
        if *request.method() == Method::GET {
            return answer(&[("cache-control", "max-age=60"), ("cache-groups", "\"g\"")], number);
        }
        let mut answer = answer(&[("cache-group-invalidation", "\"g\"")], number);
        *answer.status_mut() = status;
        answer
    })
}

#[tokio::test]
async fn groups_become_invalid_even_if_the_change_failed_half_way() {
    for status in [StatusCode::OK, StatusCode::CONFLICT, StatusCode::INTERNAL_SERVER_ERROR] {
        let site = grouped(status);
        site.get("/a").await;
        site.ask(Method::POST, "/b", &[]).await;
        assert!(!site.get("/a").await.is_hit(), "{status}");
        // It is no word of an answer to a safe request.
        for method in ["QUERY", "SEARCH", "OPTIONS"] {
            site.ask(method.parse().unwrap(), "/b", &[]).await;
            assert!(site.get("/a").await.is_hit(), "{status} {method}");
        }
    }
}

#[tokio::test]
async fn a_change_that_offers_another_protocol_is_one() {
    let site = grouped(StatusCode::OK);
    let offer = [("connection", "upgrade, http2-settings"), ("upgrade", "h2c")];
    site.get("/c").await;
    site.get("/a").await;
    let got = site.ask(Method::PUT, "/a", &offer).await;
    assert!(got.status_of_cache().contains("fwd=method"), "{got:?}");
    assert!(site.seen.lock().unwrap().last().unwrap().headers().contains_key("upgrade"));
    assert!(!site.get("/a").await.is_hit());
    assert!(!site.get("/c").await.is_hit());
}

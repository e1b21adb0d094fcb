//! Parts that are stored, and what is asked for with them.

use http::header;

use super::*;

/// The first half of ten bytes for whoever asks for a range, else all of it.
fn half(fields: &[(&str, &str)]) -> Answer {
    let mut answer = answer(fields, 0);
    *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    let place = "bytes 0-4/10".parse().unwrap();
    answer.headers_mut().insert(header::CONTENT_RANGE, place);
    *answer.body_mut() = Full::from("01234");
    answer
}

#[tokio::test]
async fn a_part_that_is_still_so_is_renewed() {
    let fields = [("cache-control", "max-age=10"), ("etag", "\"a\"")];
    let site = site(move |request, _| {
        if request.headers().contains_key(header::IF_NONE_MATCH) {
            let mut same = answer(&fields, 0).map(|_| Full::default());
            *same.status_mut() = StatusCode::NOT_MODIFIED;
            return same;
        }
        half(&fields)
    });
    let range = [("range", "bytes=0-4")];
    site.ask(Method::GET, "/a", &range).await;
    for times in 2..4 {
        site.later(11);
        let renewed = site.ask(Method::GET, "/a", &range).await;
        let hit = site.ask(Method::GET, "/a", &range).await;
        assert!(
            renewed.status_of_cache().contains("fwd-status=304; ttl=10; stored"),
            "{renewed:?}"
        );
        assert!(hit.is_hit(), "{hit:?}");
        for got in [renewed, hit] {
            assert_eq!((got.status, got.body.as_str()), (StatusCode::PARTIAL_CONTENT, "01234"));
            assert_eq!(got.field("content-range"), Some("bytes 0-4/10"));
        }
        assert_eq!(site.asked(), times);
    }
}

#[tokio::test]
async fn who_wants_all_of_it_is_not_told_that_the_rest_is_gone() {
    // It has become shorter, and has nothing to be known again by.
    let site = site(|request, number| {
        let control = [("cache-control", "max-age=10")];
        match request.headers().get(header::RANGE).map(|it| it.to_str().unwrap()) {
            Some("bytes=0-4") => half(&control),
            Some(_) => {
                let mut gone = answer(&[("content-range", "bytes */3")], number);
                *gone.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                gone
            }
            None => answer(&control, number).map(|_| Full::from("012")),
        }
    });
    site.ask(Method::GET, "/a", &[("range", "bytes=0-4")]).await;
    let got = site.get("/a").await;
    assert_eq!((got.status, got.body.as_str()), (StatusCode::OK, "012"));
    let seen: Vec<_> =
        site.seen.lock().unwrap().iter().map(|it| it.headers().get("range").cloned()).collect();
    assert_eq!(seen, [Some("bytes=0-4".parse().unwrap()), Some("bytes=5-".parse().unwrap()), None]);
}

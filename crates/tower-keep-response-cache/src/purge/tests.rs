use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_keep_core::{
    Principal, RequestBody, ResponseBody, UserId,
    time::{Clock, UnixMillis},
};

use super::*;
use crate::{CacheControlOverride, ResponseCacheLayer, ResponseCacheOutcome as Outcome};

type Site =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<ResponseBody<Full<Bytes>>>, Infallible>;

/// A layer before a service that answers each request with another body, and what is stored.
struct Stage {
    site: Site,
    responses: CachedResponses,
}

/// Asks for `GET` of a target, as a user of `acme` unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    tenant: &'static str,
    user: Option<&'static str>,
    url: &'static str,
    language: &'static str,
}

const fn get(url: &'static str) -> Ask {
    Ask { tenant: "acme", user: None, url, language: "" }
}

fn answer(path: &str, number: usize) -> Response<Full<Bytes>> {
    let control = match path {
        "/swr" => "max-age=60, stale-while-revalidate=60",
        "/private" => "private, max-age=60",
        _ => "public, max-age=60",
    };
    let (kind, id) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let mut response = Response::builder()
        .header("cache-control", control)
        .header("vary", "accept-language")
        .header("etag", "\"1\"")
        .header("surrogate-key", format!("{kind}s one-{id}"))
        .header("cache-groups", format!("\"group-{kind}\""))
        .body(Full::from(format!("{number}")))
        .unwrap();
    let told = CacheControlOverride::new().tag(format!("told-{id}"));
    response.extensions_mut().insert(told);
    response
}

fn stage(per_user: bool) -> Stage {
    let mut builder = ResponseCacheLayer::builder()
        .memory()
        .clock(Clock::manual(UnixMillis(1_767_225_600_000)))
        .purge_prefixes(["/item/", "/it"])
        .tag_fields([HeaderName::from_static("surrogate-key")])
        .expose_outcome(true);
    if per_user {
        builder = builder.per_user();
    }
    let layer = builder.build().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |request: Request<RequestBody<Full<Bytes>>>| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let mut response = answer(request.uri().path(), number);
        if request.headers().contains_key("if-none-match") {
            *response.status_mut() = http::StatusCode::NOT_MODIFIED;
            *response.body_mut() = Full::default();
        }
        async { Ok::<_, Infallible>(response) }
    });
    let responses = layer.responses();
    Stage { site: BoxCloneSyncService::new(layer.layer(service)), responses }
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

impl Stage {
    async fn ask(&self, ask: Ask) -> (Outcome, String) {
        let mut principal = Principal::new(tenant(ask.tenant));
        if let Some(user) = ask.user {
            principal = principal.with_user(UserId::new(user).unwrap());
        }
        let uri: Uri = ask.url.parse().unwrap();
        // HTTP/1 names the host in a field and no scheme at all; `https` stands for HTTP/2.
        let is_first = uri.scheme_str() == Some("http");
        let target = if is_first { uri.path_and_query().unwrap().as_str() } else { ask.url };
        let mut request = Request::get(target).header("accept-language", ask.language);
        if is_first {
            request = request.header("host", uri.authority().unwrap().as_str());
        }
        let request = request.extension(principal).body(Full::default()).unwrap();
        let answer = self.site.clone().oneshot(request).await.unwrap();
        let outcome = *answer.extensions().get().unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (outcome, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn fill(&self, asks: &[Ask]) {
        for ask in asks {
            self.ask(*ask).await;
            assert_eq!(self.ask(*ask).await.0, Outcome::Hit, "{ask:?}");
        }
    }

    /// Which of these are not served as they are.
    async fn gone(&self, asks: &[Ask]) -> BTreeSet<Ask> {
        let mut gone = BTreeSet::new();
        for ask in asks {
            if self.ask(*ask).await.0 != Outcome::Hit {
                gone.insert(*ask);
            }
        }
        gone
    }
}

const ALL: &[Ask] = &[
    get("http://a.example/item/1"),
    Ask { language: "de", ..get("http://a.example/item/1") },
    get("https://a.example/item/1"),
    get("http://a.example/item/1?page=2"),
    get("http://b.example/item/1"),
    get("http://a.example/item/2"),
    get("http://a.example/items"),
    get("http://a.example/other/1"),
    Ask { tenant: "globex", ..get("http://a.example/item/1") },
    Ask { tenant: "globex", ..get("http://a.example/other/1") },
];

fn all_of_acme(is: impl Fn(&str) -> bool) -> BTreeSet<Ask> {
    ALL.iter().copied().filter(|ask| ask.tenant == "acme" && is(ask.url)).collect()
}

#[tokio::test]
async fn each_selection_purges_what_it_says_and_nothing_else() {
    let has = |piece: &'static str| move |url: &str| url.contains(piece);
    let item = |url: &str| url.starts_with("http") && url.ends_with("a.example/item/1");
    let new = Selection::new;
    let table: Vec<(Selection, BTreeSet<Ask>)> = vec![
        (new().url("http://a.example/item/1"), all_of_acme(item)),
        (new().url("https://A.example:443/item/1#part"), all_of_acme(item)),
        (new().url("http://a.example/item/1?page=2"), all_of_acme(has("?page=2"))),
        (new().url("http://a.example/item"), BTreeSet::new()),
        (new().url("http://a.example:8080/item/1"), BTreeSet::new()),
        (new().path("/item/1"), all_of_acme(has("/item/1"))),
        (new().path("/item"), BTreeSet::new()),
        (new().prefix("/item/"), all_of_acme(has("/item/"))),
        (new().prefix("/it"), all_of_acme(has("/it"))),
        (new().tag("items"), all_of_acme(has("/item/"))),
        (
            new().tag("one-1"),
            all_of_acme(has("r/1")).into_iter().chain(all_of_acme(has("m/1"))).collect(),
        ),
        (new().tag("group-other"), all_of_acme(has("/other"))),
        // A group is one host's; its name as a tag is everybody's.
        (
            new().group("https://A.example:443/", "group-item"),
            all_of_acme(|url| url.contains("a.example/item/")),
        ),
        (new().group("http://b.example", "group-item"), all_of_acme(has("b.example"))),
        (new().group("http://a.example:8080", "group-item"), BTreeSet::new()),
        (new().group("http://a.example", "items"), BTreeSet::new()),
        (new().tag("told-2"), all_of_acme(has("/item/2"))),
        (new().tag("item"), BTreeSet::new()),
        (new().tag("/item/1"), BTreeSet::new()),
        (new().tags(["told-2", "group-other"]).path("/items"), {
            all_of_acme(|url| {
                url.contains("/item/2") || url.contains("other") || url.ends_with("items")
            })
        }),
        (Selection::everything(), all_of_acme(|_| true)),
    ];
    for (selection, expected) in table {
        let stage = stage(false);
        stage.fill(ALL).await;
        stage.responses.purge(&tenant("acme"), &selection).await.unwrap();
        assert_eq!(stage.gone(ALL).await, expected, "{selection:?}");
        assert_eq!(stage.gone(ALL).await, BTreeSet::new(), "what is fetched anew stays");
    }
}

#[tokio::test]
async fn what_users_have_for_themselves_goes_with_its_target() {
    let user = |user, url| Ask { user: Some(user), ..get(url) };
    let (target, other) = ("http://a.example/private", "http://a.example/other/1");
    let all = [user("1", target), user("2", target), user("1", other)];
    for selection in [
        Selection::new().url(target),
        Selection::new().path("/private"),
        Selection::new().tag("group-/private"),
    ] {
        let stage = stage(true);
        stage.fill(&all).await;
        stage.responses.purge(&tenant("acme"), &selection).await.unwrap();
        assert_eq!(stage.gone(&all).await, all[..2].iter().copied().collect(), "{selection:?}");
        stage.responses.purge(&tenant("acme"), &Selection::everything()).await.unwrap();
        assert_eq!(stage.gone(&all).await.len(), 3);
    }
}

#[tokio::test]
async fn what_is_softly_purged_is_asked_for_before_it_is_used_or_meanwhile() {
    let (plain, swr) = (get("http://a.example/item/1"), get("http://a.example/swr"));
    for selection in
        [Selection::everything().soft(), Selection::new().paths(["/item/1", "/swr"]).soft()]
    {
        let stage = stage(false);
        stage.fill(&[plain, swr]).await;
        let before = [stage.ask(plain).await.1, stage.ask(swr).await.1];
        stage.responses.purge(&tenant("acme"), &selection).await.unwrap();
        assert_eq!(stage.ask(plain).await, (Outcome::Revalidated, before[0].clone()));
        assert_eq!(stage.ask(plain).await, (Outcome::Hit, before[0].clone()));
        assert_eq!(stage.ask(swr).await, (Outcome::Stale, before[1].clone()));
        // It is asked for by a task of its own.
        while stage.ask(swr).await.0 != Outcome::Hit {
            tokio::task::yield_now().await;
        }
        stage.responses.purge(&tenant("acme"), &Selection::everything()).await.unwrap();
        let after = stage.ask(plain).await;
        assert!(after.0 == Outcome::Miss && after.1 != before[0], "hard after soft: {after:?}");
    }
}

#[tokio::test]
async fn a_hard_purge_of_part_of_it_holds_for_what_is_stale_already() {
    let stage = stage(false);
    let swr = get("http://a.example/swr");
    stage.fill(&[swr]).await;
    let acme = tenant("acme");
    stage.responses.purge(&acme, &Selection::new().path("/swr")).await.unwrap();
    stage.responses.purge(&acme, &Selection::everything().soft()).await.unwrap();
    assert_eq!(stage.ask(swr).await.0, Outcome::Miss);
}

#[tokio::test]
async fn a_selection_that_cannot_be_purges_nothing() {
    let stage = stage(false);
    stage.fill(ALL).await;
    let long = "x".repeat(9000);
    let new = Selection::new;
    for (selection, reason) in [
        (new(), "nothing is selected"),
        (new().soft(), "nothing is selected"),
        (new().tags((0..=250).map(|i| i.to_string())), "more than 250 things"),
        (new().path("item"), "`item` is no path"),
        (new().path("/item?x"), "is no path"),
        (new().path(""), "is no path"),
        (new().prefix("/item"), "no prefix that the layer was told of"),
        (new().prefix("/"), "no prefix"),
        (new().group("a.example", "g"), "no origin"),
        (new().group("http://a.example/item", "g"), "no origin"),
        (new().group("http://a.example?", "g"), "no origin"),
        (new().group("http://user@a.example", "g"), "no origin"),
        (new().group("ftp://a.example", "g"), "no origin"),
        (new().url("/item/1"), "no http or https URL"),
        (new().url("a.example/item/1"), "no http or https URL"),
        (new().url("ftp://a.example/"), "no http or https URL"),
        (new().url("http://user@a.example/"), "no http or https URL"),
        (new().url("http://"), "no http or https URL"),
        (new().url("http://a.example/ä b"), "no http or https URL"),
        (new().path(&long), "…` is no path"),
    ] {
        // Beside what would be purged.
        let beside = if selection.names() > 0 { selection.tag("items") } else { selection };
        let error = stage.responses.purge(&tenant("acme"), &beside).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason) && text.len() < 200, "{beside:?}: {text}");
    }
    assert_eq!(stage.gone(ALL).await, BTreeSet::new());
    let most = new().tags((0..250).map(|i| i.to_string()));
    assert!(stage.responses.purge(&tenant("acme"), &most).await.is_ok());
    let too_long = new().url(format!("http://a.example/{long}"));
    assert!(stage.responses.purge(&tenant("acme"), &too_long).await.is_ok(), "never stored");
    assert_eq!(stage.gone(ALL).await, BTreeSet::new());
}

#[tokio::test]
async fn requests_without_a_principal_have_a_tenant_of_their_own() {
    let stage = stage(false);
    let ask = async || {
        let request = Request::get("/item/1").header("host", "a").body(Full::default()).unwrap();
        let answer = stage.site.clone().oneshot(request).await.unwrap();
        let outcome: Outcome = *answer.extensions().get().unwrap();
        answer.into_body().collect().await.unwrap();
        outcome
    };
    assert_eq!([ask().await, ask().await], [Outcome::Miss, Outcome::Hit]);
    stage.responses.purge(&tenant("~none"), &Selection::everything()).await.unwrap();
    assert_eq!(ask().await, Outcome::Hit, "a tenant that is called so is another");
    stage.responses.purge(&TenantId::NONE, &Selection::everything()).await.unwrap();
    assert_eq!(ask().await, Outcome::Miss);
}

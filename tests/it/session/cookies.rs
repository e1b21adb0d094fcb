//! How the token comes and goes.

use http::header;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::Principal;
use tower_keep_session::{Carrier, CookieOptions, SameSite, Session, SessionLayer, SessionOutcome};

use super::{SECRET, Stage, browser::Browser};

async fn set_n(session: Session) {
    session.set("n", &1).unwrap();
}

/// Whom a principal claims, knows, verifies and knows then, and whether it is personal.
type Found = (
    Option<tower_keep::UserId>,
    Option<tower_keep::UserId>,
    Option<tower_keep::UserId>,
    Option<tower_keep::UserId>,
    bool,
);

async fn get_n(session: Session) -> Option<u8> {
    session.get("n").await.unwrap()
}

#[tokio::test]
async fn the_first_write_sets_one_cookie_as_it_should_be() {
    let stage = Stage::new();
    let visit = Browser::default().visit(&stage.layer(), set_n).await;
    let [cookie] = visit.cookies()[..] else { panic!("{:?}", visit.cookies()) };
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with("__Host-session=") && pair.len() > 100);
    let mut attributes: Vec<_> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Max-Age=86400", "Path=/", "SameSite=Lax", "Secure"]);
    assert_eq!(visit.header("cache-control"), Some("no-store"));
    let vary = visit.header("vary").unwrap();
    assert!(vary.contains("Cookie") && vary.contains("Authorization"), "{vary}");
}

#[tokio::test]
async fn a_browsers_session_has_no_max_age_and_remembering_gives_it_one() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.builder().browser_session(true).build().unwrap();
    let visit = browser.visit(&layer, set_n).await;
    assert!(!visit.cookies()[0].contains("Max-Age"), "{:?}", visit.cookies());
    let remember = async |session: Session| {
        session.login(&tower_keep::UserId::new("u").unwrap()).unwrap();
        session.remember(true).unwrap();
    };
    let visit = browser.visit(&layer, remember).await;
    assert!(visit.cookies()[0].contains("Max-Age=2592000"), "{:?}", visit.cookies());
}

#[tokio::test]
async fn what_is_no_token_of_ours_is_no_session_and_asks_nothing() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    browser.visit(&layer, set_n).await;
    let good = browser.cookie.clone().unwrap();
    let value = good.split_once('=').unwrap().1;
    let mut bad = vec![
        "__Host-session=".to_owned(),
        "__Host-session=AAAA".to_owned(),
        format!("__Host-session={}", "A".repeat(10_000)),
        format!("__Host-other={value}"),
        format!("__host-session={value}"),
        format!("__Host-session={}", &value[..value.len() - 1]),
        format!("__Host-session={value}A"),
        good.replace(value, &value.to_ascii_lowercase()),
    ];
    let mut flipped = value.as_bytes().to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    bad.push(format!("__Host-session={}", String::from_utf8(flipped).unwrap()));
    for cookie in bad {
        let mut forger = Browser { cookie: Some(cookie.clone()), ..Browser::of("acme") };
        let visit = forger.visit(&layer, get_n).await;
        assert_eq!((visit.value, visit.status.as_u16()), (Some(None), 200), "{cookie}");
        assert_eq!(visit.cookies().len(), 0, "{cookie}");
    }
    // Another tenant's is nothing here, and a new one is made under another id.
    let mut stranger = Browser { tenant: Some("globex"), ..browser.clone() };
    assert_eq!(stranger.visit(&layer, get_n).await.value, Some(None));
    stranger.visit(&layer, set_n).await;
    assert_ne!(stranger.cookie, browser.cookie);
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
    assert_eq!(stage.store.len(), 2);
}

#[tokio::test]
async fn of_several_cookies_the_first_good_one_is_taken() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let layer = stage.layer();
    browser.visit(&layer, set_n).await;
    let good = browser.cookie.clone().unwrap();
    browser.cookie = Some(format!("a=b; __Host-session=bad; {good}; c=\"d\"; nonsense"));
    assert_eq!(browser.visit(&layer, get_n).await.value, Some(Some(1)));
}

#[tokio::test]
async fn secrets_are_exchanged_without_losing_anybody() {
    let (old, new) = (SECRET.to_owned(), SECRET.replace("tests", "later"));
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let with = |secrets: &[&String]| stage.builder().secrets(secrets).build().unwrap();
    browser.visit(&with(&[&old]), set_n).await;
    let by_old = browser.cookie.clone();
    let both = with(&[&new, &old]);
    let visit = browser.visit(&both, get_n).await;
    assert_eq!((visit.value, visit.cookies().len()), (Some(Some(1)), 1), "a new token is given");
    assert_ne!(browser.cookie, by_old);
    assert_eq!(browser.visit(&both, get_n).await.cookies().len(), 0);
    assert_eq!(browser.visit(&with(&[&new]), get_n).await.value, Some(Some(1)));
    let mut late = Browser { cookie: by_old, ..Browser::default() };
    assert_eq!(late.visit(&with(&[&new]), get_n).await.value, Some(None));
}

#[tokio::test]
async fn bearers_have_no_cookies() {
    let (stage, mut program) = (Stage::new(), Browser::of("acme"));
    let layer = stage.builder().carrier(Carrier::Bearer).build().unwrap();
    let visit = program.visit(&layer, set_n).await;
    assert_eq!(visit.cookies().len(), 0);
    assert_eq!(visit.header("x-session-token"), program.bearer.as_deref());
    assert_eq!(visit.header("cache-control"), Some("no-store"));
    let visit = program.visit(&layer, get_n).await;
    assert_eq!((visit.value, visit.header("x-session-token")), (Some(Some(1)), None));
    let cookie = Some(format!("__Host-session={}", program.bearer.take().unwrap()));
    program.cookie = cookie;
    assert_eq!(program.visit(&layer, get_n).await.value, Some(None), "cookies are not read");
}

#[tokio::test]
async fn a_token_of_a_cookie_is_good_as_a_bearers_and_goes_before_it() {
    let (stage, mut one, mut two) = (Stage::new(), Browser::of("acme"), Browser::of("acme"));
    let layer = stage.layer();
    one.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
    let take = async |session: Session| {
        session.set("n", &2).unwrap();
        session.commit().await.unwrap();
        session.token().unwrap()
    };
    let token = two.visit(&layer, take).await.value.unwrap();
    let mut both = Browser { bearer: Some(token), ..one.clone() };
    assert_eq!(both.visit(&layer, get_n).await.value, Some(Some(2)));
    // Somebody else's bearer token, for another service say, is passed over.
    both.bearer = Some("eyJhbGciOiJub25lIn0.e30.".to_owned());
    assert_eq!(both.visit(&layer, get_n).await.value, Some(Some(1)));
}

#[tokio::test]
async fn grpc_clients_get_a_header() {
    let (stage, mut client) = (Stage::new(), Browser::of("acme"));
    client.content_type = Some("application/grpc");
    let layer = stage.layer();
    let visit = client.visit(&layer, set_n).await;
    assert_eq!(visit.cookies().len(), 0);
    assert!(client.bearer.is_some());
    assert_eq!(client.visit(&layer, get_n).await.value, Some(Some(1)));
}

#[tokio::test]
async fn other_cookies_and_what_the_handler_says_of_caches_stay() {
    let stage = Stage::new();
    let service = stage.layer().layer(service_fn(async |request: http::Request<()>| {
        set_n(Session::of(request.extensions()).unwrap().clone()).await;
        let answer = http::Response::builder()
            .header(header::SET_COOKIE, "theme=dark")
            .header(header::SET_COOKIE, "__Host-session=planted")
            .header(header::CACHE_CONTROL, "private, max-age=1")
            .header(header::VARY, "Accept, cookie");
        Ok::<_, std::convert::Infallible>(answer.body(()).unwrap())
    }));
    let answer = service.oneshot(Browser::default().request()).await.unwrap();
    let cookies: Vec<_> = answer.headers().get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert_eq!(cookies[0], "theme=dark");
    assert_ne!(cookies[1], "__Host-session=planted");
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "private, max-age=1");
    assert_eq!(answer.headers()[header::VARY], "Accept, cookie, Authorization");
}

#[tokio::test]
async fn layers_around_each_other_share_one_session() {
    let (stage, mut browser) = (Stage::new(), Browser::default());
    let (outer, inner) = (stage.layer(), stage.layer());
    let service = outer.layer(inner.layer(service_fn(async |request: http::Request<()>| {
        set_n(Session::of(request.extensions()).unwrap().clone()).await;
        Ok::<_, std::convert::Infallible>(http::Response::new(()))
    })));
    let answer = service.oneshot(browser.request()).await.unwrap();
    assert_eq!(answer.headers().get_all(header::SET_COOKIE).iter().count(), 1);
    browser.keep(answer.headers());
    assert_eq!(browser.visit(&outer, get_n).await.value, Some(Some(1)));
    assert_eq!(stage.store.len(), 1);
}

#[tokio::test]
async fn a_request_that_is_skipped_has_no_session() {
    let stage = Stage::new();
    let layer = stage.builder().skip(|head| head.uri.path() == "/static").build().unwrap();
    let service = layer.layer(service_fn(async |request: http::Request<()>| {
        let found = Session::of(request.extensions()).is_some();
        Ok::<_, std::convert::Infallible>(http::Response::new(found))
    }));
    for (path, has) in [("/static", false), ("/", true)] {
        let request = http::Request::get(path).body(()).unwrap();
        let body = service.clone().oneshot(request).await.unwrap().into_body();
        assert_eq!(format!("{body:?}").contains("true"), has, "{path}: {body:?}");
    }
}

#[tokio::test]
async fn the_principal_has_the_user_claimed_then_verified() {
    let (stage, mut browser) = (Stage::new(), Browser::of("acme"));
    let layer = stage.layer();
    let user = tower_keep::UserId::new("u1").unwrap();
    browser.visit(&layer, async |session| session.login(&user).unwrap()).await;
    let look = |browser: Browser| {
        let layer = layer.clone();
        async move {
            let service = layer.layer(service_fn(async |request: http::Request<()>| {
                let principal = Principal::of(request.extensions()).unwrap();
                let claimed = principal.claimed_user().cloned();
                let before = principal.user().cloned();
                let personal = principal.is_personal();
                let verified = principal.verify().await.unwrap();
                let found = (claimed, before, verified, principal.user().cloned(), personal);
                let mut answer = http::Response::new(());
                answer.extensions_mut().insert(std::sync::Arc::new(found));
                Ok::<_, std::convert::Infallible>(answer)
            }));
            let answer = service.oneshot(browser.request()).await.unwrap();
            let found = answer.extensions().get::<std::sync::Arc<Found>>().unwrap();
            (**found).clone()
        }
    };
    let some = Some(user.clone());
    let found = look(browser.clone()).await;
    assert_eq!(found, (some.clone(), None, some.clone(), some.clone(), false));
    let tenant = tower_keep::TenantId::new("acme").unwrap();
    layer.sessions().revoke_all(&tenant, &user).await.unwrap();
    assert_eq!(look(browser).await, (some, None, None, None, false), "it claims and is not");
    assert_eq!(look(Browser::default()).await, (None, None, None, None, false));
}

#[test]
fn what_browsers_would_refuse_is_refused_at_once() {
    let stage = Stage::new();
    let build = |cookie| stage.builder().cookie(cookie).build();
    for cookie in [
        CookieOptions::default().domain("example.com"),
        CookieOptions::default().path("/app"),
        CookieOptions::default().secure(false),
        CookieOptions::default().name("__Secure-s").secure(false),
        CookieOptions::default().insecure().same_site(SameSite::None),
        CookieOptions::default().insecure().partitioned(true),
        CookieOptions::default().name("a b"),
        CookieOptions::default().name("s").path("/; Domain=evil"),
    ] {
        assert!(build(cookie.clone()).is_err(), "{cookie:?}");
    }
    assert!(build(CookieOptions::default().insecure()).is_ok());
    assert!(build(CookieOptions::default().name("s").domain("example.com").path("/app")).is_ok());
}

#[test]
fn all_that_is_wrong_with_a_layer_is_said_at_once() {
    let error = SessionLayer::builder()
        .secrets(["short"])
        .cookie(CookieOptions::default().path("/app"))
        .ttl(std::time::Duration::ZERO)
        .max_bytes(1)
        .max_sessions(0)
        .build()
        .unwrap_err();
    assert!(error.problems().len() >= 6, "{error}");
    assert!(!error.to_string().contains("short,"), "{error}");
    let none = SessionLayer::builder().memory().build().unwrap_err();
    assert!(none.to_string().contains("secret"), "{none}");
}

#[tokio::test]
async fn outcomes_are_told_where_they_are_wanted() {
    let stage = Stage::new();
    let visit = Browser::default().visit(&stage.layer(), set_n).await;
    assert_eq!(visit.outcome, Some(SessionOutcome::Created));
    let silent = stage.builder().expose_outcome(false).build().unwrap();
    assert_eq!(Browser::default().visit(&silent, set_n).await.outcome, None);
}

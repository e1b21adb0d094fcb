//! How many allocations a session adds to a request.

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Empty;
use tower::{Layer as _, Service, service_fn};
use tower_keep_core::{PeerAddr, Principal, TenantId, UserId};
use tower_keep_session::{Session, SessionLayer};

use crate::{Answer, allocations_for};

/// What is done with the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Login,
    Nothing,
    Read,
    ReadTwo,
    SetTheSame,
}

/// What the service answers with: nothing more.
fn answer() -> Answer {
    Response::new(Empty::<Bytes>::new())
}

fn service(
    layer: &SessionLayer,
    work: Work,
) -> impl Service<
    Request<()>,
    Response = Response<tower_keep_core::ResponseBody<Empty<Bytes>>>,
    Error = Infallible,
> + use<> {
    layer.layer(service_fn(move |request: Request<()>| async move {
        let session = Session::of(request.extensions()).unwrap();
        if work == Work::Login {
            session.login(&UserId::new("42").unwrap()).unwrap();
            session.set("count", &7_u64).unwrap();
            session.set("name", "Ada Lovelace").unwrap();
        }
        if matches!(work, Work::Read | Work::ReadTwo | Work::SetTheSame) {
            assert_eq!(session.get::<u64>("count").await.unwrap(), Some(7));
        }
        if work == Work::ReadTwo {
            assert_eq!(session.get::<bool>("nothing").await.unwrap(), None);
        }
        if work == Work::SetTheSame {
            session.set("count", &7_u64).unwrap();
        }
        Ok::<_, Infallible>(answer())
    }))
}

/// The same without a session.
fn bare() -> impl Service<Request<()>, Response = Answer, Error = Infallible> {
    service_fn(async |_: Request<()>| Ok::<_, Infallible>(answer()))
}

/// As a request arrives: in a full stack with a principal, else with what the server knows.
fn request(cookie: Option<&HeaderValue>, told: bool) -> Request<()> {
    let request = Request::get("/items/7").header("accept", "*/*");
    let mut request = request.extension(PeerAddr(([192, 0, 2, 1], 4711).into())).body(()).unwrap();
    if let Some(cookie) = cookie {
        request.headers_mut().insert(header::COOKIE, cookie.clone());
    }
    if told {
        let tenant = TenantId::new("acme").unwrap();
        request.extensions_mut().insert(Principal::new(tenant));
    }
    request
}

/// Logs in, and tells the cookie.
fn cookie(layer: &SessionLayer, told: bool) -> HeaderValue {
    let mut service = service(layer, Work::Login);
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let Poll::Ready(answer) = pin!(service.call(request(None, told))).poll(&mut context) else {
        panic!("memory answers at once")
    };
    let cookie = answer.unwrap().headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    cookie.split(';').next().unwrap().parse().unwrap()
}

/// What the layer adds to the bare service for this work, once its first requests are through.
fn added(work: Work, told: bool) -> u64 {
    let secret = "the secret of all tests, never of a service";
    let layer = SessionLayer::builder().memory().secrets([secret]).build().unwrap();
    let cookie = cookie(&layer, told);
    let mut service = service(&layer, work);
    let mut once = || allocations_for(&mut service, request(Some(&cookie), told));
    for _ in 0..100 {
        once();
    }
    let counts: Vec<u64> = (0..100).map(|_| once()).collect();
    let most = counts.iter().max().copied().unwrap();
    assert_eq!(counts.iter().min().copied(), Some(most), "not the same for every request");
    most - allocations_for(&mut bare(), request(Some(&cookie), told))
}

#[test]
fn a_session_that_nobody_asks_for_is_within_4_allocations() {
    for told in [false, true] {
        let added = added(Work::Nothing, told);
        assert!(added <= 4, "{added} allocations, principal told: {told}");
    }
}

#[test]
fn a_value_read_from_memory_is_within_8_allocations() {
    for told in [false, true] {
        let added = added(Work::Read, told);
        assert!(added <= 8, "{added} allocations, principal told: {told}");
    }
}

#[test]
fn a_second_look_costs_no_further_allocation() {
    assert_eq!(added(Work::ReadTwo, false), added(Work::Read, false));
}

/// The value that is compared, its name, and the map that they are in until it is known that they
/// make no difference: whose session it is by then is not known before.
#[test]
fn setting_what_is_there_already_costs_hardly_more_than_reading() {
    let more = added(Work::SetTheSame, false) - added(Work::Read, false);
    assert!(more <= 4, "{more} allocations more");
}

//! Under hyper, by hyper-util's `TowerToHyperService`.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::timeout};
use tower::{Service, service_fn};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_keep_core::BoxError;

use super::{
    HttpClient, PATIENT, Served, Speaks,
    body::{Live, Sender},
    client, limits_as_told, per_tenant,
};

/// Serves with hyper's HTTP/1 server, or with the one that speaks both.
pub(super) async fn serve<S, B>(service: S, speaks: Speaks) -> Served
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Served::start(async move |listener: TcpListener| {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (socket, service) =
                (TokioIo::new(socket), TowerToHyperService::new(service.clone()));
            // A connection that the client cuts is no failure.
            tokio::spawn(async move {
                match speaks {
                    Speaks::Http1 => {
                        drop(http1::Builder::new().serve_connection(socket, service).await);
                    }
                    Speaks::Http2 => {
                        let server = auto::Builder::new(TokioExecutor::new());
                        drop(server.serve_connection(socket, service).await);
                    }
                }
            });
        }
    })
    .await
}

/// A handler for any request body, as hyper's users write it.
async fn hello<B: Body>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_ne!(request.uri().path(), "/panic", "as asked");
    Ok(Response::new(Full::from("hello")))
}

#[tokio::test]
async fn http1_with_tower_http_all_around() {
    let service = stack!(per_tenant(3).build().unwrap()).service(service_fn(hello));
    let served = serve(service, Speaks::Http1).await;
    limits_as_told(&served, &client(Speaks::Http1)).await;
}

#[tokio::test]
async fn both_versions_on_one_port_with_tower_http_all_around() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let service = stack!(per_tenant(3).build().unwrap()).service(service_fn(hello));
        let served = serve(service, Speaks::Http2).await;
        limits_as_told(&served, &client(speaks)).await;
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_with_its_trailers() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let (sender, live) = Live::new();
        let live = Arc::new(Mutex::new(Some(live)));
        let handler = service_fn(move |_: Request<Incoming>| {
            let body = live.lock().unwrap().take().unwrap();
            async { Ok::<_, Infallible>(Response::new(body.boxed_unsync())) }
        });
        let service = stack!(per_tenant(3).build().unwrap()).service(handler);
        let served = serve(service, speaks).await;
        let trailers = reads_as_it_comes(&served, &client(speaks), sender).await;
        if speaks == Speaks::Http2 {
            assert_eq!(trailers.unwrap()["x-checksum"], "42");
        }
    }
}

/// Reads each part of a streamed answer before the next one is sent; returns the trailers.
pub(super) async fn reads_as_it_comes(
    served: &Served,
    client: &HttpClient,
    sender: Sender,
) -> Option<http::HeaderMap> {
    let request = served.get("/").body(Full::default()).unwrap();
    let response = timeout(PATIENT, client.request(request)).await.expect("no answer").unwrap();
    assert!(response.headers().contains_key("ratelimit"));
    let mut body = response.into_body();
    for part in ["one", "two", "three"] {
        sender.data(part);
        let frame = timeout(PATIENT, body.frame()).await.expect("the stream is held back");
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), part);
    }
    sender.trailer("x-checksum", "42");
    drop(sender);
    let rest = timeout(PATIENT, body.collect()).await.expect("the stream does not end").unwrap();
    rest.trailers().cloned()
}

#[tokio::test]
async fn the_answers_length_stays_known() {
    // Not one of tower-http's layers: what is asked here is of ours alone.
    let handler = service_fn(async |request: Request<Incoming>| {
        let body: UnsyncBoxBody<Bytes, Infallible> = match request.uri().path() {
            "/empty" => Empty::new().boxed_unsync(),
            _ => Full::from("hello").boxed_unsync(),
        };
        Ok::<_, Infallible>(Response::new(body))
    });
    let service = tower::ServiceBuilder::new()
        .layer(super::tenant_by_header())
        .layer(per_tenant(3).build().unwrap())
        .service(handler);
    let served = serve(service, Speaks::Http1).await;
    for (path, length) in [("/", "5"), ("/empty", "0")] {
        let reply = super::ask(&client(Speaks::Http1), served.get(path)).await;
        assert_eq!(reply.header("content-length"), length);
    }
}

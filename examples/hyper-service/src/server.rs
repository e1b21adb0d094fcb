//! The accept loop.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder};
use tower_keep::{BoxError, PeerAddr};

/// How long requests under way may take once the program is to stop.
const FINISH: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be accepted, for want of file descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves HTTP/1 and HTTP/2 on one port until the program is to stop.
pub(crate) async fn serve<S, B>(listener: TcpListener, service: S, stop: impl Future<Output = ()>)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let server = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Whoever has no user is counted by this address.
        let service = ServiceBuilder::new()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(PeerAddr(peer));
                request
            })
            .service(service.clone());
        let connection =
            server.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection broke: {error}");
            }
        });
    }
    drop(listener);
    tracing::info!("stopping: finishing the requests under way, for {FINISH:?} at most");
    if tokio::time::timeout(FINISH, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests were not finished in time");
    }
}

//! The accept loop.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::TcpListener;
use tower::Service;
use tower_keep::{BoxError, ResponseBody, TrustedProxies};

use crate::{
    door::{Door, Rules},
    failure::Failure,
    forwarding::Peer,
    settings::Settings,
};

/// How long to wait when no connection can be accepted, for want of file descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves HTTP/1 and HTTP/2 (prior knowledge) on one port until the program is to stop.
pub(crate) async fn serve<S, R>(
    listener: TcpListener,
    stack: S,
    (rules, proxies, settings): (Arc<Rules>, &TrustedProxies, &Settings),
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<ResponseBody<R>>, Error = Failure>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(settings.client_timeout_ms);
    server.http2().timer(TokioTimer::new());
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Answers are written whole; what is small is not to wait for what comes after.
        let _ = socket.set_nodelay(true);
        let peer = Peer::new(address, proxies);
        let door = Door::new(stack.clone(), Arc::clone(&rules), peer);
        let connection = server.serve_connection_with_upgrades(TokioIo::new(socket), door);
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection broke: {error}");
            }
        });
    }
    drop(listener);
    let limit = settings.stop_timeout_ms;
    tracing::info!("stopping: finishing the requests under way, for {limit:?} at most");
    if tokio::time::timeout(limit, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests were not finished in time");
    }
}

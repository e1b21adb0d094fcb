//! Connections that stop being HTTP: websockets, and what else a client may upgrade to.

use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::upgrade::{OnUpgrade, Upgraded, on};
use hyper_util::rt::TokioIo;

/// What a client wants to upgrade to.
pub(crate) struct Wish {
    protocol: HeaderValue,
    client: OnUpgrade,
}

impl Wish {
    /// The wish of a request that has one.
    pub(crate) fn of<B>(request: &mut Request<B>) -> Option<Self> {
        let protocol = request.headers().get(header::UPGRADE)?.clone();
        Some(Self { protocol, client: on(request) })
    }

    /// Whether this is what was wished for.
    fn is_granted_by(&self, headers: &HeaderMap) -> bool {
        let granted = headers.get(header::UPGRADE);
        granted.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes()))
    }

    /// Lets bytes pass both ways once the client has got this answer, if it grants the wish. Either
    /// side's end is passed on to the other, and the tunnel is gone with the second, or with the
    /// first that breaks off.
    pub(crate) fn grant<B>(self, response: &mut Response<B>) -> bool {
        if !self.is_granted_by(response.headers()) {
            return false;
        }
        let upstream = on(response);
        tokio::spawn(async move {
            // Whoever asked may have gone, and a layer may have answered otherwise.
            let Ok(ends) = tokio::try_join!(self.client, upstream) else { return };
            if let Err(error) = copy(ends).await {
                tracing::debug!("an upgraded connection broke: {error}");
            }
        });
        true
    }
}

async fn copy((client, upstream): (Upgraded, Upgraded)) -> std::io::Result<()> {
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await.map(drop)
}

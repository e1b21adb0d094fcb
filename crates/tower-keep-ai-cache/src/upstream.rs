//! What the service inside must be, said once.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_keep_core::{BoxError, RequestBody};
use tower_service::Service;

/// The service that is asked, in a task of its own: with bodies of clients of type `B`, or of ours;
/// `R` is the body of its answers.
pub(crate) trait Upstream<B, R>:
    Service<
        Request<RequestBody<B>>,
        Response = Response<R>,
        Error: Send + 'static,
        Future: Send + 'static,
    > + Send
    + 'static
{
}

impl<S, B, R> Upstream<B, R> for S
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
}

/// The body of an answer, which is read wherever it is.
pub(crate) trait AnswerBody:
    Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static
{
}

impl<R> AnswerBody for R
where
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
}

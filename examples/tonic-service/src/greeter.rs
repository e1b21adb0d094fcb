//! The service.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::messages::{GREET, Greeting, Name, PART};

/// Says something nice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greeter;

async fn greet(request: Request<Name>) -> Result<Response<Greeting>, Status> {
    let text = format!("hello, {}", request.into_inner().name);
    Ok(Response::new(Greeting { text }))
}

async fn part(request: Request<Name>) -> Result<Response<Greeting>, Status> {
    let text = format!("farewell, {}", request.into_inner().name);
    Ok(Response::new(Greeting { text }))
}

impl NamedService for Greeter {
    const NAME: &'static str = "greeter.v1.Greeter";
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Greeting, Name>::default());
            Ok(match request.uri().path() {
                GREET => grpc.unary(service_fn(greet), request).await,
                PART => grpc.unary(service_fn(part), request).await,
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

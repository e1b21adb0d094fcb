//! The program as its users run it: started, called by a tonic client, and stopped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where it meets what it did not expect"
)]

#[path = "../../src/messages.rs"]
mod messages;

use http::uri::PathAndQuery;
use tonic::{
    Code, Request, Response, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;
use tower_keep_tests::Program;

use crate::messages::{GREET, Greeting, METHODS, Name, PART};

async fn connect(program: &Program) -> Grpc<Channel> {
    let endpoint =
        Endpoint::from_shared(program.url().to_owned()).unwrap().timeout(Program::PATIENT);
    Grpc::new(endpoint.connect().await.unwrap())
}

async fn call(
    client: &mut Grpc<Channel>,
    method: &'static str,
    address: &str,
) -> Result<Response<Greeting>, Status> {
    client.ready().await.unwrap();
    let mut request = Request::new(Name { name: "Ada".to_owned() });
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    let codec = ProstCodec::<Name, Greeting>::default();
    client.unary(request, PathAndQuery::from_static(method), codec).await
}

async fn start(variables: &[(&str, &str)]) -> Program {
    Program::serving(env!("CARGO_BIN_EXE_tonic-service"), variables).await
}

const NOBODY: &str = "unknown";

#[tokio::test]
async fn over_the_limit_is_resource_exhausted_for_each_method_by_itself() {
    let program = start(&[("RATE_LIMIT_MAX", "2")]).await;
    assert!(program.said().contains("in memory"), "{}", program.said());
    let mut client = connect(&program).await;
    for method in METHODS {
        for remaining in [1, 0] {
            let answer = call(&mut client, method, NOBODY).await.unwrap();
            let told = answer.metadata().get("ratelimit").unwrap().to_str().unwrap();
            assert!(told.starts_with(&format!(r#""default";r={remaining};t="#)), "{told}");
            let expected = if method == PART { "farewell, Ada" } else { "hello, Ada" };
            assert_eq!(answer.into_inner().text, expected);
        }
        for _ in 0..2 {
            let status = call(&mut client, method, NOBODY).await.unwrap_err();
            assert_eq!(status.code(), Code::ResourceExhausted);
            let told = |name| status.metadata().get(name).unwrap().to_str().unwrap();
            let seconds: u64 = told("retry-after").parse().unwrap();
            assert!((1..=900).contains(&seconds));
            assert_eq!(told("grpc-retry-pushback-ms"), (seconds * 1000).to_string());
        }
    }
    // What is no method is an endpoint too, one for all.
    for (method, code) in [
        ("/greeter.v1.Greeter/A", Code::Unimplemented),
        ("/greeter.v1.Greeter/B", Code::Unimplemented),
        ("/greeter.v1.Greeter/C", Code::ResourceExhausted),
    ] {
        let status = call(&mut client, method, NOBODY).await.unwrap_err();
        assert_eq!(status.code(), code, "{method}: {status:?}");
    }
    // The client keeps its connection open meanwhile.
    program.stop().await;
}

/// That a trusted proxy is known by its socket shows that the peer is passed on.
#[tokio::test]
async fn clients_behind_the_peer_that_is_trusted_count_apart() {
    let limit = ("RATE_LIMIT_MAX", "1");
    for (variables, expected) in [
        (&[limit][..], [true, false, false]),
        (&[limit, ("TRUSTED_PROXIES", "127.0.0.0/8")], [true, true, false]),
    ] {
        let program = start(variables).await;
        let mut client = connect(&program).await;
        let mut passed = Vec::new();
        for address in ["203.0.113.1", "203.0.113.2", "203.0.113.1"] {
            passed.push(call(&mut client, GREET, address).await.is_ok());
        }
        assert_eq!(passed, expected, "{variables:?}");
        // Everybody has an address; who tells it and is not trusted is warned of, once.
        let warnings = program.log().matches("WARN").count();
        assert_eq!(warnings, usize::from(!expected[1]), "{}", program.log());
    }
}

//! Under tonic's `Server::layer`: the session is that of the metadata `authorization`.

use std::pin::Pin;

use tokio::net::TcpListener;
use tonic::{
    Code, Request, Response, Status,
    codegen::tokio_stream::Stream,
    metadata::MetadataMap,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower_keep::UserId;
use tower_keep_session::{Session, SessionError, SessionLayer};

use super::{
    super::{PATIENT, Served},
    count, in_memory, layers, nowhere, whose,
};

/// A gRPC service that does with its session what it is asked to in the one field that there is,
/// and answers in its metadata.
struct App;

fn refused(error: &SessionError) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl Health for App {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let session = Session::of(request.extensions()).unwrap().clone();
        let said = match &*request.into_inner().service {
            "count" => count(&session).await.map_err(|error| refused(&error))?,
            "whose" => whose(&session).await.map_err(|error| refused(&error))?,
            "logout" => {
                session.logout();
                String::new()
            }
            "break" => {
                session.set("visits", &100).unwrap();
                return Err(Status::internal("as asked"));
            }
            "reject" => {
                session.set("visits", &200).unwrap();
                return Err(Status::invalid_argument("as asked"));
            }
            user => {
                let user = UserId::new(user).map_err(|_| Status::invalid_argument("no user"))?;
                session.login(&user).map_err(|error| refused(&error))?;
                String::new()
            }
        };
        let mut response = Response::new(HealthCheckResponse::default());
        response.metadata_mut().insert("x-said", said.parse().unwrap());
        Ok(response)
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("nobody watches"))
    }
}

async fn serve(session: SessionLayer) -> Served {
    Served::start(async |listener: TcpListener| {
        let server = Server::builder().layer(layers!(session)).add_service(HealthServer::new(App));
        server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    })
    .await
}

/// A client that keeps its token.
struct Client {
    health: HealthClient<Channel>,
    token: Option<String>,
    tenant: &'static str,
}

impl Client {
    async fn connect(served: &Served) -> Self {
        let endpoint = Endpoint::from_shared(served.url("")).unwrap().timeout(PATIENT);
        let health = HealthClient::new(endpoint.connect().await.unwrap());
        Self { health, token: None, tenant: "acme" }
    }

    async fn ask(&mut self, what: &str) -> Result<String, Status> {
        let mut request = Request::new(HealthCheckRequest { service: what.to_owned() });
        request.metadata_mut().insert("x-tenant-id", self.tenant.parse().unwrap());
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        let answer = self.health.check(request).await;
        let metadata = match &answer {
            Ok(answer) => answer.metadata(),
            Err(status) => status.metadata(),
        };
        self.keep(metadata);
        Ok(answer?.metadata().get("x-said").unwrap().to_str().unwrap().to_owned())
    }

    fn keep(&mut self, metadata: &MetadataMap) {
        assert!(metadata.get("set-cookie").is_none(), "{metadata:?}");
        if let Some(token) = metadata.get("x-session-token") {
            self.token = Some(token.to_str().unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn each_user_has_a_session_and_a_limit() {
    let served = serve(in_memory().build().unwrap()).await;
    let (mut alice, mut bob) = (Client::connect(&served).await, Client::connect(&served).await);
    assert_eq!(alice.ask("count").await.unwrap(), "1");
    let visitor = alice.token.clone().unwrap();
    alice.ask("alice").await.unwrap();
    bob.ask("bob").await.unwrap();
    assert_ne!(alice.token.clone().unwrap(), visitor, "a login changes it");
    // Three times nobody.
    let mut nobody = Client::connect(&served).await;
    assert_eq!(nobody.ask("count").await.unwrap_err().code(), Code::ResourceExhausted);
    assert!(nobody.token.is_none());

    assert_eq!(alice.ask("count").await.unwrap(), "2");
    assert_eq!(alice.ask("whose").await.unwrap(), "alice");
    assert_eq!(bob.ask("whose").await.unwrap(), "bob");
    alice.ask("logout").await.unwrap();
    assert_eq!(alice.ask("whose").await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(bob.ask("count").await.unwrap(), "1");

    // In another tenant these tokens are nobody's.
    for token in [alice.token, bob.token, Some(visitor)] {
        let mut other = Client { tenant: "other", token, ..Client::connect(&served).await };
        assert_eq!(other.ask("whose").await.unwrap(), "nobody");
    }
}

/// By its status in the head: a server's error drops what was changed, a client's does not.
#[tokio::test]
async fn a_status_says_whether_what_was_changed_is_kept() {
    let session = in_memory().build().unwrap();
    let served = serve(session).await;
    let mut client = Client::connect(&served).await;
    client.ask("alice").await.unwrap();
    assert_eq!(client.ask("break").await.unwrap_err().code(), Code::Internal);
    assert_eq!(client.ask("reject").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(client.ask("count").await.unwrap(), "201");
    let served = serve(in_memory().build().unwrap()).await;
    let mut client = Client::connect(&served).await;
    client.ask("alice").await.unwrap();
    assert_eq!(client.ask("break").await.unwrap_err().code(), Code::Internal);
    assert_eq!(client.ask("count").await.unwrap(), "1");
}

#[tokio::test]
async fn a_store_that_is_away_is_unavailable() {
    let served = serve(nowhere()).await;
    let mut client = Client::connect(&served).await;
    let status = client.ask("alice").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("retry-after").unwrap(), "1");
    assert!(client.token.is_none());
}

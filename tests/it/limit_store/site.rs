//! Where limits are counted: a server or a cluster, and the layer's way to it.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response, StatusCode};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{
    Config, Connection, Keep, Principal, RateLimitLayer, RedisConfig, RouteTemplate, TenantId,
    UserId,
};
use tower_keep_tests::{Cluster, Flavor, Monitor, Server, Value};

/// So generous that a slow machine is not taken for a failed store.
const PATIENT: Duration = Duration::from_secs(30);

/// What the limits are proven on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single(Flavor),
    Clustered(Flavor),
}

impl Kind {
    pub(crate) const SINGLE: [Self; 2] =
        [Self::Single(Flavor::Redis), Self::Single(Flavor::Valkey)];
    pub(crate) const ALL: [Self; 4] = [
        Self::Single(Flavor::Redis),
        Self::Single(Flavor::Valkey),
        Self::Clustered(Flavor::Redis),
        Self::Clustered(Flavor::Valkey),
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Single(flavor) => flavor.to_string(),
            Self::Clustered(flavor) => format!("{flavor}, 3 nodes"),
        }
    }
}

/// One that runs.
pub(crate) enum Site {
    Single(Server),
    Clustered(Cluster),
}

impl Site {
    pub(crate) async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Single(flavor) => Self::Single(Server::start(flavor).await),
            Kind::Clustered(flavor) => Self::Clustered(Cluster::start(flavor, 3).await),
        }
    }

    pub(crate) fn nodes(&self) -> &[Server] {
        match self {
            Self::Single(server) => std::slice::from_ref(server),
            Self::Clustered(cluster) => cluster.nodes(),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Single(server) => server.url(),
            Self::Clustered(cluster) => cluster.url(),
        }
    }

    /// A counter's key here, told in the form that it has in a cluster. Only its hash tag has
    /// braces.
    pub(crate) fn key(&self, tagged: &str) -> String {
        match self {
            Self::Single(_) => tagged.replace(['{', '}'], ""),
            Self::Clustered(_) => tagged.to_owned(),
        }
    }

    /// The test's own hand.
    pub(crate) async fn command<A: AsRef<[u8]>>(&self, args: &[A]) -> Value {
        let answer = match self {
            Self::Single(server) => server.command(args).await,
            Self::Clustered(cluster) => cluster.command(args).await,
        };
        answer.and_then(Value::ok).unwrap()
    }

    /// Every key there is, sorted.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for node in self.nodes() {
            let found = node.command(&["KEYS", "*"]).await.and_then(Value::ok).unwrap();
            keys.extend(found.array().iter().map(Value::text));
        }
        keys.sort();
        keys
    }

    /// The server's clock, in milliseconds.
    pub(crate) async fn now(&self) -> u64 {
        let time = self.command(&["TIME"]).await;
        let [seconds, micros] = [0, 1].map(|part| time.array()[part].text().parse::<u64>());
        seconds.unwrap() * 1000 + micros.unwrap() / 1000
    }

    pub(crate) async fn monitor(&self) -> Monitor {
        Monitor::over(self.nodes()).await
    }

    pub(crate) async fn connection(&self) -> Connection {
        let connection = Connection::connect(self.config()).unwrap();
        connection.require().await.unwrap();
        connection
    }

    pub(crate) async fn keep(&self) -> Keep {
        let mut config = Config::default();
        config.redis = Some(self.config());
        let keep = Keep::new(config).unwrap();
        keep.require_connection().await.unwrap();
        keep
    }

    pub(crate) fn config(&self) -> RedisConfig {
        RedisConfig::from_url(&self.url()).unwrap().with_timeout(PATIENT)
    }
}

/// A request of this tenant and user for this route; nothing is told where it is empty.
pub(crate) fn request(tenant: &str, user: &str, route: &str) -> Request<()> {
    let mut request = Request::new(());
    if !tenant.is_empty() {
        let mut principal = Principal::new(TenantId::new(tenant).unwrap());
        if !user.is_empty() {
            principal = principal.with_user(UserId::new(user).unwrap());
        }
        request.extensions_mut().insert(principal);
    }
    if !route.is_empty() {
        request.extensions_mut().insert(RouteTemplate::new(route));
    }
    request
}

/// What a service behind `layer` answers.
pub(crate) async fn ask(layer: &RateLimitLayer, request: Request<()>) -> StatusCode {
    let handler = |_: Request<()>| async { Ok::<Response<()>, Infallible>(Response::new(())) };
    layer.layer(service_fn(handler)).oneshot(request).await.unwrap().status()
}

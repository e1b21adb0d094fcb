//! A client that does one thing to its session, over a connection of its own.

use std::{
    convert::Infallible,
    fmt,
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response, header};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_keep::{TenantId, UserId};
use tower_keep_core::{Dialect, ResponseBody};
use tower_keep_redis::{Connection, ConnectionState, RedisConfig};
use tower_keep_session::{OnStoreFailure, Session, SessionError, SessionLayer};
use tower_keep_tests::{Server, wait_until};

use crate::session::{SECRET, browser::Browser};

/// Time to come back, and to do what was put off: the pauses between attempts grow.
pub(super) const BACK: Duration = Duration::from_secs(20);

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Nothing,
    Read,
    Write,
    Login,
    /// As the user that it is.
    LoginAgain,
    Rotate,
    Logout,
}

impl Does {
    pub(super) const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Read,
        Self::Write,
        Self::Login,
        Self::LoginAgain,
        Self::Rotate,
        Self::Logout,
    ];

    /// Whether the client gets another token by it, or none.
    pub(super) const fn is_told(self) -> bool {
        matches!(self, Self::Login | Self::LoginAgain | Self::Rotate | Self::Logout)
    }

    /// How many commands it may wait for.
    pub(super) const fn questions(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Read | Self::Write | Self::Logout => 1,
            Self::LoginAgain | Self::Rotate => 2,
            Self::Login => 3,
        }
    }

    async fn act(self, session: &Session) -> Result<(), SessionError> {
        match self {
            Self::Nothing => {}
            Self::Read => drop(session.get::<u64>("n").await?),
            Self::Write => session.set("n", &2)?,
            Self::Login | Self::LoginAgain => session.login(&user(self))?,
            Self::Rotate => session.rotate()?,
            Self::Logout => session.logout(),
        }
        Ok(())
    }
}

impl fmt::Display for Does {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "untouched",
            Self::Read => "read",
            Self::Write => "write",
            Self::Login => "login",
            Self::LoginAgain => "login-again",
            Self::Rotate => "rotate",
            Self::Logout => "logout",
        })
    }
}

fn user(does: Does) -> UserId {
    UserId::new(does.to_string()).unwrap()
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) took: Duration,
    pub(super) cookies: Vec<String>,
    pub(super) retry_after: Option<String>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.1?}", self.status, self.took)
    }
}

pub(super) struct Client {
    pub(super) does: Does,
    pub(super) browser: Browser,
    pub(super) layer: SessionLayer,
    connection: Connection,
    /// The deadline of its commands.
    pub(super) deadline: Duration,
    /// Whether what it does was done.
    done: bool,
}

impl Client {
    /// One that is logged in, with the value `n`; a visitor if it is to log in later.
    pub(super) async fn enter(
        server: &Server,
        does: Does,
        policy: OnStoreFailure,
        deadline: Duration,
    ) -> Self {
        let config = RedisConfig::from_url(&server.url()).unwrap().with_timeout(deadline);
        let connection = Connection::connect(config).unwrap();
        connection.require().await.unwrap();
        let builder = SessionLayer::builder().redis(&connection).secrets([SECRET]);
        let layer = builder.on_store_failure(policy).build().unwrap();
        let mut browser = Browser::of("acme");
        // The machine may have other things to do than to answer in time.
        for _ in 0..20 {
            let begin = async |session: Session| {
                session.set("n", &1).unwrap();
                if does != Does::Login {
                    session.login(&user(does)).unwrap();
                }
            };
            browser.visit(&layer, begin).await;
            if browser.cookie.is_some() {
                return Self { does, browser, layer, connection, deadline, done: false };
            }
        }
        panic!("there is no session to begin with");
    }

    /// Does its thing.
    pub(super) async fn ask(&mut self) -> Seen {
        let does = self.does;
        let service = service_fn(async |request: Request<()>| {
            let session = Session::of(request.extensions()).unwrap().clone();
            Ok::<Response<ResponseBody<()>>, Infallible>(match does.act(&session).await {
                Ok(()) => Response::new(ResponseBody::inner(())),
                Err(error) => error.rejection().into_response(Dialect::Http),
            })
        });
        let (service, request) = (self.layer.layer(service), self.browser.request());
        let begun = Instant::now();
        let answer = service.oneshot(request).await.unwrap();
        let took = begun.elapsed();
        let texts = |headers: &HeaderMap, name| {
            let all = headers.get_all(name).iter();
            all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let headers = answer.headers();
        let (cookies, waits) =
            (texts(headers, header::SET_COOKIE), texts(headers, header::RETRY_AFTER));
        self.done |= answer.status() == 200 && !cookies.is_empty();
        if self.does != Does::Logout {
            self.browser.keep(headers);
        }
        Seen {
            status: answer.status().as_u16(),
            took,
            cookies,
            retry_after: waits.first().cloned(),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.state() == ConnectionState::Up
    }

    /// Whose its session is and what the value is, as far as the store tells.
    async fn look(&self) -> Result<(Option<String>, Option<u64>), SessionError> {
        let look = async |session: Session| {
            let user = session.user().await?.map(|user| user.as_str().to_owned());
            Ok((user, session.get("n").await?))
        };
        self.browser.clone().visit(&self.layer, look).await.value.unwrap()
    }

    pub(super) async fn value(&self) -> Option<u64> {
        self.look().await.unwrap().1
    }

    /// Waits until the session is so.
    async fn becomes(&self, what: (Option<&str>, Option<u64>)) {
        let what = (what.0.map(str::to_owned), what.1);
        let so = wait_until(BACK, || async { self.look().await.is_ok_and(|seen| seen == what) });
        assert!(so.await, "{}: {:?} and not {what:?}", self.does, self.look().await);
    }

    /// Waits until this user has so many sessions.
    async fn has_sessions(&self, number: usize) {
        let (tenant, user) = (TenantId::new("acme").unwrap(), user(self.does));
        let sessions = self.layer.sessions();
        let so = wait_until(BACK, || async {
            sessions.count(&tenant, &user).await.is_ok_and(|count| count == number)
        });
        assert!(so.await, "{}: not {number} sessions", self.does);
    }

    /// Waits until the store is back, and judges what it has then: the cookie that was kept works
    /// again, and what was not done can be done. Says how long it was until it was known.
    pub(super) async fn recover(&mut self) -> String {
        let begun = Instant::now();
        assert!(wait_until(BACK, || async { self.look().await.is_ok() }).await, "not back");
        let took = begun.elapsed();
        let name = self.does.to_string();
        match self.does {
            Does::Nothing | Does::Read => self.becomes((Some(&name), Some(1))).await,
            Does::Write => {
                // Where everybody is a visitor meanwhile, an answer does not yet say that it is back.
                let there = wait_until(BACK, || async {
                    self.look().await.is_ok_and(|(_, n)| n.is_some())
                });
                assert!(there.await, "{name}: its session is not back");
                let n = self.value().await;
                // What was sent and not answered may have been done.
                assert!(n == Some(1) || n == Some(2), "{n:?}");
                while self.ask().await.status != 200 {}
                self.becomes((Some(&name), Some(2))).await;
            }
            Does::Login => {
                if !self.done {
                    self.becomes((None, Some(1))).await;
                    // None that its client was not told of is left.
                    self.has_sessions(0).await;
                    while self.ask().await.status != 200 {}
                }
                self.becomes((Some(&name), Some(1))).await;
                self.has_sessions(1).await;
            }
            Does::LoginAgain | Does::Rotate => {
                // Done and told, or not done, or undone later: the cookie that it has works.
                self.becomes((Some(&name), Some(1))).await;
                self.has_sessions(1).await;
                while self.ask().await.status != 200 {}
                self.becomes((Some(&name), Some(1))).await;
                self.has_sessions(1).await;
            }
            Does::Logout => {
                // A logout that failed is carried out later.
                self.becomes((None, None)).await;
                self.has_sessions(0).await;
            }
        }
        format!("{name} back {took:.0?}")
    }
}

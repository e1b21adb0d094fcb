//! One of several processes that share sessions: `tests/it/session_races.rs` starts them.
//!
//! Arguments: url, secret. Prints `ready`. Each line that it reads then is an action, how many
//! microseconds each is put off at most, and the cookies of the sessions to which it is done, all at
//! the same time. For each it prints, in one line, what came of it: status, outcome, the new cookie
//! and what the handler found, `-` for nothing.

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
    io::{self, BufRead as _, Write as _},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tokio::time::sleep;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_keep::{
    Connection, Principal, RedisConfig, Session, SessionError, SessionLayer, SessionOutcome,
    TenantId, UserId,
};

/// A slow machine must not be taken for a failed store.
const PATIENT: Duration = Duration::from_secs(30);
const NOTHING: &str = "-";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut args = env::args().skip(1);
    let url = args.next().ok_or("the url is missing")?;
    let secret = args.next().ok_or("the secret is missing")?;
    let connection = Connection::connect(RedisConfig::from_url(&url)?.with_timeout(PATIENT))?;
    connection.require().await?;
    let builder = SessionLayer::builder().redis(&connection).secrets([secret]);
    let layer = builder.expose_outcome(true).build()?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let action: Arc<str> = words.next().ok_or("the action is missing")?.into();
        let latest: u64 = words.next().ok_or("the delay is missing")?.parse()?;
        let visits = words.map(|cookie| {
            let (layer, action, cookie) = (layer.clone(), Arc::clone(&action), cookie.to_owned());
            tokio::spawn(async move { visit(&layer, &cookie, &action, latest).await })
        });
        // All are begun before the first is waited for.
        let visits: Vec<_> = visits.collect();
        let mut came = Vec::new();
        for visit in visits {
            came.push(visit.await?.map_err(|error| error.to_string())?);
        }
        say(&came.join(" "))?;
    }
    Ok(())
}

/// Does one thing to one session, as one request.
async fn visit(
    layer: &SessionLayer,
    cookie: &str,
    action: &Arc<str>,
    latest: u64,
) -> Result<String, BoxError> {
    let service = service_fn(|request: Request<()>| {
        let (session, action) = (Session::of(request.extensions()).cloned(), Arc::clone(action));
        async move {
            let session = session.ok_or("there is no session")?;
            let (status, found) = match act(&session, &action, latest).await {
                Ok(found) => (StatusCode::OK, found),
                Err(SessionError::Gone) => (StatusCode::UNAUTHORIZED, "gone".to_owned()),
                Err(error) => {
                    eprintln!("{action}: {error}");
                    (StatusCode::INTERNAL_SERVER_ERROR, NOTHING.to_owned())
                }
            };
            let mut response = Response::new(());
            *response.status_mut() = status;
            response.headers_mut().insert("x-found", HeaderValue::try_from(found)?);
            Ok::<_, BoxError>(response)
        }
    });
    let mut request = Request::new(());
    request.headers_mut().insert(header::COOKIE, HeaderValue::from_str(cookie)?);
    request.extensions_mut().insert(Principal::new(TenantId::new("acme")?));
    let response = layer.layer(service).oneshot(request).await?;
    let headers = response.headers();
    let outcome = response.extensions().get::<SessionOutcome>();
    let outcome = outcome.map_or_else(|| NOTHING.to_owned(), |outcome| format!("{outcome:?}"));
    let cookie = text(headers, header::SET_COOKIE.as_str())?;
    let cookie = cookie.split(';').next().unwrap_or(NOTHING);
    let found = text(headers, "x-found")?;
    Ok(format!("{},{outcome},{cookie},{found}", response.status().as_u16()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, BoxError> {
    if headers.get_all(name).iter().count() > 1 {
        return Err(format!("there is more than one {name}").into());
    }
    Ok(headers.get(name).map_or(Ok(NOTHING), |value| value.to_str())?)
}

async fn act(session: &Session, action: &str, latest: u64) -> Result<String, SessionError> {
    if action == "slow-write" && session.user().await?.is_none() {
        return Ok("nobody".to_owned());
    }
    if latest > 0 {
        sleep(Duration::from_micros(RandomState::new().hash_one(action) % latest)).await;
    }
    match action {
        "write-a" => session.set("a", &1)?,
        "write-b" => session.set("b", &1)?,
        "slow-write" | "write" => session.set("n", &2)?,
        "count" => return Ok(session.update("n", add_one).await?.to_string()),
        "take" => {
            let taken = session.take::<u64>("n").await?;
            return Ok(taken.map_or_else(|| NOTHING.to_owned(), |taken| taken.to_string()));
        }
        "rotate" => session.rotate()?,
        "login" => session.login(&user(session)?)?,
        "logout" => session.logout(),
        _ => return Err(SessionError::InvalidName),
    }
    Ok(NOTHING.to_owned())
}

fn add_one(number: Option<u64>) -> u64 {
    number.unwrap_or(0) + 1
}

/// A user for each visitor: named by the session that they come with.
fn user(session: &Session) -> Result<UserId, SessionError> {
    let id = session.id().ok_or(SessionError::Gone)?;
    UserId::new(id.to_string()).map_err(|_| SessionError::InvalidName)
}

fn say(line: &str) -> Result<(), BoxError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

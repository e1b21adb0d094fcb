//! The upstream is asked, for its client, for all who wait, and for the store; plumbing only.
//!
//! It is asked in a task of its own, so that a client who goes away takes nothing from the others.

use std::{
    future::{Future, pending, poll_fn, ready},
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, Request, Response, StatusCode, header, request::Parts};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tower_keep_cache::{Generations, Put, Stamp, Tag, Validity};
use tower_keep_core::{Answer, LateCost, RequestBody, ResponseBody, Seen, StoreError, WatchBody};
use tower_service::Service;
use tracing::Instrument as _;

use crate::{
    AiCacheOutcome, Flaw,
    batch::MAX_VECTORS,
    coding::Coding,
    embeddings::answer,
    entry::{ALL, Entry, Kept, tag},
    judge::{self, Judge},
    outcome::count_not_stored,
    provider::{Asked, Usage},
    question::{self, Question},
    reply,
    settings::Settings,
    turn::{Flown, Lead, Told},
    upstream::{AnswerBody, Upstream},
};

/// What the upstream is asked, and for whom.
pub(crate) struct Fetch<S> {
    pub(crate) settings: Arc<Settings>,
    /// Ready to be called once.
    pub(crate) service: S,
    pub(crate) parts: Parts,
    pub(crate) question: Arc<Question>,
    pub(crate) lead: Lead,
    /// The state of the tenant's purges before it is asked; without, its answer is not stored.
    pub(crate) generations: Option<Arc<Generations>>,
    pub(crate) outcome: AiCacheOutcome,
    /// What was paid for it already, in vain.
    pub(crate) paid: Usage,
}

/// Who waits for an answer.
pub(crate) type Client<R, E> = oneshot::Sender<Result<Response<ResponseBody<R>>, E>>;

/// Runs `work` in a task of its own, and waits for what it tells.
pub(crate) async fn detached<T, F>(work: impl FnOnce(oneshot::Sender<T>) -> F) -> T
where
    F: Future<Output = ()> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    let task = tokio::spawn(work(tell).in_current_span());
    if let Ok(told) = told.await {
        return told;
    }
    match task.await {
        // Whoever called it would have panicked.
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // The runtime ends, and everything with it.
        _ => pending().await,
    }
}

impl<S> Fetch<S> {
    /// Asks, and tells the client.
    pub(crate) async fn run<B, R>(self) -> Result<Response<ResponseBody<R>>, S::Error>
    where
        S: Upstream<B, R>,
        B: Send + 'static,
        R: AnswerBody,
    {
        detached(|client| self.carry_out(client)).await
    }

    /// The same, in this task.
    pub(crate) async fn carry_out<B, R>(mut self, mut client: Client<R, S::Error>)
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>>,
        R: AnswerBody,
    {
        let body = self.question.body.clone();
        match self.ask(&body, &mut client).await {
            None => {}
            Some(Ok(response)) => self.deliver(response, client).await,
            Some(Err(error)) => self.fail(error, client),
        }
    }

    /// Asks for this; `None` if nobody has waited for the answer for some time.
    pub(crate) async fn ask<B, R>(
        &mut self,
        body: &Bytes,
        client: &mut Client<R, S::Error>,
    ) -> Option<Result<Response<R>, S::Error>>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    {
        let mut parts = self.parts.clone();
        question::prepare(&mut parts, body, true);
        let request = Request::from_parts(parts, RequestBody::bytes(body.clone()));
        let Self { settings, service, lead, .. } = self;
        let nobody = async {
            client.closed().await;
            loop {
                sleep(settings.linger).await;
                if !lead.has_followers() {
                    break;
                }
            }
        };
        match select(pin!(service.call(request)), pin!(nobody)).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        }
    }

    /// Makes the upstream ready to be asked once more.
    pub(crate) async fn ready<B>(&mut self) -> Result<(), S::Error>
    where
        S: Service<Request<B>>,
    {
        poll_fn(|cx| self.service.poll_ready(cx)).await
    }

    /// There is no answer. The error is the client's; of those who wait the next one asks.
    pub(crate) fn fail<R, E>(mut self, error: E, client: Client<R, E>) {
        self.lead.close();
        let cost = LateCost::of(&self.parts.extensions);
        if let Some(cost) = cost.filter(|_| self.paid.total() > 0) {
            judge::settle(cost, self.paid);
        }
        let _gone = client.send(Err(error));
    }

    /// What the answer is to be judged by when the tenant is flushed.
    pub(crate) fn since(&self) -> (Stamp, Tag) {
        let stamp = match &self.generations {
            Some(generations) => generations.stamp(),
            None => self.settings.cache.known(self.question.name.tenant()).stamp(),
        };
        (stamp, tag(&self.question.model))
    }

    /// Hands the answer out, and stores it if it turns out to be whole.
    pub(crate) async fn deliver<R, E>(self, response: Response<R>, client: Client<R, E>)
    where
        R: AnswerBody,
    {
        let since = self.since();
        let Self { settings, question, lead, generations, outcome, parts, paid, .. } = self;
        let (head, body) = response.into_parts();
        let most = if question.texts.is_some() { MAX_VECTORS } else { settings.max_response };
        let is_long = body.size_hint().lower() > most as u64;
        let (own, mut recording) = ResponseBody::recorded(body, most);
        recording.within(&settings.in_flight);
        let mut cost = LateCost::of(&parts.extensions).cloned();
        if let Some(cost) = cost.take_if(|_| !head.status.is_success()) {
            // Nobody pays for an error.
            judge::settle(&cost, paid);
        }
        let coding = Coding::of(&head.headers);
        let seen = shape(&question.asked, head.status, &head.headers);
        let told = Arc::new(reply::told(head.status, &head.headers, since));
        let live = Flown::Live(Arc::clone(&told), recording.follow());
        let across_keys = question.across_keys;
        let is_paid = cost.is_some();
        let judge = Judge::new(question.asked, coding, most, cost).after(paid);
        let keeping = generations.map(|generations| Keeping {
            settings: Arc::clone(&settings),
            question,
            generations,
            status: head.status,
            headers: told.headers.clone(),
        });
        let unpacked = (coding == Coding::Gzip).then(|| Arc::clone(&told));
        let mut watch = Watch { judge, lead, keeping, putting: None, unpacked };
        match seen {
            Ok(()) if is_long => {
                watch.lead.land(Flown::Unshared);
                watch.refuse(Flaw::TooLarge);
            }
            // Not all who wait may read it as it comes: they are told when it is unpacked.
            Ok(()) if coding != Coding::Plain => {}
            Ok(()) => watch.lead.share(live),
            Err(flaw) => {
                // An error is for those who wait, unless it is about its own client.
                let shared = coding == Coding::Plain && is_for_all(flaw, head.status, across_keys);
                watch.lead.land(if shared { live } else { Flown::Unshared });
                watch.refuse(flaw);
            }
        }
        let watch = Arc::new(Mutex::new(watch));
        let watching = Arc::clone(&watch);
        recording.watch(move |seen| lock(&watching).see(seen));
        // What the recording leaves to the client is to be paid as well.
        let own = if is_paid {
            own.and_watch(After { watch: Arc::clone(&watch), passed: AtomicU64::new(0) })
        } else {
            own
        };
        let answer = Response::from_parts(head, own);
        let _gone = client.send(Ok(reply::passed(answer, outcome)));
        // What it is by then was seen.
        let _over = timeout(settings.fill_timeout, recording.run()).await;
        let (putting, lead) = lock(&watch).end();
        let stored = match putting {
            Some(putting) => putting.await,
            None => false,
        };
        if let (true, Some(lease)) = (stored, lead.lease) {
            lease.used();
        }
        // From here on who wants it finds it stored.
        drop(lead.leader);
    }
}

/// Whether those who wait may be told what is not stored: not all of them have the credentials that
/// were refused, or, `across_keys`, the limits and models of those.
fn is_for_all(flaw: Flaw, status: StatusCode, across_keys: bool) -> bool {
    let own = match status {
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => true,
        StatusCode::NOT_FOUND | StatusCode::TOO_MANY_REQUESTS => across_keys,
        _ => false,
    };
    flaw != Flaw::NoStore && !status.is_redirection() && !own
}

/// Whether an answer with this head may be one to store.
pub(crate) fn shape(asked: &Asked, status: StatusCode, headers: &HeaderMap) -> Result<(), Flaw> {
    // What comes later, or is a part, is no whole answer.
    if !status.is_success() || matches!(status.as_u16(), 202 | 204..=206) {
        return Err(Flaw::Status);
    }
    if Coding::of(headers) == Coding::Other {
        return Err(Flaw::Encoded);
    }
    if !asked.is_shape_of(headers) {
        return Err(Flaw::Shape);
    }
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    let forbids = |directive: &[u8]| directive.trim_ascii().eq_ignore_ascii_case(b"no-store");
    if lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).any(forbids) {
        return Err(Flaw::NoStore);
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer on its way to the store.
struct Keeping {
    settings: Arc<Settings>,
    question: Arc<Question>,
    generations: Arc<Generations>,
    status: StatusCode,
    headers: HeaderMap,
}

/// What is written, and whether it is kept in the end.
type Putting = std::pin::Pin<Box<dyn Future<Output = bool> + Send>>;

impl Keeping {
    /// Stores it. That is begun at once: who reads the answer to its end finds it stored.
    fn put(self, body: Bytes, usage: Usage) -> Result<Putting, Flaw> {
        let Self { settings, question, generations, status, headers } = self;
        let known = settings.cache.known(question.name.tenant());
        if known.judge(generations.stamp(), [*ALL, tag(&question.model)]) == Validity::Gone {
            // What was asked for since is not to be replaced by what was asked for before.
            return Ok(Box::pin(ready(false)));
        }
        let about = settings.about(&question, &generations, usage);
        let Some(texts) = &question.texts else {
            let kept = Kept::Answer { status, headers };
            let entry = Arc::new(Entry { kept, body, about });
            let put = settings.cache.put(&question.name, entry, lifetime(&about));
            return Ok(Box::pin(async move {
                let done = kept_by(put).await;
                if done == Some(Put::TooLarge) {
                    count_not_stored(Flaw::TooLarge);
                }
                done == Some(Put::Stored)
            }));
        };
        let places = &texts.batch.places;
        let answer = answer::Answer::read(&body, places.len())?;
        let vectors = answer.vectors(&texts.lengths(places)).into_iter();
        let entries = places.iter().zip(vectors).filter_map(|(place, vector)| {
            let name = texts.names.get(*place)?.clone();
            Some((name, Arc::new(Entry::vector(vector, about)), lifetime(&about)))
        });
        let put = settings.cache.put_many(entries.collect());
        Ok(Box::pin(async move { kept_by(put).await.is_some() }))
    }
}

pub(crate) fn lifetime(about: &crate::entry::About) -> std::time::Duration {
    std::time::Duration::from_millis(about.until.0.saturating_sub(about.made.0))
}

/// What came of storing. That the store fails is told by the connection.
async fn kept_by<T>(put: Answer<Result<T, StoreError>>) -> Option<T> {
    put.await.ok()
}

/// Sees an answer before its client does.
struct Watch {
    judge: Judge,
    lead: Lead,
    /// `None` if it is not to be stored, or is.
    keeping: Option<Keeping>,
    putting: Option<Putting>,
    /// Whom those who wait are told in the end, if it comes compressed.
    unpacked: Option<Arc<Told>>,
}

/// Sees what its client reads by itself when the recording has ended before the answer has.
struct After {
    watch: Arc<Mutex<Watch>>,
    passed: AtomicU64,
}

impl WatchBody for After {
    fn data(&self, data: &Bytes) {
        let length = data.len() as u64;
        let passed = self.passed.fetch_add(length, Ordering::Relaxed).saturating_add(length);
        let mut watch = lock(&self.watch);
        let fresh = passed.saturating_sub(watch.judge.seen()).min(length);
        if let Ok(fresh) = usize::try_from(fresh)
            && fresh > 0
        {
            watch.judge.see(&data.slice(data.len() - fresh..), false);
        }
    }

    fn end(&self) {
        lock(&self.watch).judge.see(&Bytes::new(), true);
    }
}

impl Watch {
    fn see(&mut self, seen: Seen<'_>) {
        let flaw = match seen {
            Seen::Data(data) => {
                self.judge.see(data, false);
                self.judge.flaw()
            }
            Seen::Last(data) => {
                self.judge.see(data, true);
                self.keep()
            }
            Seen::Trailers => Some(Flaw::Trailers),
            Seen::BrokenOff => Some(Flaw::Truncated),
        };
        if let Some(flaw) = flaw {
            self.refuse(flaw);
        }
        // Whoever comes when this is over, and is not stored, has better luck with another.
        if flaw.is_some() || (matches!(seen, Seen::Last(_)) && self.putting.is_none()) {
            self.lead.close();
        }
    }

    fn keep(&mut self) -> Option<Flaw> {
        let kept = self.judge.whole().and_then(|(body, usage)| {
            if let Some(told) = self.unpacked.take() {
                self.lead.share(Flown::Here(told, body.clone()));
            }
            self.putting =
                self.keeping.take().map(|keeping| keeping.put(body, usage)).transpose()?;
            Ok(())
        });
        kept.err()
    }

    fn refuse(&mut self, flaw: Flaw) {
        if self.keeping.take().is_some() {
            count_not_stored(flaw);
        }
        // Another process need not wait for what will not be there.
        self.lead.lease = None;
    }

    /// No more will come.
    fn end(&mut self) -> (Option<Putting>, Lead) {
        (self.putting.take(), std::mem::take(&mut self.lead))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::provider::Api;

    #[test]
    fn a_head_says_whether_an_answer_may_be_stored() {
        let json = ("content-type", "application/json");
        let events = ("content-type", "text/event-stream; charset=utf-8");
        for (stream, status, fields, expected) in [
            (false, 200, &[json][..], Ok(())),
            (true, 200, &[events], Ok(())),
            (false, 201, &[json], Ok(())),
            (false, 202, &[json], Err(Flaw::Status)),
            (false, 206, &[json], Err(Flaw::Status)),
            (false, 304, &[json], Err(Flaw::Status)),
            (false, 429, &[json], Err(Flaw::Status)),
            (false, 500, &[json], Err(Flaw::Status)),
            (true, 200, &[json], Err(Flaw::Shape)),
            (false, 200, &[events], Err(Flaw::Shape)),
            (false, 200, &[], Err(Flaw::Shape)),
            (false, 200, &[json, ("content-encoding", "br")], Err(Flaw::Encoded)),
            (false, 200, &[json, ("content-encoding", "gzip")], Ok(())),
            (false, 200, &[json, ("content-encoding", "identity")], Ok(())),
            (false, 200, &[json, ("cache-control", "private, No-Store")], Err(Flaw::NoStore)),
            (false, 200, &[json, ("cache-control", "no-cache")], Ok(())),
        ] {
            let fields = fields.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let asked = Asked { api: Api::OpenAiChat, parts: 1, stream, take_cut: false };
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(shape(&asked, status, &fields.collect()), expected, "{status}");
        }
    }
}

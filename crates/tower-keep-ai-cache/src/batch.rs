//! The story of a request for embeddings: each vector is stored by itself, and the upstream is asked
//! only for those that are not; plumbing only.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use tower_keep_cache::{Found, Generations};
use tower_keep_core::{LateCost, Recorded, RequestBody, ResponseBody, time::UnixMillis};
use tower_service::Service;

use crate::{
    AiCacheOutcome, AiCacheStatus, BypassReason,
    coding::Coding,
    embeddings::{
        answer::{Answer, Vector},
        merge::merge,
    },
    entry::{self, Entry},
    fetch::{Client, Fetch, detached, lifetime, shape},
    judge,
    provider::{Asked, Usage, spent},
    question::{Question, Texts},
    reply,
    settings::Settings,
    story::{Story, Told},
    turn::{self, Flown, Lead, Share},
    upstream::{AnswerBody, Upstream},
};

/// The longest answer that is read to be put together with what is stored: vectors are long.
pub(crate) const MAX_VECTORS: usize = 64 << 20;

/// Fields of an answer that are about its body as it came.
const OF_THE_BODY: [header::HeaderName; 7] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::ETAG,
    header::HeaderName::from_static("content-digest"),
    header::HeaderName::from_static("repr-digest"),
    header::HeaderName::from_static("digest"),
    header::HeaderName::from_static("content-md5"),
];

/// What is known of a batch.
type Known = Vec<Option<Vector>>;

/// An answer put together from what is stored and what was asked for.
struct Merged {
    body: Bytes,
    /// What the upstream counted.
    paid: Usage,
    headers: http::HeaderMap,
}

impl<S> Story<S> {
    /// Answers from the vectors that are stored, and asks for the others.
    pub(crate) async fn embed<B, R>(self, question: Arc<Question>) -> Told<R, S::Error>
    where
        S: Upstream<B, R>,
        B: Send + 'static,
        R: AnswerBody,
    {
        let mut lead = Lead::default();
        if question.plan.read {
            let shared = {
                let (settings, question) = (&*self.settings, &question);
                let look = || {
                    let known = settings.near(question);
                    known.iter().all(Option::is_some).then_some(known)
                };
                turn::share(settings, &question.name, look).await
            };
            let answer = match shared {
                Share::Here(known) => self.whole(&question, &known),
                Share::Flown(flown) => self.flown(&question, flown),
                Share::Lead { leader, .. } => {
                    lead.leader = Some(leader);
                    None
                }
                Share::Alone => None,
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        let Some((known, generations)) = self.settings.known(&question).await else {
            let outcome = AiCacheOutcome::bypass(BypassReason::Store);
            return self.fetch(question, lead, None, outcome).run().await;
        };
        if let Some(answer) = self.whole(&question, &known) {
            lead.land(Flown::Unshared);
            return Ok(answer);
        }
        let some = known.iter().any(Option::is_some) && known.iter().any(Option::is_none);
        let status = match (question.plan.read, some) {
            (false, _) => AiCacheStatus::Refresh,
            (true, true) => AiCacheStatus::Partial,
            (true, false) => AiCacheStatus::Miss,
        };
        let fetch = self.fetch(question, lead, Some(generations), AiCacheOutcome::new(status));
        if some {
            detached(|client| fetch.complete(known, client)).await
        } else {
            fetch.run().await
        }
    }

    /// The answer, if all of it is known.
    fn whole<R>(&self, question: &Question, known: &Known) -> Option<Response<ResponseBody<R>>> {
        let texts = question.texts.as_ref()?;
        let body = merge(&texts.batch.places, known, None)?;
        self.costs_nothing();
        let saved = saved(texts, known);
        let (headers, age) = (http::HeaderMap::new(), age(known, self.settings.now()));
        Some(reply::assembled(headers, body, AiCacheStatus::Hit, saved, age))
    }
}

impl Settings {
    /// What is here without asking the store.
    fn near(&self, question: &Question) -> Known {
        let names = question.texts.iter().flat_map(|texts| &texts.names);
        names.map(|name| self.vector(question, self.cache.peek(name)?)).collect()
    }

    /// What is stored, by one round trip; `None` if the store does not answer. A request that wants
    /// new ones is told of none.
    async fn known(&self, question: &Question) -> Option<(Known, Arc<Generations>)> {
        let cache = &self.cache;
        let names = question.texts.as_ref().map_or(&[][..], |texts| &texts.names);
        if !question.plan.read {
            let generations = cache.generations(question.name.tenant()).await.ok()?;
            return Some((vec![None; names.len()], generations));
        }
        let found = cache.get_many(names).await.ok()?;
        let generations = Arc::clone(&found.first()?.generations);
        Some((found.into_iter().map(|found| self.vector(question, found)).collect(), generations))
    }

    fn vector(&self, question: &Question, found: Found<Entry>) -> Option<Vector> {
        self.usable(question, found)?.as_vector()
    }
}

/// The tokens that known vectors would have cost.
fn saved(texts: &Texts, known: &Known) -> u64 {
    let places = texts.batch.places.iter();
    let vectors = places.filter_map(|place| known.get(*place)?.as_ref());
    vectors.fold(0, |sum: u64, vector| sum.saturating_add(vector.tokens))
}

/// How old the oldest of stored vectors is, and for how long all are still good, in seconds.
fn age(known: &Known, now: UnixMillis) -> Option<(u64, i64)> {
    let lives = || known.iter().flatten().filter_map(|vector| vector.life);
    let made = lives().map(|(made, _)| made).min()?;
    let until = lives().map(|(_, until)| until).min()?;
    Some((entry::age(made, now), entry::ttl(until, now)))
}

impl<S> Fetch<S> {
    /// Asks for what is not known.
    async fn complete<B, R>(mut self, known: Known, mut client: Client<R, S::Error>)
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>>,
        R: AnswerBody,
    {
        let question = Arc::clone(&self.question);
        let missing = known.iter().enumerate().filter(|(_, vector)| vector.is_none());
        let wanted: Vec<usize> = missing.map(|(place, _)| place).collect();
        let request = question.texts.as_ref().and_then(|texts| texts.request(&wanted));
        if let Some(request) = request {
            let response = match self.ask(&request, &mut client).await {
                None => return,
                Some(Err(error)) => return self.fail(error, client),
                Some(Ok(response)) => response,
            };
            if !response.status().is_success() {
                // Why there are no vectors, the client is told as it is.
                self.outcome = AiCacheOutcome::new(AiCacheStatus::Miss);
                return self.deliver(response, client).await;
            }
            // What is no whole answer for those that were asked for is no part of one for all.
            let asked = Asked { parts: wanted.len(), ..question.asked };
            if shape(&asked, response.status(), response.headers()).is_ok() {
                let (settings, generations) = (&self.settings, self.generations.as_ref());
                let merged = complete(settings, &question, generations, &known, &wanted, response);
                match merged.await {
                    Ok(merged) => return self.tell(&known, merged, client),
                    Err(paid) => self.paid = paid,
                }
            }
            // It does not go together with what is known.
            if client.is_closed() && !self.lead.has_followers() {
                return;
            }
            if let Err(error) = self.ready().await {
                return self.fail(error, client);
            }
        }
        self.outcome = AiCacheOutcome::new(AiCacheStatus::Miss);
        self.carry_out(client).await;
    }

    fn tell<R, E>(mut self, known: &Known, merged: Merged, client: Client<R, E>) {
        let Merged { body, paid, headers } = merged;
        if let Some(cost) = LateCost::of(&self.parts.extensions) {
            judge::settle(cost, paid);
        }
        let mut told = reply::told(http::StatusCode::OK, &headers, self.since());
        told.oldest = known.iter().flatten().filter_map(|vector| Some(vector.life?.0)).min();
        let told = Arc::new(told);
        self.lead.land(Flown::Here(told, body.clone()));
        let saved = self.question.texts.as_ref().map_or(0, |texts| saved(texts, known));
        let answer = reply::assembled(headers, body, AiCacheStatus::Partial, saved, None);
        let _gone = client.send(Ok(answer));
    }
}

/// Stores what has come, and puts it together with what is known. If that does not work out, what
/// was paid for it.
async fn complete<R>(
    settings: &Settings,
    question: &Question,
    generations: Option<&Arc<Generations>>,
    known: &Known,
    wanted: &[usize],
    response: Response<R>,
) -> Result<Merged, Usage>
where
    R: AnswerBody,
{
    let (head, body) = response.into_parts();
    let (_, mut recording) = ResponseBody::recorded(body, MAX_VECTORS);
    recording.within(&settings.in_flight);
    let recorded = tokio::time::timeout(settings.fill_timeout, recording.run()).await;
    let Ok(Recorded::Whole(body)) = recorded else { return Err(Usage::default()) };
    let body = Coding::of(&head.headers).read(body, MAX_VECTORS);
    let body = body.map_err(|_| Usage::default())?;
    let merged = put_together(settings, question, generations, known, wanted, &body);
    let (body, paid) = merged.ok_or_else(|| spent::told(&body).unwrap_or_default())?;
    let mut headers = head.headers;
    for of_its_body in OF_THE_BODY {
        headers.remove(of_its_body);
    }
    headers.remove(header::TRANSFER_ENCODING);
    Ok(Merged { body, paid, headers })
}

/// Stores what an answer says, and puts it together with what is known; with it, what it cost.
fn put_together(
    settings: &Settings,
    question: &Question,
    generations: Option<&Arc<Generations>>,
    known: &Known,
    wanted: &[usize],
    body: &[u8],
) -> Option<(Bytes, Usage)> {
    let texts = question.texts.as_ref()?;
    let answer = Answer::read(body, wanted.len()).ok()?;
    let mut all = known.clone();
    let about =
        generations.map(|generations| settings.about(question, generations, answer.usage()));
    let mut entries = Vec::with_capacity(wanted.len());
    for (place, vector) in wanted.iter().zip(answer.vectors(&texts.lengths(wanted))) {
        if let (Some(about), Some(name)) = (about, texts.names.get(*place)) {
            let entry = Arc::new(Entry::vector(vector.clone(), about));
            entries.push((name.clone(), entry, lifetime(&about)));
        }
        *all.get_mut(*place)? = Some(vector);
    }
    let body = merge(&texts.batch.places, &all, Some(&answer))?;
    // Is seen through although nobody waits for it.
    drop(settings.cache.put_many(entries));
    Some((body, answer.usage()))
}

//! The story of a request that is understood; plumbing only.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower_keep_cache::{Cache, Found, Generations, Lease, Name};
use tower_keep_core::{
    LateCost, Observation, RequestBody, ResponseBody, StoreError, time::UnixMillis,
};
use tower_service::Service;

use crate::{
    AiCacheOutcome, AiCacheStatus, Api, BypassReason, TtlClass,
    entry::Entry,
    fetch::Fetch,
    intake::{self, Intake},
    judge,
    provider::Usage,
    question::{self, Question, Refused},
    reply,
    settings::Settings,
    turn::{self, Flown, Lead, Leased, Share},
    upstream::{AnswerBody, Upstream},
};

/// A request and all that is needed to answer it.
pub(crate) struct Story<S> {
    pub(crate) settings: Arc<Settings>,
    /// Ready to be called once.
    pub(crate) service: S,
    pub(crate) parts: Parts,
}

/// What a story ends with.
pub(crate) type Told<R, E> = Result<Response<ResponseBody<R>>, E>;

impl<S> Story<S> {
    /// Answers a request of this API, and counts what became of it.
    pub(crate) async fn run<B, R>(
        self,
        body: B,
        kind: (Api, TtlClass),
        observation: Observation<AiCacheStatus>,
    ) -> Told<R, S::Error>
    where
        S: Upstream<B, R>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
        R: AnswerBody,
    {
        let answer = self.answer(body, kind).await?;
        let outcome = answer.extensions().get::<AiCacheOutcome>();
        observation.finish(outcome.map_or(AiCacheStatus::Bypass, |outcome| outcome.status));
        Ok(answer)
    }

    async fn answer<B, R>(mut self, body: B, kind: (Api, TtlClass)) -> Told<R, S::Error>
    where
        S: Upstream<B, R>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
        R: AnswerBody,
    {
        let text = match intake::read(body, self.settings.max_request).await {
            Intake::Whole(text) => text,
            Intake::Broken => return Ok(reply::broken()),
            Intake::TooLarge(body) => {
                let cost = LateCost::of(&self.parts.extensions).cloned();
                let answer = self.service.call(Request::from_parts(self.parts, body)).await?;
                let answer = judge::metered(answer, kind.0, self.settings.max_response, cost);
                let outcome = AiCacheOutcome::bypass(BypassReason::TooLarge);
                return Ok(reply::passed(answer, outcome));
            }
        };
        let whose = self.settings.sharing.of(&self.parts).await;
        match question::study(&self.settings, kind, &self.parts, &text, whose) {
            Err(refused) => self.bypass(kind.0, refused).await,
            Ok(question) if question.texts.is_some() => self.embed(Arc::new(question)).await,
            Ok(question) => self.look(Arc::new(question)).await,
        }
    }

    /// Lets the request pass. What it costs is told all the same.
    async fn bypass<B, R>(mut self, api: Api, refused: Refused) -> Told<R, S::Error>
    where
        S: Service<Request<RequestBody<B>>, Response = Response<R>>,
        R: AnswerBody,
    {
        let Refused { reason, body, asked } = refused;
        let cost = LateCost::of(&self.parts.extensions).cloned();
        if asked.is_some() {
            question::prepare(&mut self.parts, &body, cost.is_some());
        }
        let request = Request::from_parts(self.parts, RequestBody::bytes(body));
        let answer = self.service.call(request).await?;
        let answer = judge::metered(answer, api, self.settings.max_response, cost);
        Ok(reply::passed(answer, AiCacheOutcome::bypass(reason)))
    }

    /// Answers from what is stored or on its way, else asks.
    async fn look<B, R>(self, question: Arc<Question>) -> Told<R, S::Error>
    where
        S: Upstream<B, R>,
        B: Send + 'static,
        R: AnswerBody,
    {
        if !question.plan.read {
            // It shares with nobody: what others wait for may be older than it wants.
            return self.refresh(question).await;
        }
        let shared = {
            let (settings, question) = (&*self.settings, &question);
            let look = || settings.usable(question, settings.cache.peek(&question.name)?);
            turn::share(settings, &question.name, look).await
        };
        let (leader, after_a_flush) = match shared {
            Share::Here(entry) => match self.stored(&entry) {
                Some(answer) => return Ok(answer),
                None => (None, false),
            },
            Share::Flown(flown) => match self.flown(&question, flown) {
                Some(answer) => return Ok(answer),
                None => (None, false),
            },
            Share::Lead { leader, after_a_flush } => (Some(leader), after_a_flush),
            Share::Alone => (None, false),
        };
        self.lead(question, Lead { leader, lease: None, after_a_flush }).await
    }

    /// Looks it up for all who want the same, and asks if it is not there.
    async fn lead<B, R>(self, question: Arc<Question>, mut lead: Lead) -> Told<R, S::Error>
    where
        S: Upstream<B, R>,
        B: Send + 'static,
        R: AnswerBody,
    {
        let (cache, name) = (&self.settings.cache, &question.name);
        let mut found = made_room(cache, name, cache.get(name).await).await;
        if let Ok(Found { lease: Lease::Theirs, .. }) = found
            && lead.leader.is_some()
            && !lead.after_a_flush
        {
            found = cache.wait(name, self.settings.patience).await;
            found = made_room(cache, name, found).await;
        }
        let Ok(found) = found else {
            let outcome = AiCacheOutcome::bypass(BypassReason::Store);
            return self.fetch(question, lead, None, outcome).run().await;
        };
        let generations = Arc::clone(&found.generations);
        if let (Lease::Ours(token), Some(lasting)) = (&found.lease, cache.lease()) {
            lead.lease = Some(Leased::new(cache, name, *token, lasting));
        }
        let is_old = is_valid(&found);
        if let Some(entry) = self.settings.usable(&question, found)
            && let Some(answer) = self.stored(&entry)
        {
            lead.land(Flown::Kept(entry, generations));
            return Ok(answer);
        }
        // It is there, and older than the request takes.
        let refresh = is_old && question.plan.oldest.is_some();
        let status = if refresh { AiCacheStatus::Refresh } else { AiCacheStatus::Miss };
        let outcome = AiCacheOutcome::new(status);
        self.fetch(question, lead, Some(generations), outcome).run().await
    }

    /// Asks although something may be stored.
    async fn refresh<B, R>(self, question: Arc<Question>) -> Told<R, S::Error>
    where
        S: Upstream<B, R>,
        B: Send + 'static,
        R: AnswerBody,
    {
        let generations = self.settings.cache.generations(question.name.tenant()).await.ok();
        let outcome = AiCacheOutcome::new(AiCacheStatus::Refresh);
        self.fetch(question, Lead::default(), generations, outcome).run().await
    }

    pub(crate) fn fetch(
        self,
        question: Arc<Question>,
        lead: Lead,
        generations: Option<Arc<Generations>>,
        outcome: AiCacheOutcome,
    ) -> Fetch<S> {
        let Self { settings, service, parts } = self;
        let paid = Usage::default();
        Fetch { settings, service, parts, question, lead, generations, outcome, paid }
    }

    /// Answers with what is stored.
    fn stored<R>(&self, entry: &Entry) -> Option<Response<ResponseBody<R>>> {
        let answer = reply::stored(entry, self.settings.now(), self.settings.cut_events)?;
        self.costs_nothing();
        Some(answer)
    }

    /// Answers with what another has brought, if it may.
    pub(crate) fn flown<R>(
        &self,
        question: &Question,
        flown: Flown,
    ) -> Option<Response<ResponseBody<R>>> {
        let answer = match flown {
            Flown::Unshared => return None,
            Flown::Kept(entry, generations) => {
                let found = Found { value: Some(entry), generations, lease: Lease::None };
                return self.stored(&*self.settings.usable(question, found)?);
            }
            Flown::Here(told, _) if !self.settings.is_new(question, told.oldest) => return None,
            Flown::Live(told, follow) => reply::shared(&told, ResponseBody::follow(&follow)),
            Flown::Here(told, body) => reply::shared(&told, ResponseBody::bytes(body)),
        };
        self.costs_nothing();
        Some(answer)
    }

    /// The upstream is not asked for this request.
    pub(crate) fn costs_nothing(&self) {
        if let Some(cost) = LateCost::of(&self.parts.extensions) {
            judge::settle(cost, Usage::default());
        }
    }
}

/// What was found, if it is of use; else with the right to make it anew, if there is one to be had:
/// what was flushed makes room.
async fn made_room(
    cache: &Cache<Entry>,
    name: &Name,
    found: Result<Found<Entry>, StoreError>,
) -> Result<Found<Entry>, StoreError> {
    match found {
        Ok(found) if !is_valid(&found) => Ok(cache.claim(name, found).await),
        found => found,
    }
}

fn is_valid(found: &Found<Entry>) -> bool {
    found.value.as_ref().is_some_and(|entry| entry.is_valid(&found.generations))
}

impl Settings {
    /// What may be used of what was found.
    pub(crate) fn usable(&self, question: &Question, found: Found<Entry>) -> Option<Arc<Entry>> {
        let entry = found.value.filter(|entry| entry.is_valid(&found.generations))?;
        self.is_new(question, Some(entry.about.made)).then_some(entry)
    }

    /// Whether what was made then is new enough.
    fn is_new(&self, question: &Question, made: Option<UnixMillis>) -> bool {
        let (Some(oldest), Some(made)) = (question.plan.oldest, made) else { return true };
        u128::from(self.now().0.saturating_sub(made.0)) <= oldest.as_millis()
    }
}

//! How far a request comes without the service: with what is stored, or with what another request
//! fetches; plumbing only.

use std::sync::Arc;

use http::{Method, Response, request::Parts};
use tower_keep_cache::{Found, Generations, Landed, Leader, Lease, Name, Turn, Validity};
use tower_keep_core::{Follow, ResponseBody};

use crate::{
    fill::{FillGuard, Flown},
    look::{Look, Old, Served},
    outcome::ResponseCacheOutcome as Outcome,
    page::Page,
    policy::{
        head,
        reuse::{self, Verdict},
        status::{CacheStatus, Forward},
    },
    reply,
    stored::Stored,
    story::{Come, Errand, View, has_conditions},
};

/// How often a request waits for others that then go away.
const TRIES: usize = 3;

/// What there is of a target, and what that is to the request.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) found: Found<Page>,
    pub(crate) look: Look,
}

impl View {
    /// Comes as far as what is stored, or what others bring, goes; `None` if the store does not
    /// answer. `near` is what this process knows.
    pub(crate) async fn come<R>(&self, name: Name, near: Option<Known>) -> Option<Come<R>> {
        let near = match near {
            Some(Known { found, look }) => Some(self.with_apart(found, look).await),
            None => None,
        };
        let cache = &self.settings.cache;
        let shares = self.shares(&name);
        let mut known = None;
        let is_enough = |near: &Known| cache.is_memory() || matches!(near.look, Look::Serve(_));
        if near.as_ref().is_some_and(is_enough) {
            known.clone_from(&near);
        } else if !(shares && cache.takes_leases()) {
            known = Some(self.look_up(&name, near.as_ref()).await?);
        }
        // Where processes take turns, only one request of each asks for its turn: the others wait
        // for that one, and not for a lease that their own process has.
        let waits = |known: &Known| !matches!(known.look, Look::Serve(_));
        if shares && known.as_ref().is_none_or(waits) {
            for _ in 0..TRIES {
                match self.settings.flights.join(name.as_bytes()) {
                    Turn::Alone => break,
                    Turn::Lead(leader) => {
                        return self.lead(name, leader, known, near.as_ref()).await;
                    }
                    Turn::Follow(follower) => match follower.wait(self.settings.patience).await {
                        Landed::Value(flown) => {
                            let seen = known.as_ref().or(near.as_ref());
                            let why = seen.map_or(Forward::UriMiss, |it| it.look.forward());
                            match self.brought(&name, flown, why).await {
                                Ok(come) => return Some(come),
                                Err(newer) => known = newer.or(known),
                            }
                            break;
                        }
                        Landed::TimedOut => break,
                        Landed::Abandoned => {}
                    },
                }
            }
        }
        let known = match known {
            Some(known) => known,
            None => self.look_up(&name, near.as_ref()).await?,
        };
        Some(self.settle(name, known, None, None))
    }

    /// Has become the one who fetches for this process, unless it is there by now.
    async fn lead<R>(
        &self,
        name: Name,
        leader: Leader<Flown>,
        known: Option<Known>,
        near: Option<&Known>,
    ) -> Option<Come<R>> {
        // Somebody may have landed since this was looked at.
        let mut known = match (self.newer(&name, known.as_ref().or(near)).await, known) {
            (Some(known), _) | (None, Some(known)) => known,
            (None, None) => self.look_up(&name, near).await?,
        };
        if let (Look::Ask(None, _), Lease::Taken(_)) = (&known.look, &known.found.lease) {
            known = self.claimed(&name, known).await;
        }
        let mut waited = None;
        if known.found.lease == Lease::Theirs && !matches!(known.look, Look::Serve(_)) {
            waited = Some(known.look.forward());
            if let Ok(found) = self.settings.cache.wait(&name, self.settings.patience).await {
                known = self.looked_through(found).await;
            }
        }
        Some(self.settle(name, known, Some(leader), waited))
    }

    /// Asks for the right to fetch anew what was purged altogether.
    async fn claimed(&self, name: &Name, known: Known) -> Known {
        let Known { found, look } = known;
        let gone = |page: &Arc<Page>| page.is_gone(&found.generations);
        if !found.value.as_ref().is_none_or(gone) {
            return Known { found, look };
        }
        Known { found: self.settings.cache.claim(name, found).await, look }
    }

    /// Answers with what is there, or goes to fetch it. `waited` is why, if another request has
    /// fetched it meanwhile.
    fn settle<R>(
        &self,
        name: Name,
        Known { found, look }: Known,
        leader: Option<Leader<Flown>>,
        waited: Option<Forward>,
    ) -> Come<R> {
        let (old, forward) = match look {
            Look::Serve(served) => {
                if let (Some(leader), Some(page)) = (leader, &found.value) {
                    leader.land(Flown::Found(Arc::clone(page)));
                }
                // What is to be refreshed is led anew.
                return self.served(&name, &served, &found, waited);
            }
            Look::Ask(old, why) => (old, why),
            Look::Apart(_) => (None, Forward::VaryMiss),
        };
        // If nobody fetches it, the lease is given back.
        let guard = self.guard(&name, leader, &found);
        if self.lookup.directives.only_if_cached {
            return Come::Answered(reply::not_stored(&self.parts.method), Outcome::NotStored);
        }
        Come::Fetch(Box::new(Errand { name, found, old, forward, guard }))
    }

    /// What another request has brought, unless it is not for this one: then what there is by now.
    async fn brought<R>(
        &self,
        name: &Name,
        flown: Flown,
        why: Forward,
    ) -> Result<Come<R>, Option<Known>> {
        // What was purged while it was fetched is not for those who came later.
        let generations = self.generations(name).await;
        let (page, collapsed) = match flown {
            Flown::Found(page) => (page, None),
            Flown::Fetched(page) => (page, Some(why)),
            Flown::Live(stored, follow) => {
                let answer = self.follow(&stored, &follow, &generations, why);
                let answered = answer.map(|it| Come::Answered(it, Outcome::Collapsed));
                return answered.ok_or(None);
            }
            Flown::NotShared => return Err(None),
        };
        let found = Found { value: Some(page), generations, lease: Lease::None };
        let known = self.looked_through(found).await;
        match &known.look {
            Look::Serve(served) => Ok(self.served(name, served, &known.found, collapsed)),
            _ => Err(Some(known)),
        }
    }

    /// The state of the tenant's purges, as it is by now.
    async fn generations(&self, name: &Name) -> Arc<Generations> {
        let cache = &self.settings.cache;
        match cache.generations(name.tenant()).await {
            Ok(generations) => generations,
            Err(_) => cache.known(name.tenant()),
        }
    }

    /// Reads along what another request fetches, if it is for this one too.
    fn follow<R>(
        &self,
        stored: &Stored,
        follow: &Follow,
        generations: &Generations,
        forward: Forward,
    ) -> Option<Response<ResponseBody<R>>> {
        let (now, headers) = (self.now(), &self.parts.headers);
        let options = self.lookup.options(&self.settings);
        let validity = generations.judge(stored.stamp, stored.tags.iter().copied());
        let verdict = reuse::judge(&stored.freshness, &self.lookup.directives, false, now);
        if validity != Validity::Valid
            || !stored.selecting.matches(headers, options)
            || verdict != Verdict::Fresh
        {
            return None;
        }
        let mut answer = Response::new(ResponseBody::follow(follow));
        *answer.status_mut() = stored.status;
        *answer.headers_mut() = head::tell(stored, now);
        let ttl = Some(stored.freshness.ttl(now));
        let status =
            CacheStatus { forward: Some(forward), collapsed: true, ttl, ..CacheStatus::default() };
        status.append(answer.headers_mut());
        Some(answer)
    }

    /// Answers with what is stored, which is asked for meanwhile where that is to be, unless
    /// somebody does already.
    fn served<R>(
        &self,
        name: &Name,
        served: &Served,
        found: &Found<Page>,
        collapsed: Option<Forward>,
    ) -> Come<R> {
        let status = CacheStatus {
            hit: collapsed.is_none(),
            forward: collapsed,
            collapsed: collapsed.is_some(),
            ..CacheStatus::default()
        };
        let answer = reply::stored(&served.stored, self.request(), self.now(), status);
        let outcome = served.outcome(collapsed.is_some());
        if served.refresh
            && let Turn::Lead(leader) = self.settings.flights.join(name.as_bytes())
        {
            let errand = Errand {
                name: name.clone(),
                found: found.clone(),
                old: Some(Old::Chosen(Arc::clone(&served.stored))),
                forward: Forward::Stale,
                guard: self.guard(name, Some(leader), found),
            };
            return Come::Refresh(answer, outcome, Box::new(errand));
        }
        Come::Answered(answer, outcome)
    }

    fn guard(&self, name: &Name, leader: Option<Leader<Flown>>, found: &Found<Page>) -> FillGuard {
        let lease = match &found.lease {
            Lease::Ours(lease) => Some(*lease),
            _ => None,
        };
        FillGuard { settings: Arc::clone(&self.settings), name: name.clone(), leader, lease }
    }

    /// What the store has; what this process has, if the store does not answer.
    async fn look_up(&self, name: &Name, near: Option<&Known>) -> Option<Known> {
        match self.settings.cache.get(name).await {
            Ok(found) => Some(self.looked_through(found).await),
            Err(_) => near.cloned(),
        }
    }

    /// What this process has come to know since it knew this.
    async fn newer(&self, name: &Name, seen: Option<&Known>) -> Option<Known> {
        let found = self.settings.cache.peek(name)?;
        let page = found.value.as_ref()?;
        let seen = seen.and_then(|seen| seen.found.value.as_ref());
        if seen.is_some_and(|seen| Arc::ptr_eq(seen, page)) {
            return None;
        }
        Some(self.looked_through(found).await)
    }

    async fn looked_through(&self, found: Found<Page>) -> Known {
        let look = self.look(&found);
        self.with_apart(found, look).await
    }

    fn look(&self, found: &Found<Page>) -> Look {
        self.lookup.look(&self.settings, self.request(), found, self.now())
    }

    /// With what lies apart, if that is wanted.
    async fn with_apart(&self, found: Found<Page>, look: Look) -> Known {
        let Look::Apart(name) = look else { return Known { found, look } };
        let cache = &self.settings.cache;
        let apart = match cache.peek(&name) {
            Some(apart) => Some(apart),
            // It is made together with the page.
            None => cache.look(&name).await.ok(),
        };
        let mut look = Look::Ask(None, Forward::VaryMiss);
        if let Some(value) = apart.and_then(|apart| apart.value) {
            let there = self.look(&Found { value: Some(value), ..found.clone() });
            if !matches!(there, Look::Ask(None | Some(Old::Variants(_)), _) | Look::Apart(_)) {
                look = there;
            }
        }
        Known { found, look }
    }

    /// Whether the request waits for others that want the same, and others for it.
    fn shares(&self, name: &Name) -> bool {
        let Parts { method, headers, .. } = &self.parts;
        let directives = &self.lookup.directives;
        *method == Method::GET
            && !directives.no_store
            && !directives.no_cache
            && !directives.only_if_cached
            && !has_conditions(headers)
            && !self.settings.hit_for_miss.has(name)
    }
}

impl Served {
    fn outcome(&self, collapsed: bool) -> Outcome {
        match (collapsed, self.stale) {
            (true, _) => Outcome::Collapsed,
            (false, true) => Outcome::Stale,
            (false, false) => Outcome::Hit,
        }
    }
}

//! What is known of a response that is to be stored, before its body.

use std::{hash::BuildHasher as _, hash::RandomState, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use tower_keep_cache::{Generations, Name, Tag};
use tower_keep_core::{Principal, time::UnixMillis};

use crate::{
    bypass::BypassReason,
    freshness::Freshness,
    options::Options,
    overrides::Overrides,
    page::Page,
    policy::{
        date, groups, head,
        key::Target,
        part, range,
        storable::{self, Exchange},
        vary::Selecting,
    },
    settings::Settings,
    stored::{Part, Stored},
};

/// Whom a response was made for, and when.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) options: &'a Options,
    pub(crate) name: &'a Name,
    /// Whose tag a change of the target purges.
    pub(crate) target_tag: Tag,
    pub(crate) target: Target<'a>,
    pub(crate) method: &'a Method,
    pub(crate) request: &'a HeaderMap,
    pub(crate) principal: Option<&'a Principal>,
    pub(crate) requested: UnixMillis,
    pub(crate) received: UnixMillis,
    /// As they were before the service was asked.
    pub(crate) generations: &'a Arc<Generations>,
    /// What was stored of the target then.
    pub(crate) page: Option<&'a Arc<Page>>,
}

/// A response that is to be stored once its body is there.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) name: Name,
    /// All but its body and part.
    pub(crate) stored: Stored,
    /// Says which part of the whole it is.
    place: Option<HeaderMap>,
    lenient: bool,
    pub(crate) keep_for: Duration,
    /// The session's layer may find out later that it is personal.
    principal: Option<Principal>,
    pub(crate) generations: Arc<Generations>,
    pub(crate) page: Option<Arc<Page>>,
}

impl Context<'_> {
    /// Judges a response, or what a stored one has become by one. `length` is how long its body
    /// is said to be, where that is known.
    pub(crate) fn draft(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        told: Option<&Overrides>,
        length: Option<u64>,
    ) -> Result<Draft, BypassReason> {
        let Self { settings, options, request, generations, received, .. } = *self;
        let exchange = Exchange {
            method: self.method,
            request,
            status,
            response: headers,
            requested: self.requested,
            received,
            told,
        };
        let keep = storable::storable(&exchange, options)?;
        let public = told.is_some_and(Overrides::lifts_personal) || options.per_user;
        let principal = self.principal.filter(|_| !public);
        if principal.is_some_and(Principal::is_personal) {
            return Err(BypassReason::Personal);
        }
        if length.is_some_and(|length| length > settings.max_body as u64) {
            return Err(BypassReason::TooLarge);
        }
        let selecting =
            Selecting::of(headers, request, options).map_err(|_| BypassReason::VaryAny)?;
        let mut tags = groups::tags(headers, self.target, &settings.prefixes, options)
            .map_err(|_| BypassReason::Tags)?;
        tags.extend([self.target_tag, groups::every_response()]);
        tags.extend(told.into_iter().flat_map(Overrides::tags));
        let mut freshness = keep.freshness;
        settings.jitter(&mut freshness);
        let date = date::field(headers, header::DATE, received).unwrap_or(received);
        let mut kept = head::keep(status, headers, &keep.drop_fields);
        // Whoever keeps it says when it came in, if nobody else does (RFC 9110 §6.6.1).
        kept.entry(header::DATE).or_insert_with(|| date::format(received));
        Ok(Draft {
            name: self.name.clone(),
            stored: Stored {
                status,
                headers: kept,
                body: Bytes::new(),
                part: None,
                freshness,
                selecting,
                date,
                tags,
                stamp: generations.stamp(),
            },
            place: (status == StatusCode::PARTIAL_CONTENT).then(|| headers.clone()),
            lenient: options.lenient_parts,
            keep_for: Duration::from_secs(keep.keep_for),
            principal: principal.cloned(),
            generations: Arc::clone(generations),
            page: self.page.map(Arc::clone),
        })
    }
}

impl Draft {
    /// With the body of what it is drawn from.
    pub(crate) fn with_body_of(&self, old: &Stored) -> Stored {
        Stored { body: old.body.clone(), part: old.part, ..self.stored.clone() }
    }

    /// Whether the response says itself that its body is so long, as far as it says anything.
    pub(crate) fn may_be_long(&self, length: u64) -> bool {
        let mut lines = self.stored.headers.get_all(header::CONTENT_LENGTH).iter();
        let said = lines.next();
        lines.next().is_none()
            && said.is_none_or(|said| range::number(said.as_bytes()) == Some(length))
    }

    /// With its body. A part is joined to what is stored of the same whole.
    pub(crate) fn complete(
        mut self,
        body: Bytes,
        page: Option<&Page>,
    ) -> Result<(Stored, Self), BypassReason> {
        if self.principal.as_ref().is_some_and(Principal::is_personal) {
            return Err(BypassReason::Personal);
        }
        let mut stored = self.stored.clone();
        if let Some(headers) = self.place.take() {
            let part = part::parse(&headers, body.len() as u64, self.lenient);
            stored.part = Some(part.ok_or(BypassReason::Part)?);
        }
        stored.body = body;
        if stored.part.is_some() {
            let others = page.into_iter().flat_map(|page| &page.here);
            let joined = others
                .filter(|other| other.selecting == stored.selecting)
                .find_map(|other| part::combine(other, &stored));
            stored = joined.unwrap_or(stored);
        }
        Ok((stored, self))
    }
}

/// Whether the variant that is chosen so, and is this part, gives way to `new`.
pub(crate) fn gives_way(new: &Stored, selecting: &Selecting, part: Option<Part>) -> bool {
    let inside =
        |outer: Part| part.is_some_and(|it| outer.first <= it.first && it.last <= outer.last);
    *selecting == new.selecting && new.part.is_none_or(inside)
}

impl Settings {
    /// Cuts a lifetime by up to the part that the program allows, so that what was stored at the
    /// same time is not asked for at the same time.
    fn jitter(&self, freshness: &mut Freshness) {
        if self.jitter > 0.0 {
            // The upper half of it is as good as random.
            let random = RandomState::new().hash_one(freshness.received) >> 32;
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a lifetime is at most 2^31, the cut a part of it"
            )]
            let cut =
                (freshness.lifetime as f64 * self.jitter * (random as f64 / 2f64.powi(32))) as u64;
            freshness.lifetime = freshness.lifetime.saturating_sub(cut);
        }
    }
}

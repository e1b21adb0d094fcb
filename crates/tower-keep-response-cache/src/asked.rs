//! What a request is to this layer.

use http::{HeaderMap, Method, header, request::Parts};
use tower_keep_cache::{Name, Tag};
use tower_keep_core::{Dialect, Head, Principal, TenantId, UserId};

use crate::{
    bypass::BypassReason,
    policy::{
        invalidate,
        key::{self, Target},
        request::RequestDirectives,
        unkeyed::{self, Unkeyed},
    },
    settings::{Cookies, Settings},
};

/// What is to be done with a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub(crate) enum Asked {
    /// It is passed on, and so is its answer.
    Bypass(BypassReason),
    /// It may change what is stored of its target.
    Unsafe(TenantId),
    /// It may be answered from the store.
    Lookup(Lookup),
}

/// A request that may be answered from the store.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) tenant: TenantId,
    pub(crate) principal: Option<Principal>,
    pub(crate) directives: RequestDirectives,
    /// What its target's responses are called; `None` until the user is known.
    pub(crate) name: Option<Name>,
    /// Whose private answers it gets, once they are verified.
    pub(crate) user: Option<UserId>,
}

impl Settings {
    /// Looks at a request. `has_body` says whether it has a body, as far as that can be told
    /// without reading it.
    pub(crate) fn ask(&self, head: Head<'_>, has_body: bool) -> Asked {
        if !self.skip.is_empty() && self.skips(&head.parts()) {
            return Asked::Bypass(BypassReason::Skipped);
        }
        let (method, headers) = (head.method(), head.headers());
        let is_read = *method == Method::GET || *method == Method::HEAD;
        if *method == Method::CONNECT
            // What changes something does so in whatever protocol.
            || (is_read && headers.contains_key(header::UPGRADE))
            || (!is_read && Dialect::of(head).is_grpc())
        {
            return Asked::Bypass(BypassReason::Protocol);
        }
        if *method == Method::OPTIONS || *method == Method::TRACE {
            return Asked::Bypass(BypassReason::Method);
        }
        let principal = Principal::of(head.extensions());
        let identified = principal.filter(|principal| *principal.tenant() != TenantId::NONE);
        let tenant = identified.map_or(TenantId::NONE, |principal| principal.tenant().clone());
        if !is_read {
            return Asked::Unsafe(tenant);
        }
        if has_body || has_length(headers) {
            return Asked::Bypass(BypassReason::RequestBody);
        }
        if identified.is_none() && self.has_credentials(headers) {
            return Asked::Bypass(BypassReason::Unidentified);
        }
        if self.unkeyed == Unkeyed::Bypass && unkeyed::present(headers, &self.unkeyed_fields) {
            return Asked::Bypass(BypassReason::Unkeyed);
        }
        let claims = self.private.is_some()
            && principal.is_some_and(|principal| principal.claimed_user().is_some());
        let mut lookup = Lookup {
            tenant,
            principal: principal.cloned(),
            directives: RequestDirectives::of(headers),
            name: None,
            user: None,
        };
        if !claims && !self.name(&mut lookup, head) {
            return Asked::Bypass(BypassReason::Target);
        }
        Asked::Lookup(lookup)
    }

    /// Names what is asked for; `false` if it has no name.
    pub(crate) fn name(&self, lookup: &mut Lookup, head: Head<'_>) -> bool {
        let identity = Target::asked(head.uri(), head.headers(), head.extensions())
            .and_then(|target| key::canonical(target, &self.query, lookup.user.as_ref()))
            .and_then(|mut identity| {
                let keyed = self.unkeyed != Unkeyed::Key
                    || unkeyed::key(&mut identity, head.headers(), &self.unkeyed_fields);
                keyed.then_some(identity)
            });
        lookup.name = identity.map(|identity| Name::new(&lookup.tenant, identity));
        lookup.name.is_some()
    }

    /// Whether an answer to this request may be everybody's, as far as the request is concerned, as
    /// the service sees it.
    pub(crate) fn may_keep(&self, parts: &Parts) -> bool {
        let principal = Principal::of(&parts.extensions);
        let identified = principal.is_some_and(|principal| *principal.tenant() != TenantId::NONE);
        (identified || !self.has_credentials(&parts.headers))
            && !unkeyed::present(&parts.headers, &self.unkeyed_fields)
    }

    /// Takes out of a request what the service must not see.
    pub(crate) fn strip(&self, method: &Method, headers: &mut HeaderMap) {
        if self.unkeyed == Unkeyed::Strip {
            unkeyed::strip(headers, &self.unkeyed_fields, !invalidate::is_safe(method));
        }
    }

    fn skips(&self, parts: &Parts) -> bool {
        self.skip.iter().any(|skip| skip(parts))
    }

    fn has_credentials(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(header::AUTHORIZATION)
            || (self.cookies == Cookies::Bypass && headers.contains_key(header::COOKIE))
    }
}

/// Whether a request says that it has a body.
fn has_length(headers: &HeaderMap) -> bool {
    let zero = |value: &http::HeaderValue| value.as_bytes() == b"0";
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| !zero(length))
}

/// The tag of all that is stored for one target, for all users and variants and in any scheme, since
/// HTTP/1 does not say one: what a change of the target makes invalid.
pub(crate) fn target_tag(target: Target<'_>, settings: &Settings) -> Option<Tag> {
    let identity = key::canonical(target.in_any_scheme(), &settings.query, None);
    identity.map(|identity| Tag::new("target", &identity))
}

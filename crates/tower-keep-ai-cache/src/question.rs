//! What a request is to the cache, once its body has been read.

use std::time::Duration;

use bytes::Bytes;
use http::{header, request::Parts};
use tower_keep_cache::Name;
use tower_keep_core::UserId;

use crate::{
    BypassReason,
    control::{self, Plan, Wishes},
    embeddings::{Batch, MAX_BESIDE},
    identity::{Identity, Origin, Scope, Variant},
    json::Node,
    provider::{Api, Asked, route},
    settings::Settings,
    splice,
    ttl::TtlClass,
    whose::Whose,
};

/// No model has a longer name, in bytes.
const LONGEST_MODEL: usize = 512;

/// A request for the cache.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) asked: Asked,
    pub(crate) plan: Plan,
    pub(crate) name: Name,
    pub(crate) model: String,
    /// For how long an answer is kept.
    pub(crate) ttl: Duration,
    /// What the request says, our members cut out.
    pub(crate) body: Bytes,
    /// Those who share an answer may have credentials of different rights.
    pub(crate) across_keys: bool,
    /// The texts of a request for embeddings, each kept by itself.
    pub(crate) texts: Option<Texts>,
}

/// Texts and what their vectors are called.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) batch: Batch,
    pub(crate) names: Vec<Name>,
    /// The request as it came.
    pub(crate) text: Bytes,
}

/// A request that is none for the cache.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: BypassReason,
    /// What is sent on.
    pub(crate) body: Bytes,
    /// What it asks for, if that is known.
    pub(crate) asked: Option<Asked>,
}

/// Looks at a request, `text` is its body.
pub(crate) fn study(
    settings: &Settings,
    (api, class): (Api, TtlClass),
    parts: &Parts,
    text: &Bytes,
    whose: Result<Whose, BypassReason>,
) -> Result<Question, Refused> {
    let root = match Node::read(text) {
        Ok(root) if root.is_object() => root,
        _ => {
            let reason = BypassReason::Malformed;
            return Err(Refused { reason, body: text.clone(), asked: None });
        }
    };
    let body = splice::without(text, &root, |name| Wishes::is_wish(&root, name));
    let asked = Asked::of(api, &root, settings.take_cut);
    let refused = |reason| Refused { reason, body: body.clone(), asked };
    let Some(asked) = asked else { return Err(refused(BypassReason::Malformed)) };
    let wishes = Wishes::of(&root, &parts.headers);
    let plan = control::decide(&root, &asked, &parts.headers, &wishes, &settings.policy)
        .map_err(refused)?;
    let whose = whose.map_err(refused)?;
    let keying = &settings.keying;
    let (path, query) = (parts.uri.path(), parts.uri.query());
    let model = route::model(&root, path);
    if model.len() > LONGEST_MODEL {
        return Err(refused(BypassReason::Malformed));
    }
    let host = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| Some(parts.headers.get(header::HOST)?.as_bytes()));
    let origin = Origin { upstream: &settings.upstream, host: host.unwrap_or_default() };
    let scope =
        Scope { credential: whose.credential, user: whose.user.as_ref().map(UserId::as_str) };
    let name = |variant: &Variant, canonical: &[u8]| {
        let (epoch, terms) = (settings.epoch, &*settings.terms);
        let identity =
            Identity { api, origin, path, query, model, variant, scope, epoch, terms, canonical };
        settings.name(&whose.tenant, model, &identity.bytes(&keying.headers, &parts.headers))
    };
    let batch = match api {
        Api::OpenAiEmbeddings => Batch::of(&root, |member| keying.leaves_out(api, &root, member)),
        _ => None,
    };
    let beside = path.len() + query.unwrap_or_default().len() + model.len() + origin.len();
    let beside = beside + keying.shaping(&parts.headers);
    let is_small = |batch: &Batch| beside.saturating_mul(batch.texts.len()) <= MAX_BESIDE;
    let texts = batch.filter(is_small).map(|batch| {
        let names = batch.texts.iter().map(|text| name(&Variant::Vector, &text.canonical));
        let names = names.collect();
        Texts { batch, names, text: text.clone() }
    });
    Ok(Question {
        name: name(&Variant::of(&root, asked.stream), &keying.canonical(api, &root)),
        ttl: settings.ttls.of(class, model, plan.ttl),
        model: model.to_owned(),
        asked,
        plan,
        body: body.clone(),
        across_keys: whose.across_keys,
        texts,
    })
}

impl Texts {
    /// The request for the texts that are `wanted`, by their place among all.
    pub(crate) fn request(&self, wanted: &[usize]) -> Option<Bytes> {
        let root = Node::read(&self.text).ok()?;
        let is_wish = |name: &str| Wishes::is_wish(&root, name);
        Some(self.batch.request(&self.text, &root, wanted, is_wish))
    }

    /// How long each is, by which they share what they cost.
    pub(crate) fn lengths(&self, wanted: &[usize]) -> Vec<usize> {
        let texts = wanted.iter().filter_map(|place| self.batch.texts.get(*place));
        texts.map(|text| text.canonical.len()).collect()
    }
}

/// Makes a request's head fit what is sent on: the body's length, no field that was for us, and, if
/// the answer is to be `read` here, no encoding of it.
pub(crate) fn prepare(parts: &mut Parts, body: &Bytes, read: bool) {
    let headers = &mut parts.headers;
    headers.remove(control::TTL);
    headers.remove(header::TRANSFER_ENCODING);
    headers.insert(header::CONTENT_LENGTH, tower_keep_core::decimal(body.len() as u64));
    if read {
        headers.insert(header::ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
    }
}

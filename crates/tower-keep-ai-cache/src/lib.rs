//! Answers of language models, cached without ever giving the wrong one: a tower layer that
//! understands requests to the APIs of OpenAI and Anthropic, streams included.
//!
//! 1. **What is understood**: OpenAI's chat completions, completions, Responses and embeddings,
//!    Anthropic's Messages, and JSON [routes](AiCacheLayerBuilder::route) of which no more is known.
//!    A request is one of them by method, path and media type. All else passes untouched; what is
//!    no request of its API, could be read in two ways (a member that comes twice), is encoded or
//!    too long, passes as it came.
//! 2. **What tells answers apart**: the *whole* body in canonical form (in the manner of RFC 8785),
//!    the host, the path, the query, the tenant, what the operator calls the
//!    [upstream](AiCacheLayerBuilder::upstream), and the fields that shape what is answered
//!    (`anthropic-beta`, `anthropic-version`, `openai-beta`, `openai-organization`,
//!    `openai-project`). A member that nobody knows tells them apart too. Only these do not:
//!    `stream`, `user`, `metadata`, `prompt_cache_key`, `prompt_cache_retention`,
//!    `prompt_cache_options`, `safety_identifier` (in the Responses API all but the first do, since its
//!    answers say them again), and what is said to the cache. `stream_options`
//!    and whether the answer streams make variants. Texts are compared as they are; a picture given
//!    as data by the SHA-256 of what it decodes to. The whole identity is compared (by its SHA-256
//!    on Redis); its MD5 only says where to look: `ai:{tenant}:{model}:{md5}`. Nothing of a prompt
//!    is in keys, logs or metrics.
//! 3. **Whose they are** says the [principal](tower_keep_core::Principal): without one a request is
//!    left alone. With [`by_credentials`](AiCacheLayerBuilder::by_credentials) each API key has
//!    answers of its own, with [`per_user`](AiCacheLayerBuilder::per_user) each user.
//! 4. **What callers may say**: `"useCache": true | false` in the body, or `"cache": {"no-cache",
//!    "no-store", "ttl", "max-age"}`, which are cut out of what is sent on, every other byte as it
//!    came; `Cache-Control: no-cache | no-store | max-age=…`, and `x-ai-cache-ttl: seconds`.
//!    [`opt_in`](AiCacheLayerBuilder::opt_in) and [`heed_callers`](AiCacheLayerBuilder::heed_callers)
//!    say what of it holds.
//! 5. **What is stored** are whole answers: a status of success, the media type that was asked for,
//!    the event that ends a stream, and for each choice a reason to have ended that is a good one.
//!    What was cut off, filtered, cut at its most tokens, is an error, or says `no-store`, is not.
//!    Requests that count on something the upstream keeps (`previous_response_id`, `conversation`,
//!    a named `container`, `"store": true`, `background`, MCP servers) are left alone. An answer of
//!    the Responses API that says nothing of `store` is kept by the upstream, and a hit tells its id
//!    to others of the tenant.
//! 6. **Streams** pass as they come, and are recorded meanwhile; they are replayed byte for byte. The
//!    upstream is asked not to compress; if it does all the same by gzip, its own client gets what it
//!    sent, and what is stored and told to others is what that says.
//! 7. **Many who ask the same** share one call: whoever comes while the answer does gets it from its
//!    beginning and then as it comes. A client that goes away takes nothing from the others; what
//!    breaks off breaks off for all; an error is told to those who wait, and to nobody later, unless
//!    it is about its own client's credentials; where the service inside fails without an answer the
//!    next one asks; who asks after a flush shares nothing from before. On
//!    Redis one process asks for all ([`fill_lease`](AiCacheLayerBuilder::fill_lease)), and the
//!    others have the answer when it is whole. Batches of embeddings do not wait for other
//!    processes.
//! 8. **Embeddings** are stored text by text: the upstream is asked only for those that are not
//!    known, and the vectors are put back to where their texts were. Vectors of different models or
//!    lengths are never put together.
//! 9. **Every answer says** what the cache did: `x-ai-cache` ([`AiCacheStatus`]), `Age`,
//!    `Cache-Status` (RFC 9211), and [`AiCacheOutcome`] in its extensions. Of an upstream's head a
//!    stored answer has `Content-Type`, `Content-Language` and the API's version, never a cookie,
//!    a request's id or an account's limits. The usage stays in the body.
//! 10. **Costs**: the tokens that an answer counts settle a
//!     [late cost](tower_keep_core::LateCost) before its end, also if it is not one to store; an
//!     answer that counts none leaves it at what was reserved; a hit, an error, and an answer that
//!     another request paid for, cost nothing.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt as _, Full};
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//! use tower_keep_ai_cache::AiCacheLayer;
//! use tower_keep_core::{Principal, RequestBody, TenantId};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = AiCacheLayer::builder().memory().build()?;
//! // In a program this is a client that asks the model.
//! let service = cache.layer(service_fn(async |_: Request<RequestBody<Full<Bytes>>>| {
//!     let answer = r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#;
//!     let response = Response::builder().header("content-type", "application/json");
//!     response.body(Full::<Bytes>::from(answer))
//! }));
//! let ask = || {
//!     let question = r#"{"model":"m","messages":[{"role":"user","content":"What is glaucoma?"}]}"#;
//!     Request::post("/v1/chat/completions")
//!         .header("content-type", "application/json")
//!         .extension(Principal::new(TenantId::new("acme")?))
//!         .body(Full::from(question))
//!         .map_err(Box::<dyn std::error::Error>::from)
//! };
//! let first = service.clone().oneshot(ask()?).await?;
//! assert_eq!(first.headers()["x-ai-cache"], "MISS");
//! first.into_body().collect().await?;
//! assert_eq!(service.oneshot(ask()?).await?.headers()["x-ai-cache"], "HIT");
//! # Ok(()) }
//! ```
//!
//! # Defaults
//!
//! | | |
//! |---|---|
//! | in memory | 64 MiB of answers, each of 1 MiB at most |
//! | kept for | chat 30 min, OCR 2 h, analysis 1 h, less up to a twentieth; never longer by use |
//! | cached | all that does not refuse it |
//! | longest request read, longest answer shared | 8 MiB, 4 MiB (vectors: 64 MiB); what is stored is 1 MiB at most |
//! | all answers on their way together | 256 MiB; what has no room in it is neither shared nor stored |
//! | waiting for another's answer | 2 min |
//! | an upstream whose client has gone | is waited for a minute, and then 5 min for the rest |
//! | lease among processes | 10 s, renewed while one asks |
//!
//! # When the store fails
//!
//! The upstream is asked, and its answer is not stored (`BYPASS`, for the reason `store`); those who
//! ask the same at the same time still share one call. That takes at most the deadline of one
//! command, and next to nothing once the connection is known to be down.
//!
//! The service must run within a tokio runtime, in which the upstream is asked by a task of its
//! own; outside of one, requests are passed on.
#![cfg_attr(test, recursion_limit = "256")]

mod batch;
mod bypass;
mod canonical;
mod coding;
mod control;
mod embeddings;
mod entry;
mod fetch;
mod future;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod intake;
mod json;
mod judge;
mod layer;
mod outcome;
mod provider;
mod purge;
mod question;
mod reply;
mod service;
mod settings;
mod splice;
mod sse;
mod store;
mod story;
#[cfg(test)]
mod testing;
mod ttl;
mod turn;
mod upstream;
mod whose;

pub use tower_keep_cache::CacheBuilder;

pub use self::{
    bypass::BypassReason,
    future::AiCacheFuture,
    layer::{AiCacheLayer, AiCacheLayerBuilder},
    outcome::{AiCacheOutcome, AiCacheStatus},
    provider::{Api, Flaw},
    purge::CachedAnswers,
    service::AiCache,
    store::AiStore,
    ttl::TtlClass,
};

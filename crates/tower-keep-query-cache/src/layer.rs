//! `QueryCacheLayer`, and the service that it makes.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

use crate::{
    cache::QueryCache,
    class::TtlClass,
    fetched::{Fetched, LoadError, Source},
    kept::Cacheable,
    key::QueryKey,
};

/// A request whose response can be kept.
pub trait CacheableQuery {
    /// What its response is called; `None` to leave it alone.
    fn key(&self) -> Option<QueryKey>;

    /// For how long its response is kept, and how.
    fn class(&self) -> &TtlClass;

    /// What its response can be invalidated by, beside the [tags](QueryKey::tag) of its key.
    fn tags(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Keeps the responses of a service of queries: a database client becomes a service, and the cache
/// a layer on it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use tower::{Layer as _, ServiceExt as _, service_fn};
/// use tower_keep_core::TenantId;
/// use tower_keep_query_cache::{CacheableQuery, QueryCache, QueryCacheLayer, QueryKey, Source, TtlClass};
///
/// #[derive(Clone)]
/// struct Ward {
///     tenant: TenantId,
///     number: u32,
///     class: TtlClass,
/// }
///
/// impl CacheableQuery for Ward {
///     fn key(&self) -> Option<QueryKey> {
///         Some(QueryKey::named(&self.tenant, "ward", self.number))
///     }
///     fn class(&self) -> &TtlClass {
///         &self.class
///     }
/// }
///
/// let database = service_fn(|ward: Ward| async move {
///     Ok::<_, std::io::Error>(vec![format!("a patient of ward {}", ward.number)])
/// });
/// let cache = QueryCache::builder().memory().build()?;
/// let service = QueryCacheLayer::new(cache).layer(database);
/// let class = TtlClass::new("query", Duration::from_secs(300));
/// let ward = Ward { tenant: TenantId::new("acme")?, number: 3, class };
/// assert_eq!(service.clone().oneshot(ward.clone()).await?.source, Source::Loaded);
/// let patients = service.oneshot(ward).await?;
/// assert_eq!((patients.len(), patients.source), (1, Source::Near));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct QueryCacheLayer {
    cache: QueryCache,
}

impl QueryCacheLayer {
    /// A layer that keeps responses in this cache.
    pub const fn new(cache: QueryCache) -> Self {
        Self { cache }
    }
}

impl<S> Layer<S> for QueryCacheLayer {
    type Service = QueryCacheService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        QueryCacheService { inner, cache: self.cache.clone() }
    }
}

/// Answers queries from what is kept, and keeps what its inner service answers. Made by
/// [`QueryCacheLayer`].
///
/// It is always ready, so that what is kept is answered however busy the inner service is; what is
/// not kept waits for it to be ready. Its error is that of the inner service, shared with all who
/// waited for the same.
#[derive(Clone, Debug)]
pub struct QueryCacheService<S> {
    inner: S,
    cache: QueryCache,
}

impl<S, Q, T> Service<Q> for QueryCacheService<S>
where
    S: Service<Q, Response = T> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + Sync + 'static,
    Q: CacheableQuery + Send + 'static,
    T: Cacheable,
{
    type Response = Fetched<T>;
    type Error = LoadError<S::Error>;
    type Future = QueryCacheFuture<T, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, query: Q) -> Self::Future {
        let service = self.inner.clone();
        let Some(key) = query.key() else {
            return QueryCacheFuture::pending(async move {
                match ask(service, query).await {
                    Ok(value) => Ok(Fetched { value: value.into(), source: Source::Loaded }),
                    Err(error) => Err(LoadError::Loader(error.into())),
                }
            });
        };
        let tags = query.tags();
        let key = key.tags(tags.iter().map(String::as_str));
        let (cache, class) = (self.cache.clone(), query.class().clone());
        QueryCacheFuture::pending(async move {
            cache.get_or_load(&key, &class, move || ask(service, query)).await
        })
    }
}

/// Asks a service once it is ready.
async fn ask<S: Service<Q>, Q>(mut service: S, query: Q) -> Result<S::Response, S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(query).await
}

type Pending<T, E> = Pin<Box<dyn Future<Output = Result<Fetched<T>, LoadError<E>>> + Send>>;

/// The answer of a [`QueryCacheService`] on its way.
pub struct QueryCacheFuture<T, E>(Pending<T, E>);

impl<T, E> QueryCacheFuture<T, E> {
    fn pending(
        answer: impl Future<Output = Result<Fetched<T>, LoadError<E>>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(answer))
    }
}

impl<T, E> Future for QueryCacheFuture<T, E> {
    type Output = Result<Fetched<T>, LoadError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for QueryCacheFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueryCacheFuture")
    }
}

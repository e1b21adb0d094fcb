//! What several layers store responses in.

use tower_keep_cache::{Cache, CacheBuilder, Deferred};
use tower_keep_core::ConfigError;

use crate::page::Page;

/// One store of responses for several layers, which share its room, and its purges: what one of
/// them [purges](crate::CachedResponses::purge) none of them serves any more. A response that one
/// has stored answers what another is asked, where tenant, host and target are the same.
///
/// ```
/// use tower_keep_response_cache::{CacheBuilder, ResponseCacheLayer, ResponseStore};
///
/// let store = ResponseStore::new(CacheBuilder::new().memory().capacity(16 << 20));
/// let pages = ResponseCacheLayer::builder().stored_in(&store).build()?;
/// let pictures = ResponseCacheLayer::builder().stored_in(&store).max_body(4 << 20).build()?;
/// # let _ = (pages, pictures);
/// # Ok::<_, tower_keep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ResponseStore(Deferred<Cache<Page>>);

impl ResponseStore {
    /// A store that is made by `builder` when the first layer is built.
    pub fn new(builder: CacheBuilder) -> Self {
        Self(Deferred::new(builder))
    }

    pub(crate) fn builder(&self) -> CacheBuilder {
        self.0.builder()
    }

    pub(crate) fn open(&self) -> Result<Cache<Page>, ConfigError> {
        self.0.open(CacheBuilder::build)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use tower::{Layer as _, ServiceExt as _, service_fn};
    use tower_keep_core::TenantId;

    use super::*;
    use crate::{ResponseCacheLayer, ResponseCacheOutcome as Outcome, Selection};

    async fn ask(layer: &ResponseCacheLayer) -> Outcome {
        let service = service_fn(async |_: Request<_>| {
            let response = Response::builder().header("cache-control", "max-age=60");
            Ok::<_, Infallible>(response.body(Full::<Bytes>::from("x")).unwrap())
        });
        let request = Request::get("/").header("host", "a").body(Full::<Bytes>::default()).unwrap();
        let answer = layer.layer(service).oneshot(request).await.unwrap();
        *answer.extensions().get().unwrap()
    }

    #[tokio::test]
    async fn layers_share_what_is_stored_and_purged_unless_one_wants_its_own() {
        let store = ResponseStore::new(CacheBuilder::new().memory());
        let builder = || ResponseCacheLayer::builder().stored_in(&store).expose_outcome(true);
        let [one, two] = [builder().build().unwrap(), builder().jitter(0.1).build().unwrap()];
        let own = [
            builder().capacity(1 << 20).build().unwrap(),
            builder().fill_lease(Duration::from_secs(1)).build().unwrap(),
            builder().memory().build().unwrap(),
        ];
        assert_eq!([ask(&one).await, ask(&two).await], [Outcome::Miss, Outcome::Hit]);
        for layer in &own {
            assert_eq!([ask(layer).await, ask(layer).await], [Outcome::Miss, Outcome::Hit]);
        }
        two.responses().purge(&TenantId::NONE, &Selection::everything()).await.unwrap();
        assert_eq!([ask(&one).await, ask(&own[0]).await], [Outcome::Miss, Outcome::Hit]);
    }

    #[test]
    fn a_store_that_cannot_be_is_an_error_of_each_layer() {
        let store = ResponseStore::new(CacheBuilder::new());
        for _ in 0..2 {
            let error = ResponseCacheLayer::builder().stored_in(&store).build().unwrap_err();
            assert_eq!(error.problems()[0].name, "store");
        }
    }
}

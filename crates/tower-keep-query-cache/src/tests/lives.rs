use super::*;
use crate::{Invalidate, Put, Sought};

#[tokio::test]
async fn a_value_lives_for_its_time() {
    let site = Site::new(|class| class);
    site.is(&key(1), 0, Source::Loaded).await;
    site.clock.advance(99 * SECOND);
    site.is(&key(1), 0, Source::Near).await;
    site.clock.advance(SECOND);
    site.is(&key(1), 1, Source::Loaded).await;
    let none = Site::new(|_| TtlClass::new("none", Duration::ZERO));
    none.is(&key(1), 0, Source::Loaded).await;
    none.is(&key(1), 1, Source::Loaded).await;
}

#[tokio::test]
async fn what_is_stale_is_given_while_one_loads_it_anew() {
    let site = Site::new(|class| class.stale_while_revalidate(10 * SECOND));
    site.is(&key(1), 0, Source::Loaded).await;
    site.clock.advance(105 * SECOND);
    for _ in 0..5 {
        site.is(&key(1), 0, Source::Stale).await;
    }
    until(|| site.loads() == 2).await;
    site.is(&key(1), 1, Source::Near).await;
    site.clock.advance(110 * SECOND);
    site.is(&key(1), 2, Source::Loaded).await;
}

#[tokio::test]
async fn what_could_not_be_loaded_anew_is_tried_again() {
    let site = Site::new(|class| class.stale_while_revalidate(10 * SECOND));
    site.is(&key(1), 0, Source::Loaded).await;
    site.clock.advance(105 * SECOND);
    assert_eq!(site.fail(&key(1)).await.unwrap().source, Source::Stale);
    until(|| site.cache.keeper.flights.under_way() == 0).await;
    site.is(&key(1), 0, Source::Stale).await;
    until(|| site.loads() == 2).await;
    site.is(&key(1), 1, Source::Near).await;
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_never_ends_is_given_up() {
    let site = Site::with(
        |it| it.refresh_timeout(30 * SECOND),
        |class| class.stale_while_revalidate(10 * SECOND),
    );
    site.is(&key(1), 0, Source::Loaded).await;
    site.clock.advance(105 * SECOND);
    let hang = std::future::pending::<Result<usize, String>>;
    let stale = site.cache.get_or_load(&key(1), &site.class, hang).await.unwrap();
    assert_eq!(stale.source, Source::Stale);
    tokio::time::sleep(29 * SECOND).await;
    site.is(&key(1), 0, Source::Stale).await;
    assert_eq!(site.loads(), 1, "it is still on its way");
    tokio::time::sleep(2 * SECOND).await;
    site.is(&key(1), 0, Source::Stale).await;
    until(|| site.loads() == 2).await;
    site.is(&key(1), 1, Source::Near).await;
}

#[tokio::test]
async fn what_is_stale_stands_in_for_an_error() {
    let site = Site::new(|class| class.stale_if_error(50 * SECOND));
    site.is(&key(1), 0, Source::Loaded).await;
    site.clock.advance(120 * SECOND);
    assert_eq!(site.fail(&key(1)).await.unwrap().source, Source::Stale);
    // Nor does it hide that the database is back.
    site.is(&key(1), 1, Source::Loaded).await;
    site.clock.advance(150 * SECOND);
    assert_eq!(site.fail(&key(1)).await.unwrap_err().loader().unwrap(), "down");
}

#[tokio::test]
async fn what_was_invalidated_stands_in_for_nothing() {
    let site = Site::new(|class| class.stale_if_error(50 * SECOND).stale_while_revalidate(SECOND));
    site.is(&key(1), 0, Source::Loaded).await;
    site.clock.advance(120 * SECOND);
    site.cache.invalidate(&acme(), Invalidate::Key(&key(1))).await.unwrap();
    assert!(site.fail(&key(1)).await.is_err());
}

#[tokio::test]
async fn what_has_expired_softly_is_given_where_stale_may_be() {
    let site = Site::new(|class| class.stale_while_revalidate(SECOND));
    site.is(&key(1), 0, Source::Loaded).await;
    site.cache.expire(&acme(), [Invalidate::Type("thing")]).await.unwrap();
    site.is(&key(1), 0, Source::Stale).await;
    until(|| site.loads() == 2).await;
    site.is(&key(1), 1, Source::Near).await;
    let strict = Site::new(|class| class);
    strict.is(&key(1), 0, Source::Loaded).await;
    strict.cache.expire(&acme(), [Invalidate::Everything]).await.unwrap();
    strict.is(&key(1), 1, Source::Loaded).await;
}

async fn find(site: &Site, value: Option<usize>) -> Sought<usize> {
    let loads = Arc::clone(&site.loads);
    let load = move || async move {
        loads.fetch_add(1, Ordering::SeqCst);
        Ok::<_, String>(value)
    };
    site.cache.find_or_load(&key(1), &site.class, load).await.unwrap()
}

#[tokio::test]
async fn that_there_is_nothing_is_kept_only_if_the_class_says_so() {
    let site = Site::new(|class| class);
    for loads in 1..3 {
        assert_eq!(find(&site, None).await, Sought { value: None, source: Source::Loaded });
        assert_eq!(site.loads(), loads);
    }
    let site = Site::new(|class| class.negative(5 * SECOND).stale_if_error(50 * SECOND));
    assert_eq!(find(&site, None).await.source, Source::Loaded);
    assert_eq!(find(&site, Some(7)).await, Sought { value: None, source: Source::Near });
    site.clock.advance(5 * SECOND);
    let seven = Some(Arc::new(7));
    assert_eq!(find(&site, Some(7)).await, Sought { value: seven, source: Source::Loaded });
    assert_eq!(find(&site, None).await.source, Source::Near);
}

#[tokio::test]
async fn who_must_have_a_value_is_not_told_that_there_is_none() {
    let site = Site::new(|class| class.negative(5 * SECOND));
    find(&site, None).await;
    site.is(&key(1), 1, Source::Loaded).await;
    assert_eq!(*find(&site, None).await.value.unwrap(), 1);
}

#[tokio::test]
async fn what_is_no_longer_there_takes_away_what_was() {
    let site = Site::new(|class| class.stale_if_error(50 * SECOND));
    site.is(&key(1), 0, Source::Loaded).await;
    site.clock.advance(101 * SECOND);
    assert_eq!(find(&site, None).await.value, None);
    assert!(site.fail(&key(1)).await.is_err(), "what is gone stands in for nothing");
}

#[tokio::test]
async fn values_are_put_got_and_removed() {
    let site = Site::with(|it| it.max_entry_bytes(100_000), |class| class.max_bytes(1000));
    let (cache, class) = (&site.cache, &site.class);
    assert!(cache.get::<String>(&key(1)).await.unwrap().is_none());
    assert_eq!(cache.put(&key(1), class, "a".to_owned()).await.unwrap(), Put::Stored);
    let got = cache.get::<String>(&key(1)).await.unwrap().unwrap();
    assert_eq!((&**got, got.source), ("a", Source::Near));
    assert!(cache.get::<usize>(&key(1)).await.unwrap().is_none(), "of another type");
    assert_eq!(cache.put(&key(1), class, "a".repeat(1000)).await.unwrap(), Put::TooLarge);
    assert!(cache.get::<String>(&key(1)).await.unwrap().is_none());
    let roomy = TtlClass::new("roomy", SECOND);
    let long = "a".repeat(200_000);
    assert_eq!(cache.put(&key(1), &roomy, long).await.unwrap(), Put::TooLarge);
    assert_eq!(cache.put(&key(1), &roomy, "b".to_owned()).await.unwrap(), Put::Stored);
    let none = TtlClass::new("none", Duration::ZERO);
    assert_eq!(cache.put(&key(1), &none, "c".to_owned()).await.unwrap(), Put::Unkept);
    assert!(cache.get::<String>(&key(1)).await.unwrap().is_none());
    cache.put(&key(1), class, "a".to_owned()).await.unwrap();
    cache.remove(&key(1)).await.unwrap();
    assert!(cache.get::<String>(&key(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_as_long_as_may_be_is_kept() {
    let site = Site::with(|it| it.max_entry_bytes(1 << 20), |class| class);
    // As `MessagePack`, a text of this length has five bytes before it.
    let put = async |len: usize| {
        let text = "a".repeat(len - 5);
        site.cache.put(&key(1), &site.class, text).await.unwrap()
    };
    assert_eq!(put(1 << 20).await, Put::Stored);
    assert!(site.cache.get::<String>(&key(1)).await.unwrap().is_some());
    assert_eq!(put((1 << 20) + 1).await, Put::TooLarge);
}

#[tokio::test]
async fn what_is_too_long_is_loaded_each_time() {
    let site = Site::new(|class| class.max_bytes(0));
    site.is(&key(1), 0, Source::Loaded).await;
    site.is(&key(1), 1, Source::Loaded).await;
}

#[test]
fn a_cache_that_cannot_be_is_not_built() {
    assert!(QueryCache::builder().build().unwrap_err().to_string().contains("memory"));
    let error = QueryCache::builder().memory().max_direct_loads(0).build().unwrap_err();
    assert!(error.to_string().contains("max_direct_loads"));
}

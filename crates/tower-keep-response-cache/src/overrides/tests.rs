use super::*;

fn told() -> CacheControlOverride {
    CacheControlOverride::new()
}

#[test]
fn nobody_says_anything() {
    assert_eq!(Overrides::of(None, None), None);
    let told = Overrides::of(Some(&told()), Some(&told())).unwrap();
    assert_eq!(told, Overrides::default());
    assert_eq!(told.ttl(StatusCode::OK), None);
    assert!(!told.no_store() && !told.public() && !told.lifts_personal() && !told.is_explicit());
}

#[test]
fn the_handler_goes_first() {
    let outer = told()
        .ttl(Duration::from_secs(1))
        .stale_while_revalidate(Duration::from_secs(2))
        .stale_if_error(Duration::from_secs(3))
        .tag("page")
        .public();
    let alone = Overrides::of(Some(&outer), None).unwrap();
    assert_eq!(alone.ttl(StatusCode::OK), Some(1));
    assert_eq!(alone.ttl(StatusCode::NOT_FOUND), None, "nobody meant an error");
    assert_eq!((alone.stale_while_revalidate(), alone.stale_if_error()), (Some(2), Some(3)));
    assert!(alone.public() && !alone.is_explicit());
    assert!(!alone.lifts_personal(), "a layer has not seen what is in the answer");

    let handler = told()
        .ttl(Duration::from_secs(10))
        .stale_if_error(Duration::ZERO)
        .tags(["price", "list"])
        .public();
    let both = Overrides::of(Some(&outer), Some(&handler)).unwrap();
    assert_eq!(both.ttl(StatusCode::NOT_FOUND), Some(10));
    assert_eq!((both.stale_while_revalidate(), both.stale_if_error()), (Some(2), Some(0)));
    assert!(both.lifts_personal() && both.is_explicit());
    let names = ["price", "list", "page"].map(|name| groups::named(name.as_bytes()));
    assert_eq!(both.tags().collect::<Vec<_>>(), names);
}

#[test]
fn either_may_forbid_it() {
    let forbids = told().no_store();
    assert!(Overrides::of(Some(&forbids), Some(&told())).unwrap().no_store());
    assert!(Overrides::of(Some(&told()), Some(&forbids)).unwrap().no_store());
}

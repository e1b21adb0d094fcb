use super::*;

fn names() -> Vec<Name> {
    ["a", "b", "c"].map(|it| Name::new(&tenant(), it)).to_vec()
}

#[tokio::test]
async fn several_are_found_in_their_order_and_kept_near() {
    let server = Arc::default();
    let (one, other) = (Process::new(&server), Process::new(&server));
    let stamp = one.cache.generations(&tenant()).await.unwrap().stamp();
    let page = |body: &str| Arc::new(Page { stamp, body: Bytes::copy_from_slice(body.as_bytes()) });
    let [a, _, c] = &names()[..] else { unreachable!() };
    let values = vec![(a.clone(), page("1"), MINUTE), (c.clone(), page("3"), MINUTE)];
    one.cache.put_many(values).await.unwrap();
    assert_eq!(one.peek(c), is("3", Validity::Valid));

    other.fake.wire.trips();
    let globex = Name::new(&TenantId::new("globex").unwrap(), "a");
    let asked = [names(), vec![globex]].concat();
    let found = other.cache.get_many(&asked).await.unwrap();
    let bodies: Vec<_> = found.iter().map(judged).collect();
    let [one_of_them, third] = ["1", "3"].map(|body| is(body, Validity::Valid));
    assert_eq!(bodies, [one_of_them.clone(), None, third, None]);
    assert_eq!(other.fake.wire.trips(), (6, 2, 2), "each entry, and each tenant's generations");
    assert_eq!(other.peek(a), one_of_them);
    other.cache.get_many(&names()).await.unwrap();
    assert_eq!(other.fake.wire.trips(), (3, 0, 0), "the generations are known");
}

#[tokio::test]
async fn of_several_one_that_is_too_large_is_not_kept_and_takes_none_along() {
    let server = Arc::default();
    let one = Process::with(&server, |builder| builder.max_entry_bytes(1000));
    let stamp = one.cache.generations(&tenant()).await.unwrap().stamp();
    let page = |body: Vec<u8>| Arc::new(Page { stamp, body: body.into() });
    // Not to be compressed.
    let noise = (0..2000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let [a, b, _] = &names()[..] else { unreachable!() };
    let values = vec![(a.clone(), page(noise), MINUTE), (b.clone(), page(vec![b'2']), MINUTE)];
    one.cache.put_many(values).await.unwrap();
    assert_eq!((one.get(a).await, one.get(b).await), (None, is("2", Validity::Valid)));
}

#[tokio::test]
async fn when_the_store_fails_several_fail_together() {
    let server = Arc::default();
    let one = Process::new(&server);
    one.fake.wire.set_failing(true);
    assert!(one.cache.get_many(&names()).await.is_err());
    assert!(one.cache.get_many(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_this_process_has_purged_it_knows_whatever_becomes_of_the_store() {
    let server = Arc::default();
    let one = Process::new(&server);
    let stamp = one.cache.generations(&tenant()).await.unwrap().stamp();
    assert_eq!(one.cache.known(&tenant()).judge(stamp, [tag()]), Validity::Valid);
    one.cache.purge(&tenant(), &Purge::tags([tag()])).await.unwrap();
    one.fake.wire.set_failing(true);
    one.fake.wire.set_live(false);
    assert_eq!(one.cache.known(&tenant()).judge(stamp, [tag()]), Validity::Gone);
}

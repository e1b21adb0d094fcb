use std::thread;

use proptest::prelude::*;
use tower_keep_core::time::UnixMillis;

use super::*;
use crate::{
    generation::{Generations, MAX_MARKS, Validity},
    stamp::{Stamp, Tag},
    store::ToldGenerations,
};

fn tag(number: u8) -> Tag {
    Tag::from_bytes([number; 16])
}

fn whole(epoch: u64, version: u64) -> ToldGenerations {
    let mut generations = Generations::new(epoch);
    generations.version = version;
    ToldGenerations::Whole(generations)
}

fn purged(epoch: u64, version: u64, tags: Option<&[Tag]>) -> Purged<'_> {
    Purged { stamp: Stamp { epoch, version }, tags, soft: false }
}

const AT: UnixMillis = UnixMillis(10_000);

fn read(epoch: u64, version: u64) -> Copy {
    let copy = Copy::unknown();
    copy.install(whole(epoch, version), None, 10, AT);
    copy
}

fn stamp(copy: &Copy) -> (u64, u64) {
    let Stamp { epoch, version } = copy.current().stamp();
    (epoch, version)
}

#[test]
fn what_was_read_is_relied_on_for_a_second() {
    let copy = Copy::unknown();
    assert_eq!((copy.age(AT, 0), copy.known()), (None, None));
    copy.install(whole(1, 3), None, 10, AT);
    assert_eq!(copy.age(UnixMillis(10_000), 9), Some(0));
    assert_eq!(copy.age(UnixMillis(11_000), 9), Some(1000));
    assert_eq!(copy.age(UnixMillis(11_001), 9), None);
    assert_eq!(copy.age(AT, 10), None, "a gap since");
    copy.install(ToldGenerations::Unchanged, copy.known(), 20, UnixMillis(11_000));
    assert_eq!(copy.age(UnixMillis(12_000), 10), Some(1000));
    // An answer that was overtaken makes nothing older.
    copy.install(ToldGenerations::Unchanged, copy.known(), 15, UnixMillis(10_500));
    assert_eq!(copy.age(UnixMillis(12_000), 10), Some(1000));
}

#[test]
fn purges_that_are_heard_in_order_are_applied() {
    let copy = read(1, 3);
    let before = copy.current().stamp();
    copy.hear(purged(1, 4, Some(&[tag(1)])), 11);
    assert_eq!(stamp(&copy), (1, 4));
    assert_eq!(copy.current().judge(before, [tag(1)]), Validity::Gone);
    assert_eq!(copy.current().judge(before, [tag(2)]), Validity::Valid);
    copy.hear(purged(1, 4, None), 12);
    assert_eq!(copy.current().judge(before, [tag(2)]), Validity::Valid, "known already");
    assert_eq!(copy.age(AT, 0), Some(0));
    // What was read before that undoes nothing.
    copy.install(whole(1, 3), None, 11, AT);
    assert_eq!(stamp(&copy), (1, 4));
}

#[test]
fn a_purge_that_was_missed_is_noticed_at_the_next() {
    let copy = read(1, 3);
    copy.hear(purged(1, 5, None), 20);
    assert_eq!(copy.age(AT, 0), None);
    copy.install(ToldGenerations::Unchanged, copy.known(), 19, AT);
    assert_eq!(copy.age(AT, 0), None, "asked before it was heard");
    copy.install(whole(1, 5), None, 21, AT);
    assert_eq!((copy.age(AT, 0), stamp(&copy)), (Some(0), (1, 5)));
}

#[test]
fn a_purge_of_another_life_or_of_what_is_not_known_yet_is_a_doubt() {
    let copy = read(1, 3);
    copy.hear(purged(2, 1, None), 20);
    assert_eq!((copy.age(AT, 0), stamp(&copy)), (None, (1, 3)));
    copy.install(whole(2, 1), None, 21, AT);
    assert_eq!((copy.age(AT, 0), stamp(&copy)), (Some(0), (2, 1)));

    let copy = Copy::unknown();
    copy.hear(purged(1, 4, None), 20);
    copy.install(whole(1, 3), None, 19, AT);
    assert_eq!((copy.age(AT, 0), stamp(&copy)), (None, (1, 3)), "read before it was heard");
}

#[test]
fn of_two_lives_the_later_goes_on() {
    let copy = read(2, 0);
    copy.install(whole(1, 9), None, 9, AT);
    assert_eq!(stamp(&copy), (2, 0));
    copy.install(ToldGenerations::Unchanged, Some(Stamp { epoch: 1, version: 9 }), 30, AT);
    assert_eq!(copy.age(AT, 10), None, "what was asked about is not what is here");
    copy.install(whole(3, 0), None, 11, AT);
    assert_eq!(stamp(&copy), (3, 0));
}

#[test]
fn what_this_process_has_purged_is_purged_whatever_is_known() {
    let old = Stamp { epoch: 1, version: 3 };
    // In order, after one that was missed, and in another life.
    for (epoch, version) in [(1, 4), (1, 6), (2, 1)] {
        let copy = read(1, 3);
        copy.purged(purged(epoch, version, Some(&[tag(1)])), 20);
        assert_eq!(stamp(&copy), (epoch, version));
        assert_eq!(copy.current().judge(old, [tag(1)]), Validity::Gone);
        let in_order = (epoch, version) == (1, 4);
        assert_eq!(copy.age(AT, 0).is_some(), in_order);
        assert_eq!(copy.known().is_some(), in_order);
        // What was asked for before does not bring it back.
        copy.install(whole(1, 3), None, 19, AT);
        copy.install(ToldGenerations::Unchanged, Some(old), 19, AT);
        assert_eq!(copy.current().judge(old, [tag(1)]), Validity::Gone, "{epoch} {version}");
        // What is asked for now is right, and it may say more exactly what is purged.
        copy.install(whole(epoch, version), None, 21, AT);
        assert!(copy.age(AT, 0).is_some() && copy.known().is_some());
    }
    // One that was forgotten was not purged for those who know another by now.
    let own = Copy::own();
    assert!(own.purge_own(None, false));
    own.retire();
    assert!(!own.purge_own(None, false));
    let unknown = Copy::unknown();
    unknown.purged(purged(1, 4, None), 20);
    assert_eq!(unknown.current().judge(old, []), Validity::Gone);
}

#[test]
fn tenants_are_bounded_and_each_is_known_by_its_hash() {
    let copies = Copies::bounded(32, Copy::own);
    let tenant = |number: u32| TenantId::new(format!("t{number}")).unwrap();
    let first = copies.of(&tenant(0));
    assert!(Arc::ptr_eq(&first, &copies.of(&tenant(0))));
    let hash = Invalidation::tenant_hash(&tenant(0));
    assert!(Arc::ptr_eq(&first, &copies.named(&hash).unwrap()));
    for number in 0..1000 {
        let copy = copies.of(&tenant(number));
        assert!(!copy.is_retired(), "{number}");
        let (map, by_hash) = copies.lengths();
        assert!(map <= 32 && by_hash == map, "{map} {by_hash}");
    }
    let now = copies.of(&tenant(0));
    assert!(Arc::ptr_eq(&first, &now) || first.is_retired());
    assert!(Arc::ptr_eq(&now, &copies.named(&hash).unwrap()));
}

#[test]
fn a_purge_holds_although_the_tenant_is_forgotten_at_the_same_time() {
    let copies = Copies::bounded(32, Copy::own);
    let tenant = |number: u32| TenantId::new(format!("t{number}")).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| (0..20_000).for_each(|number| drop(copies.of(&tenant(number)))));
        let it = tenant(u32::MAX);
        for _ in 0..20_000 {
            let before = copies.of(&it).current().stamp();
            while !copies.of(&it).purge_own(None, false) {}
            let judge = copies.of(&it).current();
            assert_eq!(judge.judge(before, []), Validity::Gone);
        }
    });
}

#[derive(Clone, Debug)]
enum Step {
    Purge { tags: Option<Vec<u8>>, soft: bool },
    Store { tags: Vec<u8> },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let tags = || prop::collection::vec(0..8_u8, 0..4);
    let step = prop_oneof![
        3 => tags().prop_map(|tags| Step::Store { tags }),
        2 => (tags(), any::<bool>()).prop_map(|(tags, soft)| Step::Purge { tags: Some(tags), soft }),
        1 => any::<bool>().prop_map(|soft| Step::Purge { tags: None, soft }),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    /// Against a model that goes through all that is stored, at each purge.
    #[test]
    fn generations_judge_as_if_each_entry_had_been_looked_at(steps in steps()) {
        let mut generations = Generations::new(7);
        let mut entries: Vec<(Stamp, Vec<u8>, Validity)> = Vec::new();
        for step in steps {
            match step {
                Step::Store { tags } => entries.push((generations.stamp(), tags, Validity::Valid)),
                Step::Purge { tags, soft } => {
                    let named: Option<Vec<Tag>> =
                        tags.as_ref().map(|tags| tags.iter().copied().map(tag).collect());
                    generations = generations.purged(named.as_deref(), soft);
                    for (_, own, validity) in &mut entries {
                        let hit = tags.as_ref().is_none_or(|tags| tags.iter().any(|t| own.contains(t)));
                        let becomes = if soft { Validity::Stale } else { Validity::Gone };
                        if hit {
                            *validity = becomes.max(*validity);
                        }
                    }
                }
            }
            for (stamp, tags, validity) in &entries {
                prop_assert_eq!(generations.judge(*stamp, tags.iter().copied().map(tag)), *validity);
            }
        }
    }
}

/// When marks are forgotten, more counts as purged, never less.
#[test]
fn what_is_forgotten_counts_as_purged() {
    for soft in [false, true] {
        let mut generations = Generations::new(7);
        let mut entries = Vec::new();
        let numbered = |number: u64| Tag::new("n", &number.to_be_bytes());
        for number in 0..1700_u64 {
            entries.push((generations.stamp(), numbered(number)));
            generations = generations.purged(Some(&[numbered(number)]), soft && number % 2 == 0);
            assert!(generations.tags.len() <= MAX_MARKS);
        }
        for (number, (stamp, own)) in entries.iter().enumerate() {
            let judged = generations.judge(*stamp, [*own]);
            assert_ne!(judged, Validity::Valid, "{number}");
        }
        // 1001 marks: the older 500 go. So again when there are 1001 once more.
        assert_eq!((generations.floor, generations.tags.len()), (1000, 700));
        // What is stored now is not older than anything.
        assert_eq!(generations.judge(generations.stamp(), [numbered(1)]), Validity::Valid);
    }
}

use tower_keep_cache::{
    Name, Purge, Tag,
    Validity::{Gone, Stale, Valid},
};

use super::backend::{Backend, is, tag};

pub(crate) async fn what_has_the_tag_is_gone_and_the_rest_is_not(backend: Backend) {
    let [ab, b, none] = ["ab", "b", "none"].map(|name| backend.name(name));
    backend.fill(&ab, &["a", "b"], b"1").await;
    backend.fill(&b, &["b"], b"2").await;
    backend.fill(&none, &[], b"3").await;
    backend.purge(Purge::tags([tag("a"), tag("c")])).await;
    backend.all_say(&ab, is("1", Gone)).await;
    backend.all_say(&b, is("2", Valid)).await;
    backend.purge(Purge::tags([tag("b")])).await;
    backend.all_say(&b, is("2", Gone)).await;
    backend.all_say(&none, is("3", Valid)).await;
}

pub(crate) async fn a_soft_purge_makes_stale_and_a_hard_one_takes_away(backend: Backend) {
    let (a, b) = (backend.name("a"), backend.name("b"));
    backend.fill(&a, &["a"], b"1").await;
    backend.fill(&b, &["b"], b"2").await;
    backend.purge(Purge::tags([tag("a")]).soft()).await;
    backend.all_say(&a, is("1", Stale)).await;
    backend.all_say(&b, is("2", Valid)).await;
    backend.purge(Purge::everything().soft()).await;
    backend.all_say(&b, is("2", Stale)).await;
    backend.purge(Purge::tags([tag("a")])).await;
    backend.purge(Purge::tags([tag("a")]).soft()).await;
    backend.all_say(&a, is("1", Gone)).await;
    backend.all_say(&b, is("2", Stale)).await;
}

pub(crate) async fn everything_is_purged_of_one_tenant(backend: Backend) {
    let other = Name::new(&backend.tenant("other"), "a");
    let (a, b) = (backend.name("a"), backend.name("b"));
    backend.fill(&a, &["a"], b"1").await;
    backend.fill(&b, &[], b"2").await;
    backend.fill(&other, &["a"], b"3").await;
    backend.purge(Purge::everything()).await;
    backend.all_say(&a, is("1", Gone)).await;
    backend.all_say(&b, is("2", Gone)).await;
    backend.all_say(&other, is("3", Valid)).await;
}

pub(crate) async fn what_is_stored_after_a_purge_is_valid(backend: Backend) {
    let name = backend.name("it");
    let purges = [
        Purge::tags([tag("a")]),
        Purge::everything(),
        Purge::everything().soft(),
        Purge::tags([tag("a")]).soft(),
    ];
    for purge in purges {
        backend.fill(&name, &["a"], b"before").await;
        backend.purge(purge.clone()).await;
        let expected = if purge.is_soft() { Stale } else { Gone };
        backend.all_say(&name, is("before", expected)).await;
        backend.fill(&name, &["a"], b"after").await;
        assert_eq!(backend.says(&name).await, is("after", Valid));
    }
}

pub(crate) async fn a_fill_that_began_before_a_purge_is_not(backend: Backend) {
    for purge in [Purge::tags([tag("a")]), Purge::everything()] {
        let name = backend.name("it");
        let stamp = backend.generations().await.stamp();
        backend.purge(purge).await;
        backend.put(&name, stamp, &["a"], b"old").await;
        backend.all_say(&name, is("old", Gone)).await;
    }
}

pub(crate) async fn no_tag_is_nothing(backend: Backend) {
    let name = backend.name("it");
    backend.fill(&name, &["a"], b"1").await;
    let before = backend.generations().await.stamp();
    backend.purge(Purge::tags([])).await;
    assert_eq!(backend.generations().await.stamp(), before);
    backend.all_say(&name, is("1", Valid)).await;
}

fn numbered(number: usize) -> Tag {
    tag(&format!("n{number}"))
}

pub(crate) async fn very_many_tags_are_purged_at_once(backend: Backend) {
    let names = [0, 249, 250, 699].map(|number| (number, backend.name(&number.to_string())));
    for (number, name) in &names {
        backend.fill(name, &[&format!("n{number}")], b"1").await;
    }
    backend.purge(Purge::tags((0..700).map(numbered))).await;
    for (_, name) in &names {
        backend.all_say(name, is("1", Gone)).await;
    }
}

pub(crate) async fn when_purges_are_forgotten_what_is_older_is_gone(backend: Backend) {
    let (name, kept) = (backend.name("it"), backend.name("kept"));
    backend.fill(&name, &["never"], b"1").await;
    // A purge of another tag each, with more marks than are kept.
    for first in (0..1200).step_by(100) {
        if first == 1100 {
            backend.fill(&kept, &["never"], b"2").await;
        }
        backend.purge(Purge::tags((first..first + 100).map(numbered))).await;
    }
    backend.all_say(&name, is("1", Gone)).await;
    backend.all_say(&kept, is("2", Valid)).await;
    backend.purge(Purge::tags([tag("never")])).await;
    backend.all_say(&kept, is("2", Gone)).await;
}

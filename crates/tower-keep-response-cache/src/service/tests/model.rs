//! The layer against a naive model of RFC 9111: whatever services say and clients ask, nothing is
//! answered from the store that the model forbids.
//!
//! The model does not read fields: it knows what they were made of.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

mod made;

use self::made::{Asks, Says, Says2, Step, Wish, steps};

/// A response that the service gave, and all that may decide about its use.
#[derive(Clone, Debug)]
struct Given {
    asks: Asks,
    says: Says2,
    at: u64,
    /// The target was changed since.
    changed: bool,
}

/// Why what was given must not be the answer now, without the service being asked.
fn forbidden(given: &Given, asks: &Asks, now: u64) -> Result<(), String> {
    stored(given, asks)?;
    let says = &given.says;
    if says.has(|says| *says == Says::NoCache) {
        return Err("no-cache".into());
    }
    let age = says.age.unwrap_or(0) + (now - given.at);
    let lifetime = says.lifetime().unwrap_or(0);
    match asks.wish {
        Some(Wish::NoCache) => return Err("the client wants it asked for".into()),
        Some(Wish::MaxAge(n)) if age > n => return Err("too old for the client".into()),
        Some(Wish::MinFresh(n)) if lifetime < age + n => return Err("not fresh for long".into()),
        _ => {}
    }
    if age < lifetime {
        return Ok(());
    }
    let over = age - lifetime;
    if says.has(|says| matches!(says, Says::MustRevalidate | Says::SMaxage(_))) {
        return Err("stale, and to be asked for".into());
    }
    let meanwhile = says.most(|says| match says {
        Says::WhileRevalidate(n) => Some(*n),
        _ => None,
    });
    let client = match asks.wish {
        Some(Wish::MaxStale(n)) => Some(n),
        _ => None,
    };
    if over <= meanwhile.unwrap_or(0).max(client.unwrap_or(0))
        && (meanwhile.is_some() || client.is_some())
    {
        return Ok(());
    }
    Err(format!("stale for {over} s"))
}

/// Why what was given must not be used at all for this request.
fn stored(given: &Given, asks: &Asks) -> Result<(), String> {
    let says = &given.says;
    let never = [
        (given.changed, "its target was changed"),
        // What answers HEAD may renew what is stored.
        (!given.asks.is_read() || !asks.is_read(), "not a GET"),
        (given.asks.path != asks.path, "another target"),
        (given.asks.tenant != asks.tenant, "another tenant's"),
        (says.has(|says| *says == Says::NoStore), "no-store"),
        (says.has(|says| *says == Says::Private), "private"),
        (matches!(given.asks.wish, Some(Wish::NoStore)), "its client said no-store"),
        (says.cookie, "it sets a cookie"),
        (says.vary == 3, "varies by anything"),
        (says.vary >= 1 && given.asks.a != asks.a, "varies by x-a"),
        (says.vary >= 2 && given.asks.b != asks.b, "varies by x-b"),
        (
            given.asks.authorization
                && !says.has(|says| {
                    matches!(says, Says::Public | Says::MustRevalidate | Says::SMaxage(_))
                }),
            "its request had credentials",
        ),
    ];
    match never.iter().find(|(it, _)| *it) {
        Some((_, why)) => Err((*why).into()),
        None => Ok(()),
    }
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    /// What the service is to say next.
    type Next = Arc<Mutex<Option<(Says2, u64)>>>;
    let next: Next = Arc::default();
    let told = Arc::clone(&next);
    let renewals: Arc<Mutex<Vec<usize>>> = Arc::default();
    let renewing = Arc::clone(&renewals);
    let site = site(move |request, number| {
        let (mut says, now) = told.lock().unwrap().clone().unwrap();
        // What renews has a word about freshness, so that nothing is left of what the stored one
        // said of it.
        let speaks = says.has(|says| matches!(says, Says::MaxAge(_) | Says::SMaxage(_)));
        if *request.method() == Method::HEAD && !speaks {
            says.tag = None;
        }
        let tag = says.tag.map(|tag| format!("\"{tag}\""));
        let known = request.headers().get("if-none-match").and_then(|it| it.to_str().ok());
        let same = says.status == 200
            && speaks
            && tag.is_some_and(|tag| known.is_some_and(|known| known.contains(&tag)));
        if same {
            renewing.lock().unwrap().push(number);
        }
        says.render(number, now, if same { 304 } else { says.status })
    });
    let mut given: HashMap<usize, Given> = HashMap::new();
    let mut now = NOW.0 / 1000;
    for step in steps {
        let (asks, says) = match step {
            Step::Wait(seconds) => {
                site.later(seconds);
                now += seconds;
                continue;
            }
            Step::Ask(asks, says) => (asks, says),
        };
        *next.lock().unwrap() = Some((says.clone(), now));
        let before = site.asked();
        let got = site.send(asks.request()).await;
        // What is asked for in the background is answered by the same script.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let numbers = before + 1..=site.asked();
        let from: usize = got.field("x-n").unwrap().parse().unwrap();
        for number in numbers.clone() {
            let request = site.seen.lock().unwrap()[number - 1].clone();
            let background = number != before + 1 || got.is_hit();
            let method = if background { Method::GET } else { asks.method.clone() };
            prop_assert_eq!(request.method(), &method);
            let asks = Asks { method, ..asks.clone() };
            let mut says = says.clone();
            // The cookie of a 304 is its client's, and does not become part of what is stored.
            says.cookie &= !renewals.lock().unwrap().contains(&number);
            let new = Given { asks, says, at: now, changed: false };
            given.insert(number, new);
        }
        if !asks.is_read() && says.status < 400 {
            for (_, one) in given.iter_mut().filter(|(number, _)| !numbers.contains(*number)) {
                one.changed |= one.asks.path == asks.path && one.asks.tenant == asks.tenant;
            }
        }
        let is_own = numbers.contains(&from);
        let body: usize = got.body.parse().unwrap_or(from);
        if !is_own {
            // Only from the store.
            let source = &given[&from];
            let verdict = if numbers.is_empty() || got.is_hit() {
                forbidden(source, &asks, now)
            } else {
                let error = source.says.most(|says| match says {
                    Says::IfError(n) => Some(*n),
                    _ => None,
                });
                let age = source.says.age.unwrap_or(0) + (now - source.at);
                let over = age.saturating_sub(source.says.lifetime().unwrap_or(0));
                stored(source, &asks).and_then(|()| match error {
                    Some(window) if says.status >= 500 && over <= window => Ok(()),
                    _ => Err("in place of no error".into()),
                })
            };
            prop_assert!(
                verdict.is_ok(),
                "{:?}: {:?} answers {:?}: {:?}",
                verdict,
                source,
                asks,
                got
            );
        }
        if body != from {
            // Renewed by a 304: fields of the one, body of the other, which must have been the same.
            let old = &given[&body];
            let new = &given[&from];
            let by_head = new.asks.method == Method::HEAD;
            prop_assert!(by_head || old.says.tag.is_some());
            let tags = (old.says.tag, new.says.tag);
            let differ = by_head && (tags.0.is_none() || tags.1.is_none());
            prop_assert!(differ || tags.0 == tags.1, "{:?} renewed by {:?}", old, new);
            prop_assert_eq!(old.asks.path, asks.path);
            prop_assert_eq!(old.asks.tenant, asks.tenant);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_answered_that_the_model_forbids(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps))?;
    }
}

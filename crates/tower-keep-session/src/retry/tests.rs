use tower_keep_core::{Answer, key::SessionKey};

use super::*;
use crate::{
    id::{Origin, SessionId},
    memory::MemoryStore,
    record::{Header, Record},
    revoked::Revocations,
    store::Listed,
};

/// A store that fails to remove as it is told, and notes what it was asked to.
#[derive(Default)]
struct Failing {
    store: MemoryStore,
    error: Mutex<Option<StoreError>>,
    tried: Mutex<Vec<PublicId>>,
}

impl Failing {
    fn fail(&self, error: Option<StoreError>) {
        *self.error.lock().unwrap() = error;
    }

    fn tried(&self) -> Vec<PublicId> {
        std::mem::take(&mut self.tried.lock().unwrap())
    }
}

impl SessionStore for Failing {
    fn load(&self, place: Place<'_>) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        self.store.load(place)
    }

    fn touch_and_load(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Arc<Record>>, StoreError>> {
        self.store.touch_and_load(place, bounds)
    }

    fn touch(
        &self,
        place: Place<'_>,
        bounds: Bounds,
    ) -> Answer<Result<Option<Header>, StoreError>> {
        self.store.touch(place, bounds)
    }

    fn save(&self, save: Save<'_>) -> Answer<Result<Saved, StoreError>> {
        self.store.save(save)
    }

    fn remove(&self, place: Place<'_>) -> Answer<Result<bool, StoreError>> {
        self.tried.lock().unwrap().push(place.id);
        match self.error.lock().unwrap().clone() {
            Some(error) => Answer::ready(Err(error)),
            None => self.store.remove(place),
        }
    }

    fn remove_all(&self, key: SessionKey<'_>) -> Answer<Result<(), StoreError>> {
        self.store.remove_all(key)
    }

    fn remove_others(&self, but: Place<'_>) -> Answer<Result<u64, StoreError>> {
        self.store.remove_others(but)
    }

    fn list(&self, key: SessionKey<'_>) -> Answer<Result<Listed, StoreError>> {
        self.store.list(key)
    }

    fn revocations(&self) -> &Revocations {
        self.store.revocations()
    }
}

fn token(number: usize) -> Token {
    Token {
        id: SessionId::from_bytes((number as u128).to_be_bytes()),
        origin: Origin([2; 16]),
        user: None,
        touched: tower_keep_core::time::UnixMillis(0),
        idle: Duration::from_secs(60),
        transient: false,
    }
}

/// A queue in which so many wait, and its store, which has failed so for an hour.
async fn an_hour_later(number: usize, error: StoreError) -> (Amendments, Arc<Failing>) {
    let (amendments, failing) = (Amendments::default(), Arc::<Failing>::default());
    failing.fail(Some(error));
    let (store, tenant): (Arc<dyn SessionStore>, _) =
        (failing.clone(), TenantId::new("acme").unwrap());
    for number in 0..number {
        amendments.add(&store, &tenant, token(number), Amends::Remove);
    }
    sleep(Duration::from_secs(3600)).await;
    (amendments, failing)
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_which_nothing_is_sent_is_outlasted() {
    let (_removals, failing) = an_hour_later(1, StoreError::not_sent("away")).await;
    assert!(failing.tried().len() > 100, "one each half a minute");
    failing.fail(None);
    sleep(LAST).await;
    assert_eq!(failing.tried(), [token(0).id.public()]);
    sleep(LAST * 10).await;
    assert_eq!(failing.tried(), [], "it is done");
}

#[tokio::test(start_paused = true)]
async fn what_fails_although_it_is_sent_is_given_up() {
    for error in [StoreError::unknown("late"), StoreError::refused("full")] {
        let (amendments, failing) = an_hour_later(1, error).await;
        assert_eq!(failing.tried().len(), TRIES as usize);
        assert!(amendments.0.lock().unwrap().worker.is_none(), "nothing is left to do");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_may_wait_and_the_oldest_make_room() {
    let (_removals, failing) = an_hour_later(MOST + 3, StoreError::not_sent("away")).await;
    failing.fail(None);
    failing.tried();
    sleep(LAST).await;
    let mut removed = failing.tried();
    removed.sort();
    let mut expected: Vec<_> = (3..MOST + 3).map(|number| token(number).id.public()).collect();
    expected.sort();
    assert_eq!(removed, expected);
}

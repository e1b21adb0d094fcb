//! The users of this demo, and their passwords.

use std::{sync::Arc, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use tower_keep::{BoxError, TenantId, UserId};

use crate::auth::attempt::Attempt;

/// How many passwords are checked at once. Each takes 19 MiB and a processor.
const AT_ONCE: usize = 4;
/// How long an attempt waits until it is its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Somebody who can log in.
pub(crate) struct User {
    tenant: TenantId,
    /// Part of keys in the store, so it tells nothing of them.
    pub(crate) id: UserId,
    pub(crate) email: &'static str,
    pub(crate) role: Option<&'static str>,
    hash: Arc<PasswordHash>,
}

impl User {
    /// Whether they may do what concerns everybody of the tenant.
    pub(crate) fn is_admin(&self) -> bool {
        self.role == Some("admin")
    }
}

/// Those of the tenants that have any.
pub(crate) struct Users {
    all: Vec<Arc<User>>,
    /// Of a password that nobody knows.
    nobody: Arc<PasswordHash>,
    turns: Arc<Semaphore>,
}

/// Too many passwords are being checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy;

impl Users {
    /// `test@example.com` and `admin@example.com` in the tenants `public` and `globex`, all with
    /// `password` for a password: four people.
    pub(crate) async fn seeded() -> Result<Self, BoxError> {
        spawn_blocking(Self::seed).await?
    }

    fn seed() -> Result<Self, BoxError> {
        const ADMIN: Option<&str> = Some("admin");
        let user = |tenant, id, email, role| {
            let (tenant, hash) = (TenantId::new(tenant)?, Arc::new(hash(b"password")?));
            Ok::<_, BoxError>(Arc::new(User { tenant, id: UserId::new(id)?, email, role, hash }))
        };
        let mut unknown = [0; 32];
        getrandom::fill(&mut unknown)?;
        Ok(Self {
            all: vec![
                user("public", "u-5f0c9a71", "test@example.com", None)?,
                user("public", "u-c83e164d", "admin@example.com", ADMIN)?,
                user("globex", "u-2b9d40e6", "test@example.com", None)?,
                user("globex", "u-97a1f35c", "admin@example.com", ADMIN)?,
            ],
            nobody: Arc::new(hash(&unknown)?),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    pub(crate) fn get(&self, tenant: &TenantId, id: &UserId) -> Option<Arc<User>> {
        self.find(tenant, |user| user.id == *id)
    }

    fn find(&self, tenant: &TenantId, is: impl Fn(&User) -> bool) -> Option<Arc<User>> {
        let mut all = self.all.iter().filter(|user| user.tenant == *tenant);
        all.find(|user| is(user)).cloned()
    }

    /// Who it is, if the password is theirs. It takes as long whether there is such a user or not.
    pub(crate) async fn verify(
        &self,
        tenant: &TenantId,
        attempt: &Arc<Attempt>,
    ) -> Result<Option<Arc<User>>, Busy> {
        let user = self.find(tenant, |user| user.email == attempt.email);
        let hash = Arc::clone(user.as_ref().map_or(&self.nobody, |user| &user.hash));
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Busy) };
        let attempt = Arc::clone(attempt);
        let check = move || {
            // Kept until it is done, whether or not somebody waits for it.
            let _turn = turn;
            Argon2::default().verify_password(attempt.password.as_bytes(), &*hash).is_ok()
        };
        let good = spawn_blocking(check).await.map_err(|_| Busy)?;
        Ok(user.filter(|_| good))
    }
}

fn hash(password: &[u8]) -> Result<PasswordHash, BoxError> {
    Argon2::default().hash_password(password).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_so_many_passwords_are_checked_at_once() {
        let users = Users::seeded().await.unwrap();
        let tenant = TenantId::new("public").unwrap();
        let attempt = |email: &str, password: &str| {
            let (email, password, account) = (email.into(), password.into(), String::new());
            Arc::new(Attempt { email, password, account })
        };
        let right = attempt("test@example.com", "password");
        let others: Vec<_> = (0..AT_ONCE).map(|_| users.turns.try_acquire().unwrap()).collect();
        for attempt in [&right, &attempt("nobody@example.com", "password")] {
            assert!(users.verify(&tenant, attempt).await.is_err(), "its turn never comes");
        }
        drop(others);
        let user = users.verify(&tenant, &right).await.unwrap().unwrap();
        assert_eq!(user.email, right.email);
        let globex = TenantId::new("globex").unwrap();
        let namesake = users.verify(&globex, &right).await.unwrap().unwrap();
        assert_ne!(namesake.id, user.id);
        assert!(users.get(&globex, &user.id).is_none() && users.get(&tenant, &user.id).is_some());
        for (tenant, email, password) in [
            ("public", "test@example.com", "Password"),
            ("public", "nobody@example.com", "password"),
            ("other", "test@example.com", "password"),
        ] {
            let tenant = TenantId::new(tenant).unwrap();
            let found = users.verify(&tenant, &attempt(email, password)).await.unwrap();
            assert!(found.is_none(), "{email} {password}");
        }
        assert_eq!(users.turns.available_permits(), AT_ONCE, "all turns are given back");
    }
}

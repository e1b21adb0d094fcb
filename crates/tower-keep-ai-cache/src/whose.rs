//! Whose answers a request may get.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, header, request::Parts};
use sha2::Sha256;
use tower_keep_core::{Principal, TenantId, UserId};

use crate::BypassReason;

/// Fields that say who pays.
const CREDENTIALS: [HeaderName; 3] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    // Azure's.
    HeaderName::from_static("api-key"),
];

type Predicate<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

/// How it is found out.
#[derive(Clone, Default)]
pub(crate) struct Sharing {
    /// Who has other credentials has other answers.
    pub(crate) credentials: Option<Credentials>,
    /// But for those requests that all of a tenant share.
    pub(crate) shared: Vec<Predicate<Parts>>,
    /// Each user has their own.
    pub(crate) per_user: bool,
    /// Principals for whom nothing is stored.
    pub(crate) no_store: Vec<Predicate<Principal>>,
}

/// Whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) tenant: TenantId,
    pub(crate) credential: Option<[u8; 32]>,
    pub(crate) user: Option<UserId>,
    /// They are shared among credentials that are told apart otherwise.
    pub(crate) across_keys: bool,
}

impl Sharing {
    /// Finds it out. Costs one command at most, where each user has their own.
    pub(crate) async fn of(&self, parts: &Parts) -> Result<Whose, BypassReason> {
        let principal = Principal::of(&parts.extensions);
        if principal.is_some_and(|principal| self.no_store.iter().any(|marked| marked(principal))) {
            return Err(BypassReason::NoStore);
        }
        let is_shared = || self.shared.iter().any(|shared| shared(parts));
        let credential = match &self.credentials {
            Some(credentials) if !(principal.is_some() && is_shared()) => {
                Some(credentials.hash(&parts.headers).ok_or(BypassReason::Unidentified)?)
            }
            _ => None,
        };
        let tenant = match principal {
            Some(principal) => principal.tenant().clone(),
            None if credential.is_some() => TenantId::NONE,
            None => return Err(BypassReason::Unidentified),
        };
        let user = match principal {
            Some(principal) if self.per_user => {
                let user = principal.verify().await.map_err(|_| BypassReason::Store)?;
                Some(user.ok_or(BypassReason::Unidentified)?)
            }
            None if self.per_user => return Err(BypassReason::Unidentified),
            _ => None,
        };
        let across_keys = self.credentials.is_some() && credential.is_none();
        Ok(Whose { tenant, credential, user, across_keys })
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing")
            .field("by_credential", &self.credentials.is_some())
            .field("per_user", &self.per_user)
            .finish_non_exhaustive()
    }
}

/// A secret by which credentials become parts of identities, so that they cannot be found by trying.
#[derive(Clone)]
pub(crate) struct Credentials(Hmac<Sha256>);

impl Credentials {
    /// `None` if the secret cannot be used, which all can.
    pub(crate) fn new(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// The credentials of a request, hashed; `None` if it has none.
    fn hash(&self, headers: &HeaderMap) -> Option<[u8; 32]> {
        let mut mac = self.0.clone();
        let mut any = false;
        for name in &CREDENTIALS {
            for value in headers.get_all(name) {
                any |= !value.is_empty();
                mac.update(name.as_str().as_bytes());
                mac.update(&(value.len() as u64).to_be_bytes());
                mac.update(value.as_bytes());
            }
        }
        any.then(|| mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(principal: Option<Principal>, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::new(());
        for (name, value) in fields {
            request
                .headers_mut()
                .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        if let Some(principal) = principal {
            request.extensions_mut().insert(principal);
        }
        request.into_parts().0
    }

    fn acme() -> Principal {
        Principal::new(TenantId::new("acme").unwrap())
    }

    async fn find(sharing: &Sharing, parts: &Parts) -> Result<Whose, BypassReason> {
        sharing.of(parts).await
    }

    #[tokio::test]
    async fn without_a_tenant_nothing_is_anybodys() {
        let sharing = Sharing::default();
        let unidentified = Err(BypassReason::Unidentified);
        assert_eq!(find(&sharing, &parts(None, &[("authorization", "a")])).await, unidentified);
        let whose = find(&sharing, &parts(Some(acme()), &[("authorization", "a")])).await.unwrap();
        assert_eq!((whose.tenant.as_str(), whose.credential), ("acme", None));
    }

    #[tokio::test]
    async fn each_credential_has_its_own_answers() {
        let sharing = Sharing {
            credentials: Credentials::new(b"secret"),
            shared: vec![Arc::new(|parts: &Parts| parts.headers.contains_key("x-tenant-id"))],
            ..Sharing::default()
        };
        let mut seen = Vec::new();
        for fields in [
            &[("authorization", "Bearer a")][..],
            &[("authorization", "Bearer b")],
            &[("x-api-key", "Bearer a")],
            &[("authorization", "Bearer a"), ("x-api-key", "a")],
            &[("authorization", "Bearer "), ("authorization", "a")],
        ] {
            for principal in [None, Some(acme())] {
                let whose = find(&sharing, &parts(principal, fields)).await.unwrap();
                assert!(whose.credential.is_some() && !seen.contains(&whose), "{fields:?}");
                seen.push(whose);
            }
        }
        for fields in [&[][..], &[("authorization", "")]] {
            for principal in [None, Some(acme())] {
                let found = find(&sharing, &parts(principal, fields)).await;
                assert_eq!(found, Err(BypassReason::Unidentified));
            }
        }
        let shared = [("x-tenant-id", "acme"), ("authorization", "a")];
        let whose = find(&sharing, &parts(Some(acme()), &shared)).await.unwrap();
        assert_eq!(whose.credential, None);
        // Who is nobody's shares with nobody.
        assert!(find(&sharing, &parts(None, &shared)).await.unwrap().credential.is_some());
        let other = Sharing { credentials: Credentials::new(b"another"), ..Sharing::default() };
        let other = find(&other, &parts(None, &[("authorization", "Bearer a")])).await.unwrap();
        assert_ne!(other, seen[0]);
    }

    #[tokio::test]
    async fn users_can_have_their_own() {
        let sharing = Sharing { per_user: true, ..Sharing::default() };
        let user = |id| acme().with_user(UserId::new(id).unwrap());
        let one = find(&sharing, &parts(Some(user("1")), &[])).await.unwrap();
        assert_ne!(one, find(&sharing, &parts(Some(user("2")), &[])).await.unwrap());
        for principal in [None, Some(acme())] {
            let found = find(&sharing, &parts(principal, &[])).await;
            assert_eq!(found, Err(BypassReason::Unidentified));
        }
    }

    #[tokio::test]
    async fn for_some_nothing_is_stored() {
        let is_secret = |principal: &Principal| principal.tenant().as_str() == "acme";
        let sharing = Sharing { no_store: vec![Arc::new(is_secret)], ..Sharing::default() };
        assert_eq!(find(&sharing, &parts(Some(acme()), &[])).await, Err(BypassReason::NoStore));
        let globex = Principal::new(TenantId::new("globex").unwrap());
        assert!(find(&sharing, &parts(Some(globex), &[])).await.is_ok());
    }
}

//! A caller as the program names it, without a request at hand.

use std::net::IpAddr;

use tower_keep_core::{ClientAddr, Principal, TenantId, UserId, key::CustomPart};

use crate::subject::Subject;

/// Somebody whose limits are looked at, reset or blocked.
///
/// ```
/// use tower_keep_core::{TenantId, UserId};
/// use tower_keep_rate_limit::Caller;
///
/// let everybody = Caller::tenant(TenantId::new("acme")?);
/// let somebody = everybody.clone().user(UserId::new("42")?).endpoint("/items/{id}");
/// # let _ = (everybody, somebody);
/// # Ok::<_, tower_keep_core::InvalidId>(())
/// ```
#[derive(Clone, Debug)]
pub struct Caller {
    tenant: TenantId,
    user: Option<UserId>,
    address: Option<ClientAddr>,
    endpoint: Option<Endpoint>,
    parts: Vec<(String, Option<String>)>,
}

#[derive(Clone, Debug)]
enum Endpoint {
    Route(Box<str>),
    Unmatched,
}

impl Caller {
    /// Everybody of this tenant together.
    pub const fn tenant(tenant: TenantId) -> Self {
        Self { tenant, user: None, address: None, endpoint: None, parts: Vec::new() }
    }

    /// The user who acts, as the limits count them: also one whom nobody has verified yet. Nobody
    /// where there is no user: name the [`address`](Self::address) of whoever is meant, since the
    /// tenant alone is everybody of it.
    ///
    /// ```
    /// use tower_keep_core::{Principal, TenantId};
    /// use tower_keep_rate_limit::Caller;
    ///
    /// let (acme, ip) = (Principal::new(TenantId::new("acme")?), [192, 0, 2, 1].into());
    /// let abuser = Caller::of(&acme)
    ///     .unwrap_or_else(|| Caller::tenant(acme.tenant().clone()).address(ip));
    /// # let _ = abuser;
    /// # Ok::<_, tower_keep_core::InvalidId>(())
    /// ```
    pub fn of(principal: &Principal) -> Option<Self> {
        let user = principal.claimed_user()?;
        Some(Self::tenant(principal.tenant().clone()).user(user.clone()))
    }

    /// This user of the tenant.
    #[must_use]
    pub fn user(self, user: UserId) -> Self {
        Self { user: Some(user), ..self }
    }

    /// Whoever asks from this address; of an IPv6 address, from its /64 network.
    #[must_use]
    pub fn address(self, ip: IpAddr) -> Self {
        Self { address: Some(ClientAddr::new(ip)), ..self }
    }

    /// On this endpoint, named by its route's template. Without one, rules that count by endpoint
    /// are left out.
    #[must_use]
    pub fn endpoint(self, template: impl Into<String>) -> Self {
        Self { endpoint: Some(Endpoint::Route(template.into().into())), ..self }
    }

    /// Where no route matches: what is counted as `~unmatched`, such as requests that are answered
    /// with 404, and gRPC calls of methods that are not known.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::Request;
    /// use tower::{Layer, ServiceExt};
    /// use tower_keep_core::TenantId;
    /// use tower_keep_rate_limit::{Caller, RateLimitLayer, Rule};
    /// # use http::Response;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let handler = tower::service_fn(|_: Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(Response::new(()))
    /// # });
    /// let rule = Rule::per_endpoint(1, Duration::from_secs(3600));
    /// let layer = RateLimitLayer::builder().memory().rule(rule).build()?;
    /// layer.layer(handler).oneshot(Request::new(())).await?;
    /// let lost = Caller::tenant(TenantId::NONE).unmatched();
    /// assert_eq!(layer.limits().peek(&lost).await?.rules[0].remaining, 0);
    /// assert_eq!(layer.limits().reset(&lost).await?, 1);
    /// assert_eq!(layer.limits().peek(&lost).await?.rules[0].remaining, 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn unmatched(self) -> Self {
        Self { endpoint: Some(Endpoint::Unmatched), ..self }
    }

    /// With this part in the key of a rule that makes one ([`Rule::by`](crate::Rule::by)). Without,
    /// that rule is left out.
    #[must_use]
    pub fn part(mut self, rule: impl Into<String>, part: impl Into<String>) -> Self {
        self.parts.push((rule.into(), Some(part.into())));
        self
    }

    /// Where that rule found nothing to make a part of.
    ///
    /// ```
    /// use tower_keep_core::TenantId;
    /// use tower_keep_rate_limit::Caller;
    ///
    /// let of_no_known_model = Caller::tenant(TenantId::new("acme")?).without_part("model");
    /// # let _ = of_no_known_model;
    /// # Ok::<_, tower_keep_core::InvalidId>(())
    /// ```
    #[must_use]
    pub fn without_part(mut self, rule: impl Into<String>) -> Self {
        self.parts.push((rule.into(), None));
        self
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            tenant: &self.tenant,
            user: self.user.as_ref(),
            address: self.address,
            route: match &self.endpoint {
                Some(Endpoint::Route(template)) => Some(template),
                Some(Endpoint::Unmatched) | None => None,
            },
        }
    }

    pub(crate) const fn has_endpoint(&self) -> bool {
        self.endpoint.is_some()
    }

    /// The part in the key of the rule of this name, which makes one.
    pub(crate) fn part_for(&self, rule: &str) -> Option<CustomPart<'_>> {
        let given = self.parts.iter().rev().find(|(name, _)| name == rule);
        given.map(|(_, part)| part.as_deref().map_or(CustomPart::Missing, CustomPart::Value))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tower_keep_core::{Answer, StoreError, VerifyUser};

    use super::*;

    /// A session that nobody has looked for yet.
    struct Unseen(UserId);

    impl VerifyUser for Unseen {
        fn claimed_user(&self) -> Option<&UserId> {
            Some(&self.0)
        }

        fn verified_user(&self) -> Option<&UserId> {
            None
        }

        fn verify_user(self: Arc<Self>) -> Answer<Result<Option<UserId>, StoreError>> {
            Answer::ready(Ok(Some(self.0.clone())))
        }

        fn is_personal(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_user_who_is_not_verified_yet_is_not_their_whole_tenant() {
        let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new("42").unwrap());
        let nobody = Principal::new(tenant.clone());
        assert!(Caller::of(&nobody).is_none(), "whoever has no user is not their whole tenant");
        let principal = Principal::new(tenant).with_session(Arc::new(Unseen(user.clone())));
        let caller = Caller::of(&principal).unwrap();
        assert_eq!(caller.subject().user(), Some(&user), "whom the limits count");
        assert_eq!(caller.subject().blocks().len(), 2);
    }
}

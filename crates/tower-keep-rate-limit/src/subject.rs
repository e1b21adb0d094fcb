//! Whom a request counts for.

use arrayvec::ArrayVec;
use tower_keep_core::{
    ClientAddr, Head, Principal, TenantId, TrustedProxies, UserId,
    key::{BlockKey, CounterKey, CustomPart, EndpointPart, UserPart},
};

use crate::{endpoint::GrpcEndpoints, rule::Rule};

/// What a request's head tells of its caller and its goal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) user: Option<&'a UserId>,
    pub(crate) address: Option<ClientAddr>,
    pub(crate) route: Option<&'a str>,
}

/// What is to be found out of a request beside its principal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    /// The client's address, even where the user is known.
    pub(crate) address: bool,
    pub(crate) route: bool,
}

impl Wants {
    #[cfg(test)]
    pub(crate) const ALL: Self = Self { address: true, route: true };
}

impl<'a> Subject<'a> {
    #[inline]
    pub(crate) fn of(
        head: Head<'a>,
        proxies: &TrustedProxies,
        endpoints: &GrpcEndpoints,
        wants: Wants,
    ) -> Self {
        let principal = Principal::of(head.extensions());
        let tenant = principal.map_or(&TenantId::NONE, Principal::tenant);
        let user = principal.and_then(Principal::claimed_user);
        let address = if wants.address || user.is_none() { proxies.client(head) } else { None };
        let route = if wants.route { endpoints.of(head, tenant) } else { None };
        Self { tenant, user, address, route }
    }

    pub(crate) const fn tenant(&self) -> &'a TenantId {
        self.tenant
    }

    pub(crate) const fn user(&self) -> Option<&'a UserId> {
        self.user
    }

    pub(crate) const fn address(&self) -> Option<ClientAddr> {
        self.address
    }

    /// The counter that `rule` keeps for this subject.
    #[inline]
    pub(crate) fn counter<'b>(&self, rule: &'b Rule, part: CustomPart<'b>) -> CounterKey<'b>
    where
        'a: 'b,
    {
        CounterKey {
            tenant: self.tenant,
            user: self.user_part(rule),
            endpoint: match (rule.scope.endpoint, self.route) {
                (false, _) => EndpointPart::All,
                (true, Some(template)) => EndpointPart::Route(template),
                (true, None) => EndpointPart::Unmatched,
            },
            rule: rule.key_name(),
            part,
        }
    }

    /// The blocks that may hold for this subject: its tenant's, and its user's or else its
    /// address's.
    #[inline]
    pub(crate) fn blocks(&self) -> ArrayVec<BlockKey<'a>, 2> {
        let tenant = self.tenant;
        let mut blocks = ArrayVec::new();
        blocks.push(BlockKey { tenant, user: UserPart::All });
        let caller = self.user.map(UserPart::User).or(self.address.map(UserPart::Address));
        blocks.extend(caller.map(|user| BlockKey { tenant, user }));
        blocks
    }

    /// Whether `rule` counts by user or address and this subject has neither, or by address alone
    /// and it has none.
    #[inline]
    pub(crate) fn is_unidentified(&self, rule: &Rule) -> bool {
        self.user_part(rule) == UserPart::Unidentified
    }

    /// The same, to be kept.
    pub(crate) fn to_owned(self) -> OwnedSubject {
        OwnedSubject {
            tenant: self.tenant.clone(),
            user: self.user.cloned(),
            address: self.address,
            route: self.route.map(Into::into),
        }
    }

    #[inline]
    fn user_part(&self, rule: &Rule) -> UserPart<'a> {
        let user = self.user.filter(|_| rule.scope.user).map(UserPart::User);
        if !rule.scope.user && !rule.scope.address {
            UserPart::All
        } else {
            user.or_else(|| self.address.map(UserPart::Address)).unwrap_or(UserPart::Unidentified)
        }
    }
}

/// A subject that outlives its request's head.
#[derive(Clone, Debug)]
pub(crate) struct OwnedSubject {
    pub(crate) tenant: TenantId,
    pub(crate) user: Option<UserId>,
    pub(crate) address: Option<ClientAddr>,
    pub(crate) route: Option<Box<str>>,
}

impl OwnedSubject {
    pub(crate) fn borrow(&self) -> Subject<'_> {
        Subject {
            tenant: &self.tenant,
            user: self.user.as_ref(),
            address: self.address,
            route: self.route.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Request, request::Parts};
    use tower_keep_core::{PeerAddr, RouteTemplate};

    use super::*;
    use crate::Scope;

    fn keys(head: &Parts) -> Vec<String> {
        let subject = Subject::of(
            head.into(),
            &TrustedProxies::none(),
            &GrpcEndpoints::Unmatched,
            Wants::ALL,
        );
        [
            Scope::tenant(),
            Scope::tenant().user(),
            Scope::tenant().endpoint(),
            Scope::tenant().user().endpoint(),
            Scope::tenant().address(),
            Scope::tenant().address().endpoint(),
        ]
        .map(|scope| {
            let rule = Rule::per(scope, 1, Duration::from_secs(1));
            subject.counter(&rule, CustomPart::Unused).spell(false)
        })
        .to_vec()
    }

    #[test]
    fn scopes_take_the_parts_they_name() {
        let (mut head, ()) = Request::new(()).into_parts();
        head.extensions.insert(
            Principal::new(TenantId::new("acme").unwrap()).with_user(UserId::new("42").unwrap()),
        );
        head.extensions.insert(PeerAddr(([192, 0, 2, 1], 1).into()));
        head.extensions.insert(RouteTemplate::new("/x/{id}"));
        assert_eq!(
            keys(&head),
            [
                "ratelimit:acme:*:*",
                "ratelimit:acme:42:*",
                "ratelimit:acme:*:/x/%7Bid%7D",
                "ratelimit:acme:42:/x/%7Bid%7D",
                "ratelimit:acme:~ip-192.0.2.1:*",
                "ratelimit:acme:~ip-192.0.2.1:/x/%7Bid%7D",
            ]
        );
    }

    #[test]
    fn a_request_without_user_counts_by_address_and_without_both_under_none() {
        let (mut head, ()) = Request::new(()).into_parts();
        let unidentified = keys(&head);
        assert_eq!(unidentified[1], "ratelimit:~none:~none:*");
        assert_eq!(unidentified[3], "ratelimit:~none:~none:~unmatched");
        assert_eq!(unidentified[4], "ratelimit:~none:~none:*");
        head.extensions.insert(PeerAddr(([192, 0, 2, 1], 1).into()));
        assert_eq!(keys(&head)[1], "ratelimit:~none:~ip-192.0.2.1:*");
        assert_eq!(keys(&head)[0], "ratelimit:~none:*:*");
    }
}

//! Whom a request counts for.

use http::request::Parts;
use tower_keep_core::{
    ClientAddr, Principal, RouteTemplate, TenantId, TrustedProxies, UserId,
    key::{CounterKey, EndpointPart, UserPart},
};

use crate::rule::Rule;

/// What a request's head tells of its caller and its goal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    tenant: &'a TenantId,
    user: Option<&'a UserId>,
    address: Option<ClientAddr>,
    route: Option<&'a str>,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(head: &'a Parts, proxies: &TrustedProxies) -> Self {
        let principal = Principal::of(&head.extensions);
        Self {
            tenant: principal.map_or(&TenantId::NONE, Principal::tenant),
            user: principal.and_then(Principal::user),
            address: proxies.client(head),
            route: RouteTemplate::of(&head.extensions),
        }
    }

    /// The counter that `rule` keeps for this subject.
    pub(crate) fn counter<'b>(&self, rule: &'b Rule) -> CounterKey<'b>
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
        }
    }

    /// Whether `rule` counts by user or address and this subject has neither.
    pub(crate) fn is_unidentified(&self, rule: &Rule) -> bool {
        self.user_part(rule) == UserPart::Unidentified
    }

    fn user_part(&self, rule: &Rule) -> UserPart<'a> {
        let user = self.user.filter(|_| rule.scope.user).map(UserPart::User);
        if !rule.scope.user && !rule.scope.address {
            UserPart::All
        } else {
            user.or_else(|| self.address.map(UserPart::Address)).unwrap_or(UserPart::Unidentified)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;
    use tower_keep_core::PeerAddr;

    use super::*;
    use crate::Scope;

    fn keys(head: &Parts) -> Vec<String> {
        let subject = Subject::of(head, &TrustedProxies::none());
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
            subject.counter(&rule).spell(false)
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

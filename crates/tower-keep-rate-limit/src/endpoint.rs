//! Which endpoint a request counts for. A raw path is the caller's to choose, so it is taken only
//! where the operator bounds how many there are.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use tower_keep_core::{Dialect, Head, RouteTemplate, TenantId};

/// The most tenants whose gRPC methods are remembered.
const MAX_TENANTS: usize = 10_000;
/// The most gRPC methods of all of them together: some 26 MB of names at the worst.
const MAX_PATHS: usize = 100_000;
/// The most gRPC methods of each.
pub(crate) const MAX_METHODS: usize = 1000;
/// The longest path of a gRPC method that is remembered: no service has longer names.
const MAX_PATH: usize = 256;

/// What stands for the endpoint of a gRPC call for which no route template is told.
#[derive(Debug, Default)]
pub(crate) enum GrpcEndpoints {
    /// Nothing: all calls are `~unmatched`.
    #[default]
    Unmatched,
    /// Its path, if it is one of these.
    Listed(HashSet<String>),
    /// Its path, for so many first paths of each tenant.
    Capped { most: usize, seen: Mutex<Seen> },
}

/// The paths that tenants have called.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    tenants: HashMap<TenantId, HashSet<String>>,
    /// How many there are, of all tenants.
    paths: usize,
}

impl Seen {
    /// Whether the path is one of the first `most` of its tenant, where there is room for it.
    fn knows(&mut self, path: &str, tenant: &TenantId, most: usize) -> bool {
        let has_room = self.paths < MAX_PATHS && most > 0;
        let is_full = self.tenants.len() >= MAX_TENANTS;
        match self.tenants.get_mut(tenant) {
            Some(paths) if paths.contains(path) => return true,
            Some(paths) if has_room && paths.len() < most => {
                paths.insert(path.to_owned());
            }
            None if has_room && !is_full => {
                self.tenants.insert(tenant.clone(), HashSet::from([path.to_owned()]));
            }
            _ => return false,
        }
        self.paths += 1;
        true
    }
}

impl GrpcEndpoints {
    pub(crate) fn capped(most: usize) -> Self {
        Self::Capped { most, seen: Mutex::default() }
    }

    /// The endpoint of a request, if it is a known one.
    pub(crate) fn of<'a>(&self, head: Head<'a>, tenant: &TenantId) -> Option<&'a str> {
        let template = RouteTemplate::of(head.extensions());
        if template.is_some() || matches!(self, Self::Unmatched) || !Dialect::of(head).is_grpc() {
            return template;
        }
        Some(head.uri().path()).filter(|path| self.knows(path, tenant))
    }

    fn knows(&self, path: &str, tenant: &TenantId) -> bool {
        match self {
            Self::Unmatched => false,
            Self::Listed(methods) => methods.contains(path),
            Self::Capped { .. } if path.len() > MAX_PATH => false,
            Self::Capped { most, seen } => {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.knows(path, tenant, *most)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Parts};

    use super::*;

    fn call(path: &str, content_type: &str) -> Parts {
        let request = Request::builder().uri(path).header("content-type", content_type);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_known_grpc_methods_are_endpoints() {
        let tenant = TenantId::new("acme").unwrap();
        let listed = GrpcEndpoints::Listed(HashSet::from(["/a.B/C".to_owned()]));
        let of = |endpoints: &GrpcEndpoints, path: &str, kind: &str| {
            endpoints.of((&call(path, kind)).into(), &tenant).map(str::to_owned)
        };
        assert_eq!(of(&listed, "/a.B/C", "application/grpc").as_deref(), Some("/a.B/C"));
        assert_eq!(of(&listed, "/a.B/D", "application/grpc"), None);
        assert_eq!(of(&listed, "/a.B/C", "text/plain"), None);
        assert_eq!(of(&GrpcEndpoints::Unmatched, "/a.B/C", "application/grpc"), None);
        let mut routed = call("/a.B/D", "application/grpc");
        routed.extensions.insert(RouteTemplate::new("/t"));
        assert_eq!(listed.of((&routed).into(), &tenant), Some("/t"));
    }

    #[test]
    fn a_tenant_has_no_more_endpoints_than_its_cap() {
        let endpoints = GrpcEndpoints::capped(2);
        let knows =
            |path: &str, tenant: &str| endpoints.knows(path, &TenantId::new(tenant).unwrap());
        assert!(knows("/a", "acme") && knows("/b", "acme"));
        assert!(!knows("/c", "acme"));
        assert!(knows("/a", "acme"), "who came first stays");
        assert!(knows("/c", "other"));
        let (long, longer) = ("/".repeat(MAX_PATH), "/".repeat(MAX_PATH + 1));
        assert!(knows(&long, "other-two") && !knows(&longer, "other-two"));
        for n in 0..20_000 {
            knows("/x", &format!("t{n}"));
        }
        assert!(!knows("/x", "one-more"), "tenants are bounded too");
        assert!(!knows("/c", "acme") && knows("/c", "other"));
    }

    #[test]
    fn all_tenants_together_have_no_more_endpoints_than_fit() {
        let mut seen = Seen::default();
        let tenant = |n: usize| TenantId::new(format!("t{n}")).unwrap();
        for n in 0..MAX_PATHS {
            assert!(seen.knows(&format!("/{}", n / 100), &tenant(n % 100), MAX_METHODS));
        }
        assert!(!seen.knows("/one-more", &tenant(0), MAX_METHODS + 1));
        assert!(!seen.knows("/one-more", &tenant(100), MAX_METHODS), "whoever has none yet");
        assert!(seen.knows("/0", &tenant(0), MAX_METHODS), "who came first stays");
        assert_eq!((seen.paths, seen.tenants.len()), (MAX_PATHS, 100));
        assert!(!Seen::default().knows("/a", &tenant(0), 0));
    }
}

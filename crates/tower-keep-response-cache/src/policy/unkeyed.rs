//! Request fields that change what many services answer, although no cache looks at them.

use http::{HeaderMap, HeaderName};

use super::key;

/// What is done with requests that have a field which many services believe and no cache looks
/// at, such as `X-Forwarded-Host`: whoever sends it could choose what everybody else is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unkeyed {
    /// The service does not see the field, whether or not it is asked for what may be stored, unless
    /// the cache was told to [skip](crate::ResponseCacheLayerBuilder::skip) the request, or it is
    /// gRPC or one to change the protocol. In a request that may change something a field stays
    /// that names another method, since it says what is to be changed; what answers that is not
    /// stored.
    #[default]
    Strip,
    /// Requests with different values get different responses. For services behind a proxy that
    /// sets the field itself, whatever the client sent.
    Key,
    /// Such requests are neither answered from the cache nor stored.
    Bypass,
}

/// The fields that say another method than the request has.
const METHODS: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

/// The fields that are looked at unless the program names others: they say another host, scheme,
/// target or method than the request has.
pub(crate) const FIELDS: [&str; 22] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-server",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-host",
    "x-original-host",
    "x-http-host-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-url-scheme",
    "front-end-https",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Whether two names are one to a service that reads fields as CGI (RFC 3875 §4.1.18) has them,
/// where `-` becomes `_`.
fn is_like(name: &HeaderName, field: &HeaderName) -> bool {
    let (name, field) = (name.as_str().as_bytes(), field.as_str().as_bytes());
    let same = |(a, b): (&u8, &u8)| a == b || (b"-_".contains(a) && b"-_".contains(b));
    name.len() == field.len() && name.iter().zip(field).all(same)
}

fn is_among(name: &HeaderName, fields: &[HeaderName]) -> bool {
    fields.iter().any(|field| is_like(name, field))
}

/// Whether a request has any of these fields, with `-` or `_` in their names.
pub(crate) fn present(request: &HeaderMap, fields: &[HeaderName]) -> bool {
    request.keys().any(|name| is_among(name, fields))
}

/// Takes the fields out of a request. Those that name a method stay where the request's own may
/// change something (`changes`): it would change something else without them.
pub(crate) fn strip(request: &mut HeaderMap, fields: &[HeaderName], changes: bool) {
    let goes =
        |name: &&HeaderName| is_among(name, fields) && !(changes && is_among(name, &METHODS));
    let has: Vec<_> = request.keys().filter(goes).cloned().collect();
    for name in has {
        request.remove(name);
    }
}

/// Adds the fields that a request has to its identity (`key::canonical`); `false` if that becomes
/// longer than is kept.
pub(crate) fn key(identity: &mut Vec<u8>, request: &HeaderMap, fields: &[HeaderName]) -> bool {
    let has: Vec<_> = request.iter().filter(|(name, _)| is_among(name, fields)).collect();
    for field in fields {
        for (name, value) in has.iter().filter(|(name, _)| is_like(name, field)) {
            if !key::fits(identity.len() + 8 + name.as_str().len() + value.len()) {
                return false;
            }
            key::piece(identity, name.as_str().as_bytes());
            key::piece(identity, value.as_bytes());
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Vec<HeaderName> {
        FIELDS.map(HeaderName::from_static).to_vec()
    }

    fn request(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn identity(fields: &[(&'static str, &'static str)]) -> Vec<u8> {
        let mut identity = vec![1];
        assert!(key(&mut identity, &request(fields), &defaults()));
        identity
    }

    #[test]
    fn a_request_without_them_is_left_alone() {
        let mut plain = request(&[("accept", "a"), ("x-forwarded-for", "b")]);
        assert!(!present(&plain, &defaults()));
        strip(&mut plain, &defaults(), false);
        assert_eq!(plain.len(), 2);
        assert_eq!(identity(&[("accept", "a")]), [1]);
    }

    #[test]
    fn every_line_of_them_is_taken_out() {
        let mut evil = request(&[("x-forwarded-host", "a"), ("host", "h")]);
        evil.append("x-forwarded-host", "b".parse().unwrap());
        assert!(present(&evil, &defaults()));
        strip(&mut evil, &defaults(), false);
        assert_eq!(evil, request(&[("host", "h")]));
    }

    #[test]
    fn a_change_is_the_one_that_was_meant() {
        let asked =
            [("x-http_method-override", "DELETE"), ("x-method-override", "a"), ("x-host", "a")];
        let mut change = request(&asked);
        strip(&mut change, &defaults(), true);
        assert_eq!(change, request(&asked[..2]));
        strip(&mut change, &defaults(), false);
        assert!(change.is_empty());
    }

    /// A service that reads them as CGI has them sees the same field.
    #[test]
    fn a_line_below_is_a_hyphen() {
        for name in ["x_forwarded_host", "x-forwarded_host", "x_original_url", "front_end-https"] {
            let mut evil = request(&[(name, "a"), ("x_host_", "kept"), ("xxhost", "kept")]);
            assert!(present(&evil, &defaults()), "{name}");
            assert_ne!(identity(&[(name, "a")]), identity(&[]), "{name}");
            assert_ne!(identity(&[(name, "a")]), identity(&[(name, "b")]), "{name}");
            strip(&mut evil, &defaults(), false);
            assert!(evil.len() == 2 && !present(&evil, &defaults()), "{name}");
        }
        // So it is in a name that the program gives.
        let own = [HeaderName::from_static("x_own")];
        for name in ["x-own", "x_own"] {
            assert!(present(&request(&[(name, "a")]), &own), "{name}");
        }
        // One spelled so is not taken for the other, which another service sees alone.
        let other = [identity(&[("x_host", "a")]), identity(&[("x-host", "a"), ("x_host", "a")])];
        assert!(!other.contains(&identity(&[("x-host", "a")])) && other[0] != other[1]);
    }

    #[test]
    fn other_values_are_other_identities() {
        let seen = [
            identity(&[]),
            identity(&[("x-forwarded-host", "a")]),
            identity(&[("x-forwarded-host", "b")]),
            identity(&[("x-host", "a")]),
            identity(&[("x-forwarded-host", "a"), ("x-host", "a")]),
            identity(&[("x-forwarded-host", "a"), ("x-forwarded-host", "b")]),
            identity(&[("x-forwarded-host", "a, b")]),
        ];
        for (i, a) in seen.iter().enumerate() {
            assert!(!seen[..i].contains(a), "{i}");
        }
        assert_eq!(
            identity(&[("x-host", "a"), ("forwarded", "b")]),
            identity(&[("forwarded", "b"), ("x-host", "a")])
        );
    }

    #[test]
    fn an_identity_has_an_end() {
        let mut fields = HeaderMap::new();
        fields.insert("forwarded", "x".repeat(9000).parse().unwrap());
        assert!(!key(&mut Vec::new(), &fields, &defaults()));
    }
}

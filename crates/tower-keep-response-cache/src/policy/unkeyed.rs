//! Request fields that change what many services answer, although no cache looks at them.

use http::{HeaderMap, HeaderName};

use super::key;

/// What is done with requests that have a field which many services believe and no cache looks
/// at, such as `X-Forwarded-Host`: whoever sends it could choose what everybody else is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unkeyed {
    /// The service does not see the field.
    #[default]
    Strip,
    /// Requests with different values get different responses. For services behind a proxy that
    /// sets the field itself, whatever the client sent.
    Key,
    /// Such requests are neither answered from the cache nor stored.
    Bypass,
}

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

/// Takes the fields out of a request.
pub(crate) fn strip(request: &mut HeaderMap, fields: &[HeaderName]) {
    let has: Vec<_> = request.keys().filter(|name| is_among(name, fields)).cloned().collect();
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
        strip(&mut plain, &defaults());
        assert_eq!(plain.len(), 2);
        assert_eq!(identity(&[("accept", "a")]), [1]);
    }

    #[test]
    fn every_line_of_them_is_taken_out() {
        let mut evil = request(&[("x-forwarded-host", "a"), ("host", "h")]);
        evil.append("x-forwarded-host", "b".parse().unwrap());
        assert!(present(&evil, &defaults()));
        strip(&mut evil, &defaults());
        assert_eq!(evil, request(&[("host", "h")]));
    }

    /// A service that reads them as CGI has them sees the same field.
    #[test]
    fn a_line_below_is_a_hyphen() {
        for name in ["x_forwarded_host", "x-forwarded_host", "x_original_url", "front_end-https"] {
            let mut evil = request(&[(name, "a"), ("x_host_", "kept"), ("xxhost", "kept")]);
            assert!(present(&evil, &defaults()), "{name}");
            assert_ne!(identity(&[(name, "a")]), identity(&[]), "{name}");
            assert_ne!(identity(&[(name, "a")]), identity(&[(name, "b")]), "{name}");
            strip(&mut evil, &defaults());
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

use http::{HeaderValue, Request};
use proptest::prelude::*;

use super::*;

/// What `extract` says: the tenant, `-` for none given, the reason of a refusal.
fn told(base: &str, uri: &str, hosts: &[&[u8]]) -> Result<String, String> {
    let mut request = Request::builder().uri(uri);
    for host in hosts {
        request = request.header("host", HeaderValue::from_bytes(host).unwrap());
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    match FromSubdomain::new(base).unwrap().extract(&head) {
        Ok(principal) => Ok(principal.map_or("-".to_owned(), |it| it.tenant().to_string())),
        Err(invalid) => Err(invalid.reason().to_owned()),
    }
}

#[test]
fn the_label_left_of_the_base_domain_is_the_tenant() {
    for (host, tenant) in [
        ("acme.example.com", "acme"),
        ("acme.example.com:8080", "acme"),
        ("acme.example.com.", "acme"),
        ("acme.example.com.:443", "acme"),
        ("ACME.Example.COM", "acme"),
        ("xn--mnchen-3ya.example.com", "xn--mnchen-3ya"),
        ("a-1.example.com", "a-1"),
        ("42.example.com", "42"),
        ("example.example.com", "example"),
        ("example.com", "-"),
        ("EXAMPLE.com.:80", "-"),
    ] {
        let expected = Ok(tenant.to_owned());
        assert_eq!(told("example.com", "/", &[host.as_bytes()]), expected, "{host}");
        // HTTP/2: the authority stands in the URI.
        let uri = format!("http://{host}/path");
        assert_eq!(told("Example.Com.", &uri, &[]), expected, "{uri}");
    }
    assert_eq!(told("localhost", "/", &[b"acme.localhost:3000"]), Ok("acme".to_owned()));
    assert_eq!(told("example.com", "/", &[]), Ok("-".to_owned()), "HTTP/1.0 without Host");
}

#[test]
fn a_host_that_is_present_but_wrong_is_refused() {
    let long = format!("{}.example.com", "a".repeat(64));
    for (host, reason) in [
        ("", "not a domain name"),
        (".", "not a domain name"),
        (".example.com", "not a domain name"),
        ("acme..example.com", "not a domain name"),
        ("acme.example.com..", "not a domain name"),
        ("-acme.example.com", "not a domain name"),
        ("acme-.example.com", "not a domain name"),
        ("ac_me.example.com", "not a domain name"),
        ("ac%6de.example.com", "not a domain name"),
        ("*.example.com", "not a domain name"),
        ("acme.example.com/x", "not a domain name"),
        ("acme.example.com, b.example.com", "not a domain name"),
        (&*long, "not a domain name"),
        ("a.b.example.com", "one label"),
        ("acme.example.org", "one label"),
        ("com", "one label"),
        ("acmeexample.com", "one label"),
        ("acme.example.com.evil.org", "one label"),
        ("192.0.2.1", "one label"),
        ("[2001:db8::1]", "IP address"),
        ("[2001:db8::1]:80", "IP address"),
        ("2001:db8::1", "port"),
        ("acme.example.com:", "port"),
        ("acme.example.com:http", "port"),
        ("acme.example.com:+80", "port"),
        ("acme.example.com:65536", "port"),
        ("acme.example.com:80:80", "port"),
        ("user@acme.example.com", "user"),
        ("user:secret@acme.example.com", "user"),
        ("zürich.example.com", "visible ASCII"),
    ] {
        let refusal = told("example.com", "/", &[host.as_bytes()]).expect_err(host);
        assert!(refusal.contains(reason), "{host}: {refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
    let user = told("example.com", "http://user@acme.example.com/", &[]);
    assert!(user.unwrap_err().contains("user"));
}

#[test]
fn host_may_repeat_the_uri_and_not_contradict_it_or_itself() {
    let uri = "http://acme.example.com/";
    for (host, agrees) in [
        ("acme.example.com", true),
        ("ACME.example.com.", true),
        ("acme.example.com:80", true),
        ("acme.example.com:8080", false),
        ("other.example.com", false),
        ("example.com", false),
        ("", false),
    ] {
        let told = told("example.com", uri, &[host.as_bytes()]);
        assert_eq!(told.is_ok(), agrees, "{host}: {told:?}");
    }
    for twice in [b"acme.example.com", b"beta.example.com"] {
        let told = told("example.com", "/", &[b"acme.example.com", twice]);
        assert!(told.unwrap_err().contains("repeated"));
    }
}

#[test]
fn a_base_that_is_no_domain_is_refused_at_build() {
    for bad in [
        "",
        ".",
        ".example.com",
        "*.example.com",
        "example..com",
        "example.com..",
        "https://example.com",
        "example.com:443",
        "example.com/",
        "user@example.com",
        "zürich.example",
        "exa mple.com",
        "192.0.2.1",
        "[::1]",
        "-a.example",
        &"a.".repeat(200),
    ] {
        let error = crate::PrincipalLayer::from_subdomain(bad).build().expect_err(bad);
        assert_eq!(error.problems()[0].name, "from_subdomain", "{bad:?}");
    }
    for good in ["example.com", "EXAMPLE.com.", "localhost", "a.b.c.example", "xn--zrich-kva.ch"] {
        assert!(crate::PrincipalLayer::from_subdomain(good).build().is_ok(), "{good}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_a_tenant_is_a_label(
        hosts in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 0..3),
        text in "[a-zA-Z0-9.:@\\[\\]%-]{0,30}",
        ends in any::<bool>(),
        base in any::<String>(),
    ) {
        let _ = FromSubdomain::new(&base);
        let extractor = FromSubdomain::new("example.com").unwrap();
        let mut request = Request::builder();
        let text = if ends { format!("{text}.example.com") } else { text };
        if let Ok(uri) = format!("http://{text}/").parse::<Uri>() {
            request = request.uri(uri);
        }
        let hosts = hosts.into_iter().filter_map(|host| HeaderValue::from_bytes(&host).ok());
        for host in hosts.chain(HeaderValue::from_str(&text).ok().filter(|_| !ends)) {
            request = request.header("host", host);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        if let Ok(Some(principal)) = extractor.extract(&head) {
            let tenant = principal.tenant().as_str();
            prop_assert!(is_name(tenant) && !tenant.contains('.'), "{tenant}");
            prop_assert!(!tenant.bytes().any(|byte| byte.is_ascii_uppercase()));
        }
    }
}

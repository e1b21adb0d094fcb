use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;

use super::*;

const NAME: &str = "__Host-session";

fn ring(secrets: &[char]) -> KeyRing {
    let secrets: Vec<_> = secrets.iter().map(|c| c.to_string().repeat(32)).collect();
    KeyRing::new(&secrets).unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn token(user: Option<&str>) -> Token {
    Token {
        id: SessionId::from_bytes([7; 16]),
        origin: Origin([9; 16]),
        user: user.map(|user| UserId::new(user).unwrap()),
        touched: UnixMillis(1_800_000_000_123),
        idle: Duration::from_secs(86_400),
        transient: false,
    }
}

fn open(text: impl AsRef<[u8]>, ring: &KeyRing) -> Option<Opened> {
    Token::open(text.as_ref(), ring, &acme(), NAME)
}

#[test]
fn it_is_opened_by_who_sealed_it_and_differs_each_time() {
    let ring = ring(&['a']);
    let first = token(Some("42")).seal(&ring, &acme(), NAME);
    let second = token(Some("42")).seal(&ring, &acme(), NAME);
    assert_ne!(first, second);
    for text in [first, second] {
        assert_eq!(text.len(), 123);
        assert_eq!(open(text, &ring), Some(Opened { token: token(Some("42")), renew: false }));
    }
}

#[test]
fn the_longest_user_fits() {
    let ring = ring(&['a']);
    let longest = token(Some(&"x".repeat(1024)));
    let text = longest.seal(&ring, &acme(), NAME);
    assert_eq!(text.len(), 1486);
    assert_eq!(open(text, &ring).unwrap().token, longest);
}

#[test]
fn one_byte_changed_anywhere_and_it_is_none() {
    let ring = ring(&['a', 'b']);
    let text = token(Some("42")).seal(&ring, &acme(), NAME);
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << bit;
            assert_eq!(open(BASE64URL_NOPAD.encode(&bytes), &ring), None, "byte {place} bit {bit}");
        }
    }
    for place in 0..text.len() {
        for other in [b'A', b'_', b'=', b' ', 0, 0xff] {
            let mut text = text.clone().into_bytes();
            if text[place] != other {
                text[place] = other;
                assert_eq!(open(text, &ring), None, "character {place}");
            }
        }
    }
}

#[test]
fn a_part_of_it_is_none_and_neither_is_more() {
    let ring = ring(&['a']);
    for user in [None, Some("4"), Some("42"), Some("432")] {
        let text = token(user).seal(&ring, &acme(), NAME);
        for end in 0..text.len() {
            assert_eq!(open(&text[..end], &ring), None);
            assert_eq!(open(&text[end + 1..], &ring), None);
        }
        for more in ["A", "AA", "AAAA", "=", "==", " "] {
            assert_eq!(open(format!("{text}{more}"), &ring), None);
        }
    }
}

#[test]
fn it_is_good_for_its_tenant_and_cookie_alone() {
    let ring = ring(&['a']);
    let tenants = [TenantId::NONE, TenantId::new("~none").unwrap(), acme()];
    let names = ["session", "esession", "", NAME];
    for sealed_for in &tenants {
        for sealed_as in names {
            let text = token(None).seal(&ring, sealed_for, sealed_as);
            for tenant in &tenants {
                for name in names {
                    let opened = Token::open(text.as_bytes(), &ring, tenant, name).is_some();
                    assert_eq!(opened, tenant == sealed_for && name == sealed_as);
                }
            }
        }
    }
}

#[test]
fn the_border_of_tenant_and_cookie_is_bound_too() {
    let ring = ring(&['a']);
    let tenant = |name: &str| TenantId::new(name).unwrap();
    let text = token(None).seal(&ring, &tenant("ab"), "c");
    assert_eq!(Token::open(text.as_bytes(), &ring, &tenant("a"), "bc"), None);
    assert_eq!(Token::open(text.as_bytes(), &ring, &tenant("abc"), ""), None);
    assert!(Token::open(text.as_bytes(), &ring, &tenant("ab"), "c").is_some());
}

#[test]
fn long_tenants_are_bound_to_their_last_byte() {
    let ring = ring(&['a']);
    for length in [100, 150, 171, 172, 173, 200, 1023] {
        let mine = TenantId::new("t".repeat(length)).unwrap();
        let other = TenantId::new("t".repeat(length - 1) + "u").unwrap();
        let text = token(None).seal(&ring, &mine, NAME);
        assert!(Token::open(text.as_bytes(), &ring, &mine, NAME).is_some());
        assert_eq!(Token::open(text.as_bytes(), &ring, &other, NAME), None);
    }
}

#[test]
fn an_older_key_opens_until_it_is_dropped() {
    let text = token(Some("42")).seal(&ring(&['a']), &acme(), NAME);
    for (keys, expected) in [
        (&['a'][..], Some(false)),
        (&['a', 'b'], Some(false)),
        (&['b', 'a'], Some(true)),
        (&['c', 'b', 'a'], Some(true)),
        (&['a', 'a'], Some(false)),
        (&['b'], None),
        (&['b', 'c'], None),
    ] {
        let opened = open(&text, &ring(keys));
        assert_eq!(opened.as_ref().map(|opened| opened.renew), expected, "{keys:?}");
        assert!(opened.is_none_or(|opened| opened.token == token(Some("42"))));
    }
    assert_eq!(open(&text, &KeyRing::ephemeral()), None);
}

/// Seals any bytes as if they were a token's.
fn seal_plain(ring: &KeyRing, plain: &[u8]) -> String {
    let mut plain = plain.to_vec();
    let mut room = [0; SHORT_AAD];
    let aad = aad(&mut room, &acme(), NAME);
    let tag = ring.newest().sealing.seal([3; NONCE], &aad, &mut plain);
    let parts = [&[FORMAT][..], &ring.newest().id, &[3; NONCE], &plain, &tag];
    BASE64URL_NOPAD.encode(&parts.concat())
}

#[test]
fn what_we_sealed_ourselves_is_still_looked_at() {
    let ring = ring(&['a']);
    let mut plain = vec![1; FIXED];
    plain.extend_from_slice(b"42");
    assert!(open(seal_plain(&ring, &plain), &ring).unwrap().token.transient);
    for bad in [&plain[..FIXED - 1], &[], &[&plain[..FIXED - 1], &[2]].concat()] {
        assert_eq!(open(seal_plain(&ring, bad), &ring), None);
    }
    for user in [&b"\xff"[..], b"a\nb", &[b'x'; 1025]] {
        let plain = [&plain[..FIXED], user].concat();
        assert_eq!(open(seal_plain(&ring, &plain), &ring), None);
    }
}

#[test]
fn what_is_too_long_is_not_decoded() {
    let ring = ring(&['a']);
    for length in [2047, 2048, 2049, 2052, 4096, 1_000_000] {
        assert_eq!(open("A".repeat(length), &ring), None);
    }
}

#[test]
fn nothing_of_it_is_shown() {
    let shown = format!("{:?}", token(None));
    assert!(shown.contains("SessionId"));
    assert!(!shown.contains("[7, 7"));
}

prop_compose! {
    fn any_token()(
        id: [u8; 16],
        origin: [u8; 16],
        user in prop::option::of("\\PC{1,200}"),
        touched: u64,
        idle: u32,
        transient: bool,
    ) -> Token {
        Token {
            id: SessionId::from_bytes(id),
            origin: Origin(origin),
            user: user.map(|user| UserId::new(user).unwrap()),
            touched: UnixMillis(touched),
            idle: Duration::from_secs(idle.into()),
            transient,
        }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(
        token in any_token(),
        tenant in prop::option::of("\\PC{1,200}"),
        name in "[!-~]{1,100}",
    ) {
        let ring = ring(&['a', 'b']);
        let tenant = tenant.map_or(TenantId::NONE, |name| TenantId::new(name).unwrap());
        let text = token.seal(&ring, &tenant, &name);
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        let opened = Token::open(text.as_bytes(), &ring, &tenant, &name);
        prop_assert_eq!(opened, Some(Opened { token, renew: false }));
    }

    #[test]
    fn no_bytes_are_opened(text in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(open(&text, &ring(&['a'])), None);
    }

    #[test]
    fn no_well_formed_bytes_are_opened(rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let ring = ring(&['a']);
        let bytes = [&[FORMAT][..], &ring.newest().id, &rest].concat();
        prop_assert_eq!(open(BASE64URL_NOPAD.encode(&bytes), &ring), None);
    }

    #[test]
    fn any_plain_text_is_read_or_refused(plain in prop::collection::vec(any::<u8>(), 0..100)) {
        let ring = ring(&['a']);
        if let Some(opened) = open(seal_plain(&ring, &plain), &ring) {
            let again = opened.token.seal(&ring, &acme(), NAME);
            prop_assert_eq!(open(again, &ring), Some(opened));
        }
    }
}

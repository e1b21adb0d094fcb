use proptest::prelude::*;

use super::*;

const NAME: &str = "CACHE_ENCRYPTION_KEYS";

/// A ring of keys, each with the id `k` and its number.
fn vault(keys: &[u8]) -> Vault {
    let entry = |key: &u8| format!("k{key}:{}", BASE64.encode(&[*key; SealingKey::BYTES]));
    Vault::parse(NAME, &keys.iter().map(entry).collect::<Vec<_>>().join(",")).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let error = Vault::parse(NAME, text).unwrap_err();
    assert!(error.problems().iter().all(|problem| problem.name == NAME));
    error.problems().iter().map(|problem| problem.message.clone()).collect()
}

#[test]
fn it_differs_each_time_and_is_opened() {
    let vault = vault(&[1]);
    let [first, second] = [vault.seal(b"value", b"place"), vault.seal(b"value", b"place")];
    assert_ne!(first, second);
    assert_ne!(first[4..28], second[4..28]);
    for sealed in [first, second] {
        // Format, length, id, nonce, value, tag.
        assert_eq!(sealed.len(), 1 + 1 + 2 + 24 + 5 + 16);
        assert_eq!(&sealed[..4], b"\x01\x02k1");
        assert!(!sealed.windows(5).any(|part| part == b"value"));
        assert_eq!(vault.open(&sealed, b"place").unwrap(), &b"value"[..]);
    }
}

#[test]
fn an_empty_value_is_sealed_too() {
    let vault = vault(&[1]);
    let sealed = vault.seal(b"", b"");
    assert_eq!(vault.open(&sealed, b""), Some(Bytes::new()));
    assert_eq!(vault.open(&sealed, b"x"), None);
}

#[test]
fn one_bit_changed_anywhere_and_it_is_none() {
    let vault = vault(&[1, 0]);
    let sealed = vault.seal(b"value", b"place");
    for place in 0..sealed.len() {
        for bit in 0..8 {
            let mut sealed = sealed.to_vec();
            sealed[place] ^= 1 << bit;
            assert_eq!(vault.open(&sealed, b"place"), None, "byte {place} bit {bit}");
        }
        assert_eq!(vault.open(&sealed[..place], b"place"), None);
        assert_eq!(vault.open(&sealed[place + 1..], b"place"), None);
    }
    assert_eq!(vault.open(&[&sealed[..], b"x"].concat(), b"place"), None);
}

#[test]
fn each_key_opens_what_it_sealed_until_it_is_dropped() {
    let sealed = vault(&[1]).seal(b"value", b"");
    for (keys, opens) in
        [(&[1][..], true), (&[2, 1], true), (&[3, 2, 1], true), (&[2], false), (&[2, 3], false)]
    {
        assert_eq!(vault(keys).open(&sealed, b"").is_some(), opens, "{keys:?}");
    }
    assert_eq!(&vault(&[2, 1]).seal(b"", b"")[2..4], b"k2");
    let other_key =
        Vault::parse(NAME, &format!("k1:{}", BASE64.encode(&[9; SealingKey::BYTES]))).unwrap();
    assert_eq!(other_key.open(&sealed, b""), None);
}

#[test]
fn a_key_is_written_in_any_base64_with_spaces_around() {
    let bytes = [0xfb; SealingKey::BYTES];
    let sealed =
        Vault::parse(NAME, &format!("a:{}", BASE64.encode(&bytes))).unwrap().seal(b"v", b"");
    for key in
        [BASE64_NOPAD.encode(&bytes), BASE64URL.encode(&bytes), BASE64URL_NOPAD.encode(&bytes)]
    {
        let vault = Vault::parse(NAME, &format!(" a:{key}\n , b:{key}")).unwrap();
        assert!(vault.open(&sealed, b"").is_some());
    }
}

#[test]
fn what_is_wrong_is_told_by_its_place_and_shows_no_key() {
    let key = BASE64.encode(&[7; SealingKey::BYTES]);
    let short = BASE64.encode(&[7; 31]);
    let long = BASE64.encode(&[7; 33]);
    let text = format!(
        "{key},a:{key},a:{key},:{key},b c:{key},bcdefghijklmnopqr:{key},b:{short},b:{long},b:,b:#{key},,ä:{key}"
    );
    let id = "has an id that is not 1 to 16 letters, digits, `.`, `_` and `-`";
    assert_eq!(
        problems(&text),
        [
            "entry 1 is not `id:base64`",
            "entry 3 has the id of an entry before it",
            &format!("entry 4 {id}"),
            &format!("entry 5 {id}"),
            &format!("entry 6 {id}"),
            "entry 7 has a key that is not 32 bytes long",
            "entry 8 has a key that is not 32 bytes long",
            "entry 9 has a key that is not 32 bytes long",
            "entry 10 has a key that is not base64",
            "entry 11 is not `id:base64`",
            &format!("entry 12 {id}"),
        ]
    );
    assert_eq!(problems(""), ["entry 1 is not `id:base64`"]);
    assert!(!problems(&text).concat().contains(&key[..8]));
    // One good entry does not make up for the others.
    assert_eq!(problems(&format!("a:{key},")), ["entry 2 is not `id:base64`"]);
    assert!(Vault::parse(NAME, &format!("A.b_-0123456789x:{key}")).is_ok());
}

#[test]
fn nothing_is_shown() {
    assert_eq!(format!("{:?}", vault(&[1])), "Vault");
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened_in_its_place_alone(
        plain in prop::collection::vec(any::<u8>(), 0..300),
        aad in prop::collection::vec(any::<u8>(), 0..60),
        other in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let vault = vault(&[1, 2]);
        let sealed = vault.seal(&plain, &aad);
        let opened = vault.open(&sealed, &aad);
        prop_assert_eq!(opened.as_deref(), Some(&plain[..]));
        prop_assert_eq!(vault.open(&sealed, &other).is_some(), aad == other);
    }

    #[test]
    fn no_bytes_are_opened(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        length in 0..20_u8,
        known: bool,
    ) {
        let vault = vault(&[1]);
        let header = if known { b"\x01\x02k1".to_vec() } else { vec![FORMAT, length] };
        prop_assert_eq!(vault.open(&bytes, b""), None);
        prop_assert_eq!(vault.open(&[header, bytes].concat(), b""), None);
    }

    #[test]
    fn no_text_panics_and_none_is_shown(text: String, listed in "[a-b:,= +/_-]{0,60}") {
        for text in [text, listed] {
            if let Err(error) = Vault::parse(NAME, &text) {
                prop_assert!(error.problems().len() <= text.split(',').count());
                prop_assert!(error.problems().iter().all(|p| p.message.starts_with("entry ")));
            }
        }
    }
}

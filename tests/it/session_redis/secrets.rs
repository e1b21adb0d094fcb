//! Who can read the whole store has no session by it.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use tower_keep_session::{PublicId, Session};
use tower_keep_tests::Flavor;

use super::{
    builder,
    dump::{everything, has},
    log_in, user,
};
use crate::{
    limit_store::site::{Kind, Site},
    session::browser::Browser,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_and_no_id_is_in_the_store() {
    for flavor in Flavor::ALL {
        let site = Site::start(Kind::Single(flavor)).await;
        let layer = builder(&site.connection().await).build().unwrap();
        let mut ids = Vec::new();
        let mut tokens = Vec::new();
        // A visitor, a user who was one, and a user whose id has changed.
        for steps in 0..3 {
            let mut browser = Browser::of("acme");
            browser.visit(&layer, async |session| session.set("n", &1).unwrap()).await;
            let mut seen = vec![browser.cookie.clone().unwrap()];
            if steps > 0 {
                browser.visit(&layer, log_in).await;
                seen.push(browser.cookie.clone().unwrap());
            }
            if steps > 1 {
                browser.visit(&layer, async |session| session.rotate().unwrap()).await;
                seen.push(browser.cookie.clone().unwrap());
            }
            let id = browser.visit(&layer, async |session: Session| session.id()).await;
            ids.push(id.value.flatten().unwrap());
            tokens.extend(seen);
        }
        let sessions = layer.sessions().list(&super::acme(), &user("u1")).await.unwrap();
        assert_eq!(sessions.len(), 2);

        let dump = everything(&site.nodes()[0]).await;
        for id in &ids[1..] {
            assert!(has(&dump, id.to_string().as_bytes()), "the dump is not of these sessions");
        }
        for token in &tokens {
            let text = token.split_once('=').unwrap().1;
            assert!(!has(&dump, text.as_bytes()));
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
            // Not even in part: what is sealed is nowhere else.
            for part in bytes[5..].windows(8) {
                assert!(!has(&dump, part), "{part:?} of a token is in the store");
            }
        }
        let tried = preimages(&dump);
        println!("{flavor}: {} bytes in the store, {} ids tried", size(&dump), tried.len());
        for id in ids {
            assert!(!tried.contains(&id), "the id behind {id} is in the store");
        }
        // The search finds what it looks for.
        let planted = [[b"id:".to_vec(), vec![7; 16]].concat()];
        assert!(preimages(&planted).contains(&hashed(&[7; 16])));
        let planted = [BASE64URL_NOPAD.encode(&[7; 16]).into_bytes()];
        assert!(preimages(&planted).contains(&hashed(&[7; 16])));
        let planted = [HEXLOWER.encode(&[7; 16]).into_bytes()];
        assert!(preimages(&planted).contains(&hashed(&[7; 16])));
    }
}

fn size(dump: &[Vec<u8>]) -> usize {
    dump.iter().map(Vec::len).sum()
}

fn hashed(id: &[u8]) -> PublicId {
    let digest: [u8; 32] = Sha256::digest(id).into();
    PublicId::from_bytes(*digest.first_chunk().unwrap())
}

/// The public ids of whatever 16 bytes there are in it, as they are or written as text.
fn preimages(dump: &[Vec<u8>]) -> Vec<PublicId> {
    let mut found = Vec::new();
    for bytes in dump {
        found.extend(bytes.windows(16).map(hashed));
        let text = bytes.windows(22).filter_map(|text| BASE64URL_NOPAD.decode(text).ok());
        found.extend(text.map(|id| hashed(&id)));
        let text = bytes.windows(32).filter_map(|text| HEXLOWER.decode(text).ok());
        found.extend(text.map(|id| hashed(&id)));
    }
    found
}

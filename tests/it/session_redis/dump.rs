//! Everything that can be read in a server.

use tower_keep_tests::{Resp, Server, Value};

/// Every key, field and value there is, each as bytes.
pub(super) async fn everything(server: &Server) -> Vec<Vec<u8>> {
    let mut resp = server.connect().await.unwrap();
    let mut found = Vec::new();
    for key in ask(&mut resp, &[b"KEYS", b"*"]).await.array() {
        let key = bytes(key);
        let kind = ask(&mut resp, &[b"TYPE", &key]).await.text();
        match kind.as_str() {
            "hash" => {
                let all = ask(&mut resp, &[b"HGETALL", &key]).await;
                found.extend(all.array().iter().map(bytes));
            }
            "string" => found.push(bytes(&ask(&mut resp, &[b"GET", &key]).await)),
            other => panic!("a {other}, which nobody made"),
        }
        found.push(key);
    }
    found
}

/// Whether these bytes are anywhere in it.
pub(super) fn has(dump: &[Vec<u8>], needle: &[u8]) -> bool {
    dump.iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

async fn ask(resp: &mut Resp, command: &[&[u8]]) -> Value {
    resp.command(command).await.and_then(Value::ok).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Bulk(Some(bytes)) => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

//! What the fuzz targets of `fuzz/` call, and the tests that replay their seeds.

use bytes::Bytes;
use serde_json::Value;

use crate::{
    canonical,
    json::Node,
    splice,
    sse::{self, Events},
};

/// A request. Whoever reads it after us reads it too; another spelling of the same has the same
/// canonical form; and members can be cut out of it.
pub fn ai_json(data: &[u8]) {
    let Ok(root) = Node::read(data) else { return };
    let canonical = canonical::value(&root);
    match serde_json::from_slice::<Value>(data) {
        Ok(value) if has_exact_numbers(&value) => {
            let spelled = serde_json::to_vec_pretty(&value).unwrap_or_default();
            let again = Node::read(&spelled).map(|node| canonical::value(&node));
            assert_eq!(again, Ok(canonical));
        }
        Ok(_) => {}
        // What it has no number for, and what it does not go down to.
        Err(error) => {
            let why = error.to_string();
            let known = why.contains("out of range") || why.contains("recursion limit");
            assert!(known, "we read what others do not: {why}");
        }
    }
    for member in root.members() {
        let alone = Node::read(member.value.span.of(data)).map(|node| canonical::value(&node));
        assert_eq!(alone, Ok(canonical::value(&member.value)));
    }
    if root.is_object() {
        let removed = |name: &str| name.len() % 2 == 1;
        let text = splice::without(&Bytes::copy_from_slice(data), &root, removed);
        let rest = Node::read(&text).map(|node| canonical::value(&node));
        assert_eq!(rest, Ok(canonical::object(&root, removed)));
    }
}

fn has_exact_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(elements) => elements.iter().all(has_exact_numbers),
        Value::Object(members) => members.values().all(has_exact_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// A stream of events, which are the same wherever its bytes are cut, and of which no more is held
/// than is said.
pub fn ai_sse(data: &[u8]) {
    const MOST: usize = 64;
    let (cut, stream) = data.split_first().map_or((0, data), |(cut, rest)| (*cut, rest));
    let (whole, bounded) = (told(&[stream], usize::MAX), told(&[stream], MOST));
    let at = usize::from(cut) % (stream.len() + 1);
    let (left, right) = stream.split_at_checked(at).unwrap_or_default();
    assert_eq!(told(&[left, right], usize::MAX), whole);
    let each: Vec<_> = stream.chunks(1).collect();
    assert_eq!(told(&each, usize::MAX), whole);
    // Of one that is too long it depends on the cuts when that is noticed.
    if let Some(events) = bounded {
        assert_eq!(Some(events), whole);
    }
    // Frame by frame, as a recorded stream is told.
    let (mut rest, mut frames) = (stream, Vec::new());
    while let Some((frame, after)) = sse::event_end(rest).and_then(|end| rest.split_at_checked(end))
    {
        assert!(!frame.is_empty());
        frames.push(frame);
        rest = after;
    }
    frames.push(rest);
    assert_eq!(told(&frames, usize::MAX), whole);
}

type Told = Vec<(Vec<u8>, Vec<u8>)>;

/// The events of a stream that comes in these chunks; `None` if one is too long.
fn told(chunks: &[&[u8]], most: usize) -> Option<(Told, bool)> {
    let (mut events, mut told) = (Events::new(most), Vec::new());
    for chunk in chunks {
        events.take(chunk, |event| told.push((event.name.into(), event.data.into()))).ok()?;
    }
    Some((told, events.is_amid_event()))
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn seeds_are_replayed() {
        replay("ai_json", ai_json);
        replay("ai_sse", ai_sse);
    }
}

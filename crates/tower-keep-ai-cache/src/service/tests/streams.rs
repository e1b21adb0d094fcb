//! Answers that come as events.

use super::*;
use crate::coding::gzipped;

fn events() -> String {
    EVENTS.concat()
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_and_is_replayed_byte_for_byte() {
    for replay in [false, true] {
        let cached = Cached::with(|builder| builder.replay_events(replay));
        let stream = cached.upstream.streams();
        let mut miss = cached.ask(chat(STREAMING)).await;
        assert_eq!(did(&miss), AiCacheStatus::Miss);
        for event in EVENTS {
            stream.send(Ok(Bytes::from_static(event.as_bytes()))).unwrap();
            // Nothing is held back until more comes.
            let frame = miss.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), event);
        }
        drop(stream);
        assert!(miss.body_mut().frame().await.is_none());
        let mut hit = cached.ask(chat(STREAMING)).await;
        assert_eq!(did(&hit), AiCacheStatus::Hit);
        assert_eq!(hit.headers()["content-type"], "text/event-stream");
        let mut frames = Vec::new();
        while let Some(frame) = hit.body_mut().frame().await {
            frames.push(frame.unwrap().into_data().unwrap());
        }
        assert_eq!(frames.concat(), events().as_bytes());
        assert_eq!(frames.len(), if replay { 3 } else { 1 });
    }
}

#[tokio::test]
async fn however_a_stream_is_cut_it_is_stored_and_replayed_the_same() {
    let crlf = events().replace('\n', "\r\n");
    let wild = format!(": ping\n\n{}", events().replace("\"choices\"", "\ndata: \"choices\""));
    for stream in [events(), crlf, wild] {
        for at in 0..=stream.len() {
            let cached = Cached::new();
            let sender = cached.upstream.streams();
            for part in [&stream[..at], &stream[at..]] {
                sender.send(Ok(Bytes::copy_from_slice(part.as_bytes()))).unwrap();
            }
            drop(sender);
            assert_eq!(read(cached.ask(chat(STREAMING)).await).await, stream);
            let hit = cached.ask(chat(STREAMING)).await;
            assert_eq!((did(&hit), read(hit).await), (AiCacheStatus::Hit, stream.clone()), "{at}");
        }
    }
}

/// An upstream that compresses although it was asked not to: its client gets what it sent, and all
/// others what that says.
#[tokio::test]
async fn what_comes_compressed_is_stored_and_told_to_others_as_what_it_says() {
    for (stream, text) in [(false, ANSWER.to_owned()), (true, EVENTS.concat())] {
        let cached = Cached::new();
        let packed = gzipped(text.as_bytes());
        let (kind, body) =
            if stream { ("text/event-stream", STREAMING) } else { ("application/json", CHAT) };
        let (sender, receiver) = mpsc::unbounded_channel();
        let head =
            Response::builder().header("content-type", kind).header("content-encoding", "gzip");
        let response = head.body(Coming(receiver, SizeHint::default())).unwrap();
        cached.upstream.reply(async move { Ok(response) });
        let first = cached.ask(chat(body)).await;
        assert_eq!(first.headers()["content-encoding"], "gzip");
        let others: Vec<_> = (0..3).map(|_| cached.spawn(chat(body))).collect();
        for piece in packed.chunks(7) {
            tokio::task::yield_now().await;
            sender.send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        }
        drop(sender);
        let got = first.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(got, packed);
        for other in others {
            let other = other.await.unwrap();
            assert_eq!(did(&other), AiCacheStatus::Coalesced);
            assert_eq!(other.headers().get("content-encoding"), None);
            assert_eq!(read(other).await, text);
        }
        let hit = cached.ask(chat(body)).await;
        assert_eq!((did(&hit), hit.headers().get("content-encoding")), (AiCacheStatus::Hit, None));
        assert_eq!(read(hit).await, text);
        assert_eq!(cached.upstream.calls(), 1);
    }
}

/// What cannot be unpacked is the client's, and nobody else's.
#[tokio::test]
async fn what_cannot_be_unpacked_is_not_stored() {
    let packed = gzipped(ANSWER.as_bytes());
    for (status, encoding, sent) in [
        (200, "gzip", &packed[..packed.len() - 1]),
        (200, "gzip", ANSWER.as_bytes()),
        (200, "br", &packed),
        (500, "gzip", &packed),
    ] {
        let cached = Cached::new();
        let (sender, receiver) = mpsc::unbounded_channel();
        let head = Response::builder().status(status).header("content-type", "application/json");
        let body = Coming(receiver, SizeHint::default());
        let response = head.header("content-encoding", encoding).body(body).unwrap();
        cached.upstream.reply(async move { Ok(response) });
        let first = cached.ask(chat(CHAT)).await;
        cached.upstream.json(ANSWER);
        let waiting = cached.spawn(chat(CHAT));
        tokio::task::yield_now().await;
        sender.send(Ok(Bytes::copy_from_slice(sent))).unwrap();
        drop(sender);
        assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), sent);
        assert_eq!(read(waiting.await.unwrap()).await, ANSWER, "{status} {encoding}");
        assert_eq!(cached.upstream.calls(), 2);
    }
}

#[tokio::test]
async fn a_stream_without_its_end_is_not_stored() {
    let whole = events();
    let error = format!("{}data: {{\"error\":{{}}}}\n\n{}", EVENTS[0], EVENTS[2]);
    let unfinished = [EVENTS[0], EVENTS[2]].concat();
    let cut = EVENTS.map(|event| event.replace("stop", "length")).concat();
    let filtered = EVENTS.map(|event| event.replace("stop", "content_filter")).concat();
    let long = [&whole, EVENTS[0]].concat();
    for stream in [
        &whole[..whole.len() - 1],
        &whole[..whole.len() - EVENTS[2].len()],
        EVENTS[0],
        "",
        &error,
        &unfinished,
        &cut,
        &filtered,
        &long,
        ANSWER,
    ] {
        let cached = Cached::new();
        for _ in 0..2 {
            cached.upstream.answers(200, "text/event-stream", stream);
            let answer = cached.ask(chat(STREAMING)).await;
            assert_eq!((did(&answer), read(answer).await.as_str()), (AiCacheStatus::Miss, stream));
        }
    }
    // An answer in JSON to who wants events.
    let cached = Cached::new();
    for _ in 0..2 {
        cached.upstream.json(ANSWER);
        assert_eq!(did(&cached.ask(chat(STREAMING)).await), AiCacheStatus::Miss);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_fails_for_its_client_and_is_not_stored() {
    let cached = Cached::new();
    for _ in 0..2 {
        let stream = cached.upstream.streams();
        for event in EVENTS {
            stream.send(Ok(Bytes::from_static(event.as_bytes()))).unwrap();
        }
        stream.send(Err("reset")).unwrap();
        let answer = cached.ask(chat(STREAMING)).await;
        assert_eq!(did(&answer), AiCacheStatus::Miss);
        assert!(answer.into_body().collect().await.is_err());
    }
}

#[tokio::test]
async fn events_and_usage_that_are_asked_for_are_variants() {
    let cached = Cached::new();
    cached.upstream.json(ANSWER);
    read(cached.ask(chat(CHAT)).await).await;
    let usage = STREAMING.replace("true", "true,\"stream_options\":{\"include_usage\":true}");
    for request in [STREAMING, &usage] {
        cached.upstream.answers(200, "text/event-stream", &events());
        assert_eq!(did(&cached.ask(chat(request)).await), AiCacheStatus::Miss);
    }
    let plain = STREAMING.replace("true", "true,\"stream_options\":{\"include_usage\":false}");
    for request in [CHAT, STREAMING, &usage, &plain] {
        assert_eq!(did(&cached.ask(chat(request)).await), AiCacheStatus::Hit, "{request}");
    }
}

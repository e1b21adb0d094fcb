//! Answers that come as events.

use super::*;

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

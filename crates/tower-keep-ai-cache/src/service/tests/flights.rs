//! Requests for the same at the same time.

use super::*;

#[tokio::test]
async fn a_hundred_ask_once() {
    let cached = Cached::new();
    let go = cached.upstream.held(ANSWER);
    let asking: Vec<_> = (0..100).map(|_| cached.spawn(chat(CHAT))).collect();
    cached.upstream.is_asked(1).await;
    go.send(()).unwrap();
    let mut misses = 0;
    for answer in asking {
        let answer = answer.await.unwrap();
        match did(&answer) {
            AiCacheStatus::Miss => misses += 1,
            AiCacheStatus::Coalesced => {
                assert!(!answer.headers().contains_key("set-cookie"));
                assert!(!answer.headers().contains_key("x-request-id"));
                assert!(!answer.headers().contains_key("retry-after"));
            }
            other => assert_eq!(other, AiCacheStatus::Hit),
        }
        assert_eq!(read(answer).await, ANSWER);
    }
    assert_eq!((misses, cached.upstream.calls()), (1, 1));
}

#[tokio::test]
async fn who_joins_a_stream_gets_it_from_its_beginning_and_then_as_it_comes() {
    let cached = Cached::new();
    let stream = cached.upstream.streams();
    let mut leader = cached.ask(chat(STREAMING)).await;
    stream.send(Ok(Bytes::from_static(EVENTS[0].as_bytes()))).unwrap();
    leader.body_mut().frame().await.unwrap().unwrap();
    let mut rider = cached.ask(chat(STREAMING)).await;
    assert_eq!(did(&rider), AiCacheStatus::Coalesced);
    let frame = rider.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), EVENTS[0]);
    stream.send(Ok(Bytes::from_static(EVENTS[1].as_bytes()))).unwrap();
    let frame = rider.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), EVENTS[1]);
    // Its client has gone: the others do not notice.
    drop(leader);
    stream.send(Ok(Bytes::from_static(EVENTS[2].as_bytes()))).unwrap();
    drop(stream);
    assert_eq!(read(rider).await, EVENTS[2]);
    assert_eq!(did(&cached.ask(chat(STREAMING)).await), AiCacheStatus::Hit);
    assert_eq!(cached.upstream.calls(), 1);
}

#[tokio::test]
async fn a_client_who_goes_before_the_answer_begins_takes_nothing_away() {
    let cached = Cached::new();
    let go = cached.upstream.held(ANSWER);
    let first = cached.spawn(chat(CHAT));
    cached.upstream.is_asked(1).await;
    let second = cached.spawn(chat(CHAT));
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    assert_eq!(read(second.await.unwrap()).await, ANSWER);
    assert_eq!(did(&cached.ask(chat(CHAT)).await), AiCacheStatus::Hit);
    assert_eq!(cached.upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_longer_than_that() {
    let cached = Cached::with(|builder| builder.linger(Duration::from_secs(60)));
    let go = cached.upstream.held(ANSWER);
    let client = cached.spawn(chat(CHAT));
    cached.upstream.is_asked(1).await;
    client.abort();
    let _ = client.await;
    assert!(!go.is_closed());
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(go.is_closed(), "the upstream is still being asked");
}

#[tokio::test(start_paused = true)]
async fn but_for_as_long_as_somebody_else_waits() {
    let cached = Cached::with(|builder| builder.linger(Duration::from_secs(10)));
    let go = cached.upstream.held(ANSWER);
    let client = cached.spawn(chat(CHAT));
    cached.upstream.is_asked(1).await;
    let other = cached.spawn(chat(CHAT));
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.abort();
    let _ = client.await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    go.send(()).unwrap();
    assert_eq!(read(other.await.unwrap()).await, ANSWER);
    assert_eq!(cached.upstream.calls(), 1);
}

#[tokio::test]
async fn a_break_breaks_off_for_all_and_nothing_is_stored() {
    let cached = Cached::new();
    let stream = cached.upstream.streams();
    let leader = cached.ask(chat(STREAMING)).await;
    stream.send(Ok(Bytes::from_static(EVENTS[0].as_bytes()))).unwrap();
    let riders = [cached.ask(chat(STREAMING)).await, cached.ask(chat(STREAMING)).await];
    stream.send(Err("reset")).unwrap();
    for answer in riders.into_iter().chain([leader]) {
        assert!(answer.into_body().collect().await.is_err());
    }
    cached.upstream.answers(200, "text/event-stream", &EVENTS.concat());
    assert_eq!(did(&cached.ask(chat(STREAMING)).await), AiCacheStatus::Miss);
}

#[tokio::test]
async fn an_error_is_for_those_who_wait_and_for_nobody_later() {
    let cached = Cached::new();
    let (go, gone) = oneshot::channel::<()>();
    cached.upstream.reply(async move {
        let _ = gone.await;
        Ok(response(429, "application/json", &["{\"error\":{}}"]))
    });
    let asking: Vec<_> = (0..5).map(|_| cached.spawn(chat(CHAT))).collect();
    cached.upstream.is_asked(1).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    for answer in asking {
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (429, &"3".parse().unwrap())
        );
        assert_eq!(read(answer).await, "{\"error\":{}}");
    }
    cached.upstream.json(ANSWER);
    let answer = cached.ask(chat(CHAT)).await;
    assert_eq!((did(&answer), answer.status().as_u16()), (AiCacheStatus::Miss, 200));
    assert_eq!(cached.upstream.calls(), 2);
}

/// One after the other, and not all at once as soon as somebody has failed a few times.
#[tokio::test]
async fn of_those_whose_leader_fails_the_next_one_asks() {
    let cached = Cached::new();
    let (go, gone) = oneshot::channel::<()>();
    cached.upstream.reply(async move {
        let _ = gone.await;
        Err("refused")
    });
    let send = || tokio::spawn(cached.send(chat(CHAT)));
    let first = send();
    cached.upstream.is_asked(1).await;
    let others: Vec<_> = (0..8).map(|_| send()).collect();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        cached.upstream.reply(async { Err("refused") });
    }
    cached.upstream.json(ANSWER);
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().map(drop), Err("refused"));
    let mut refused = 0;
    for other in others {
        match other.await.unwrap() {
            Ok(answer) => assert_eq!(read(answer).await, ANSWER),
            Err(error) => {
                assert_eq!(error, "refused");
                refused += 1;
            }
        }
    }
    assert_eq!((refused, cached.upstream.calls()), (5, 7));
}

/// Those who come after a flush do not join who asked before it, and ask once together.
#[tokio::test]
async fn those_who_come_after_a_flush_share_a_call_of_their_own() {
    let cached = Cached::new();
    let old = cached.upstream.streams();
    let first = cached.ask(chat(STREAMING)).await;
    old.send(Ok(EVENTS[0].into())).unwrap();
    cached.layer.answers().flush(&TenantId::new("acme").unwrap()).await.unwrap();
    let new = cached.upstream.streams();
    let later: Vec<_> = (0..10).map(|_| cached.spawn(chat(STREAMING))).collect();
    cached.upstream.is_asked(2).await;
    let event = EVENTS.concat().replace("hel", "new");
    new.send(Ok(event.clone().into())).unwrap();
    drop(new);
    for answer in later {
        assert_eq!(read(answer.await.unwrap()).await, event);
    }
    assert_eq!(cached.upstream.calls(), 2);
    for event in &EVENTS[1..] {
        old.send(Ok((*event).into())).unwrap();
    }
    drop(old);
    assert_eq!(read(first).await, EVENTS.concat());
    let hit = cached.ask(chat(STREAMING)).await;
    assert_eq!((did(&hit), read(hit).await), (AiCacheStatus::Hit, event));
}

/// What all answers on their way hold is bounded: one that has no room goes on to its client.
#[tokio::test]
async fn what_has_no_room_beside_others_reaches_its_client_and_is_not_stored() {
    let cached = Cached::with(|builder| builder.max_in_flight(EVENTS[0].len() as u64));
    let (one, other) = (cached.upstream.streams(), cached.upstream.streams());
    let first = cached.ask(chat(STREAMING)).await;
    one.send(Ok(EVENTS[0].into())).unwrap();
    tokio::task::yield_now().await;
    let second = cached.ask(chat(&STREAMING.replace("hi", "ho"))).await;
    for event in EVENTS {
        other.send(Ok(event.into())).unwrap();
    }
    drop(other);
    assert_eq!(read(second).await, EVENTS.concat());
    drop(one);
    assert_eq!(read(first).await, EVENTS[0]);
    // There is room again for what fits, and what did not was not stored.
    cached.upstream.json(r#"{"choices":[]}"#);
    assert_eq!(read(cached.ask(chat(CHAT)).await).await, r#"{"choices":[]}"#);
    cached.upstream.answers(200, "text/event-stream", &EVENTS.concat());
    let again = cached.ask(chat(&STREAMING.replace("hi", "ho"))).await;
    assert_eq!(did(&again), AiCacheStatus::Miss);
}

#[tokio::test]
async fn a_panic_is_the_callers_and_frees_those_who_wait() {
    let cached = Cached::new();
    cached.upstream.reply(async { panic!("of the upstream") });
    let first = cached.spawn(chat(CHAT));
    assert!(first.await.unwrap_err().is_panic());
    cached.upstream.json(ANSWER);
    assert_eq!(did(&cached.ask(chat(CHAT)).await), AiCacheStatus::Miss);
}

#[tokio::test]
async fn who_wants_a_new_answer_shares_none() {
    let cached = Cached::new();
    let go = cached.upstream.held(ANSWER);
    let first = cached.spawn(chat(CHAT));
    cached.upstream.is_asked(1).await;
    for (field, status) in
        [("no-cache", AiCacheStatus::Refresh), ("no-store", AiCacheStatus::Bypass)]
    {
        cached.upstream.json(ANSWER);
        let answer = cached.ask(with(chat(CHAT), "cache-control", field)).await;
        assert_eq!(did(&answer), status);
        read(answer).await;
    }
    go.send(()).unwrap();
    read(first.await.unwrap()).await;
    assert_eq!(cached.upstream.calls(), 3);
}

#[tokio::test]
async fn a_reader_who_is_slow_or_none_does_not_keep_the_others_waiting() {
    let cached = Cached::new();
    let stream = cached.upstream.streams();
    let slow = cached.ask(chat(STREAMING)).await;
    let slower = cached.ask(chat(STREAMING)).await;
    for event in EVENTS {
        stream.send(Ok(Bytes::from_static(event.as_bytes()))).unwrap();
    }
    drop(stream);
    let quick = cached.ask(chat(STREAMING)).await;
    assert_eq!(read(quick).await, EVENTS.concat());
    assert_eq!(did(&cached.ask(chat(STREAMING)).await), AiCacheStatus::Hit);
    assert_eq!([read(slow).await, read(slower).await], [EVENTS.concat(), EVENTS.concat()]);
}

#[tokio::test]
async fn who_asks_after_a_flush_shares_nothing_from_before() {
    let cached = Cached::new();
    let stream = cached.upstream.streams();
    let before = cached.ask(chat(STREAMING)).await;
    stream.send(Ok(Bytes::from_static(EVENTS[0].as_bytes()))).unwrap();
    cached.layer.answers().flush(&TenantId::new("acme").unwrap()).await.unwrap();
    let new = EVENTS.concat().replace("hel", "new");
    cached.upstream.answers(200, "text/event-stream", &new);
    let after = cached.ask(chat(STREAMING)).await;
    assert_eq!((did(&after), read(after).await), (AiCacheStatus::Miss, new));
    for event in &EVENTS[1..] {
        stream.send(Ok(Bytes::from_static(event.as_bytes()))).unwrap();
    }
    drop(stream);
    assert_eq!(read(before).await, EVENTS.concat());
}

#[tokio::test]
async fn what_is_about_its_own_client_or_too_long_is_told_to_nobody_else() {
    let long = ANSWER.replace("hello", &"x".repeat(5000));
    for (status, field, body) in [
        (401, None, "{}"),
        (403, None, "{}"),
        (302, None, "{}"),
        (200, Some(("cache-control", "no-store")), ANSWER),
        (200, None, long.as_str()),
    ] {
        let cached = Cached::with(|builder| builder.max_response(4096));
        let (go, gone) = oneshot::channel::<()>();
        let mut told = response(status, "application/json", &[body]);
        if let Some((name, value)) = field {
            told.headers_mut().insert(name, value.parse().unwrap());
        }
        if body.len() > 4096 {
            told.body_mut().1 = SizeHint::with_exact(body.len() as u64);
        }
        cached.upstream.reply(async move {
            let _ = gone.await;
            Ok(told)
        });
        let first = cached.spawn(chat(CHAT));
        cached.upstream.is_asked(1).await;
        let second = cached.spawn(chat(CHAT));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        cached.upstream.json(ANSWER);
        go.send(()).unwrap();
        let first = first.await.unwrap();
        assert_eq!(first.status().as_u16(), status);
        assert_eq!(read(first).await, body);
        assert_eq!(read(second.await.unwrap()).await, ANSWER, "{status}");
        assert_eq!(cached.upstream.calls(), 2);
    }
}

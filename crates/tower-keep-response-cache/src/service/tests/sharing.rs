use tokio::{sync::Semaphore, task::JoinSet};

use super::*;

/// How often the service is asked by so many at once, which answers once all of them are there.
async fn burst(number: usize, fields: &'static [(&'static str, &'static str)]) -> usize {
    together(number, fields, StatusCode::OK).await
}

async fn failing(number: usize) -> usize {
    together(number, &[("x", "y")], StatusCode::BAD_GATEWAY).await
}

async fn together(
    number: usize,
    fields: &'static [(&'static str, &'static str)],
    status: StatusCode,
) -> usize {
    let layer = ResponseCacheLayer::builder().memory().build().unwrap();
    let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, door) = (Arc::clone(&calls), Arc::clone(&gate));
    let inner = service_fn(move |_: Request<RequestBody<Full<Bytes>>>| {
        let (count, door) = (Arc::clone(&count), Arc::clone(&door));
        async move {
            let number = next(&count);
            let _pass = door.acquire().await.unwrap();
            let mut answer = answer(fields, number);
            *answer.status_mut() = status;
            Ok::<_, Infallible>(answer)
        }
    });
    let service = BoxCloneSyncService::new(layer.layer(BoxCloneSyncService::new(inner)));
    let mut requests = JoinSet::new();
    for _ in 0..number {
        let service = service.clone();
        requests.spawn(async move {
            let request = Request::get("/a").header("host", "x").body(Full::default()).unwrap();
            service.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
        });
    }
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..number {
        tokio::task::yield_now().await;
    }
    gate.add_permits(number);
    let answers = requests.join_all().await;
    assert_eq!(answers.len(), number);
    calls.load(Ordering::SeqCst)
}

#[tokio::test]
async fn of_many_who_miss_one_asks() {
    assert_eq!(burst(1000, &[("cache-control", "max-age=60")]).await, 1);
}

#[tokio::test]
async fn what_is_not_to_be_shared_is_asked_for_by_each() {
    assert_eq!(burst(50, &[("cache-control", "no-store")]).await, 50);
}

#[tokio::test]
async fn those_who_wait_for_an_error_are_not_kept_waiting_for_the_next() {
    assert_eq!(failing(50).await, 50);
}

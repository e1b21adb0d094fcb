//! Most questions are asked again: what the cache makes of that. `bench` measures the same.

use tower_keep_tests::{Flavor, Program, Server, wait_until};

use crate::{
    auth::PUBLIC,
    clinic::{SUMMARY, from, user},
    program::App,
};

/// How many requests there are, for 161 different things.
const REQUESTS: u32 = 1500;
/// Names that are searched for, the popular ones first.
const NAMES: [&str; 20] = [
    "smith", "lee", "patel", "garcia", "nguyen", "khan", "brown", "silva", "rossi", "novak",
    "jones", "wong", "kumar", "berg", "costa", "weber", "sato", "lopez", "young", "quinn",
];

/// Numbers below `places`, the n-th as often as 1/n, by Zipf: the same each time.
struct Zipf(u32);

impl Zipf {
    fn next(&mut self, places: u32) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let weights = (1..=places).map(|place| 1.0 / f64::from(place));
        let mut left = f64::from(self.0 >> 8) / f64::from(1 << 24) * weights.clone().sum::<f64>();
        let reached = |weight| {
            left -= weight;
            left < 0.0
        };
        weights.map(reached).position(|reached| reached).unwrap_or(0)
    }
}

/// The part of requests that were answered from what is kept.
async fn hits(app: &App) -> f64 {
    let client = user(app, PUBLIC).await;
    let (mut zipf, mut hits) = (Zipf(7), 0_u32);
    for request in 0..REQUESTS {
        let path = match request % 10 {
            0 => SUMMARY.to_owned(),
            1..=6 => {
                let (name, page) = (NAMES[zipf.next(20)], zipf.next(3) + 1);
                format!("/api/patients?search={name}&page={page}")
            }
            _ => format!("/api/patients/{}", zipf.next(100) + 1),
        };
        hits += u32::from(from(&client.get(app, &path).await).starts_with("hit"));
    }
    f64::from(hits) / f64::from(REQUESTS)
}

#[tokio::test]
async fn most_of_what_is_asked_again_and_again_is_a_hit() {
    let many = ("RATE_LIMIT_MAX", "1000000");
    let app = App::start(&[many]).await;
    let ratio = hits(&app).await;
    assert!(ratio > 0.8, "{ratio} in memory");
    let server = Server::start(Flavor::Redis).await;
    let app = App::start(&[many, ("REDIS_URL", &server.url()), ("REDIS_TIMEOUT_MS", "2000")]).await;
    assert!(wait_until(Program::PATIENT, || app.is("ok")).await);
    let ratio = hits(&app).await;
    assert!(ratio > 0.8, "{ratio} on Redis");
}

//! What histories are made of.

use proptest::prelude::*;
use tower_keep_core::{Principal, TenantId};

use super::*;

/// What a `Cache-Control` of a response is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Says {
    NoStore,
    Private,
    NoCache,
    Public,
    MaxAge(u64),
    SMaxage(u64),
    MustRevalidate,
    WhileRevalidate(u64),
    IfError(u64),
    /// An extension that quotes what it does not mean.
    Quoting,
}

/// How it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    upper: bool,
    own_line: bool,
    spaced: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Says2 {
    pub(super) status: u16,
    pub(super) says: Vec<(Says, Style)>,
    pub(super) age: Option<u64>,
    pub(super) expires_in: Option<i64>,
    /// By which request fields it varies: 0 none, 1 `x-a`, 2 `x-a` and `x-b` on two lines, 3 `*`.
    pub(super) vary: u8,
    pub(super) cookie: bool,
    pub(super) tag: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) enum Wish {
    NoCache,
    NoStore,
    MaxAge(u64),
    MinFresh(u64),
    MaxStale(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Asks {
    pub(super) method: Method,
    pub(super) path: u8,
    pub(super) tenant: u8,
    pub(super) a: Option<u8>,
    pub(super) b: Option<u8>,
    pub(super) authorization: bool,
    pub(super) wish: Option<Wish>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait(u64),
    Ask(Asks, Says2),
}

fn says() -> impl Strategy<Value = Says> {
    let seconds = || prop_oneof![Just(0_u64), 1..40_u64];
    prop_oneof![
        1 => Just(Says::NoStore),
        1 => Just(Says::Private),
        2 => Just(Says::NoCache),
        2 => Just(Says::Public),
        8 => seconds().prop_map(Says::MaxAge),
        3 => seconds().prop_map(Says::SMaxage),
        2 => Just(Says::MustRevalidate),
        3 => seconds().prop_map(Says::WhileRevalidate),
        3 => seconds().prop_map(Says::IfError),
        1 => Just(Says::Quoting),
    ]
}

fn style() -> impl Strategy<Value = Style> {
    (any::<bool>(), prop::bool::weighted(0.3), any::<bool>())
        .prop_map(|(upper, own_line, spaced)| Style { upper, own_line, spaced })
}

fn response() -> impl Strategy<Value = Says2> {
    let status = prop_oneof![
        8 => Just(200_u16), 1 => Just(404), 1 => Just(301), 1 => Just(500), 2 => Just(503), 1 => Just(204),
    ];
    (
        status,
        prop::collection::vec((says(), style()), 0..4),
        prop::option::weighted(0.2, 0..30_u64),
        prop::option::weighted(0.2, -10..40_i64),
        prop_oneof![4 => Just(0_u8), 2 => Just(1), 2 => Just(2), 1 => Just(3)],
        prop::bool::weighted(0.1),
        prop::option::weighted(0.5, 0..3_u8),
    )
        .prop_map(|(status, says, age, expires_in, vary, cookie, tag)| Says2 {
            status,
            says,
            age,
            expires_in,
            vary,
            cookie,
            tag,
        })
}

fn request() -> impl Strategy<Value = Asks> {
    let method = prop_oneof![
        12 => Just(Method::GET), 2 => Just(Method::HEAD), 1 => Just(Method::PUT), 1 => Just(Method::POST),
    ];
    let wish = prop_oneof![
        Just(Wish::NoCache),
        Just(Wish::NoStore),
        (0..30_u64).prop_map(Wish::MaxAge),
        (0..30_u64).prop_map(Wish::MinFresh),
        (0..30_u64).prop_map(Wish::MaxStale),
    ];
    (
        method,
        0..2_u8,
        0..2_u8,
        prop::option::of(0..2_u8),
        prop::option::of(0..2_u8),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.2, wish),
    )
        .prop_map(|(method, path, tenant, a, b, authorization, wish)| Asks {
            method,
            path,
            tenant,
            a,
            b,
            authorization,
            wish,
        })
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (1..25_u64).prop_map(Step::Wait),
        3 => (request(), response()).prop_map(|(asks, says)| Step::Ask(asks, says)),
    ];
    prop::collection::vec(step, 2..60)
}

impl Asks {
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("/{}", self.path))
            .header("host", "example.com");
        for (name, value) in [("x-a", self.a), ("x-b", self.b)] {
            if let Some(value) = value {
                request = request.header(name, value.to_string());
            }
        }
        if self.authorization {
            request = request.header("authorization", "Bearer x");
        }
        request = match self.wish {
            Some(Wish::NoCache) => request.header("cache-control", "No-Cache"),
            Some(Wish::NoStore) => request.header("cache-control", "no-store"),
            Some(Wish::MaxAge(n)) => request.header("cache-control", format!("max-age={n}")),
            Some(Wish::MinFresh(n)) => request.header("cache-control", format!("min-fresh={n}")),
            Some(Wish::MaxStale(n)) => request.header("cache-control", format!("max-stale={n}")),
            None => request,
        };
        let mut request = request.body(Full::default()).unwrap();
        let tenant = TenantId::new(format!("t{}", self.tenant)).unwrap();
        request.extensions_mut().insert(Principal::new(tenant));
        request
    }

    pub(super) fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }
}

impl Says2 {
    fn control(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for (says, style) in &self.says {
            let mut text = match says {
                Says::NoStore => "no-store".to_owned(),
                Says::Private => "private".to_owned(),
                Says::NoCache => "no-cache".to_owned(),
                Says::Public => "public".to_owned(),
                Says::MaxAge(n) => format!("max-age={n}"),
                Says::SMaxage(n) => format!("s-maxage={n}"),
                Says::MustRevalidate => "must-revalidate".to_owned(),
                Says::WhileRevalidate(n) => format!("stale-while-revalidate={n}"),
                Says::IfError(n) => format!("stale-if-error={n}"),
                Says::Quoting => "x=\"a, max-age=9999, public\"".to_owned(),
            };
            if style.upper {
                text = text.to_ascii_uppercase();
            }
            match lines.last_mut().filter(|_| !style.own_line) {
                Some(line) => {
                    line.push_str(if style.spaced { " ,  " } else { "," });
                    line.push_str(&text);
                }
                None => lines.push(text),
            }
        }
        lines
    }

    pub(super) fn render(&self, number: usize, now: u64, status: u16) -> Answer {
        let mut answer = Response::builder().status(status).header("x-n", number.to_string());
        for line in self.control() {
            answer = answer.header("cache-control", line);
        }
        if let Some(age) = self.age {
            answer = answer.header("age", age.to_string());
        }
        let date = |at: u64| crate::policy::date::format(UnixMillis(at * 1000));
        answer = answer.header("date", date(now));
        if let Some(after) = self.expires_in {
            answer = answer.header("expires", date(now.saturating_add_signed(after)));
        }
        answer = match self.vary {
            1 => answer.header("vary", "X-A"),
            2 => answer.header("vary", "x-a").header("vary", "accept , x-B"),
            3 => answer.header("vary", "x-a, *"),
            _ => answer,
        };
        if self.cookie {
            answer = answer.header("set-cookie", "id=1");
        }
        if let Some(tag) = self.tag {
            answer = answer.header("etag", format!("\"{tag}\""));
        }
        let body = if matches!(status, 204 | 304) { String::new() } else { number.to_string() };
        answer.body(Full::from(body)).unwrap()
    }

    pub(super) fn has(&self, what: impl Fn(&Says) -> bool) -> bool {
        self.says.iter().any(|(says, _)| what(says))
    }

    pub(super) fn most(&self, what: impl Fn(&Says) -> Option<u64>) -> Option<u64> {
        self.says.iter().filter_map(|(says, _)| what(says)).max()
    }

    /// The longest that it can be understood to be fresh.
    pub(super) fn lifetime(&self) -> Option<u64> {
        let shared = self.most(|says| match says {
            Says::SMaxage(n) => Some(*n),
            _ => None,
        });
        let any = self.most(|says| match says {
            Says::MaxAge(n) => Some(*n),
            _ => None,
        });
        shared.or(any).or(self.expires_in.map(|after| u64::try_from(after).unwrap_or(0)))
    }
}

//! What the fuzz targets of `fuzz/` call, and the tests that replay their seeds.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tower_keep_cache::{Stamp, Value as _};
use tower_keep_core::time::UnixMillis;

use crate::{
    freshness::{FOREVER, Freshness},
    options::Options,
    page::Page,
    policy::{
        answer, date, groups,
        key::{self, QueryRules, Target},
        part,
        request::RequestDirectives,
        reuse::{self, Verdict},
        storable::{self, Exchange},
        vary::Selecting,
    },
    stored::Stored,
};

/// 2024-01-01 00:00:00.
const NOW: UnixMillis = UnixMillis(1_704_067_200_000);

/// Header fields, a line each; lines that are no field are passed over.
fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.strip_prefix(b":")?.trim_ascii();
        let name = HeaderName::from_bytes(name.trim_ascii()).ok()?;
        Some((name, HeaderValue::from_bytes(value).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(field).take(200) {
        headers.append(name, value);
    }
    headers
}

/// The fields of a request and those of a response, with an empty line between.
fn exchange(data: &[u8]) -> (HeaderMap, HeaderMap) {
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    let between = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    let (request, response) = lines.split_at_checked(between).unwrap_or_default();
    (fields(request.iter().copied()), fields(response.iter().copied()))
}

/// `Cache-Control` of both sides, targeted fields, and all else that says whether and for how long
/// a response is stored. What is said against it holds whatever else is said.
pub fn cache_control(data: &[u8]) {
    let (status, data) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let statuses = [200, 203, 206, 301, 404, 500];
    let status = statuses.get(usize::from(status) % statuses.len()).copied().unwrap_or(200);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let (request, response) = exchange(data);
    let judge = |response: &HeaderMap, options: &Options| {
        let exchange = Exchange {
            method: &Method::GET,
            request: &request,
            status,
            response,
            requested: NOW,
            received: NOW.plus(std::time::Duration::from_secs(1)),
            told: None,
        };
        storable::storable(&exchange, options)
    };
    let plain =
        Options { heuristic: Some(std::time::Duration::from_secs(86_400)), ..Options::default() };
    let targeted =
        Options { targets: vec![HeaderName::from_static("cdn-cache-control")], ..plain.clone() };
    let asks = RequestDirectives::of(&request);
    for options in [&plain, &targeted] {
        let Ok(keep) = judge(&response, options) else { continue };
        let freshness = keep.freshness;
        assert!(freshness.lifetime <= FOREVER && freshness.initial_age <= FOREVER);
        for at in [0, 1, NOW.0, NOW.0 + 60_000, u64::MAX] {
            let at = UnixMillis(at);
            let verdict = reuse::judge(&freshness, &asks, false, at);
            if freshness.no_cache || asks.no_cache {
                assert!(matches!(verdict, Verdict::Validate(_)), "{verdict:?}");
            }
            if freshness.must_revalidate && !freshness.is_fresh(at) {
                assert!(matches!(verdict, Verdict::Validate(_)), "{verdict:?}");
            }
        }
    }
    for against in ["no-store", "private"] {
        // As the last line, after whatever the others have left open.
        let mut lines = response.clone();
        lines.append(header::CACHE_CONTROL, HeaderValue::from_static(against));
        let understood = crate::policy::directives::Directives::of(&lines).must_understand;
        assert!(understood || judge(&lines, &plain).is_err(), "{against}");
    }
    let target = Target { scheme: None, authority: b"h", path: "/", query: None };
    let tagged = Options { tag_fields: vec![HeaderName::from_static("surrogate-key")], ..plain };
    let _ = groups::tags(&response, target, &[], &tagged);
    let _ = groups::invalidated(&Method::POST, &response, target);
}

/// A date in any of the forms that there are. What is read is written and read again as the same.
pub fn http_date(data: &[u8]) {
    for now in [UnixMillis(0), NOW, UnixMillis(u64::MAX)] {
        if let Some(at) = date::parse(data, now) {
            let written = date::format(at);
            let again = date::parse(written.as_bytes(), now);
            assert_eq!(again.map(|it| it.0 / 1000), Some(at.0 / 1000), "{written:?}");
        }
    }
}

/// `Range`, `If-Range` and conditions of a request, and the fields of what is stored. What is told
/// of it is what lies there.
pub fn range(data: &[u8]) {
    const LENGTH: usize = 1000;
    let (request, response) = exchange(data);
    for lenient in [false, true] {
        if let Some(place) = part::parse(&response, LENGTH as u64, lenient) {
            assert_eq!(place.len(), Some(LENGTH as u64));
        }
    }
    let body: Bytes = (0..LENGTH).map(|at| at.to_be_bytes()[7]).collect();
    let stored = Stored {
        status: StatusCode::OK,
        headers: response,
        body: body.clone(),
        part: None,
        freshness: Freshness {
            received: NOW,
            initial_age: 0,
            lifetime: 60,
            heuristic: false,
            no_cache: false,
            must_revalidate: false,
            stale_while_revalidate: 0,
            stale_if_error: None,
        },
        selecting: Selecting::default(),
        date: NOW,
        tags: Vec::new(),
        stamp: Stamp::default(),
    };
    let whole = answer::answer(&Method::GET, &request, &stored, NOW);
    told(&whole, &body);
    for cut in [0, 1, LENGTH / 2] {
        let last = LENGTH - 1;
        let place =
            crate::stored::Part { first: cut as u64, last: last as u64, total: LENGTH as u64 };
        let part = Stored {
            status: StatusCode::PARTIAL_CONTENT,
            body: body.slice(cut..),
            part: Some(place),
            ..stored.clone()
        };
        if part::covers(&Method::GET, &request, &part) {
            told(&answer::answer(&Method::GET, &request, &part, NOW), &body);
        }
        let mut rest = request.clone();
        part::ask_for_rest(&mut rest, &part);
        // With what is there before it, it is the whole again, or not joined at all.
        let first = Stored {
            body: body.slice(..cut.max(1)),
            part: Some(crate::stored::Part { first: 0, last: cut.max(1) as u64 - 1, ..place }),
            ..part.clone()
        };
        if let Some(joined) = part::combine(&first, &part) {
            assert_eq!((joined.body, joined.part), (body.clone(), None));
        }
    }
}

fn told(answer: &http::Response<Bytes>, whole: &Bytes) {
    let body = answer.body();
    match answer.status() {
        StatusCode::OK => assert_eq!(body, whole),
        StatusCode::NOT_MODIFIED | StatusCode::RANGE_NOT_SATISFIABLE => assert!(body.is_empty()),
        StatusCode::PARTIAL_CONTENT => {
            let place = answer.headers().get(header::CONTENT_RANGE);
            if place.is_none() {
                // Several; to say where each begins takes less than to send what lies between.
                assert!(body.len() < whole.len() + 32 * 200);
                return;
            }
            let place = part::parse(answer.headers(), body.len() as u64, false)
                .and_then(|part| Some((usize::try_from(part.first).ok()?, part)))
                .filter(|(first, _)| whole.get(*first..*first + body.len()) == Some(body));
            assert!(place.is_some(), "{place:?}");
        }
        other => assert_eq!(other, StatusCode::OK),
    }
}

/// Two targets, a line each, the fields of a request and those of a response, which it then
/// matches. Different targets have different identities.
pub fn stored_key(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut uri = || Uri::try_from(lines.next()?).ok();
    let uris = (uri(), uri());
    let (request, response) = exchange(lines.next().unwrap_or_default());
    for normalise in [false, true] {
        let options = Options { normalise, ..Options::default() };
        if let Ok(selecting) = Selecting::of(&response, &request, &options) {
            assert!(selecting.matches(&request, &options), "{selecting:?}");
        }
    }
    let (Some(one), Some(other)) = uris else { return };
    let (Some(one), Some(other)) = (Target::of(&one, &request), Target::of(&other, &request))
    else {
        return;
    };
    for rules in [
        QueryRules::new(),
        QueryRules::new().sorted(),
        QueryRules::new().without(["a", "u*"]),
        QueryRules::new().only(["b*"]).sorted(),
    ] {
        let [a, b] = [one, other].map(|target| key::canonical(target, &rules, None));
        if a.is_some() && a == b {
            assert_eq!(
                (one.scheme, one.host(), one.path),
                (other.scheme, other.host(), other.path)
            );
            if rules == QueryRules::new() {
                assert_eq!(one.query, other.query);
            }
        }
    }
}

/// All that is stored for a target, as it lies in a store: its meta, whose length is said first, and
/// the bodies. What is read is written and read again as the same.
pub fn cache_page(data: &[u8]) {
    let Some((&[high, low], rest)) = data.split_first_chunk() else { return };
    let Some((meta, body)) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
    else {
        return;
    };
    let Some(page) = Page::decode(meta, Bytes::copy_from_slice(body)) else { return };
    assert!(page.weight() > 0);
    let (mut meta, mut body) = (Vec::new(), Vec::new());
    page.encode(&mut meta, &mut body);
    let again = Page::decode(&meta, body.into());
    // In which order fields of different names stand makes no difference.
    let told = |page: &Page| {
        let here = page.here.iter().map(|it| {
            let rest = (it.part, it.freshness.clone(), it.selecting.clone(), it.tags.clone());
            (it.status, it.headers.clone(), it.body.clone(), rest, it.date, it.stamp)
        });
        (here.collect::<Vec<_>>(), page.apart.clone(), page.until)
    };
    assert_eq!(again.as_ref().map(told), Some(told(&page)));
    for stored in &page.here {
        let _ = answer::answer(&Method::GET, &HeaderMap::new(), stored, NOW);
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn seeds_are_replayed() {
        replay("cache_control", cache_control);
        replay("http_date", http_date);
        replay("range", range);
        replay("stored_key", stored_key);
        replay("cache_page", cache_page);
    }
}

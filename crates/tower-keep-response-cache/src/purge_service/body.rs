//! What a caller wants purged.

use std::{pin::pin, time::Duration};

use bytes::{Buf as _, BufMut as _};
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use serde::Deserialize;
use tokio::time::timeout;
use tower_keep_core::{GrpcCode, Rejection};

use super::Refused;
use crate::purge::{Selection, shown};

/// How long a body may be, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// How long it may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// As it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    tags: Vec<String>,
    paths: Vec<String>,
    prefixes: Vec<String>,
    urls: Vec<String>,
    groups: Vec<Group>,
    everything: bool,
    soft: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    origin: String,
    name: String,
}

/// What the body selects.
pub(super) async fn selection<B: Body>(headers: &HeaderMap, body: B) -> Result<Selection, Refused> {
    if !is_json(headers) {
        return Err(no(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is no `application/json`"));
    }
    let late = |_| no(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
    let bytes = timeout(PATIENCE, read(body)).await.map_err(late)??;
    parse(&bytes).map_err(|detail| {
        let no = *no(StatusCode::BAD_REQUEST, "the body is not what it should be");
        Box::new(no.detail(detail))
    })
}

/// Whether the body says that it is JSON. A form, which any page can send anywhere, does not.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (types.next(), types.next()) else { return false };
    let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

async fn read<B: Body>(body: B) -> Result<Vec<u8>, Refused> {
    let too_long = || no(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 64 KiB");
    // What says so itself need not be waited for.
    if body.size_hint().lower() > MAX_BYTES as u64 {
        return Err(too_long());
    }
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| no(StatusCode::BAD_REQUEST, "the body did not arrive"))?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        if data.remaining() > MAX_BYTES - bytes.len() {
            return Err(too_long());
        }
        bytes.put(data);
    }
    Ok(bytes)
}

/// What is written there; or what is wrong with it.
fn parse(bytes: &[u8]) -> Result<Selection, String> {
    // A list of its members' values would be taken for it.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err("it is a JSON object".to_owned());
    }
    let written: Written = serde_json::from_slice(bytes).map_err(|it| shown(&it.to_string()))?;
    let Written { tags, paths, prefixes, urls, groups, everything, soft } = written;
    let named = !groups.is_empty()
        || [&tags, &paths, &prefixes, &urls].iter().any(|names| !names.is_empty());
    if everything && named {
        return Err("`everything` goes alone, or with `soft`".to_owned());
    }
    let selection = if everything { Selection::everything() } else { Selection::new() };
    let groups = groups.into_iter().map(|group| (group.origin, group.name));
    let selection = selection.tags(tags).paths(paths).prefixes(prefixes).urls(urls).groups(groups);
    Ok(if soft { selection.soft() } else { selection })
}

fn no(status: StatusCode, title: &'static str) -> Refused {
    Box::new(Rejection::new(status, GrpcCode::InvalidArgument, title))
}

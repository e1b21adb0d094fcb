//! Which requests are looked at.

use http::{HeaderMap, Method};

use super::{Api, media_type};
use crate::ttl::TtlClass;

/// Requests whose path ends so are of that API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The end of the path, from a `/` on.
    pub(crate) suffix: String,
    pub(crate) api: Api,
    pub(crate) class: TtlClass,
}

/// All that are known.
#[derive(Clone, Debug)]
pub(crate) struct Routes(Vec<Route>);

impl Default for Routes {
    /// The paths of the APIs themselves. `/v1` belongs to those whose last word is also that of
    /// something else: `/v1/threads/{id}/messages` changes a thread.
    fn default() -> Self {
        let mut routes = Self(Vec::new());
        for (suffix, api) in [
            ("/chat/completions", Api::OpenAiChat),
            ("/v1/completions", Api::OpenAiCompletions),
            ("/v1/responses", Api::OpenAiResponses),
            ("/embeddings", Api::OpenAiEmbeddings),
            ("/v1/messages", Api::AnthropicMessages),
        ] {
            routes.add(suffix, api, TtlClass::Chat);
        }
        routes
    }
}

impl Routes {
    /// Adds a route, in place of one with the same end.
    pub(crate) fn add(&mut self, suffix: &str, api: Api, class: TtlClass) {
        self.0.retain(|route| route.suffix != suffix);
        self.0.push(Route { suffix: suffix.to_owned(), api, class });
    }

    /// The route of a request, by its longest end. `None` is for what is passed on untouched.
    pub(crate) fn find(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<&Route> {
        if method != Method::POST || !is_json(headers) {
            return None;
        }
        let ends = self.0.iter().filter(|route| path.ends_with(&route.suffix));
        ends.max_by_key(|route| route.suffix.len())
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|found| found.eq_ignore_ascii_case("application/json"))
}

/// The model that a request asks for: that of its body, else the deployment that its path names,
/// else none.
pub(crate) fn model<'a>(request: &'a crate::json::Node<'_>, path: &'a str) -> &'a str {
    let of_path = || {
        let (_, rest) = path.split_once("/deployments/")?;
        rest.split('/').next()
    };
    let named = request.get("model").and_then(crate::json::Node::as_str);
    named.or_else(of_path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONTENT_TYPE};

    use super::*;
    use crate::json::Node;

    fn headers(content_types: &[&str]) -> HeaderMap {
        let lines = content_types.iter().map(|v| (CONTENT_TYPE, HeaderValue::from_str(v).unwrap()));
        lines.collect()
    }

    #[test]
    fn a_request_is_known_by_method_path_and_media_type() {
        let mut routes = Routes::default();
        routes.add("/v1/ocr", Api::Json, TtlClass::Ocr);
        let json = headers(&["application/json"]);
        for (path, api) in [
            ("/v1/chat/completions", Some(Api::OpenAiChat)),
            ("/openai/deployments/gpt/chat/completions", Some(Api::OpenAiChat)),
            ("/proxy/v1/completions", Some(Api::OpenAiCompletions)),
            ("/v1/responses", Some(Api::OpenAiResponses)),
            ("/v1/embeddings", Some(Api::OpenAiEmbeddings)),
            ("/v1/messages", Some(Api::AnthropicMessages)),
            ("/v1/ocr", Some(Api::Json)),
            ("/v1/threads/t/messages", None),
            ("/v1/messages/count_tokens", None),
            ("/v1/messages/batches", None),
            ("/v1/responses/r/cancel", None),
            ("/v1/chat/completions/", None),
            ("/v1/xembeddings", None),
            ("/", None),
        ] {
            let found = routes.find(&Method::POST, path, &json).map(|route| route.api);
            assert_eq!(found, api, "{path}");
        }
        let path = "/v1/messages";
        for other in [Method::GET, Method::PUT, Method::OPTIONS] {
            assert!(routes.find(&other, path, &json).is_none());
        }
        for (types, known) in [
            (&["Application/JSON; charset=utf-8"][..], true),
            (&[], false),
            (&["text/plain"], false),
            (&["application/json-patch+json"], false),
            (&["application/json", "text/plain"], false),
            (&["multipart/form-data; boundary=x"], false),
        ] {
            assert_eq!(routes.find(&Method::POST, path, &headers(types)).is_some(), known);
        }
        routes.add("/v1/ocr", Api::Json, TtlClass::Analysis);
        let ocr = routes.find(&Method::POST, "/v1/ocr", &json).unwrap();
        assert_eq!(ocr.class, TtlClass::Analysis);
    }

    #[test]
    fn the_model_is_named_by_the_body_or_by_the_path() {
        for (body, path, expected) in [
            (r#"{"model":"gpt-4o"}"#, "/deployments/x/chat/completions", "gpt-4o"),
            ("{}", "/openai/deployments/x/chat/completions", "x"),
            (r#"{"model":null}"#, "/v1/chat/completions", ""),
            (r#"{"model":7}"#, "/v1/chat/completions", ""),
        ] {
            assert_eq!(model(&Node::read(body.as_bytes()).unwrap(), path), expected);
        }
    }
}

//! What the AI cache is told: the command line, and the variables that stand for it.

use std::{fmt, str::FromStr, time::Duration};

use tower_keep::ai::TtlClass;

/// The shortest secret that the layer takes, in bytes.
const SHORTEST_SECRET: usize = 16;

/// What the AI cache is told.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct AiCacheSettings {
    /// What clients' credentials are hashed with, 16 bytes at least, so that nobody gets what
    /// another's key has paid for; without it one is made up, and what is stored in Redis is this
    /// process's own and lost with it
    #[arg(
        long = "ai-cache-secret",
        env = "GATEWAY_AI_CACHE_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub(super) secret: Option<Secret>,

    /// Store and answer only requests that say `"useCache": true`
    #[arg(long = "ai-cache-opt-in", env = "GATEWAY_AI_CACHE_OPT_IN")]
    pub(super) opt_in: bool,

    /// Whether callers may ask for new answers, other lifetimes and no storing
    #[arg(
        long = "ai-cache-heed-callers",
        env = "GATEWAY_AI_CACHE_HEED_CALLERS",
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_value = "true",
        default_missing_value = "true"
    )]
    pub(super) heed_callers: bool,

    /// Whether requests are answered from the store whose temperature is not 0 and that have no seed
    #[arg(
        long = "ai-cache-sampled",
        env = "GATEWAY_AI_CACHE_SAMPLED",
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_value = "true",
        default_missing_value = "true"
    )]
    pub(super) sampled: bool,

    /// Store answers too that were cut at the most tokens they may have
    #[arg(long = "ai-cache-store-cut", env = "GATEWAY_AI_CACHE_STORE_CUT")]
    pub(super) store_cut: bool,

    /// Send stored events one by one, not all at once
    #[arg(long = "ai-cache-replay-events", env = "GATEWAY_AI_CACHE_REPLAY_EVENTS")]
    pub(super) replay_events: bool,

    /// The longest request that is read, instead of 8 MiB; a longer one passes by the cache
    #[arg(
        long = "ai-cache-max-request",
        env = "GATEWAY_AI_CACHE_MAX_REQUEST",
        value_name = "BYTES"
    )]
    pub(super) max_request: Option<usize>,

    /// The longest answer that is shared, instead of 4 MiB; of what is stored `CACHE_MAX_ENTRY_BYTES`
    /// is the longest
    #[arg(
        long = "ai-cache-max-response",
        env = "GATEWAY_AI_CACHE_MAX_RESPONSE",
        value_name = "BYTES"
    )]
    pub(super) max_response: Option<usize>,

    /// How many bytes answers may take in this process, instead of 64 MiB
    #[arg(
        id = "ai_capacity",
        long = "ai-cache-capacity",
        env = "GATEWAY_AI_CACHE_CAPACITY",
        value_name = "BYTES"
    )]
    pub(super) capacity: Option<u64>,

    /// Further paths whose answers are JSON, by how they end, with their class (chat, ocr or
    /// analysis) and with commas between: /v1/ocr=ocr
    #[arg(
        long = "ai-cache-json-route",
        env = "GATEWAY_AI_CACHE_JSON_ROUTES",
        value_name = "PATH=CLASS",
        value_delimiter = ','
    )]
    pub(super) json_routes: Vec<JsonRoute>,

    /// Seconds that answers of a model are stored, instead of what its class says; `*` ends a name
    /// that stands for all that begin so; with commas between
    #[arg(
        long = "ai-cache-model-ttl",
        env = "GATEWAY_AI_CACHE_MODEL_TTLS",
        value_name = "MODEL=SECONDS",
        value_delimiter = ','
    )]
    pub(super) model_ttls: Vec<ModelTtl>,

    /// A number that is counted up when what was answered until now no longer holds
    #[arg(
        long = "ai-cache-epoch",
        env = "GATEWAY_AI_CACHE_EPOCH",
        value_name = "N",
        default_value = "0"
    )]
    pub(super) epoch: u64,
}

/// A text that is never shown.
#[derive(Clone)]
pub(super) struct Secret(pub(super) String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A path whose answers are JSON of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonRoute(pub(super) String, pub(super) TtlClass);

impl FromStr for JsonRoute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let told =
            text.rsplit_once('=').filter(|(path, _)| path.starts_with('/') && path.len() > 1);
        let (path, class) = told.ok_or("not PATH=CLASS, with a path that begins with `/`")?;
        let class = match class {
            "chat" => TtlClass::Chat,
            "ocr" => TtlClass::Ocr,
            "analysis" => TtlClass::Analysis,
            _ => return Err("the class is none of chat, ocr and analysis".to_owned()),
        };
        Ok(Self(path.to_owned(), class))
    }
}

/// A model, or several by how they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelTtl(pub(super) String, pub(super) Duration);

impl FromStr for ModelTtl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Names of models have colons, and may have anything.
        let told = text.rsplit_once('=').filter(|(model, _)| !model.is_empty());
        let (model, seconds) = told.ok_or("not MODEL=SECONDS")?;
        match seconds.parse() {
            Ok(seconds @ 1..=2_592_000) => Ok(Self(model.to_owned(), Duration::from_secs(seconds))),
            _ => Err("not a number of seconds from 1 to 2592000".to_owned()),
        }
    }
}

impl AiCacheSettings {
    /// What is wrong with them. A secret is not shown.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.secret {
            Some(Secret(secret)) if secret.len() < SHORTEST_SECRET => {
                Err(format!("`--ai-cache-secret` has less than {SHORTEST_SECRET} bytes"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_lifetimes_are_read() {
        let route: JsonRoute = "/v1/ocr=ocr".parse().unwrap();
        assert_eq!(route, JsonRoute("/v1/ocr".to_owned(), TtlClass::Ocr));
        let ttl: ModelTtl = "llama3:8b=*=60".parse().unwrap();
        assert_eq!(ttl, ModelTtl("llama3:8b=*".to_owned(), Duration::from_secs(60)));
        for bad in ["", "/v1/ocr", "v1/ocr=ocr", "/=ocr", "/v1/ocr=text"] {
            assert!(bad.parse::<JsonRoute>().is_err(), "{bad}");
        }
        for bad in ["", "gpt", "=60", "gpt=", "gpt=0", "gpt=2592001", "gpt=-1"] {
            assert!(bad.parse::<ModelTtl>().is_err(), "{bad}");
        }
    }
}

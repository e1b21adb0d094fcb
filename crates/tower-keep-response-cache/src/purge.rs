//! What is stored, purged by a program.

use std::{error::Error as StdError, fmt, sync::Arc};

use http::{HeaderMap, Uri};
use tower_keep_cache::{Purge, Tag};
use tower_keep_core::{StoreError, TenantId};

use crate::{
    asked,
    policy::{groups, key::Target},
    settings::Settings,
};

/// How many things one purge may name: so many go to a store, and to the other processes, as one
/// command.
const MAX_NAMES: usize = 250;

/// What is to be purged of a tenant's responses: everything that any of its parts names.
///
/// ```
/// use tower_keep_response_cache::Selection;
///
/// let gone = Selection::new()
///     .tag("products")
///     .path("/api/products")
///     .url("https://shop.example.com/api/products?page=2");
/// let refreshed = Selection::everything().soft();
/// # let _ = (gone, refreshed);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it is only what would be purged"]
pub struct Selection {
    everything: bool,
    tags: Vec<String>,
    paths: Vec<String>,
    prefixes: Vec<String>,
    urls: Vec<String>,
    /// Each of an origin.
    groups: Vec<(String, String)>,
    soft: bool,
}

impl Selection {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            everything: false,
            tags: Vec::new(),
            paths: Vec::new(),
            prefixes: Vec::new(),
            urls: Vec::new(),
            groups: Vec::new(),
            soft: false,
        }
    }

    /// All responses of the tenant, every user's. What else is kept of it stays.
    pub const fn everything() -> Self {
        let mut all = Self::new();
        all.everything = true;
        all
    }

    /// What has this tag: said by a [`CacheControlOverride`](crate::CacheControlOverride), by one
    /// of the [`tag_fields`](crate::ResponseCacheLayerBuilder::tag_fields), or as a group in
    /// `Cache-Groups` (RFC 9875), of whatever host; see [`group`](Self::group).
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.tags([tag])
    }

    /// What has any of these tags.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// What is stored for this path as it was asked for, escapes and all: of whatever host, query,
    /// user and variant. Inside of axum's `nest`, and wherever a router leaves an
    /// [`AskedUri`](tower_keep_core::AskedUri), it is the whole path, with what the layer does not
    /// see of it.
    pub fn path(self, path: impl Into<String>) -> Self {
        self.paths([path])
    }

    /// What is stored for any of these paths.
    pub fn paths<T: Into<String>>(mut self, paths: impl IntoIterator<Item = T>) -> Self {
        self.paths.extend(paths.into_iter().map(Into::into));
        self
    }

    /// What is stored for all paths that begin so: one of those that the layer was
    /// [told of](crate::ResponseCacheLayerBuilder::purge_prefixes), letter for letter.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        self.prefixes([prefix])
    }

    /// What is stored for all paths that begin with any of these.
    pub fn prefixes<T: Into<String>>(mut self, prefixes: impl IntoIterator<Item = T>) -> Self {
        self.prefixes.extend(prefixes.into_iter().map(Into::into));
        self
    }

    /// What is stored for this `http` or `https` URL, which are the same here: of whatever user and
    /// variant, but of this query only.
    pub fn url(self, url: impl Into<String>) -> Self {
        self.urls([url])
    }

    /// What is stored for any of these URLs.
    pub fn urls<T: Into<String>>(mut self, urls: impl IntoIterator<Item = T>) -> Self {
        self.urls.extend(urls.into_iter().map(Into::into));
        self
    }

    /// What is in this group (RFC 9875) of this origin, an `http` or `https` URL without a path,
    /// which are the same here. The group of the same name of another origin is another group.
    ///
    /// ```
    /// use tower_keep_response_cache::Selection;
    ///
    /// let scripts = Selection::new().group("https://shop.example.com", "scripts");
    /// # let _ = scripts;
    /// ```
    pub fn group(self, origin: impl Into<String>, name: impl Into<String>) -> Self {
        self.groups([(origin, name)])
    }

    /// What is in any of these groups, each of an origin.
    pub fn groups<O: Into<String>, N: Into<String>>(
        mut self,
        groups: impl IntoIterator<Item = (O, N)>,
    ) -> Self {
        self.groups.extend(groups.into_iter().map(|(origin, name)| (origin.into(), name.into())));
        self
    }

    /// What is purged counts as stale: it is asked for anew before it is used, or used meanwhile
    /// where it allows that (`stale-while-revalidate`, `stale-if-error`).
    pub const fn soft(mut self) -> Self {
        self.soft = true;
        self
    }

    fn names(&self) -> usize {
        let Self { tags, paths, prefixes, urls, groups, .. } = self;
        tags.len() + paths.len() + prefixes.len() + urls.len() + groups.len()
    }

    /// As the engine has it.
    fn purge(&self, settings: &Settings) -> Result<Purge, PurgeError> {
        let purge = Purge::tags(self.marks(settings)?);
        Ok(if self.soft { purge.soft() } else { purge })
    }

    fn marks(&self, settings: &Settings) -> Result<Vec<Tag>, PurgeError> {
        if self.everything {
            return Ok(vec![groups::every_response()]);
        }
        match self.names() {
            0 => return Err(PurgeError::Nothing),
            1..=MAX_NAMES => {}
            _ => return Err(PurgeError::TooMuch),
        }
        let mut marks: Vec<Tag> =
            self.tags.iter().map(|tag| groups::named(tag.as_bytes())).collect();
        for path in &self.paths {
            if !path.starts_with('/') || path.contains(['?', '#']) {
                return Err(PurgeError::NoPath(path.clone()));
            }
            marks.push(groups::path(path));
        }
        for prefix in &self.prefixes {
            if !settings.prefixes.contains(prefix) {
                return Err(PurgeError::UnknownPrefix(prefix.clone()));
            }
            marks.push(groups::prefix(prefix));
        }
        for url in &self.urls {
            let uri = url.parse().ok().filter(is_absolute);
            let uri: Uri = uri.ok_or_else(|| PurgeError::NoUrl(url.clone()))?;
            let fields = HeaderMap::new();
            let target = Target::of(&uri, &fields).ok_or_else(|| PurgeError::NoUrl(url.clone()))?;
            // One that is too long to be stored needs no purge.
            marks.extend(asked::target_tag(target, settings));
        }
        for (origin, name) in &self.groups {
            let no_origin = || PurgeError::NoOrigin(origin.clone());
            let uri = origin.parse().ok().filter(is_absolute);
            let uri: Uri = uri.filter(is_origin).ok_or_else(no_origin)?;
            let fields = HeaderMap::new();
            marks.push(groups::group(Target::of(&uri, &fields).ok_or_else(no_origin)?, name));
        }
        Ok(marks)
    }
}

/// Whether it ends with its host and port, or a slash.
fn is_origin(uri: &Uri) -> bool {
    matches!(uri.path(), "" | "/") && uri.query().is_none()
}

fn is_absolute(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())
}

/// The responses that a layer has stored, and all other layers on the same store: to be purged.
/// From [`ResponseCacheLayer::responses`](crate::ResponseCacheLayer::responses); cheap to clone.
#[derive(Clone, Debug)]
pub struct CachedResponses {
    pub(crate) settings: Arc<Settings>,
}

impl CachedResponses {
    /// Purges what is selected of this tenant's responses, by one command that takes as long
    /// whatever is stored. Requests without a principal are those of [`TenantId::NONE`].
    ///
    /// Once this has returned without an error, nothing that was purged is served by this process;
    /// others serve none of it 100 ms later, or a second later where they do not hear of each
    /// other. Neither is what was being fetched meanwhile: a purge holds for every response that was
    /// asked for before it. It is seen through although nobody waits for it.
    ///
    /// ```
    /// use tower_keep_core::TenantId;
    /// use tower_keep_response_cache::{PurgeError, ResponseCacheLayer, Selection};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = ResponseCacheLayer::builder().memory().purge_prefixes(["/api/"]).build()?;
    /// let (responses, acme) = (layer.responses(), TenantId::new("acme")?);
    ///
    /// responses.purge(&acme, &Selection::new().tag("products")).await?;
    /// responses.purge(&acme, &Selection::new().prefix("/api/").soft()).await?;
    /// responses.purge(&acme, &Selection::everything()).await?;
    ///
    /// // Only what was registered can be purged by its beginning: it takes a tag for each.
    /// let unknown = responses.purge(&acme, &Selection::new().prefix("/ap")).await;
    /// assert!(matches!(unknown, Err(PurgeError::UnknownPrefix(prefix)) if prefix == "/ap"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PurgeError`]: nothing was purged, unless it says [`Store`](PurgeError::Store) of the class
    /// [`Unknown`](tower_keep_core::ErrorClass::Unknown). Then it may have been, and it may be
    /// done again.
    pub async fn purge(&self, tenant: &TenantId, what: &Selection) -> Result<(), PurgeError> {
        let purge = what.purge(&self.settings)?;
        self.settings.cache.purge(tenant, &purge).await.map_err(PurgeError::Store)
    }
}

/// Why nothing was purged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PurgeError {
    /// Nothing was selected.
    Nothing,
    /// More was named than one purge can be told: 250 tags, paths, prefixes, URLs and groups.
    TooMuch,
    /// It does not begin with `/`, or has a query.
    NoPath(String),
    /// The layer was not told of this prefix when it was built.
    UnknownPrefix(String),
    /// It is no `http` or `https` URL with a host, in the characters that URLs consist of.
    NoUrl(String),
    /// It is no `http` or `https` URL of a host, and perhaps a port, alone.
    NoOrigin(String),
    /// The store did not do it.
    Store(StoreError),
}

impl fmt::Display for PurgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing is selected"),
            Self::TooMuch => write!(f, "more than {MAX_NAMES} things are named"),
            Self::NoPath(path) => {
                write!(f, "`{}` is no path: it begins with `/` and has no query", shown(path))
            }
            Self::UnknownPrefix(prefix) => {
                write!(f, "`{}` is no prefix that the layer was told of", shown(prefix))
            }
            Self::NoUrl(url) => write!(f, "`{}` is no http or https URL with a host", shown(url)),
            Self::NoOrigin(origin) => {
                write!(f, "`{}` is no origin: an http or https URL without a path", shown(origin))
            }
            Self::Store(error) => write!(f, "the store did not do it: {error}"),
        }
    }
}

impl StdError for PurgeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// As an error may show it: escaped, and not too much of it.
pub(crate) fn shown(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", start.escape_debug())
}

#[cfg(test)]
mod tests;

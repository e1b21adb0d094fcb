//! Whether what is stored answers a request.

use std::sync::Arc;

use http::{HeaderMap, Method};
use tower_keep_cache::{Found, Generations, Name, Validity};
use tower_keep_core::time::UnixMillis;

use crate::{
    asked::Lookup,
    options::Options,
    page::{Apart, Page, is_gone},
    policy::{
        freshen,
        reuse::{self, Verdict, Why},
        status::Forward,
        validate,
        vary::{self, Chosen},
    },
    settings::Settings,
    stored::Stored,
};

/// What there is for a request.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    /// An answer.
    Serve(Served),
    /// Perhaps one, in a value of its own.
    Apart(Name),
    /// The service has to be asked; perhaps only whether what is stored is still so.
    Ask(Option<Old>, Forward),
}

/// An answer from what is stored.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) stored: Arc<Stored>,
    pub(crate) stale: bool,
    /// It is to be asked for meanwhile.
    pub(crate) refresh: bool,
}

/// What is stored and cannot be used as it is.
#[derive(Clone, Debug)]
pub(crate) enum Old {
    /// It is the answer if it is still so.
    Chosen(Arc<Stored>),
    /// It is a part, and the rest is wanted too.
    Part(Arc<Stored>),
    /// They were answers to other requests for the target: this one's may be the same as one.
    Variants(Vec<Arc<Stored>>),
}

impl Look {
    /// Why the service would be asked.
    pub(crate) const fn forward(&self) -> Forward {
        match self {
            Self::Ask(_, why) => *why,
            Self::Serve(_) | Self::Apart(_) => Forward::VaryMiss,
        }
    }
}

impl Old {
    /// What would be the answer.
    pub(crate) const fn chosen(&self) -> Option<&Arc<Stored>> {
        match self {
            Self::Chosen(stored) => Some(stored),
            Self::Part(_) | Self::Variants(_) => None,
        }
    }

    /// Which of those that were asked about a 304 means.
    pub(crate) fn meant(&self, answer: &HeaderMap) -> Option<Arc<Stored>> {
        let asked = match self {
            Self::Chosen(stored) | Self::Part(stored) => std::slice::from_ref(stored),
            Self::Variants(variants) => variants,
        };
        let meant = freshen::meant(answer, &asked.iter().map(|it| &**it).collect::<Vec<_>>())?;
        asked.get(meant).map(Arc::clone)
    }
}

impl Lookup {
    pub(crate) fn options<'a>(&self, settings: &'a Settings) -> &'a Options {
        let private = settings.private.as_ref().filter(|_| self.user.is_some());
        private.unwrap_or(&settings.options)
    }

    /// Looks through what was found.
    pub(crate) fn look(
        &self,
        settings: &Settings,
        (method, request): (&Method, &HeaderMap),
        found: &Found<Page>,
        now: UnixMillis,
    ) -> Look {
        let Some(page) = &found.value else { return Look::Ask(None, Forward::UriMiss) };
        let generations = &*found.generations;
        let options = self.options(settings);
        let chosen = vary::choose(&page.here, method, request, options);
        let valid: Vec<_>;
        let chosen = match chosen {
            Chosen::Answer(stored) | Chosen::Part(stored) if is_gone(stored, generations) => {
                let here = page.here.iter().filter(|stored| !is_gone(stored, generations));
                valid = here.cloned().collect();
                vary::choose(&valid, method, request, options)
            }
            chosen => chosen,
        };
        match chosen {
            Chosen::Answer(stored) => self.judge(stored, generations, now),
            Chosen::Part(stored) => {
                Look::Ask(Some(Old::Part(Arc::clone(stored))), Forward::Partial)
            }
            Chosen::Nothing => self.elsewhere(page, request, found, options),
        }
    }

    fn judge(&self, stored: &Arc<Stored>, generations: &Generations, now: UnixMillis) -> Look {
        let tags = stored.tags.iter().copied();
        let softly = generations.judge(stored.stamp, tags) == Validity::Stale;
        let serve =
            |stale, refresh| Look::Serve(Served { stored: Arc::clone(stored), stale, refresh });
        match reuse::judge(&stored.freshness, &self.directives, softly, now) {
            Verdict::Fresh => serve(false, false),
            Verdict::Stale { refresh } => serve(true, refresh),
            Verdict::Validate(why) => {
                let forward = match why {
                    Why::Stale => Forward::Stale,
                    Why::Request => Forward::Request,
                };
                Look::Ask(Some(Old::Chosen(Arc::clone(stored))), forward)
            }
        }
    }

    /// What lies apart is looked at where nothing here matches; else the others may be asked about.
    fn elsewhere(
        &self,
        page: &Page,
        request: &HeaderMap,
        found: &Found<Page>,
        options: &Options,
    ) -> Look {
        let valid = |apart: &&Apart| {
            let tags = apart.tags.iter().copied();
            found.generations.judge(apart.stamp, tags) != Validity::Gone
        };
        let wanted = |apart: &&Apart| apart.selecting.matches(request, options);
        let apart = page.apart.iter().filter(valid).find(wanted);
        if let (Some(apart), Some(name)) = (apart, &self.name) {
            return Look::Apart(Apart::name(&apart.selecting, apart.part, name));
        }
        let mut known =
            page.here.iter().filter(|stored| !is_gone(stored, &found.generations)).peekable();
        if known.peek().is_none() {
            return Look::Ask(None, Forward::UriMiss);
        }
        let others = validate::candidates(request, known);
        Look::Ask((!others.is_empty()).then_some(Old::Variants(others)), Forward::VaryMiss)
    }
}

//! From a body that comes in to what is stored.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{StatusCode, header::CONTENT_LENGTH};
use http_body::Body;
use tokio::{runtime::Handle, time::timeout};
use tower_keep_cache::{Leader, LeaseToken, Name, Put};
use tower_keep_core::{BoxError, Follow, Recorded, Recording, ResponseBody};

use crate::{
    draft::{Draft, gives_way},
    page::{Apart, Grown, Page},
    settings::Settings,
    stored::Stored,
};

/// What those are brought who wait for another's answer.
#[derive(Clone, Debug)]
pub(crate) enum Flown {
    /// It was stored already.
    Found(Arc<Page>),
    /// It was fetched, and is stored now.
    Fetched(Arc<Page>),
    /// It is on its way: all but its body, and leave to read along.
    Live(Arc<Stored>, Follow),
    /// It is for nobody else.
    NotShared,
}

/// The right to fetch for all, and the duty to tell them: of those in this process, and of all
/// processes. Whoever waits is told when it is dropped.
pub(crate) struct FillGuard {
    pub(crate) settings: Arc<Settings>,
    pub(crate) name: Name,
    pub(crate) leader: Option<Leader<Flown>>,
    pub(crate) lease: Option<LeaseToken>,
}

impl FillGuard {
    /// Tells those who wait, and those who come until this is dropped.
    pub(crate) fn share(&self, flown: Flown) {
        if let Some(leader) = &self.leader {
            leader.share(flown);
        }
    }

    /// The same, once: what is left leads nobody.
    pub(crate) fn take(&mut self) -> Self {
        let (settings, name) = (Arc::clone(&self.settings), self.name.clone());
        Self { settings, name, leader: self.leader.take(), lease: self.lease.take() }
    }

    /// It is for nobody else, and for some time nobody need wait for the like.
    pub(crate) fn keep_to_itself(self) {
        self.settings.hit_for_miss.note(&self.name);
        self.share(Flown::NotShared);
    }
}

impl Drop for FillGuard {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            // Is seen through although nobody waits for it.
            drop(self.settings.cache.release(&self.name, lease));
        }
    }
}

/// A response that is stored when its body is there.
pub(crate) struct Fill {
    pub(crate) draft: Draft,
    pub(crate) guard: FillGuard,
}

impl Fill {
    /// Records the body on its way to the client.
    pub(crate) fn begin<R>(self, body: R) -> ResponseBody<R>
    where
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError> + Send,
    {
        let settings = &self.guard.settings;
        let length = body.size_hint().exact();
        let (client, mut recording) = ResponseBody::recorded(body, settings.max_body);
        recording.within(&settings.in_flight);
        // Often all of it is there already.
        let at_once = recording.poll_run(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(recorded) = at_once {
            self.end(recorded);
            return client;
        }
        // Without a runtime nobody can read it but the client.
        let Ok(runtime) = Handle::try_current() else { return client };
        // What may turn out to be too long, or to have no room, breaks off for those who read along.
        if let Some(length) = length
            && self.draft.may_be_long(length)
            && self.draft.stored.status != StatusCode::PARTIAL_CONTENT
            && recording.reserve(length)
        {
            let mut head = self.draft.stored.clone();
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
            self.guard.share(Flown::Live(Arc::new(head), recording.follow()));
        }
        runtime.spawn(self.see_through(recording));
        client
    }

    /// Reads the body for so long, and from then on only for those who read along already.
    async fn see_through<R>(self, mut recording: Recording<R>)
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let patience = self.guard.settings.fill_timeout;
        let read = poll_fn(|cx| recording.poll_run(cx));
        if let Ok(recorded) = timeout(patience, read).await {
            return self.end(recorded);
        }
        self.end(Recorded::TooLarge);
        while recording.is_followed() {
            if timeout(patience, poll_fn(|cx| recording.poll_run(cx))).await.is_ok() {
                return;
            }
        }
    }

    fn end(self, recorded: Recorded) {
        match recorded {
            Recorded::Whole(body) if self.draft.may_be_long(body.len() as u64) => {
                self.commit(body);
            }
            Recorded::TooLarge | Recorded::Trailers => self.guard.keep_to_itself(),
            // The next may have more luck.
            Recorded::Broken | Recorded::Whole(_) => {}
        }
    }

    /// Stores it with this body.
    fn commit(self, body: Bytes) {
        let page = self.page();
        let Self { draft, guard } = self;
        match draft.complete(body, page.as_deref()) {
            Ok((stored, draft)) => Self { draft, guard }.renew(stored),
            Err(_) => guard.keep_to_itself(),
        }
    }

    /// What is stored of the target by now, as far as this process knows.
    fn page(&self) -> Option<Arc<Page>> {
        let found = self.guard.settings.cache.peek(&self.draft.name);
        found.and_then(|found| found.value).or_else(|| self.draft.page.clone())
    }

    /// Stores this, which the draft has become.
    pub(crate) fn renew(self, mut stored: Stored) {
        stored.reserve();
        let stored = Arc::new(stored);
        let page = self.page();
        let Self { draft, guard } = self;
        let settings = &guard.settings;
        let until = settings.clock.now().plus(draft.keep_for);
        let new = Arc::clone(&stored);
        let Grown { page, moved } =
            page.unwrap_or_default().with(stored, until, &draft.generations, |selecting, part| {
                gives_way(&new, selecting, part)
            });
        for apart in moved {
            let name = Apart::name(&apart.selecting, apart.part, &draft.name);
            let page = Page { here: vec![apart], apart: Vec::new(), until: page.until };
            // Is seen through although nobody waits for it.
            drop(settings.put(&name, Arc::new(page)));
        }
        let page = Arc::new(page);
        guard.share(Flown::Fetched(Arc::clone(&page)));
        guard.put(page);
    }
}

impl FillGuard {
    /// Puts what is stored of the target; those who come meanwhile are told of it.
    pub(crate) fn put(mut self, page: Arc<Page>) {
        self.settings.hit_for_miss.forget(&self.name);
        // What is put takes the place of the lease.
        self.lease = None;
        let put = self.settings.put(&self.name, page);
        match put.now() {
            Ok(Ok(Put::TooLarge)) => self.settings.hit_for_miss.note(&self.name),
            Ok(_) => {}
            Err(put) => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(async move {
                        if let Ok(Put::TooLarge) = put.await {
                            self.settings.hit_for_miss.note(&self.name);
                        }
                    });
                }
            }
        }
    }
}

impl Settings {
    /// Puts a page for as long as it is worth keeping.
    pub(crate) fn put(
        &self,
        name: &Name,
        page: Arc<Page>,
    ) -> tower_keep_core::Answer<Result<Put, tower_keep_core::StoreError>> {
        let ttl = page.until.0.saturating_sub(self.clock.now().0);
        self.cache.put(name, page, Duration::from_millis(ttl))
    }
}

//! A body that is recorded while it passes: one reads it, its client and others follow.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{BodyError, Budget, budget::Held};
use crate::BoxError;

/// What has been read so far, and who waits for more.
struct Stream {
    frames: Vec<Bytes>,
    read: u64,
    end: Option<End>,
    waiting: Vec<Waker>,
    /// How long the whole was said to be.
    hint: SizeHint,
    /// What of a budget it holds.
    held: Option<Held>,
}

#[derive(Clone)]
enum End {
    Whole(Option<HeaderMap>),
    /// The client has the rest, nobody else does.
    HandedOver,
    Broken,
}

type Shares = Arc<Mutex<Stream>>;

type Watch = Box<dyn FnMut(Seen<'_>) + Send>;

/// What a [watch](Recording::watch) sees of a recording, before anybody else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Data, after which there may be more.
    Data(&'a Bytes),
    /// The last data; none where it is known only later that there is no more.
    Last(&'a Bytes),
    /// Trailers, after all data.
    Trailers,
    /// The body failed, is too long, or not as long as it was said to be.
    BrokenOff,
}

/// What only the client gets: the rest of a body that is too long, or why it failed.
type Legacy<B> = Arc<Mutex<Option<Left<B>>>>;

enum Left<B> {
    Rest(Pin<Box<B>>),
    Failed(BoxError),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a body, for its client and for whoever follows. Begun by
/// [`ResponseBody::recorded`](super::ResponseBody::recorded).
///
/// Dropped before it has come to the end, it leaves the client the rest of the body, and
/// followers with [`BodyError::Interrupted`].
#[must_use = "its client's body goes on only while it runs"]
pub struct Recording<B> {
    watch: Option<Watch>,
    // Always there but on the way out.
    body: Option<Pin<Box<B>>>,
    most: usize,
    shares: Shares,
    legacy: Legacy<B>,
}

/// What became of a [`Recording`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// All of the body. It had no trailers.
    Whole(Bytes),
    /// The body was over the bound; its client reads the rest by itself.
    TooLarge,
    /// It was whole and had trailers, which were passed on.
    Trailers,
    /// It failed, or was not as long as it was said to be.
    Broken,
}

/// Leave to follow a [`Recording`], from its beginning.
#[derive(Clone)]
pub struct Follow(Shares);

pub(super) fn begin<B: Body>(body: B, most: usize) -> (Shared<B>, Recording<B>) {
    let hint = body.size_hint();
    let (frames, waiting) = (Vec::new(), Vec::new());
    let stream = Stream { frames, read: 0, end: None, waiting, hint, held: None };
    let (shares, legacy) = (Arc::new(Mutex::new(stream)), Arc::new(Mutex::new(None)));
    let client = Shared {
        shares: Arc::clone(&shares),
        legacy: Some(Arc::clone(&legacy)),
        rest: None,
        next: 0,
        left: 0,
        done: false,
    };
    (client, Recording { watch: None, body: Some(Box::pin(body)), most, shares, legacy })
}

impl<B> Recording<B> {
    /// Leave for others to read along.
    pub fn follow(&self) -> Follow {
        Follow(Arc::clone(&self.shares))
    }

    /// Counts what it holds in a budget that it shares with others. Where there is no room left it
    /// ends as if the body were too long. What it holds is given back once it is dropped, and all who
    /// read along.
    pub fn within(&mut self, budget: &Budget) {
        lock(&self.shares).held = Some(budget.hold());
    }

    /// Reserves room for `length` bytes in all in its [budget](Self::within), so that nobody who
    /// reads along is cut off for want of it. `false` if there is none.
    pub fn reserve(&self, length: u64) -> bool {
        lock(&self.shares).held.as_mut().is_none_or(|held| held.reserve(length))
    }

    /// Whether anybody reads along, or has leave to, besides its client.
    pub fn is_followed(&self) -> bool {
        // The legacy is the client's and this one's, which share as well.
        Arc::strong_count(&self.shares) > Arc::strong_count(&self.legacy)
    }

    /// Has `watch` see what comes before anybody gets it.
    pub fn watch(&mut self, watch: impl FnMut(Seen<'_>) + Send + 'static) {
        self.watch = Some(Box::new(watch));
    }

    /// Shows the end, if it is one.
    fn show_last(&mut self, data: &Bytes) {
        let stream = lock(&self.shares);
        let (read, hint) = (stream.read.saturating_add(data.len() as u64), stream.hint);
        drop(stream);
        self.show(if fits(read, &hint) { Seen::Last(data) } else { Seen::BrokenOff });
    }

    fn show(&mut self, seen: Seen<'_>) {
        if let Some(watch) = &mut self.watch {
            watch(seen);
        }
    }

    /// Nothing more will be shared.
    fn end(&self, end: End) {
        let mut stream = lock(&self.shares);
        stream.end.get_or_insert(end);
        let waiting = std::mem::take(&mut stream.waiting);
        drop(stream);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn hand_over(&mut self) {
        if let Some(body) = self.body.take() {
            self.show(Seen::BrokenOff);
            *lock(&self.legacy) = Some(Left::Rest(body));
            self.end(End::HandedOver);
        }
    }
}

impl<B> Recording<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Reads the body to its end, or as far as it may.
    pub async fn run(mut self) -> Recorded {
        std::future::poll_fn(|cx| self.poll_run(cx)).await
    }

    /// As [`run`](Self::run), without giving itself up. Not to be polled once it has completed.
    pub fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Recorded> {
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(Recorded::Broken) };
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    self.show_last(&Bytes::new());
                    return Poll::Ready(self.whole(None));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    self.show(Seen::BrokenOff);
                    *lock(&self.legacy) = Some(Left::Failed(error.into()));
                    self.end(End::Broken);
                    return Poll::Ready(Recorded::Broken);
                }
            };
            let ends = body.is_end_stream();
            match frame.into_data() {
                Ok(data) => {
                    if ends {
                        self.show_last(&data);
                    } else {
                        self.show(Seen::Data(&data));
                    }
                    if !self.push(data) && !ends {
                        self.hand_over();
                        return Poll::Ready(Recorded::TooLarge);
                    }
                    if ends {
                        return Poll::Ready(self.whole(None));
                    }
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.show(Seen::Trailers);
                    return Poll::Ready(self.whole(Some(trailers)));
                }
            }
        }
    }

    /// Shares a frame; whether there is room for more.
    fn push(&self, data: Bytes) -> bool {
        let mut stream = lock(&self.shares);
        let length = data.len() as u64;
        stream.read = stream.read.saturating_add(length);
        let fits = stream.held.as_mut().is_none_or(|held| held.take(length));
        if !data.is_empty() {
            stream.frames.push(data);
        }
        let (read, waiting) = (stream.read, std::mem::take(&mut stream.waiting));
        drop(stream);
        waiting.into_iter().for_each(Waker::wake);
        fits && read <= self.most as u64
    }

    fn whole(&mut self, trailers: Option<HeaderMap>) -> Recorded {
        self.body = None;
        let stream = lock(&self.shares);
        let (read, hint) = (stream.read, stream.hint);
        let recorded = if !fits(read, &hint) {
            Recorded::Broken
        } else if trailers.is_some() {
            Recorded::Trailers
        } else if read > self.most as u64 {
            Recorded::TooLarge
        } else {
            Recorded::Whole(joined(&stream.frames))
        };
        drop(stream);
        self.end(End::Whole(trailers));
        recorded
    }
}

/// Whether a body that was said to be so long has this length.
fn fits(read: u64, hint: &SizeHint) -> bool {
    read >= hint.lower() && hint.upper().is_none_or(|upper| read <= upper)
}

/// A single frame is not copied.
fn joined(frames: &[Bytes]) -> Bytes {
    match frames {
        [] => Bytes::new(),
        [one] => one.clone(),
        many => {
            let mut all = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
            for frame in many {
                all.extend_from_slice(frame);
            }
            all.freeze()
        }
    }
}

impl<B> Drop for Recording<B> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Somebody who reads what is recorded.
pub(super) struct Shared<B> {
    shares: Shares,
    legacy: Option<Legacy<B>>,
    /// What was left to the client, once it was.
    rest: Option<Pin<Box<B>>>,
    next: usize,
    /// How many bytes were handed out.
    left: u64,
    done: bool,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl<B> Shared<B> {
    pub(super) fn follow(follow: &Follow) -> Self {
        let shares = Arc::clone(&follow.0);
        Self { shares, legacy: None, rest: None, next: 0, left: 0, done: false }
    }

    pub(super) fn is_at_end(&self) -> bool {
        if self.done {
            return true;
        }
        if self.rest.is_some() {
            return false;
        }
        let stream = lock(&self.shares);
        self.next >= stream.frames.len() && matches!(stream.end, Some(End::Whole(None)))
    }

    fn broken(&mut self) -> Polled {
        self.done = true;
        let left = self.legacy.take().and_then(|legacy| lock(&legacy).take());
        Poll::Ready(Some(Err(match left {
            Some(Left::Failed(error)) => BodyError::Inner(error),
            _ => BodyError::Interrupted,
        })))
    }
}

impl<B> Shared<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        if self.done {
            return Poll::Ready(None);
        }
        loop {
            if let Some(rest) = &mut self.rest {
                let polled = rest.as_mut().poll_frame(cx);
                return polled.map_err(|error| BodyError::Inner(error.into()));
            }
            let mut stream = lock(&self.shares);
            if let Some(frame) = stream.frames.get(self.next) {
                let frame = frame.clone();
                self.next += 1;
                self.left += frame.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
            match stream.end.clone() {
                None => {
                    if !stream.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                        stream.waiting.push(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                Some(End::Whole(trailers)) => {
                    self.done = true;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Some(End::Broken) => {
                    drop(stream);
                    return self.broken();
                }
                Some(End::HandedOver) => {
                    drop(stream);
                    let left = self.legacy.as_ref().and_then(|legacy| lock(legacy).take());
                    match left {
                        Some(Left::Rest(rest)) => self.rest = Some(rest),
                        _ => return self.broken(),
                    }
                }
            }
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        if let Some(rest) = &self.rest {
            return rest.size_hint();
        }
        let stream = lock(&self.shares);
        let mut hint = SizeHint::new();
        match &stream.end {
            _ if self.done => hint.set_exact(0),
            Some(End::Whole(_)) => hint.set_exact(stream.read.saturating_sub(self.left)),
            _ => {
                let lower = stream.hint.lower().max(stream.read).saturating_sub(self.left);
                if let Some(upper) = stream.hint.upper() {
                    hint.set_upper(upper.saturating_sub(self.left).max(lower));
                }
                hint.set_lower(lower);
            }
        }
        hint
    }
}

impl<B> fmt::Debug for Recording<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recording")
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follow")
    }
}

impl<B> fmt::Debug for Shared<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

#[cfg(test)]
mod tests;

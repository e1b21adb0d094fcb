//! What is under way in one direction.

use std::collections::VecDeque;

use tokio::time::Instant;

/// Bytes that wait for their time, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    chunks: VecDeque<Chunk>,
    /// How many bytes it holds.
    len: usize,
}

/// No bytes are the sender's end.
#[derive(Debug)]
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    /// How many of them have gone.
    gone: usize,
}

impl Queue {
    /// When the first is due; `None` if nothing is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        self.chunks.front().map(|chunk| chunk.due)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes that are next; `None` at the sender's end.
    pub(super) fn first(&self) -> Option<&[u8]> {
        let bytes = self.chunks.front().map(|chunk| &chunk.bytes[chunk.gone..]);
        bytes.filter(|bytes| !bytes.is_empty())
    }

    /// Takes so many of these away.
    pub(super) fn drop_first(&mut self, count: usize) {
        let Some(chunk) = self.chunks.front_mut() else { return };
        chunk.gone += count;
        self.len -= count;
        if chunk.gone == chunk.bytes.len() {
            self.chunks.pop_front();
        }
    }

    /// Adds bytes, or the end. They overtake nothing: should they be due earlier than what is
    /// before them, they wait for it.
    pub(super) fn push(&mut self, due: Instant, bytes: &[u8]) {
        self.chunks.push_back(Chunk { due, bytes: bytes.to_vec(), gone: 0 });
        self.len += bytes.len();
    }

    /// Loses everything; `false` if there was nothing.
    pub(super) fn clear(&mut self) -> bool {
        self.len = 0;
        let held = !self.chunks.is_empty();
        self.chunks.clear();
        held
    }
}

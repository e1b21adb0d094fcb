//! What is kept where only the cache engine is measured.

use bytes::Bytes;
use tower_keep_cache::Value;

/// Bytes, of which nothing else is known.
pub struct Body(pub Bytes);

impl Value for Body {
    const KIND: &'static str = "body";
    const FORMAT: u8 = 1;

    fn encode(&self, _: &mut Vec<u8>, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.0);
    }

    fn decode(_: &[u8], body: Bytes) -> Option<Self> {
        Some(Self(body))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

//! What is cached.

use bytes::Bytes;

/// Something that a [`Cache`](crate::Cache) keeps: how it becomes bytes and again what it was.
///
/// ```
/// use bytes::Bytes;
/// use tower_keep_cache::Value;
///
/// struct Page {
///     title: String,
///     text: Bytes,
/// }
///
/// impl Value for Page {
///     const KIND: &'static str = "page";
///     const FORMAT: u8 = 1;
///
///     fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
///         meta.extend_from_slice(self.title.as_bytes());
///         body.extend_from_slice(&self.text);
///     }
///
///     fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
///         Some(Self { title: String::from_utf8(meta.to_vec()).ok()?, text: body })
///     }
///
///     fn weight(&self) -> usize {
///         size_of::<Self>() + self.title.len() + self.text.len()
///     }
/// }
///
/// let page = Page { title: "Home".into(), text: Bytes::from_static(b"Hello") };
/// let (mut meta, mut body) = (Vec::new(), Vec::new());
/// page.encode(&mut meta, &mut body);
/// assert_eq!(Page::decode(&meta, body.into()).unwrap().title, "Home");
/// ```
pub trait Value: Send + Sync + Sized + 'static {
    /// What kind of thing it is, as a part of its key: `cache:{tenant}:{kind}:{hash}`. Characters
    /// that ids keep.
    const KIND: &'static str;

    /// The number of the format that [`encode`](Self::encode) writes. What was stored with another
    /// number is not found.
    const FORMAT: u8;

    /// Appends what it is. `meta` is small and never compressed; `body` is the bulk.
    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>);

    /// What was encoded; `None` if that is nothing that `encode` writes. The body is a slice of
    /// what was read, where it can be: keeping it copies nothing. The bytes come from outside.
    fn decode(meta: &[u8], body: Bytes) -> Option<Self>;

    /// How many bytes it takes in memory, all that it holds included; about so many, where that
    /// cannot be known.
    fn weight(&self) -> usize;

    /// How long it is where [the longest](crate::CacheBuilder::max_entry_bytes) is asked for in
    /// memory: its weight, unless that is no measure of it.
    fn length(&self) -> usize {
        self.weight()
    }
}

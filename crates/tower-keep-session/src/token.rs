//! The token: what a client carries. Sealed, so that it can be neither read nor made up, and
//! understood without asking any store.

use std::{borrow::Cow, io::Write as _, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use tower_keep_core::{SealingKey, TenantId, UserId, time::UnixMillis};
use zeroize::Zeroize as _;

use crate::{
    id::{Origin, SessionId, random},
    keys::{KEY_ID, KeyRing},
};

/// What is inside a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The session's.
    pub(crate) id: SessionId,
    /// What its values are bound to.
    pub(crate) origin: Origin,
    /// Whose session it was when the token was made.
    pub(crate) user: Option<UserId>,
    /// When the session was used last, as far as the token tells.
    pub(crate) touched: UnixMillis,
    /// How long it may lie unused; whole seconds.
    pub(crate) idle: Duration,
    /// Whether the client is to forget it when it ends its own session: no `Max-Age`.
    pub(crate) transient: bool,
}

/// How a token begins.
const FORMAT: u8 = 1;

/// The longest text that is looked at. The longest user id makes 1486 characters.
pub(crate) const LONGEST: usize = 2048;

/// The bytes of [`LONGEST`].
const MOST_BYTES: usize = LONGEST / 4 * 3;

/// Format, key id, nonce.
const HEADER: usize = 1 + KEY_ID + NONCE;
const NONCE: usize = SealingKey::NONCE;
const TAG: usize = SealingKey::TAG;

/// The one flag that there is.
const TRANSIENT: u8 = 1;

/// A token that was opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// What was inside.
    pub(crate) token: Token,
    /// Whether an older key had sealed it: the client is to be given a new one.
    pub(crate) renew: bool,
}

impl Token {
    /// As a text for the client, of characters that need no quotes in any header. It is good for
    /// this tenant and this cookie name alone.
    pub(crate) fn seal(&self, ring: &KeyRing, tenant: &TenantId, name: &str) -> String {
        let key = ring.newest();
        let nonce: [u8; NONCE] = random();
        let user = self.user.as_ref().map_or("", UserId::as_str);
        let mut bytes = Vec::with_capacity(HEADER + FIXED + user.len() + TAG);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&key.id);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.origin.0);
        bytes.extend_from_slice(&self.touched.0.to_be_bytes());
        let idle = u32::try_from(self.idle.as_secs()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&idle.to_be_bytes());
        bytes.push(if self.transient { TRANSIENT } else { 0 });
        bytes.extend_from_slice(user.as_bytes());
        let (_, plain) = bytes.split_at_mut(HEADER);
        let mut room = [0; SHORT_AAD];
        let tag = key.sealing.seal(nonce, &aad(&mut room, tenant, name), plain);
        bytes.extend_from_slice(&tag);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// What is in a text that a client sent: nothing, unless one of our keys has sealed it for
    /// this tenant and this cookie name.
    pub(crate) fn open(
        text: &[u8],
        ring: &KeyRing,
        tenant: &TenantId,
        name: &str,
    ) -> Option<Opened> {
        let mut buffer = [0; MOST_BYTES];
        let length = BASE64URL_NOPAD.decode_len(text.len()).ok()?;
        let bytes = buffer.get_mut(..length)?;
        BASE64URL_NOPAD.decode_mut(text, bytes).ok()?;
        let (&mut [FORMAT], bytes) = bytes.split_first_chunk_mut()? else { return None };
        let (&mut id, bytes) = bytes.split_first_chunk_mut::<KEY_ID>()?;
        let (nonce, bytes) = bytes.split_first_chunk_mut::<NONCE>()?;
        let (sealed, tag) = bytes.split_last_chunk_mut::<TAG>()?;
        let mut room = [0; SHORT_AAD];
        let aad = aad(&mut room, tenant, name);
        let key = ring.all().find(|key| key.id == id)?;
        if !key.sealing.open(*nonce, &aad, sealed, *tag) {
            return None;
        }
        let token = Self::from_plain(sealed);
        sealed.zeroize();
        Some(Opened { token: token?, renew: key.id != ring.newest().id })
    }

    pub(crate) fn from_plain(plain: &[u8]) -> Option<Self> {
        let (&id, rest) = plain.split_first_chunk()?;
        let (&origin, rest) = rest.split_first_chunk()?;
        let (&touched, rest) = rest.split_first_chunk()?;
        let (&idle, rest) = rest.split_first_chunk()?;
        let (&flags, user) = rest.split_first()?;
        let user = match user {
            [] => None,
            user => Some(UserId::new(str::from_utf8(user).ok()?).ok()?),
        };
        Some(Self {
            id: SessionId::from_bytes(id),
            origin: Origin(origin),
            user,
            touched: UnixMillis(u64::from_be_bytes(touched)),
            idle: Duration::from_secs(u32::from_be_bytes(idle).into()),
            transient: match flags {
                0 => false,
                TRANSIENT => true,
                _ => return None,
            },
        })
    }
}

/// The bytes before the user's: id, origin, touched, idle, flags.
const FIXED: usize = 16 + 16 + 8 + 4 + 1;

/// What fits without an allocation: usual tenants and names.
const SHORT_AAD: usize = 192;

/// What a token is bound to: the format, the tenant (of which "none" is told apart from one of
/// that name) and the cookie's name.
fn aad<'a>(room: &'a mut [u8; SHORT_AAD], tenant: &TenantId, name: &str) -> Cow<'a, [u8]> {
    let [format, named] = [FORMAT, u8::from(tenant.name().is_some())];
    let tenant = tenant.name().unwrap_or_default().as_bytes();
    let length = u32::try_from(tenant.len()).unwrap_or(u32::MAX).to_be_bytes();
    let parts = [&[format, named], &length[..], tenant, name.as_bytes()];
    let mut free = &mut room[..];
    if parts.iter().all(|part| free.write_all(part).is_ok()) {
        let left = free.len();
        Cow::Borrowed(room.get(..SHORT_AAD - left).unwrap_or_default())
    } else {
        Cow::Owned(parts.concat())
    }
}

#[cfg(test)]
mod tests;

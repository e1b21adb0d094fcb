//! Flash messages: said once, to the next page.

use serde::{Deserialize, Serialize};

use crate::{
    error::SessionError,
    handle::{
        Session,
        conditional::{Names, removing},
    },
    id::random,
    value,
};

/// What names of flash messages begin with.
const FLASH: &str = "~flash.";

/// Something that is said once: on the next page that a client sees, and not again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// What kind of thing it is, such as `error`.
    pub kind: String,
    /// What is said.
    pub text: String,
}

impl Session {
    /// Says something to the next page. Needs no look at the session, and takes nothing away from
    /// what others say at the same time.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn flash(&self, kind: &str, text: &str) -> Result<(), SessionError> {
        let when = self.inner.now().0;
        let name = format!("{FLASH}{when:016x}{:016x}", u64::from_be_bytes(random()));
        self.put(&name, &Flash { kind: kind.into(), text: text.into() })
    }

    /// What was said, in that order, and no more from now on: of several requests that ask at the
    /// same time one gets it.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub async fn take_flashes(&self) -> Result<Vec<Flash>, SessionError> {
        // What the store has is taken at once, though this request has said something too.
        let mut said = self.take_said(Names::Stored(FLASH)).await?;
        said.append(&mut self.take_said(Names::Own(FLASH)).await?);
        Ok(said)
    }

    async fn take_said(&self, names: Names<'_>) -> Result<Vec<Flash>, SessionError> {
        let taken = self
            .depending(names, |values| {
                let said =
                    values.iter().filter_map(|(name, value)| value::decode(name, value).ok());
                Ok((removing(values), said.collect()))
            })
            .await;
        match taken {
            Err(SessionError::Gone) => Ok(Vec::new()),
            other => other,
        }
    }
}

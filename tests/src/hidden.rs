//! Which connections are the harness's own hand, so that no monitor counts them.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Line, Resp};

/// Shared by a server and the monitors on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden {
    sets: Arc<Mutex<Sets>>,
}

#[derive(Debug, Default)]
struct Sets {
    /// Connections of which nothing is shown.
    all: HashSet<String>,
    /// Connections of which the `AUTH` is not shown.
    setup: HashSet<String>,
}

impl Hidden {
    pub(crate) fn all_of(&self, resp: &Resp) -> io::Result<()> {
        let source = resp.local_addr()?.to_string();
        self.with(|sets| sets.all.insert(source));
        Ok(())
    }

    pub(crate) fn setup_of(&self, resp: &Resp) -> io::Result<()> {
        let source = resp.local_addr()?.to_string();
        self.with(|sets| sets.setup.insert(source));
        Ok(())
    }

    /// Whether a monitor leaves the line out.
    pub(crate) fn hides(&self, line: &Line) -> bool {
        self.with(|sets| {
            sets.all.contains(line.source())
                || (line.name() == "AUTH" && sets.setup.contains(line.source()))
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Sets) -> T) -> T {
        act(&mut self.sets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//! One container that runs.

use std::{fmt, pin::Pin};

use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt, core::IntoContainerPort,
    runners::AsyncRunner,
};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, Lines};

use super::{LABEL, PORT, must, unique};

/// Removed when dropped.
pub struct Container {
    running: ContainerAsync<GenericImage>,
}

impl Container {
    pub(super) async fn start(request: ContainerRequest<GenericImage>) -> Self {
        let request = request
            .with_container_name(unique())
            .with_label(LABEL, "container")
            // Signals reach a program that does not handle them only if it is not the first one.
            .with_host_config_modifier(|config| config.init = Some(true));
        Self { running: must(request.start().await, "starting a container") }
    }

    pub(super) fn id(&self) -> &str {
        self.running.id()
    }

    /// `redis://host:port`, from outside.
    pub async fn url(&self) -> String {
        let host = must(self.running.get_host().await, "asking for its host").to_string();
        // The port is another one for each version of the protocol.
        let host = if host == "localhost" { "127.0.0.1" } else { host.as_str() };
        let port = self.running.get_host_port_ipv4(PORT.tcp()).await;
        format!("redis://{host}:{}", must(port, "asking for its port"))
    }

    /// The lines of its standard output, from the first one on, as they come.
    pub fn lines(&self) -> Lines<Pin<Box<dyn AsyncBufRead + Send>>> {
        self.running.stdout(true).lines()
    }

    /// What it wrote to its standard error so far.
    pub async fn errors(&self) -> String {
        let errors = must(self.running.stderr_to_vec().await, "asking for its output");
        String::from_utf8_lossy(&errors).into_owned()
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Container").field(&self.id()).finish()
    }
}

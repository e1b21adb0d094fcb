//! Servers and programs in containers, where a Docker engine runs.
//!
//! Nothing is pulled: an image holds a program of this machine and its shared libraries, and
//! nothing else. It is named after what it holds, so it is built once and never grows old.
//! Containers and networks carry the label `tower-keep-test`, and are gone when they are dropped;
//! what a test left that was killed outright is swept away an hour later, by the next one.
//!
//! # Limits
//! The engine must run programs of this machine, so it has this machine's processor. A program
//! looks up names by itself, without the libraries of `nsswitch.conf`: glibc can since 2.34.

mod image;
mod leftovers;
mod libraries;
mod network;
mod running;

pub use network::{Link, Network};
pub use running::Container;

use std::{
    fmt::Display,
    hash::{BuildHasher, RandomState},
    path::Path,
    time::Duration,
};

use testcontainers::{
    ContainerRequest, GenericImage, ImageExt,
    bollard::Docker,
    core::{IntoContainerPort, WaitFor, client::docker_client_instance},
};
use tokio::time::timeout;

use self::image::Contents;
use crate::{Flavor, Server, binary};

/// On everything that is ours.
const LABEL: &str = "tower-keep-test";
/// Where servers listen inside.
const PORT: u16 = 6379;
const ANSWER: Duration = Duration::from_secs(5);

/// A Docker engine that answers.
#[derive(Clone, Debug)]
pub struct Engine {
    docker: Docker,
}

/// The engine that `DOCKER_HOST` names, else the one of this machine.
///
/// `None` if none answers, and a line of output says so.
#[expect(clippy::print_stdout, reason = "what is left out is said where the test's name stands")]
pub async fn engine() -> Option<Engine> {
    match answering().await {
        Ok(docker) => {
            leftovers::sweep(&docker).await;
            Some(Engine { docker })
        }
        Err(reason) => {
            println!(
                "LEFT OUT: no Docker engine runs here ({reason}). The servers that the tests \
                 spawn themselves still prove Redis."
            );
            None
        }
    }
}

async fn answering() -> Result<Docker, String> {
    let docker = docker_client_instance().await.map_err(|error| error.to_string())?;
    match timeout(ANSWER, docker.ping()).await {
        Ok(Ok(_)) => Ok(docker),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {ANSWER:?}")),
    }
}

impl Engine {
    /// Starts a plain server, reached at [`Container::url`].
    pub async fn server(&self, flavor: Flavor) -> Container {
        let program = binary::find(flavor).unwrap_or_else(|error| panic!("{error}"));
        let name = format!("{LABEL}-{flavor}").to_lowercase();
        let image = must(image::ready(&name, &program, Contents::All).await, "its image");
        let options = Server::builder(flavor).arg("--bind", "0.0.0.0");
        let request = image
            .with_exposed_port(PORT.tcp())
            .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
            .with_cmd(must(options.command_line(PORT, "/tmp"), "its command line"));
        Container::start(request).await
    }

    /// Starts a program of this machine in a network.
    ///
    /// Its image holds the libraries only, and stays the same when the program is built anew.
    pub async fn program(&self, program: &Path, args: &[&str], network: &Network) -> Container {
        let name = format!("{LABEL}-libraries");
        let image = must(image::ready(&name, program, Contents::Libraries).await, "its image");
        let request: ContainerRequest<GenericImage> = image.with_copy_to(image::PROGRAM, program);
        let args = args.iter().copied();
        Container::start(request.with_cmd(args).with_network(network.name())).await
    }

    /// Makes a network. Name it before the containers in it, so that it is dropped after them.
    pub async fn network(&self) -> Network {
        must(Network::create(&self.docker).await, "a network")
    }
}

/// A name that nothing else on the engine has.
fn unique() -> String {
    format!("{LABEL}-{:016x}", RandomState::new().hash_one(()))
}

fn must<T, E: Display>(outcome: Result<T, E>, what: &str) -> T {
    outcome.unwrap_or_else(|error| panic!("the Docker engine runs, but {what} failed: {error}"))
}

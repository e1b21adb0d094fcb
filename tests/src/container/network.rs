//! A network of containers, from which one can be cut off.

use std::{collections::HashMap, thread};

use testcontainers::bollard::{
    Docker,
    errors::Error,
    models::{
        EndpointIpamConfig, EndpointSettings, Ipam, NetworkConnectRequest, NetworkCreateRequest,
        NetworkDisconnectRequest,
    },
    query_parameters::{InspectContainerOptions, InspectNetworkOptions},
};

use tokio::{runtime::Builder, time::timeout};

use super::{ANSWER, Container, LABEL, must, unique};

/// How often another subnet is tried when one was taken in between.
const TRIES: usize = 10;

/// Removed when dropped, if no container is left in it.
#[derive(Debug)]
pub struct Network {
    docker: Docker,
    name: String,
}

impl Network {
    /// An address can be asked for only where the subnet was asked for: so the engine is asked
    /// which subnet it would take, and then for that one.
    pub(super) async fn create(docker: &Docker) -> Result<Self, Error> {
        let mut tries = 0;
        loop {
            let draft = made(docker, None).await?;
            let inspected = docker.inspect_network(&draft, None::<InspectNetworkOptions>).await;
            docker.remove_network(&draft).await?;
            match made(docker, inspected?.ipam).await {
                Ok(name) => return Ok(Self { docker: docker.clone(), name }),
                Err(Error::DockerResponseServerError { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Brings a container into the network, under a name.
    pub async fn join(&self, container: &Container, name: &str) -> Link<'_> {
        let mut link = Link {
            network: self,
            container: container.id().to_owned(),
            endpoint: EndpointSettings {
                aliases: Some(vec![name.to_owned()]),
                ..EndpointSettings::default()
            },
        };
        link.mend().await;
        let inspected =
            self.docker.inspect_container(&link.container, None::<InspectContainerOptions>);
        let settings = must(inspected.await, "asking for a container").network_settings;
        let networks = settings.and_then(|settings| settings.networks).unwrap_or_default();
        let address = networks.get(&self.name).and_then(|endpoint| endpoint.ip_address.clone());
        let ipam = EndpointIpamConfig { ipv4_address: address, ..EndpointIpamConfig::default() };
        link.endpoint.ipam_config = Some(ipam);
        link
    }
}

/// Makes a network and tells its name.
async fn made(docker: &Docker, ipam: Option<Ipam>) -> Result<String, Error> {
    let name = unique();
    let request = NetworkCreateRequest {
        name: name.clone(),
        ipam,
        labels: Some(HashMap::from([(LABEL.to_owned(), "network".to_owned())])),
        ..NetworkCreateRequest::default()
    };
    docker.create_network(request).await?;
    Ok(name)
}

impl Drop for Network {
    fn drop(&mut self) {
        let (docker, name) = (self.docker.clone(), self.name.clone());
        // A drop cannot wait for its own runtime. Nothing is to be done about a failure: the
        // network is left to the sweep.
        let removal = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async { timeout(ANSWER, docker.remove_network(&name)).await }).ok()
        });
        let _ = removal.join();
    }
}

/// A container's place in a network.
#[derive(Debug)]
pub struct Link<'a> {
    network: &'a Network,
    container: String,
    endpoint: EndpointSettings,
}

impl Link<'_> {
    /// Takes the container out of the network. Nobody in it is told.
    pub async fn cut(&self) {
        let request = NetworkDisconnectRequest {
            container: self.container.clone(),
            ..NetworkDisconnectRequest::default()
        };
        let cut = self.network.docker.disconnect_network(&self.network.name, request);
        must(cut.await, "cutting a container off");
    }

    /// Brings it back, under the same name and with the same address.
    pub async fn mend(&self) {
        let request = NetworkConnectRequest {
            container: self.container.clone(),
            endpoint_config: Some(self.endpoint.clone()),
        };
        let mended = self.network.docker.connect_network(&self.network.name, request);
        must(mended.await, "connecting a container");
    }
}

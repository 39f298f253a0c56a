//! The listeners of a process, from the moment they are bound.

use std::sync::Arc;

use anyhow::Context;
use nephos_config::settings::{Mode, Service, Settings};
use nephos_observe::http::Router;
use nephos_observe::{Metrics, Shutdown};
use rustls::ServerConfig;
use tokio::net::{TcpListener, UdpSocket};

use crate::adapters::Base;
use crate::ports::{Ports, bind, bind_datagrams};
use crate::tls;

/// A bound listener with what it speaks TLS with.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) url: String,
}

/// Every listener of this process.
#[derive(Debug)]
pub(crate) struct Listeners {
    api: Option<Endpoint>,
    aodh: Option<Endpoint>,
    statsd: Option<UdpSocket>,
    store: Option<Endpoint>,
    observe: Option<Endpoint>,
}

/// What serves until the services are ready, and after.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) api: Option<Endpoint>,
    pub(crate) aodh: Option<Endpoint>,
    pub(crate) statsd: Option<UdpSocket>,
    pub(crate) store: Option<Endpoint>,
    /// Ends what answers on the API's port while the services start.
    pub(crate) starting: Shutdown,
}

impl Listeners {
    /// Binds them all, and notes their addresses.
    pub(crate) async fn bind(settings: &Settings, services: &[Service]) -> anyhow::Result<(Self, Ports)> {
        let mut ports = Ports::default();
        let mut open = async |key, address, setting: &str, tls| -> anyhow::Result<Endpoint> {
            let tls = tls::server(tls)?;
            let listener = bind(address, setting).await?;
            let url = ports.note(key, &listener, tls.is_some())?;
            Ok(Endpoint { listener, tls, url })
        };
        let distributed = settings.mode != Mode::Embedded;
        let (mut api, mut aodh, mut store, mut observe) = (None, None, None, None);
        if services.contains(&Service::Api) {
            let tls = settings.api.tls.as_ref();
            api = Some(open("api", settings.api.listen, "[api] listen (or --listen)", tls).await?);
            if let Some(address) = settings.api.aodh_listen {
                aodh = Some(open("aodh", address, "[api.aodh] listen", tls).await?);
            }
        }
        if distributed && services.contains(&Service::Collector) {
            let tls = settings.store.tls.as_ref();
            store = Some(open("store", settings.store.listen, "[store] listen", tls).await?);
        }
        if let Mode::Distributed(Some(service)) = settings.mode
            && let Some(address) = settings.observe_listen(service)
        {
            observe =
                Some(open("observe", address, "[observe] listen", settings.observe.tls.as_ref()).await?);
        }
        let mut statsd = None;
        if let Some(settings) = settings.statsd.as_ref().filter(|_| services.contains(&Service::Api)) {
            let socket = bind_datagrams(settings.listen, "[statsd] listen").await?;
            ports.note_datagrams("statsd", &socket)?;
            statsd = Some(socket);
        }
        Ok((Self { api, aodh, statsd, store, observe }, ports))
    }

    /// Serves health and metrics at once, on the API's port too until the API itself takes over.
    pub(crate) fn start(self, base: &Base, metrics: &Metrics) -> anyhow::Result<Serving> {
        if let Some(endpoint) = self.observe {
            let health = nephos_observe::http::router(base.health.clone(), metrics.clone());
            spawn(&base.shutdown, endpoint, health, base.shutdown.clone());
        }
        let starting = base.shutdown.child();
        if let Some(endpoint) = &self.api {
            let twin = Endpoint {
                listener: twin(&endpoint.listener)?,
                tls: endpoint.tls.clone(),
                url: endpoint.url.clone(),
            };
            let waiting = nephos_observe::http::starting(base.health.clone(), metrics.clone());
            spawn(&starting, twin, waiting, starting.clone());
        }
        Ok(Serving { api: self.api, aodh: self.aodh, statsd: self.statsd, store: self.store, starting })
    }
}

/// A second handle on one listening socket.
fn twin(listener: &TcpListener) -> anyhow::Result<TcpListener> {
    use std::os::fd::AsFd;
    let descriptor = listener.as_fd().try_clone_to_owned().context("share a listener")?;
    TcpListener::from_std(std::net::TcpListener::from(descriptor)).context("share a listener")
}

/// Serves `router` until `until`, as a task of `owner`.
pub(crate) fn spawn(owner: &Shutdown, endpoint: Endpoint, router: Router, until: Shutdown) {
    owner.spawn(async move {
        let Endpoint { listener, tls, .. } = endpoint;
        nephos_observe::http::serve(listener, tls, router, until, std::time::Duration::from_secs(5)).await;
    });
}

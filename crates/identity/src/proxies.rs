//! Servers in front of us whose word counts.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use nephos_model::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// From where identity headers are believed: loopback, and the networks of proxies. Without networks everybody is
/// believed, for listeners that only friends can reach.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// Believes loopback and these networks.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether what this peer says of others is believed.
    pub fn trust(&self, peer: Option<IpAddr>) -> bool {
        self.0.is_empty() || peer.is_some_and(|peer| self.is_proxy(peer))
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        address.to_canonical().is_loopback() || self.0.iter().any(|network| network.contains(address))
    }

    /// The client behind the proxies: the last address of `X-Forwarded-For` that is none of them.
    pub fn client(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
        let is_behind = !self.0.is_empty() && peer.is_some_and(|peer| self.is_proxy(peer));
        if !is_behind {
            return peer;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let texts = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',').rev());
        let mut addresses = texts.map(|text| text.trim().parse::<IpAddr>().ok());
        // Whatever stands before something unreadable may have been made up.
        let found = addresses.find(|address| address.is_none_or(|address| !self.is_proxy(address)));
        found.flatten().or(peer)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies() -> Proxies {
        Proxies::new(vec!["10.0.0.0/8".parse().unwrap()])
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn loopback_and_proxies_are_believed() {
        for (peer, expected) in [("127.0.0.1", true), ("::1", true), ("10.1.1.1", true), ("192.0.2.1", false)]
        {
            assert_eq!(proxies().trust(address(peer)), expected, "{peer}");
        }
        assert!(!proxies().trust(None));
        assert!(Proxies::default().trust(address("192.0.2.1")));
    }

    #[test]
    fn clients_are_found_behind_proxies_only() {
        for (peer, forwarded, expected) in [
            ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "203.0.113.1, 198.51.100.7, 10.0.0.9", "198.51.100.7"),
            ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, HeaderValue::from_static(forwarded));
            assert_eq!(proxies().client(&headers, address(peer)), address(expected), "{peer} {forwarded}");
        }
    }
}

//! From the merged tree to [`Settings`].

use std::path::{Path, PathBuf};

use super::backends::{self, BUS, INDEX, STATE};
use super::{Mode, ServerTls, Settings, api, services, statsd};
use crate::env::Env;
use crate::kind::{FilePath, Kind, quoted};
use crate::ledger::Ledger;
use crate::section::Section;
use crate::source::Origin;
use crate::tree::{Map, Node, Value};

/// Every setting, defaults filled in; faults go to the ledger and leave the default in place.
pub(crate) fn read(ledger: &mut Ledger, tree: Map, mode: Mode, env: &dyn Env) -> Settings {
    let root_node = Node { value: Value::Map(tree), origin: Origin::Default };
    let mut root = Section::of(ledger, &root_node, "");
    let data_dir = data_dir(ledger, &mut root, env);
    let index = backends::backend(ledger, &mut root, "index", &INDEX);
    let bus = backends::backend(ledger, &mut root, "bus", &BUS);
    let state = backends::backend(ledger, &mut root, "state", &STATE);
    let chosen = backends::choose(ledger, mode, &data_dir, (&index, &bus, &state));
    let api = api::api(ledger, &mut root);
    let settings = Settings {
        mode,
        store: services::store(ledger, &mut root, mode, &data_dir),
        limits: api::limits(ledger, &mut root),
        statsd: statsd::read(ledger, &mut root, &api),
        cors: services::cors(ledger, &mut root),
        observe: services::observe(ledger, &mut root),
        polling: services::polling(ledger, &mut root, env),
        pipeline: services::pipeline(ledger, &mut root),
        archive_policy: services::archive_policy(ledger, &mut root),
        collector: services::collector(ledger, &mut root),
        notification: services::notification(ledger, &mut root),
        publisher: services::publisher(ledger, &mut root, mode, &chosen.bus),
        evaluator: services::evaluator(ledger, &mut root, mode),
        notifier: services::notifier(ledger, &mut root),
        retention: services::retention(ledger, &mut root),
        hypervisor: services::hypervisor(ledger, &mut root),
        log: services::log(ledger, &mut root),
        data_dir,
        index: chosen.index,
        index_tls: index.tls,
        bus: chosen.bus,
        bus_tls: bus.tls,
        state: chosen.state,
        state_tls: state.tls,
        api,
    };
    root.finish(ledger);
    settings
}

/// The system's place for root, the user's own otherwise.
fn data_dir(ledger: &mut Ledger, root: &mut Section<'_>, env: &dyn Env) -> PathBuf {
    if let Some(path) = root.optional(ledger, "data_dir", &FilePath) {
        return path;
    }
    let variables = env.variables();
    let folder = |name: &str| variables.get(name).map(Path::new).filter(|path| path.is_absolute());
    let path = if env.is_root() {
        PathBuf::from("/var/lib/nephos")
    } else if let Some(state) = folder("XDG_STATE_HOME") {
        state.join("nephos")
    } else if let Some(home) = folder("HOME") {
        home.join(".local/state/nephos")
    } else {
        let message =
            "data_dir must be set: neither XDG_STATE_HOME nor HOME tells where a user's files belong";
        ledger.problem(&Origin::Default, "data_dir", message);
        PathBuf::from("/var/lib/nephos")
    };
    ledger.effective("", "data_dir", FilePath.show(&path), &Origin::Default);
    path
}

/// The table `tls` of a listener.
pub(super) fn server_tls(ledger: &mut Ledger, section: &mut Section<'_>) -> Option<ServerTls> {
    let mut tls = section.section(ledger, "tls");
    let cert = tls.optional(ledger, "cert", &FilePath);
    let key = tls.optional(ledger, "key", &FilePath);
    let client_ca = tls.optional(ledger, "client_ca", &FilePath);
    let incomplete = match (&cert, &key, &client_ca) {
        (Some(_), None, _) => Some(("cert", "key")),
        (None, Some(_), _) => Some(("key", "cert")),
        (None, None, Some(_)) => Some(("client_ca", "cert and key")),
        _ => None,
    };
    if let Some((given, missing)) = incomplete {
        ledger.problem(&tls.origin(given), tls.path_of(given), format!("{given} needs {missing} beside it"));
    }
    tls.finish(ledger);
    Some(ServerTls { cert: cert?, key: key?, client_ca })
}

/// A secret with its origin, shown as asterisks.
pub(super) fn secret(
    ledger: &mut Ledger,
    section: &mut Section<'_>,
    keys: (&'static str, &'static str),
) -> Option<(secrecy::SecretString, Origin)> {
    let (text, origin) = section.secret(ledger, keys, |_| "***".to_owned())?;
    Some((secrecy::SecretString::from(text), origin))
}

/// The effective default of a secret.
pub(super) fn hidden_default(ledger: &mut Ledger, section: &str, key: &str) {
    ledger.effective(section, key, quoted("***"), &Origin::Default);
}

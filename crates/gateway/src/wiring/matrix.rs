//! The Matrix application service: its settings, its tokens, and waiting until it listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use wxgate_bridge::Bridge;
use wxgate_contract::NetworkId;
use wxgate_convert::Converter;
use wxgate_matrix::{
    Encryption, Level, MatrixAdapter, MatrixConfig, Permissions, Previews, ProbeError, Registration, Secret,
};

use super::{files, ports, until_bound};
use crate::config::{AppserviceSection, Settings, set};
use crate::failure::Failure;

/// The network of the application service.
pub(crate) const NETWORK: &str = "matrix";
/// Those that know people by their Matrix id.
pub(crate) const NETWORKS: [&str; 2] = [NETWORK, super::matrix_bot::NETWORK];
const SECTION: &str = "matrix.appservice";

/// What is wrong with the settings, as key and sentence; an unused section has no faults.
pub(crate) fn faults(settings: &Settings) -> Vec<(String, String)> {
    let section = &settings.matrix.appservice;
    if !section.enabled {
        return Vec::new();
    }
    // Tokens that are made at the first start are not there yet: their place is enough here.
    match config(settings, ["as".to_owned(), "hs".to_owned(), String::new()]) {
        Ok(config) => {
            let fault = |wrong: wxgate_matrix::SettingError| (format!("{SECTION}.{}", wrong.key), wrong.what);
            config.check().into_iter().map(fault).collect()
        }
        Err(fault) => vec![fault],
    }
}

/// The adapter's settings; `tokens` are ours, the homeserver's, and that of double puppeting.
fn config(settings: &Settings, tokens: [String; 3]) -> Result<MatrixConfig, (String, String)> {
    let section = &settings.matrix.appservice;
    let fault = |key: &str, what: String| (format!("{SECTION}.{key}"), what);
    let homeserver = section
        .homeserver
        .parse()
        .map_err(|_| fault("homeserver", "must be an address such as http://127.0.0.1:8008".to_owned()))?;
    // A name instead of a number is looked up when the adapter is added.
    let listen = section.listen.parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
    let [as_token, hs_token, puppet_token] = tokens.map(Secret::new);
    let levels = section.permissions.iter().map(|(who, level)| {
        let level: Level = level.parse().map_err(|what| fault("permissions", what))?;
        Ok::<_, (String, String)>((who.clone(), level))
    });
    let levels = levels.collect::<Result<Vec<_>, _>>()?;
    let permissions = Permissions::new(levels).map_err(|wrong| fault(wrong.key, wrong.what))?;
    Ok(MatrixConfig {
        id: section.id.clone(),
        as_token,
        hs_token,
        puppet_token,
        bot_localpart: section.bot.clone(),
        prefix: section.user_prefix.clone(),
        name_template: section.name_template.clone(),
        relay_name_template: section.relay_name_template.clone(),
        permissions,
        encryption: match section.encryption {
            crate::config::Encryption::Off => Encryption::Off,
            crate::config::Encryption::Allow => Encryption::Allow,
            crate::config::Encryption::Default => Encryption::Default,
        },
        encryption_required: section.encryption_required,
        only_signed_devices: section.only_signed_devices,
        own_devices_up_to: section.own_devices_up_to,
        previews: match section.previews {
            crate::config::Previews::Auto => Previews::Auto,
            crate::config::Previews::On => Previews::On,
            crate::config::Previews::Off => Previews::Off,
        },
        max_media_bytes: settings.wechat.max_media_bytes,
        ..MatrixConfig::new(NetworkId::from(NETWORK), homeserver, section.domain.clone(), listen)
    })
}

/// The settings with the real tokens, which are made where they are missing.
fn complete(settings: &Settings) -> Result<MatrixConfig, Failure> {
    let section = &settings.matrix.appservice;
    let place =
        |path: &PathBuf, name: &str| set(path).map_or(settings.data_dir.join(name), ToOwned::to_owned);
    let token = |path: &Path| files::token(path, &settings.data_dir);
    let tokens = [
        token(&place(&section.as_token_file, "matrix-as.token"))?,
        token(&place(&section.hs_token_file, "matrix-hs.token"))?,
        match section.double_puppets {
            true => token(&place(&section.puppet_token_file, "matrix-puppet.token"))?,
            false => String::new(),
        },
    ];
    let secret = set(&section.provisioning_secret_file).map(token).transpose()?;
    let config = config(settings, tokens).map_err(|(key, what)| Failure::config(format!("{key}: {what}")))?;
    let restored = crate::backup::restored_word(&settings.data_dir)?;
    Ok(MatrixConfig { provisioning_secret: Secret::new(secret.unwrap_or_default()), restored, ..config })
}

/// How the homeserver reaches the listener.
fn address(section: &AppserviceSection) -> String {
    match section.public_url.as_str() {
        "" => format!("http://{}", section.listen),
        url => url.to_owned(),
    }
}

/// The YAML that the homeserver is given; `double_puppets` asks for the second one.
pub(crate) fn registration(settings: &Settings, double_puppets: bool) -> Result<String, Failure> {
    files::data_dir(&settings.data_dir)?;
    let config = complete(settings)?;
    let address = address(&settings.matrix.appservice);
    let registration = Registration::new(&config, &address);
    match double_puppets {
        true if config.puppet_token.is_empty() => Err(Failure::config(format!(
            "{SECTION}.double_puppets is false, so there is no second registration"
        ))),
        true => Ok(registration.double_puppet_yaml()),
        false => Ok(registration.to_yaml()),
    }
}

/// Asks the homeserver whether it knows us; nothing is made where the tokens are missing.
///
/// # Errors
/// What is wrong; `None` when there are no tokens to ask with.
pub(crate) async fn probe(settings: &Settings) -> Result<String, Option<ProbeError>> {
    let section = &settings.matrix.appservice;
    let token =
        set(&section.as_token_file).map_or(settings.data_dir.join("matrix-as.token"), ToOwned::to_owned);
    let token = std::fs::read_to_string(token).map_err(|_| None)?;
    let tokens = [token.trim().to_owned(), "hs".to_owned(), String::new()];
    let config = config(settings, tokens).map_err(|(_, what)| Some(ProbeError::Away(what)))?;
    wxgate_matrix::probe(&config).await.map_err(Some)
}

/// Adds the application service and waits until it listens. The homeserver may be away: then
/// what is said waits.
pub(super) async fn add(
    settings: &Settings,
    bridge: &Arc<Bridge>,
    converter: Option<Arc<Converter>>,
) -> Result<Option<(SocketAddr, axum::Router)>, Failure> {
    let section = &settings.matrix.appservice;
    if !section.enabled {
        return Ok(None);
    }
    const KEY: &str = "matrix.appservice.listen";
    let addresses = ports::resolve(std::slice::from_ref(&section.listen), KEY).await?;
    ports::probe(&addresses, KEY).await?;
    let listen = addresses.first().copied();
    let listen =
        listen.ok_or_else(|| Failure::environment(format!("{KEY}: {} has no address", section.listen)))?;
    let (tell, told) = watch::channel(None);
    let config = MatrixConfig {
        listen,
        converter,
        in_chinese: wxgate_wechat::in_chinese,
        on_bound: Some(Arc::new(move |address: SocketAddr| {
            tell.send_replace(Some(address));
        })),
        ..complete(settings)?
    };
    let network = config.network.clone();
    let adapter = MatrixAdapter::new(config);
    let managers = adapter.provisioning();
    bridge.add_network(Arc::new(adapter), None);
    let address = until_bound(bridge, &network, "the Matrix application service", told).await?;
    Ok(Some((address, managers)))
}

//! The Matrix bot: an ordinary account of somebody's homeserver, in builds with the feature `matrix-bot`.

use std::sync::Arc;

use wxgate_bridge::Bridge;
use wxgate_convert::Converter;
use wxgate_matrix::WebSignIn;

use crate::config::{BotSection, Settings};
use crate::failure::Failure;

/// Our page that leads to the homeserver's.
pub(crate) const SIGN_IN_PAGE: &str = "/matrix/sign-in";
/// Our page that people come back to from it.
pub(crate) const SIGNED_IN_PAGE: &str = "/matrix/signed-in";
/// The network of the account.
pub(crate) const NETWORK: &str = "matrix:bot";

/// What is wrong with the settings, as key and sentence; an unused section has no faults.
pub(crate) fn faults(section: &BotSection) -> Vec<(String, String)> {
    if !section.enabled {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let mut say = |key: &str, what: &str| wrong.push((format!("matrix.bot.{key}"), what.to_owned()));
    if !cfg!(feature = "matrix-bot") {
        say("enabled", "this build has no Matrix bot; build with --features matrix-bot, or leave it false");
    }
    let is_address = section.homeserver.parse::<url::Url>().is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base() && url.has_host()
    });
    if !is_address {
        say("homeserver", "must be the client-server address, such as https://matrix.example.org");
    }
    let parts = section.user.strip_prefix('@').and_then(|rest| rest.split_once(':'));
    if parts.is_none_or(|(name, domain)| name.is_empty() || domain.is_empty()) {
        say("user", "must be the whole id of the account: @name:example.org");
    }
    let has = |path| crate::config::set(path).is_some();
    let ways = [has(&section.password_file), has(&section.access_token_file), section.oauth];
    match ways.into_iter().filter(|is_set| *is_set).count() {
        0 => say(
            "password_file",
            "names no file; the account needs a password, or an access_token_file, or oauth = true",
        ),
        1 => {}
        _ => say(
            if section.oauth { "oauth" } else { "access_token_file" },
            "is one way in of three (password_file, access_token_file, oauth); set one of them",
        ),
    }
    wrong
}

#[cfg(not(feature = "matrix-bot"))]
pub(super) fn add(
    settings: &Settings,
    _: &Arc<Bridge>,
    _: Option<Arc<Converter>>,
    _: &str,
) -> Result<Option<Arc<WebSignIn>>, Failure> {
    // The settings were checked before: it is not enabled.
    match settings.matrix.bot.enabled {
        true => Err(Failure::config("matrix.bot.enabled: this build has no Matrix bot".to_owned())),
        false => Ok(None),
    }
}

/// Adds the account; gives where it is signed in, when that is done on a page. `base` is how addresses of our own
/// pages begin.
#[cfg(feature = "matrix-bot")]
pub(super) fn add(
    settings: &Settings,
    bridge: &Arc<Bridge>,
    converter: Option<Arc<Converter>>,
    base: &str,
) -> Result<Option<Arc<WebSignIn>>, Failure> {
    if !settings.matrix.bot.enabled {
        return Ok(None);
    }
    let page = Arc::new(WebSignIn::default());
    let config = joined::config(settings, base, &page)?;
    let in_chinese = wxgate_wechat::in_chinese;
    let config = wxgate_matrix::MatrixConfig { converter, in_chinese, ..config };
    bridge.add_network(Arc::new(wxgate_matrix::MatrixAdapter::new(config)), None);
    Ok(settings.matrix.bot.oauth.then_some(page))
}

/// Whether the homeserver lets the account in; what is there or what is wrong, as clauses for people.
#[cfg(feature = "matrix-bot")]
pub(crate) async fn probe(settings: &Settings) -> Result<String, String> {
    let account = joined::account(settings, &settings.link_base(), &Arc::default());
    let account = account.map_err(|failure| failure.message)?;
    wxgate_matrix_bot::probe(&account).await
}

/// The adapter and the account, joined.
#[cfg(feature = "matrix-bot")]
mod joined {
    use std::path::Path;
    use std::sync::Arc;

    use wxgate_contract::NetworkId;
    use wxgate_matrix::{Level, MatrixConfig, Permissions, Secret, WebSignIn};
    use wxgate_matrix_bot::{AccountConfig, Entrance, PageEntrance, SdkAccount};

    use super::super::files;
    use super::{SIGN_IN_PAGE, SIGNED_IN_PAGE};
    use crate::config::{BotSection, Settings, set};
    use crate::failure::Failure;

    /// What the SDK keeps, below the data directory.
    const STORE: &str = "matrix-bot";
    /// Where the recovery key is kept when nothing else is said.
    const RECOVERY: &str = "matrix-bot.recovery";

    fn fault(key: &str, what: &str) -> Failure {
        Failure::config(format!("matrix.bot.{key}: {what}"))
    }

    pub(super) fn account(
        settings: &Settings,
        base: &str,
        page: &Arc<WebSignIn>,
    ) -> Result<AccountConfig, Failure> {
        let section = &settings.matrix.bot;
        let recovery = set(&section.recovery_key_file);
        Ok(AccountConfig {
            homeserver: section.homeserver.parse().map_err(|_| fault("homeserver", "is no address"))?,
            user: section.user.clone(),
            entrance: entrance(section, base, page)?,
            recovery_key_file: recovery.map_or(settings.data_dir.join(RECOVERY), Path::to_path_buf),
            store: settings.data_dir.join(STORE),
        })
    }

    pub(super) fn config(
        settings: &Settings,
        base: &str,
        page: &Arc<WebSignIn>,
    ) -> Result<MatrixConfig, Failure> {
        let section = &settings.matrix.bot;
        let account = account(settings, base, page)?;
        let homeserver = account.homeserver.clone();
        let account = SdkAccount::new(account);
        let network = NetworkId::from(super::NETWORK);
        let config = MatrixConfig::for_account(network, homeserver, &section.user, Arc::new(account));
        let config = config.map_err(|wrong| fault(wrong.key, &wrong.what))?;
        let levels = section.permissions.iter().map(|(who, level)| {
            let level: Level = level.parse().map_err(|what: String| fault("permissions", &what))?;
            Ok::<_, Failure>((who.clone(), level))
        });
        let levels = levels.collect::<Result<Vec<_>, _>>()?;
        let permissions = Permissions::new(levels).map_err(|wrong| fault(wrong.key, &wrong.what))?;
        Ok(MatrixConfig { permissions, max_media_bytes: settings.wechat.max_media_bytes, ..config })
    }

    fn entrance(section: &BotSection, base: &str, page: &Arc<WebSignIn>) -> Result<Entrance, Failure> {
        if section.oauth {
            let at = |path: &str| {
                let url = format!("{base}{path}").parse();
                url.map_err(|_| Failure::config("web.public_url: is no address to come back to".to_owned()))
            };
            let (begin, back) = (at(SIGN_IN_PAGE)?, at(SIGNED_IN_PAGE)?);
            return Ok(Entrance::Page(PageEntrance { begin, back, page: Arc::clone(page) }));
        }
        Ok(match (set(&section.password_file), set(&section.access_token_file)) {
            (Some(path), _) => Entrance::Password(Secret::new(files::secret(path)?)),
            (None, Some(path)) => Entrance::Token(Secret::new(files::secret(path)?)),
            (None, None) => {
                return Err(Failure::config("matrix.bot.password_file: names no file".to_owned()));
            }
        })
    }
}

//! Signing an account in and out through the service nick.

use qrcode::QrCode;
use wxgate_contract::{Command, NetworkId, SignInStep, SignInWatch};

use crate::server::asking::Asking;
use crate::server::registry::{ClientId, Incoming};
use crate::server::session::Session;

impl Session {
    /// The account a command is about: the one named, the one shown, or the only one.
    pub(super) async fn which(&mut self, id: ClientId, name: Option<&str>) -> Option<NetworkId> {
        let user = self.key.user.clone();
        let accounts = match self.shared.directory.accounts(&user).await {
            Ok(accounts) => accounts,
            Err(error) => {
                self.service_says(id, &format!("your accounts cannot be read now: {error}"));
                return None;
            }
        };
        let found = match name {
            Some(name) => {
                accounts.iter().find(|view| view.network.name() == name || view.network.as_str() == name)
            }
            None => match (self.account(), accounts.as_slice()) {
                (Some(account), _) => accounts.iter().find(|view| view.network == *account),
                (None, [only]) => Some(only),
                (None, _) => None,
            },
        };
        let network = found.map(|view| view.network.clone());
        if network.is_none() {
            let text = match name {
                Some(name) => format!("you have no account {name}; say \"accounts\" to see them"),
                None => "which account? say \"accounts\" to see them".to_owned(),
            };
            self.service_says(id, &text);
        }
        network
    }

    pub(super) async fn sign_in(&mut self, id: ClientId, name: Option<&str>) {
        let Some(account) = self.which(id, name).await else { return };
        self.order(id, Command::SignIn { account: account.clone() }, Asking::SignIn(account));
    }

    /// Shows the steps of a sign-in as they are made.
    pub(in crate::server) fn follow_sign_in(
        &mut self,
        id: ClientId,
        account: NetworkId,
        mut steps: SignInWatch,
    ) {
        let own = self.own.clone();
        self.tasks.spawn(async move {
            loop {
                let step = steps.borrow_and_update().clone();
                let is_over = matches!(step, SignInStep::Done | SignInStep::Failed { .. });
                let Some(session) = own.upgrade() else { return };
                let incoming = Incoming::SignIn(id, account.clone(), step);
                if session.send(incoming).await.is_err() || is_over {
                    return;
                }
                drop(session);
                if steps.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// Shows one step of a sign-in.
    pub(in crate::server) fn sign_in_step(&mut self, id: ClientId, account: &NetworkId, step: &SignInStep) {
        let name = account.name();
        match step {
            SignInStep::Starting => self.service_says(id, &format!("signing {name} in …")),
            SignInStep::ShowQr { text, number } => {
                self.service_says(id, &format!("scan this code with WeChat on your phone (code {number}):"));
                match qr_lines(text) {
                    Ok(lines) => lines.iter().for_each(|line| self.service_says(id, line)),
                    Err(why) => self.service_says(id, &format!("the code cannot be drawn: {why}")),
                }
                self.service_says(id, &format!("or open it as a picture from: {text}"));
            }
            SignInStep::ConfirmOnPhone { is_push, .. } => {
                let text = if *is_push {
                    "open WeChat on your phone and confirm"
                } else {
                    "scanned; now confirm on the phone"
                };
                self.service_says(id, text);
            }
            SignInStep::Loading => self.service_says(id, "signed in; your contacts are being loaded"),
            SignInStep::Done => self.service_says(id, &format!("{name} is online")),
            SignInStep::Failed { why } => self.service_says(id, &format!("{name} was not signed in: {why}")),
        }
    }

    pub(super) async fn sign_out(&mut self, id: ClientId, name: Option<&str>) {
        let Some(account) = self.which(id, name).await else { return };
        self.order(id, Command::SignOut { account: account.clone() }, Asking::SignOut(account));
    }
}

/// A QR code as lines of half blocks, dark modules drawn as gaps in light: scanners want a light
/// border, and a terminal is dark more often than not. Colour codes make it right on both.
fn qr_lines(text: &str) -> Result<Vec<String>, String> {
    const QUIET: usize = 2;
    let code = QrCode::new(text).map_err(|error| error.to_string())?;
    let width = code.width();
    let colors = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let (Some(x), Some(y)) = (x.checked_sub(QUIET), y.checked_sub(QUIET)) else { return false };
        x < width && y < width && colors.get(y * width + x) == Some(&qrcode::Color::Dark)
    };
    let side = width + 2 * QUIET;
    Ok((0..side)
        .step_by(2)
        .map(|y| {
            // White (00) on black (01), whatever the terminal's own colours are.
            let mut line = String::from("\x0300,01");
            line.extend((0..side).map(|x| match (is_dark(x, y), is_dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            }));
            line.push('\x0f');
            line
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_fits_the_lines() {
        let lines = qr_lines("https://login.weixin.qq.com/l/abcdefghij==").unwrap();
        assert!(lines.iter().all(|line| line.len() < 400 && line.starts_with("\x0300,01█")));
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(qr_lines(&"x".repeat(10_000)).is_err());
    }
}

//! What goes into the audit trail: what people change about the instance, and nothing that they say.

use wxgate_contract::{Command, Marking, Request, UserName};
use wxgate_store::Act;

use crate::Bridge;

/// The word for what a command does, and what it is about; `None` when it changes nothing that an administrator
/// would ask for later.
pub(crate) fn of(command: &Command) -> Option<(&'static str, String)> {
    let act = match command {
        Command::AddAccount { name, .. } => ("account-added", name.clone()),
        Command::SignIn { account } => ("sign-in-begun", account.name().to_owned()),
        Command::SignOut { account } => ("account-signed-out", account.name().to_owned()),
        Command::RemoveAccount { account } => ("account-removed", account.name().to_owned()),
        Command::Mirror { account, face } => ("mirror-added", format!("{} {face}", account.name())),
        Command::Unmirror { account, face } => ("mirror-removed", format!("{} {face}", account.name())),
        Command::Administer { user, .. } => ("operator", user.to_string()),
        Command::Trust { user, .. } => ("certificate-added", user.to_string()),
        Command::Distrust { user, .. } => ("certificate-removed", user.to_string()),
        Command::Identify { user, .. } => ("identity-set", user.to_string()),
        Command::Ask { account, request } => {
            let what = match request {
                Request::Resolve { .. } => "question-answered",
                Request::Undo(_) => "answer-undone",
                Request::Mark { marking: Marking::Put, .. } => "markers-wanted",
                Request::Mark { marking: Marking::Take, .. } => "markers-unwanted",
                // What is done inside chats is theirs.
                _ => return None,
            };
            (what, account.name().to_owned())
        }
        Command::Authenticate { .. }
        | Command::Scram { .. }
        | Command::Proved { .. }
        | Command::StillOpens { .. }
        | Command::Recognise { .. }
        | Command::Trusted { .. }
        | Command::OpenPages { .. }
        | Command::Introduce { .. } => return None,
    };
    Some(act)
}

impl Bridge {
    /// Writes into the audit trail what was done. That it was done does not hang on it: where it cannot be written,
    /// the log has it.
    pub async fn record(&self, who: Option<UserName>, door: &str, what: &str, about: String) {
        let act = Act { who, door: door.to_owned(), what: what.to_owned(), about };
        if let Err(error) = self.store.record(act.clone()).await {
            let who = act.who.as_ref().map_or("the operator", UserName::as_str);
            tracing::error!(%error, who, door, what, about = act.about, "this is missing in the audit trail");
        }
    }
}

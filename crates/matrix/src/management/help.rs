//! The list of commands.

use super::answer::Answer;
use super::words::{PARTS, Part, SPECS};
use crate::config::Level;
use crate::inbound::PREFIX;

/// Everything that somebody with `level` may say, with the prefix where it is needed.
pub(super) fn help(level: Level, needs_prefix: bool) -> Answer {
    let mut answer = Answer::of("In a private chat with me, say a command; elsewhere put ")
        .code(PREFIX)
        .text(" in front of it.");
    for (part, title) in PARTS {
        let specs: Vec<_> = SPECS.iter().filter(|spec| spec.part == part && spec.level <= level).collect();
        if specs.is_empty() {
            continue;
        }
        answer = answer.line().strong(title);
        for spec in specs {
            let prefix =
                if needs_prefix || part == Part::Rooms { format!("{PREFIX} ") } else { String::new() };
            let space = if spec.arguments.is_empty() { "" } else { " " };
            let typed = format!("{prefix}{}{space}{}", spec.names[0], spec.arguments);
            answer = answer.item().code(&typed).text(" – ").text(spec.about);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_shows_what_somebody_may_do() {
        let user = help(Level::User, false);
        assert!(user.plain().contains("`login [account]` – sign in to WeChat"));
        assert!(user.plain().contains("`!wx delete-portal`"));
        let relay = help(Level::Relay, false);
        assert!(relay.plain().contains("`version`") && !relay.plain().contains("login"));
    }
}

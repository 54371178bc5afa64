//! Whether a network shows us our own lines, and in its answer to their label or before that to the PING behind them.
//!
//! Where it does, a line that it does not show was not said: a filter may swallow it, or a flood in the channel, and
//! not a word need be told about it. A bouncer shows a line when its own server has shown it, which may be behind its
//! own answer: there the answer alone has to do. Source: IRCv3 echo-message; Solanum's `m_message.c`, where a line to a
//! channel is echoed at once, and one to a person by the server that they are on.

/// What was seen of it on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Echoes {
    #[default]
    Unseen,
    /// The echo of a line has come with the answer to its label, or before its PONG.
    InTime,
    /// One has come when nothing waited for it any more.
    Late,
}

impl Echoes {
    /// The echo of a line of ours has come with its answer or before it.
    pub(super) fn came_in_time(&mut self) {
        if *self == Self::Unseen {
            *self = Self::InTime;
        }
    }

    /// An echo has come to a channel where nothing waits for one.
    pub(super) fn came_late(&mut self) {
        *self = Self::Late;
    }

    /// True when an answer without the echo says that a line was not said.
    pub(super) fn prove(self) -> bool {
        self == Self::InTime
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_behind_its_answer_takes_the_proof_away_for_good() {
        let mut echoes = Echoes::default();
        assert!(!echoes.prove(), "nothing was seen yet");
        echoes.came_in_time();
        assert!(echoes.prove());
        echoes.came_late();
        echoes.came_in_time();
        assert!(!echoes.prove());
    }
}

//! Why a command did not do what was asked, sorted by whose fault it is.

use std::fmt;

/// Whose fault it is; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The thing asked for failed.
    Asked = 1,
    /// The command line. (Syntax is judged by clap, with the same code.)
    Usage = 2,
    /// The configuration.
    Config = 3,
    /// The machine: a port is taken, the store cannot be reached.
    Environment = 4,
    /// This program.
    Bug = 70,
}

/// What ends a command early. Its text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn asked(message: impl Into<String>) -> Self {
        Self { fault: Fault::Asked, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { fault: Fault::Usage, message: message.into() }
    }

    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self { fault: Fault::Environment, message: message.into() }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { fault: Fault::Config, message: message.into() }
    }

    pub(crate) fn bug(message: impl Into<String>) -> Self {
        Self { fault: Fault::Bug, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<crate::config::Problems> for Failure {
    fn from(problems: crate::config::Problems) -> Self {
        let count = match problems.0.len() {
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        Self::config(format!("the configuration has {count}:\n{problems}"))
    }
}

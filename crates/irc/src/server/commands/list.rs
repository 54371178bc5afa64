//! LIST: the groups of the account and the channels of the users, by name, size and age.

use crate::server::answer::Step;
use crate::server::commands::Turn;
use crate::server::registry::ClientId;
use crate::server::roster::ChannelIx;
use crate::server::session::{Session, one_line};
use crate::wire::casemap::matches_mask;
use crate::wire::numeric as n;

/// What a LIST asks for.
enum Wanted<'a> {
    Mask(&'a str),
    NotMask(&'a str),
    MoreThan(usize),
    FewerThan(usize),
    /// Made less, or more, than so many minutes ago.
    Created(Age),
    /// The topic was set less, or more, than so many minutes ago.
    Topic(Age),
}

/// Minutes, and whether less or more of them.
#[derive(Clone, Copy)]
struct Age {
    minutes: i64,
    is_less: bool,
}

impl Age {
    /// `C>10` is what is older than ten minutes, `C<10` what is younger. Source: Modern IRC, ELIST.
    fn parse(word: &str) -> Option<Self> {
        let (sign, minutes) = word.split_at_checked(1)?;
        let minutes = minutes.parse().ok()?;
        match sign {
            "<" => Some(Self { minutes, is_less: true }),
            ">" => Some(Self { minutes, is_less: false }),
            _ => None,
        }
    }

    fn fits(self, seconds: i64) -> bool {
        if self.is_less { seconds < self.minutes * 60 } else { seconds > self.minutes * 60 }
    }
}

/// A channel as LIST judges it.
struct Row {
    name: String,
    count: usize,
    /// Seconds since it was made, and since its topic was set, where that is known.
    age: Option<i64>,
    topic_age: Option<i64>,
}

impl<'a> Wanted<'a> {
    /// Source: the ELIST tokens C, M, N, T and U of Modern IRC.
    fn parse(word: &'a str) -> Self {
        match word.split_at_checked(1) {
            Some(("C" | "c", age)) if let Some(age) = Age::parse(age) => return Self::Created(age),
            Some(("T" | "t", age)) if let Some(age) = Age::parse(age) => return Self::Topic(age),
            _ => {}
        }
        if let Some(count) = word.strip_prefix('>').and_then(|count| count.parse().ok()) {
            return Self::MoreThan(count);
        }
        if let Some(count) = word.strip_prefix('<').and_then(|count| count.parse().ok()) {
            return Self::FewerThan(count);
        }
        word.strip_prefix('!').map_or(Self::Mask(word), Self::NotMask)
    }

    fn fits(&self, row: &Row) -> bool {
        match self {
            Self::Mask(mask) => matches_mask(mask, &row.name),
            Self::NotMask(mask) => !matches_mask(mask, &row.name),
            Self::MoreThan(limit) => row.count > *limit,
            Self::FewerThan(limit) => row.count < *limit,
            Self::Created(age) => row.age.is_some_and(|seconds| age.fits(seconds)),
            Self::Topic(age) => row.topic_age.is_some_and(|seconds| age.fits(seconds)),
        }
    }
}

pub(super) async fn list(session: &mut Session, turn: &Turn<'_>) {
    let id = turn.client;
    let wanted: Vec<Wanted<'_>> =
        turn.param(0).split(',').filter(|w| !w.is_empty()).map(Wanted::parse).collect();
    session.numeric(id, n::RPL_LISTSTART, "Channel :Users  Name");
    let now = session.shared.clock.now();
    let all: Vec<ChannelIx> = session.roster.channels().into_iter().map(|(ix, _)| ix).collect();
    // Names are alternatives, everything else must hold.
    let (names, others): (Vec<&Wanted<'_>>, Vec<&Wanted<'_>>) =
        wanted.iter().partition(|w| matches!(w, Wanted::Mask(_)));
    let fits = |row: &Row| {
        (names.is_empty() || names.iter().any(|w| w.fits(row))) && others.iter().all(|w| w.fits(row))
    };
    let mut steps = Vec::new();
    for ix in all {
        // Member counts of groups that nobody joined are read only when somebody asks.
        if let Err(error) = session.load_members(ix).await {
            tracing::warn!(%error, "the members of a group could not be read");
        }
        let Some(channel) = session.roster.channel(ix) else { continue };
        let row = Row {
            name: channel.name.clone(),
            count: channel.member_count(),
            age: None,
            topic_age: (channel.topic_at.ms() > 0).then(|| now.seconds() - channel.topic_at.seconds()),
        };
        steps.extend(fits(&row).then_some(Step::Row(ix)));
    }
    for local in session.on_floor(id, |floor| floor.listed()).into_iter().flatten() {
        let rest = format!("{} {} :{}", local.name, local.members, local.topic);
        let row = Row {
            name: local.name,
            count: local.members,
            age: Some(now.seconds() - local.created),
            topic_age: local.topic_at.map(|at| now.seconds() - at),
        };
        steps.extend(fits(&row).then_some(Step::Numeric(n::RPL_LIST, rest)));
    }
    steps.push(Step::Numeric(n::RPL_LISTEND, ":End of /LIST".to_owned()));
    session.answer_in_steps(id, steps, None);
}

impl Session {
    /// A group, as LIST tells it.
    pub(in crate::server) fn list_row(&mut self, id: ClientId, ix: ChannelIx) {
        let Some(channel) = self.roster.channel(ix) else { return };
        let topic = one_line(&channel.topic());
        let rest = format!("{} {} :{topic}", channel.name, channel.member_count());
        self.numeric(id, n::RPL_LIST, &rest);
    }
}

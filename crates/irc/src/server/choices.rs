//! What people choose for an account through the service: which groups are joined, the language of the words that the
//! gateway adds to a line, what becomes of what was recalled, and whether official accounts are heard.

use bytes::Bytes;
use wxgate_contract::{Author, Batch, FarError, Note, TimelineItem};

use super::names::Style;
use super::outbound::Window;
use super::registry::ClientId;
use super::roster::Person;
use super::session::Session;
use super::style;

/// Which groups are joined without being asked. Source: the IRC notes, section 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Join {
    /// All when there are at most 50, else those with traffic within 30 days; and any that speaks later.
    #[default]
    Auto,
    /// All.
    All,
    /// None.
    Manual,
}

/// The language of the words that the gateway adds to a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lang {
    /// `[image]`
    #[default]
    English,
    /// `[图片]`
    Chinese,
}

/// What becomes of what was taken back in WeChat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Recalls {
    /// Clients are told to remove it, and it is in no history any more.
    #[default]
    Remove,
    /// It stays, with a word that it was taken back.
    Keep,
}

/// Whether what official accounts write by themselves is shown. Source: the IRC notes, section 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Officials {
    /// As what anybody writes.
    #[default]
    Show,
    /// It waits in the history.
    Mute,
}

/// Something to choose: its kind of note, and each way with its word and what is said of it.
trait Choice: Copy + PartialEq + Default + 'static {
    const NOTE: &'static str;
    const WAYS: &'static [(Self, &'static str, &'static str)];

    fn parse(word: &str) -> Option<Self> {
        let way = Self::WAYS.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(word));
        way.map(|(way, _, _)| *way)
    }

    /// Its word, and what is said of it.
    fn told(self) -> (&'static str, &'static str) {
        Self::WAYS.iter().find(|(way, _, _)| *way == self).map_or(("", ""), |(_, word, said)| (*word, *said))
    }

    fn words() -> String {
        Self::WAYS.iter().map(|(_, word, _)| *word).collect::<Vec<_>>().join(", ")
    }
}

impl Choice for Join {
    const NOTE: &'static str = "join";
    const WAYS: &'static [(Self, &'static str, &'static str)] = &[
        (
            Self::Auto,
            "auto",
            "groups with traffic are joined for you, any that speaks later, and those you JOIN",
        ),
        (Self::All, "all", "all groups are joined for you"),
        (
            Self::Manual,
            "manual",
            "no group is joined for you but those you JOIN; what is said in one waits in its history",
        ),
    ];
}

impl Choice for Lang {
    const NOTE: &'static str = "language";
    const WAYS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::English, "english", "what I add to a line is in English: [image]"),
        (Self::Chinese, "chinese", "what I add to a line is in Chinese: [图片]"),
    ];
}

impl Choice for Recalls {
    const NOTE: &'static str = "recalls";
    const WAYS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Remove, "remove", "what is recalled in WeChat is removed here"),
        (Self::Keep, "keep", "what is recalled in WeChat stays, and I say that it was recalled"),
    ];
}

impl Choice for Officials {
    const NOTE: &'static str = "officials";
    const WAYS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Show, "show", "what official accounts write is shown"),
        (Self::Mute, "mute", "what official accounts write waits in their history, and opens no window"),
    ];
}

/// Something to choose, as other faces show it.
pub(super) struct Offer {
    /// As it is typed.
    pub(super) name: &'static str,
    /// The kind of note that holds it.
    pub(super) note: &'static str,
    /// What is in force without a note.
    pub(super) usual: &'static str,
    /// Each way with its word and what is said of it.
    pub(super) ways: Vec<(&'static str, &'static str)>,
}

/// All that can be chosen for an account.
pub(super) fn offers() -> [Offer; 5] {
    let names = Offer {
        name: "names",
        note: style::NOTE,
        usual: Style::default().word(),
        ways: style::WAYS.to_vec(),
    };
    [offer::<Join>(), names, offer::<Lang>(), offer::<Recalls>(), offer::<Officials>()]
}

fn offer<C: Choice>() -> Offer {
    let ways = C::WAYS.iter().map(|(_, word, said)| (*word, *said)).collect();
    Offer { name: C::NOTE, note: C::NOTE, usual: C::default().told().0, ways }
}

/// What is in force.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choices {
    pub(super) join: Join,
    pub(super) lang: Lang,
    pub(super) recalls: Recalls,
    pub(super) officials: Officials,
}

impl Session {
    /// As they were made last.
    pub(super) async fn load_choices(&mut self) -> Result<(), FarError> {
        self.choices = Choices {
            join: self.chosen().await?,
            lang: self.chosen().await?,
            recalls: self.chosen().await?,
            officials: self.chosen().await?,
        };
        Ok(())
    }

    /// What was chosen on another face is in force here too.
    pub(super) async fn chosen_elsewhere(&mut self) {
        let (style, join) = (self.roster.style(), self.choices.join);
        let loaded = async {
            self.load_style().await?;
            self.load_choices().await
        };
        if let Err(error) = loaded.await {
            return tracing::warn!(%error, "what was chosen elsewhere could not be read");
        }
        if self.roster.style() != style {
            self.rewrite_names().await;
        }
        if self.choices.join == Join::All && join != Join::All {
            self.join_all().await;
        }
    }

    async fn chosen<C: Choice>(&self) -> Result<C, FarError> {
        let key = self.roster.note_key(C::NOTE, "");
        let value = self.shared.far.note(&self.shared.network, &key).await?;
        let word = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
        Ok(word.and_then(C::parse).unwrap_or_default())
    }

    /// `join`, `join all`.
    pub(super) async fn choose_join(&mut self, id: ClientId, words: &[&str]) {
        if let Some(join) = self.choose(id, words, self.choices.join).await {
            self.choices.join = join;
            if join == Join::All {
                self.join_all().await;
            }
        }
    }

    /// `language`, `language chinese`.
    pub(super) async fn choose_language(&mut self, id: ClientId, words: &[&str]) {
        if let Some(lang) = self.choose(id, words, self.choices.lang).await {
            self.choices.lang = lang;
        }
    }

    /// `recalls`, `recalls keep`.
    pub(super) async fn choose_recalls(&mut self, id: ClientId, words: &[&str]) {
        if let Some(recalls) = self.choose(id, words, self.choices.recalls).await {
            self.choices.recalls = recalls;
        }
    }

    /// `officials`, `officials mute`.
    pub(super) async fn choose_officials(&mut self, id: ClientId, words: &[&str]) {
        if let Some(officials) = self.choose(id, words, self.choices.officials).await {
            self.choices.officials = officials;
        }
    }

    /// An official account wrote it and its owner muted those. What one says to them is shown, and what became of it.
    pub(super) fn is_muted(&self, window: Window, item: &TimelineItem) -> bool {
        self.is_muted_window(window) && matches!(item.post.author, Author::Person { .. })
    }

    /// The window is that of an official account, and those are muted.
    pub(super) fn is_muted_window(&self, window: Window) -> bool {
        let Window::Query(ix) = window else { return false };
        self.choices.officials == Officials::Mute && self.roster.person(ix).is_some_and(Person::is_official)
    }

    /// Tells what is in force, or writes down what is said; what is in force from now on.
    async fn choose<C: Choice>(&mut self, id: ClientId, words: &[&str], present: C) -> Option<C> {
        let choice = match words {
            [] => {
                let (word, said) = present.told();
                self.service_says(id, &format!("{word}: {said}; you can choose {}", C::words()));
                return None;
            }
            [word] => C::parse(word),
            _ => None,
        };
        let Some(choice) = choice else {
            self.service_says(id, &format!("say {} and one of: {}", C::NOTE, C::words()));
            return None;
        };
        if self.account().is_none() {
            self.service_says(id, "log in as user/account to choose for it");
            return None;
        }
        let value = (choice != C::default()).then(|| Bytes::from_static(choice.told().0.as_bytes()));
        let notes = vec![Note { key: self.roster.note_key(C::NOTE, ""), value, is_secret: false }];
        if let Err(error) = self.commit(Batch { notes, ..Batch::default() }).await {
            self.service_says(id, &format!("it stays as it is: {error}"));
            return None;
        }
        self.service_says(id, choice.told().1);
        Some(choice)
    }
}

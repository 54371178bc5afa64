//! How puppets are called: by the template, as the network bears it, and otherwise when their people are.

use wxgate_contract::Say;

use super::{Puppet, REFUSED};
use crate::client::puppet::{PuppetId, Word};
use crate::client::session::Session;
use crate::client::words;
use crate::server::names::{self, Style};

/// Signs that every network takes in nicks.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl Puppet {
    pub(super) fn takes_nick(&mut self, nick: &str) {
        nick.clone_into(&mut self.nick);
        if let Some(prefix) = &mut self.prefix
            && let Some((_, rest)) = prefix.split_once('!')
        {
            *prefix = format!("{nick}!{rest}");
        }
    }
}

impl Session<'_> {
    pub(super) fn realname(&self, say: &Say) -> String {
        format!("{} (WeChat, by {})", words::author(say), self.me.nick)
    }

    /// The person has another name: their connection takes it, where the network lets it.
    pub(super) fn rename(&mut self, at: usize, say: &Say) {
        let word = Word::Rename { nick: self.puppet_nick(say, ""), realname: self.realname(say) };
        if let Some(puppet) = self.puppets.all.get(at) {
            // There is room, or nobody any more.
            let _ = puppet.words.try_send(word);
        }
    }

    /// Somebody has another nick. Of ours this is the first news: what they say under it comes behind it, and must
    /// not be taken for another's.
    pub(in crate::client) fn puppet_renamed(&mut self, from: &str, new: &str) {
        // One on its way has only asked for its nick.
        let is_meant = |puppet: &Puppet| puppet.is_ready && self.support.fold(&puppet.nick) == *from;
        if let Some(at) = self.puppets.all.iter().position(is_meant)
            && let Some(puppet) = self.puppets.all.get_mut(at)
        {
            puppet.takes_nick(new);
            self.relay.is_called(self.support.fold(new));
        }
    }

    /// The nick by the template, as the network can bear it. `number` follows the name, where another one has it.
    pub(super) fn puppet_nick(&self, say: &Say, number: &str) -> String {
        let template = self.puppets.settings.as_ref().map_or("{nick}", |settings| settings.nick.as_str());
        let is_plain = self.relay.refused.as_deref() == Some(template);
        let is_utf8 = self.support.takes_utf8_names() && !is_plain;
        let style = if is_utf8 { Style::Utf8 } else { Style::Pinyin };
        let person = words::person(say);
        let mut name = names::nick_from(&style.write(&words::author(say)), &person);
        let mut around = template.replace("{nick}", "");
        if is_plain {
            name.retain(is_letter);
            around.retain(is_letter);
        }
        let room = self.support.nick_len.saturating_sub(around.len() + number.len()).max(1);
        names::cut(&mut name, room);
        name += number;
        match template.contains("{nick}") && !is_plain {
            true => template.replace("{nick}", &name),
            false => name + &around,
        }
    }

    /// The network takes no such nick: from now on they are written in letters alone, with the next connection and
    /// the next start too, until the template is another. Who is refused in letters stays without, and who has no
    /// room under the template: that is not for the signs.
    pub(super) fn bad_nick(&mut self, id: PuppetId) {
        let template = self.puppets.settings.as_ref().map(|settings| settings.nick.clone());
        let nick_len = self.support.nick_len;
        let (Some(puppet), Some(template)) = (self.puppets.get(id), template) else { return };
        let is_short = puppet.nick.len() <= nick_len;
        if is_short && !puppet.nick.chars().all(is_letter) {
            self.relay.note((REFUSED.to_owned(), template.clone().into()));
            self.relay.refused = Some(template);
            return;
        }
        let person = puppet.person.clone();
        self.puppets.goes_without(person);
    }
}

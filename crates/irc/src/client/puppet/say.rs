//! What a puppet is told to do.

use tokio::time::Instant;

use super::{News, Open, Puppet, Word};
use crate::client::multiline::{self, Part};
use crate::wire::message::Line;

impl Open {
    fn new(number: u64, target: String) -> Self {
        Self { number, target, is_whole: false, text: None, is_echoed: false, msgid: None }
    }
}

impl Puppet {
    pub(super) fn do_word(&mut self, word: Word) {
        match word {
            Word::Join(channel) => self.send(&Line::new().command("JOIN").param(&channel).build()),
            Word::Part(channel) => self.send(&Line::new().command("PART").param(&channel).build()),
            Word::Notice { nick, text } => {
                self.send(&Line::new().command("NOTICE").param(&nick).last(&text).build());
            }
            Word::Say { number, target, parts, reply } => self.say(number, &target, &parts, reply),
            Word::TakeBack { number, target, msgid } => self.take_back(number, &target, &msgid),
            Word::Rename { nick, realname } => {
                if nick != self.nick {
                    self.send(&Line::new().command("NICK").param(&nick).build());
                }
                if self.sets_name {
                    self.pace.force(1.0, Instant::now());
                    self.send(&Line::new().command("SETNAME").last(&realname).build());
                }
            }
            Word::Leave(_) => {}
        }
    }

    fn take_back(&mut self, number: u64, target: &str, msgid: &str) {
        if !self.takes_back {
            return self.news.push_back(News::NotSaid { number, passes: false });
        }
        let has_label = self.labels && self.echo;
        let reference = format!("w{number}");
        let line = if has_label { Line::new().tag("label", &reference) } else { Line::new() };
        self.open.push(Open::new(number, self.support.fold(target)));
        self.send(&line.command("REDACT").param(target).last(msgid).build());
        if !has_label {
            self.send(&format!("PING :{reference}"));
        }
    }

    fn say(&mut self, number: u64, target: &str, parts: &[Part], reply: Option<String>) {
        let (has_label, is_whole) = (self.labels && self.echo, parts.len() > 1);
        if is_whole && !(has_label && self.takes_whole) {
            return self.news.push_back(News::NotSaid { number, passes: false });
        }
        let (mut line, reference) = (Line::new(), format!("w{number}"));
        if has_label {
            line = line.tag("label", &reference);
        }
        if let Some(reply) = reply.filter(|_| self.tags) {
            line = line.tag("+draft/reply", &reply);
        }
        let text = parts.last().map(|part| part.text.clone());
        self.open.push(Open { is_whole, text, ..Open::new(number, self.support.fold(target)) });
        if is_whole {
            let lines = multiline::batch(line, &reference, target, parts);
            // The rest of them is paid for behind it: they belong together.
            lines.iter().skip(1).for_each(|_| self.pace.force(1.0, Instant::now()));
            return lines.iter().for_each(|line| self.send(line));
        }
        let text = parts.first().map_or("", |part| part.text.as_str());
        self.send(&line.command("PRIVMSG").param(target).last(text).build());
        if !has_label {
            self.send(&format!("PING :{reference}"));
        }
    }
}

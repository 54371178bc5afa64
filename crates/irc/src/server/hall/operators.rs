//! What operators of the server do: administrators of the instance who said so with OPER.
//!
//! Source: Modern IRC, "Operator Messages".

use super::{Event, Floor, shown};
use crate::server::names::cut_text;
use crate::server::registry::ClientId;
use crate::wire::message::Line;
use crate::wire::numeric as n;

/// Longest reason of a KILL. Chosen: as of a KICK.
const KILL_BYTES: usize = 300;

impl Floor<'_> {
    pub(in crate::server) fn is_operator(&self) -> bool {
        self.me().is_some_and(|me| me.is_oper)
    }

    /// The acting user is an operator from now on.
    pub(in crate::server) fn become_operator(&mut self) {
        let me = self.act.me;
        let Some(user) = self.state.users.get_mut(&me) else { return };
        let was = std::mem::replace(&mut user.is_oper, true);
        self.numeric(n::RPL_YOUREOPER, ":You are now an IRC operator");
        if !was {
            let nick = self.nick();
            let event = Event { msgid: String::new(), ..self.event(format!("MODE {nick} :+o")) };
            self.tell([me], &|caps| Some(event.line(caps, "")));
        }
    }

    /// Ends all connections of a user.
    pub(in crate::server) fn kill(&mut self, nick: &str, reason: &str) {
        let Some((user, found)) = self.state.find(nick) else {
            let rest = format!("{} :No such nick/channel", shown(nick));
            return self.numeric(n::ERR_NOSUCHNICK, &rest);
        };
        let seats: Vec<_> = found.seats.iter().map(|seat| std::sync::Arc::clone(&seat.queue)).collect();
        let by = self.nick();
        let reason = if reason.is_empty() { "no reason was given" } else { cut_text(reason, KILL_BYTES) };
        let why = format!("Killed ({by} ({reason}))");
        let error = Line::new().command("ERROR").last(&format!("Closing link: {why}")).build();
        let act = self.act;
        // As if they quit; everybody who sees them hears it, also on this connection.
        self.act = super::Act { me: user, client: ClientId(0), ..act };
        self.quit(&why);
        self.act = act;
        seats.iter().for_each(|queue| queue.close(format!("{error}\r\n").as_bytes()));
    }

    /// Tells everybody who wants to hear operators.
    pub(in crate::server) fn wallops(&mut self, text: &str) {
        let event = Event { msgid: String::new(), ..self.event(format!("WALLOPS :{text}")) };
        let hearing = self.state.users.iter().filter(|(_, user)| user.hears_wallops).map(|(id, _)| *id);
        let hearing: Vec<_> = hearing.collect();
        self.tell_done(hearing, &event);
    }
}

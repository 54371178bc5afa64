//! Groups that several accounts of the world are in.
//!
//! Each account sees such a group and its people under names of its own; a message has one number in all of
//! them. Source: the protocol sheet, section 4.9 (app message 57): a quote names the quoted message by `svrid`,
//! the same XML reaches every member of the group, and each member's client finds the message by it.

use std::sync::PoisonError;

use bytes::Bytes;

use crate::account::Media;
use crate::message::Kind;
use crate::who::Who;
use crate::world::World;

/// One group, as the accounts in it call it. The owner of the n-th account is its n-th person; everybody else
/// follows in the order of the members.
#[derive(Debug)]
pub(crate) struct Common {
    seats: Vec<(String, u32)>,
}

impl Common {
    fn seat(&self, account: &str, group: u32) -> Option<usize> {
        self.seats.iter().position(|(name, number)| name == account && *number == group)
    }
}

/// Which person of the group somebody is, in the eyes of the account in `seat`.
fn person(seat: usize, members: &[Who], who: Who) -> Option<usize> {
    let place = members.iter().position(|member| *member == who)?;
    Some(match place {
        0 => seat,
        place if place <= seat => place - 1,
        place => place,
    })
}

/// The other way round.
fn member(seat: usize, members: &[Who], person: usize) -> Option<Who> {
    let place = match person {
        person if person == seat => 0,
        person if person < seat => person + 1,
        person => person,
    };
    members.get(place).copied()
}

impl World {
    /// Makes one group of groups of several accounts, each `(account, number)`.
    ///
    /// # Errors
    /// When there is no such account or group, or a group is in two places.
    pub fn share_group(&self, seats: Vec<(String, u32)>) -> Result<(), String> {
        for (name, group) in &seats {
            if !self.account(name)?.state().people.exists(Who::Group(*group)) {
                return Err(format!("account '{name}' has no group {group}"));
            }
        }
        let mut commons = self.0.commons.write().unwrap_or_else(PoisonError::into_inner);
        for (name, group) in &seats {
            if commons.iter().any(|common| common.seat(name, *group).is_some()) {
                return Err(format!("group {group} of account '{name}' is shared already"));
            }
        }
        commons.push(Common { seats });
        Ok(())
    }

    /// The other accounts in a group hear what was said in it, under the same number. `sent` is a file that a
    /// client sent with it.
    pub(crate) fn tell_others(
        &self,
        account: &str,
        (chat, from): (Who, Who),
        kind: &Kind,
        msg_id: u64,
        sent: Option<&Bytes>,
    ) {
        let Who::Group(group) = chat else { return };
        let found = {
            let commons = self.0.commons.read().unwrap_or_else(PoisonError::into_inner);
            commons.iter().find_map(|common| Some((common.seat(account, group)?, common.seats.clone())))
        };
        let Some((own_seat, seats)) = found else { return };
        let members = |name: &str, group| {
            let account = self.account(name).ok()?;
            let members = account.state().people.members(group);
            Some((account, members))
        };
        let Some((_, own_members)) = members(account, group) else { return };
        let Some(who) = person(own_seat, &own_members, from) else { return };
        for (seat, (name, group)) in seats.iter().enumerate().filter(|(seat, _)| *seat != own_seat) {
            let Some((other, members)) = members(name, *group) else { continue };
            let Some(from) = member(seat, &members, who) else { continue };
            {
                let mut state = other.state();
                self.say_once(&mut state, (Who::Group(*group), from), kind.clone(), msg_id);
                if let Some(data) = sent {
                    state.keep_media(msg_id, Media::Sent(data.clone(), "application/octet-stream"));
                }
            }
            other.wake.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Who, member, person};

    #[test]
    fn everybody_is_the_same_person_in_the_eyes_of_each_account() {
        let first = [Who::Own, Who::Contact(1), Who::Stranger(0, 2), Who::Contact(3)];
        let second = [Who::Own, Who::Stranger(5, 1), Who::Contact(9), Who::Stranger(5, 3)];
        let seen = |who| member(1, &second, person(0, &first, who).unwrap()).unwrap();
        assert_eq!(seen(Who::Own), Who::Stranger(5, 1), "the first account's owner");
        assert_eq!(seen(Who::Contact(1)), Who::Own, "the second account's owner");
        assert_eq!(seen(Who::Stranger(0, 2)), Who::Contact(9));
        for person_at in 0..4 {
            for (seat, members) in [(0, &first), (1, &second)] {
                let who = member(seat, members, person_at).unwrap();
                assert_eq!(person(seat, members, who), Some(person_at));
            }
        }
    }
}

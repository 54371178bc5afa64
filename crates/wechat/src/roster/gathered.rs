//! Members of the groups that speak in one batch, read once for all of its messages.

use std::collections::{HashMap, VecDeque};

use wxgate_contract::FarError;

use super::{Draft, Named, Roster};

/// Groups whose members are kept for the next message. Chosen: what is caught up with comes from several in turn, and
/// each may have a thousand members.
const GROUPS: usize = 8;

/// Of each group, by lasting key, what [`Roster::members`] said; the one that was asked for last comes first. What a
/// draft changes makes all of it old.
#[derive(Debug, Default)]
pub(super) struct Gathered(VecDeque<(String, HashMap<String, Named>)>);

impl Roster {
    /// The members of a group, for one of many messages of a batch.
    pub(crate) async fn gather<'d>(
        &self,
        draft: &'d mut Draft,
        generation: u32,
        group: &str,
    ) -> Result<impl Iterator<Item = &'d Named> + use<'d>, FarError> {
        let Gathered(groups) = &mut draft.gathered;
        let at = groups.iter().position(|(known, _)| known == group);
        let kept = match at.and_then(|at| groups.remove(at)) {
            Some(kept) => kept,
            None => (group.to_owned(), self.members(draft, generation, group).await?),
        };
        let Gathered(groups) = &mut draft.gathered;
        groups.truncate(GROUPS - 1);
        groups.push_front(kept);
        Ok(groups.front().into_iter().flat_map(|(_, members)| members.values()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wechat_proto::UserName;
    use wxgate_contract::conformance::Double;
    use wxgate_contract::{Batch, FarEnd, NetworkId};

    use super::*;
    use crate::roster::{Kind, member_note, note};

    fn member(group: &str, name: &str) -> (String, Named) {
        (member_note(1, group, &UserName::from(name)), Named::new(name, Kind::Person, name))
    }

    async fn names(roster: &Roster, draft: &mut Draft, group: &str) -> Vec<String> {
        let mut names: Vec<String> =
            roster.gather(draft, 1, group).await.unwrap().map(|named| named.name.clone()).collect();
        names.sort_unstable();
        names
    }

    #[tokio::test]
    async fn members_are_read_once_for_a_batch_and_again_when_it_changes_them() {
        let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
        let roster = Roster::new(Arc::new(double.clone()), network.clone());
        let join = async |group: &str, name: &str| {
            let (key, named) = member(group, name);
            let batch = Batch { notes: vec![note(key, &named)], ..Batch::default() };
            double.commit(&network, batch).await.unwrap();
        };
        join("g-0", "@anna").await;
        join("g-1", "@ben").await;
        let mut draft = Draft::default();
        assert_eq!(names(&roster, &mut draft, "g-0").await, ["@anna"]);
        join("g-0", "@carl").await;
        assert_eq!(names(&roster, &mut draft, "g-1").await, ["@ben"]);
        assert_eq!(names(&roster, &mut draft, "g-0").await, ["@anna"], "it is not read again");
        let (key, dora) = member("g-0", "@dora");
        draft.put(key, dora);
        assert_eq!(names(&roster, &mut draft, "g-0").await, ["@anna", "@carl", "@dora"]);
        draft.remove(member("g-0", "@anna").0);
        join("g-0", "@emil").await;
        assert!(names(&roster, &mut draft, "g-0").await.contains(&"@emil".to_owned()));
        for n in 2..20 {
            names(&roster, &mut draft, &format!("g-{n}")).await;
        }
        assert_eq!(draft.gathered.0.len(), GROUPS, "it is bounded");
    }
}

//! The people of an account: made up from its seed whenever somebody asks, never stored.
//!
//! What a phone changed later (a rename, a new member) is stored as an edit over the made-up record.

use std::collections::{BTreeMap, BTreeSet};

use crate::seed::{Dice, hex, mix_all};
use crate::who::Who;

/// Stands for a byte that is not UTF-8; the answer writer puts the bad byte in its place.
///
/// Source: the protocol sheet, section 2.1.4: truncated multi-byte names do occur.
pub(crate) const BAD_UTF8_MARK: char = '\u{f8ff}';

const SURNAMES: [&str; 16] =
    ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林"];
const GIVEN: [&str; 20] = [
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "洋", "艳", "勇", "军", "杰", "娟", "涛", "明", "子涵",
    "雨桐", "浩然", "思远",
];
const WESTERN: [&str; 16] = [
    "Anna", "Bo", "Clara", "David", "Emily", "Felix", "Grace", "Henry", "Iris", "Jack", "Kate", "Leo", "Mia",
    "Noah", "Olivia", "Paul",
];
const GROUP_TOPICS: [&str; 12] = [
    "周末爬山",
    "项目进度",
    "Book club",
    "小区团购",
    "羽毛球",
    "大学同学",
    "R&amp;D",
    "摄影交流",
    "早餐群",
    "Family &lt;3",
    "读书会",
    "拼车",
];
const ACCOUNTS: [&str; 6] =
    ["Example News", "每日读书", "城市气象", "咖啡优惠", "科技早知道", "Tea &amp; Books"];

/// Changes over the made-up records of one account.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    pub(crate) nicks: BTreeMap<Who, String>,
    pub(crate) remarks: BTreeMap<Who, String>,
    pub(crate) signatures: BTreeMap<Who, String>,
    pub(crate) versions: BTreeMap<Who, u64>,
    /// Who shows the same made-up details as whom.
    pub(crate) twins: BTreeMap<Who, Who>,
    pub(crate) pinned: BTreeSet<Who>,
    pub(crate) muted: BTreeSet<Who>,
    pub(crate) gone: BTreeSet<Who>,
    pub(crate) members_added: BTreeMap<u32, Vec<Who>>,
    pub(crate) members_gone: BTreeMap<u32, BTreeSet<Who>>,
    pub(crate) own_display: BTreeMap<u32, String>,
    pub(crate) extra_contacts: u32,
    pub(crate) extra_groups: BTreeMap<u32, Vec<Who>>,
}

/// The made-up universe of one account.
#[derive(Debug)]
pub(crate) struct People {
    pub(crate) seed: u64,
    pub(crate) contacts: u32,
    pub(crate) groups: u32,
    pub(crate) members_per_group: u32,
    pub(crate) own_nick: String,
    pub(crate) invalid_utf8: bool,
    pub(crate) edits: Edits,
}

impl People {
    fn dice(&self, who: Who, salt: u64) -> Dice {
        let who = self.edits.twins.get(&who).copied().unwrap_or(who);
        Dice::new(mix_all(&[self.seed, who.number(), salt]))
    }

    /// Whether `who` exists and has not been removed.
    pub(crate) fn exists(&self, who: Who) -> bool {
        if self.edits.gone.contains(&who) {
            return false;
        }
        match who {
            Who::Own | Who::Special(_) => true,
            Who::Contact(at) => at < self.contact_count(),
            Who::Group(at) => at < self.groups || self.edits.extra_groups.contains_key(&at),
            Who::Stranger(group, _) => self.members(group).contains(&who),
        }
    }

    pub(crate) fn contact_count(&self) -> u32 {
        self.contacts.saturating_add(self.edits.extra_contacts)
    }

    /// Whether this contact is an official account (`VerifyFlag & 8`).
    pub(crate) fn is_official(&self, who: Who) -> bool {
        matches!(who, Who::Contact(at) if at % 20 == 7 && at < self.contacts)
    }

    /// Whether the group is kept in the address book; others are known from conversations only.
    pub(crate) fn is_saved(&self, group: u32) -> bool {
        group.is_multiple_of(2)
    }

    /// Whether the group is among the recent conversations.
    pub(crate) fn is_recent(&self, group: u32) -> bool {
        group % 4 != 3 && group < 24
    }

    /// The person's own name or the group's topic, as the service writes it (spans and entities included).
    pub(crate) fn nick(&self, who: Who) -> String {
        if let Some(nick) = self.edits.nicks.get(&who) {
            return nick.clone();
        }
        let mut dice = self.dice(who, 1);
        match who {
            Who::Own => self.own_nick.clone(),
            Who::Special(at) => crate::who::SPECIAL
                .get(usize::from(at))
                .map_or_else(String::new, |(_, nick)| (*nick).to_owned()),
            Who::Group(at) if at % 8 == 5 => String::new(),
            Who::Group(at) => format!("{}{}", dice.pick(&GROUP_TOPICS), at),
            Who::Contact(at) if self.is_official(who) => {
                format!("{} {}", dice.pick(&ACCOUNTS), at / 20)
            }
            Who::Contact(3) if self.invalid_utf8 => format!("截断{BAD_UTF8_MARK}"),
            Who::Contact(_) | Who::Stranger(..) => {
                let base = if dice.chance(0.6) {
                    format!("{}{}", dice.pick(&SURNAMES), dice.pick(&GIVEN))
                } else {
                    (*dice.pick(&WESTERN)).to_owned()
                };
                match dice.below(9) {
                    0 => format!("{base} <span class=\"emoji emoji1f33a\"></span>"),
                    1 => format!("{base} &amp; Co"),
                    2 => format!("{base}🌊"),
                    _ => base,
                }
            }
        }
    }

    /// The name that the owner of the account gave.
    pub(crate) fn remark(&self, who: Who) -> String {
        if let Some(remark) = self.edits.remarks.get(&who) {
            return remark.clone();
        }
        match who {
            Who::Contact(at) if at % 5 == 2 && !self.is_official(who) => {
                let mut dice = self.dice(who, 2);
                format!("{}{}（{at}）", dice.pick(&SURNAMES), dice.pick(&GIVEN))
            }
            _ => String::new(),
        }
    }

    /// What the member calls itself inside the group.
    pub(crate) fn display_name(&self, group: u32, who: Who) -> String {
        if who == Who::Own {
            if let Some(name) = self.edits.own_display.get(&group) {
                return name.clone();
            }
            return if group.is_multiple_of(3) { "阿林".to_owned() } else { String::new() };
        }
        let mut dice = self.dice(who, 3 + u64::from(group));
        if dice.chance(0.2) { format!("{}同学", dice.pick(&SURNAMES)) } else { String::new() }
    }

    /// 0 unknown, 1 male, 2 female.
    pub(crate) fn sex(&self, who: Who) -> u8 {
        match who {
            Who::Contact(_) | Who::Own if !self.is_official(who) => {
                u8::try_from(self.dice(who, 4).below(3)).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// The record's version, which the avatar's address shows as `seq`.
    ///
    /// Source: the protocol sheet, section 5.6: equal across logins while the record is untouched, 0 for
    /// groups and for members.
    pub(crate) fn version(&self, who: Who) -> u64 {
        if let Some(version) = self.edits.versions.get(&who) {
            return *version;
        }
        match who {
            Who::Own => 633_000_000,
            Who::Contact(at) => 620_000_000 + u64::from(at) * 13 + self.seed % 11,
            Who::Special(at) => 500_003 + u64::from(at),
            Who::Group(_) | Who::Stranger(..) => 0,
        }
    }

    pub(crate) fn attr_status(&self, who: Who) -> i64 {
        let mut dice = self.dice(who, 5);
        *dice.pick(&[4, 33, 102_437, 4_293_221, 2_147_584_103])
    }

    pub(crate) fn place(&self, who: Who) -> (&'static str, &'static str) {
        if !matches!(who, Who::Contact(_)) {
            return ("", "");
        }
        *self.dice(who, 6).pick(&[
            ("上海", "浦东新区"),
            ("北京", "海淀"),
            ("广东", "深圳"),
            ("California", "San Jose"),
            ("", ""),
        ])
    }

    pub(crate) fn signature(&self, who: Who) -> &str {
        if let Some(signature) = self.edits.signatures.get(&who) {
            return signature;
        }
        if !matches!(who, Who::Contact(_)) {
            return "";
        }
        self.dice(who, 7).line(&["R&amp;D", "", "慢慢来", "Less is more", ""])
    }

    /// The id that never changes: `wxid_…`, `gh_…` or `…@chatroom`.
    ///
    /// Source: the protocol sheet, sections 3.1 and 5.6.
    pub(crate) fn permanent_id(&self, who: Who) -> String {
        match who {
            Who::Group(at) => format!(
                "{}@chatroom",
                10_000_000_000 + mix_all(&[self.seed, u64::from(at), 8]) % 10_000_000_000
            ),
            Who::Special(_) => who.to_string(),
            _ if self.is_official(who) => format!("gh_{}", hex(&[self.seed, who.number(), 9], 12)),
            _ => format!("wxid_{}", hex(&[self.seed, who.number(), 9], 14)),
        }
    }

    /// First letters of the permanent id.
    pub(crate) fn key_word(&self, who: Who) -> String {
        match who {
            Who::Group(_) => String::new(),
            _ => self.permanent_id(who).chars().take(3).collect(),
        }
    }

    /// The group's members, the owner of the account first.
    pub(crate) fn members(&self, group: u32) -> Vec<Who> {
        let mut members = vec![Who::Own];
        if let Some(made) = self.edits.extra_groups.get(&group) {
            members.extend(made.iter().copied());
        } else if group < self.groups {
            let mut taken = BTreeSet::new();
            for at in 1..self.members_per_group.max(2) {
                let friend = group.wrapping_mul(7).wrapping_add(at) % self.contacts.max(1);
                let who = Who::Contact(friend);
                let is_friend = at % 3 == 1 && self.contacts > 0 && !self.is_official(who);
                if is_friend && taken.insert(friend) {
                    members.push(who);
                } else {
                    members.push(Who::Stranger(group, at));
                }
            }
        }
        if let Some(added) = self.edits.members_added.get(&group) {
            for who in added {
                if !members.contains(who) {
                    members.push(*who);
                }
            }
        }
        if let Some(gone) = self.edits.members_gone.get(&group) {
            members.retain(|who| !gone.contains(who));
        }
        members
    }

    /// The group's owner.
    pub(crate) fn room_owner(&self, group: u32) -> Who {
        // Whoever makes a group owns it, as on the phone.
        if group % 6 == 1 || self.edits.extra_groups.contains_key(&group) {
            return Who::Own;
        }
        self.members(group).get(1).copied().unwrap_or(Who::Own)
    }
}

#[cfg(test)]
mod tests {
    use super::{Edits, People};
    use crate::who::Who;

    fn people() -> People {
        People {
            seed: 9,
            contacts: 50,
            groups: 6,
            members_per_group: 8,
            own_nick: "林一".to_owned(),
            invalid_utf8: true,
            edits: Edits::default(),
        }
    }

    #[test]
    fn whoever_makes_a_group_owns_it() {
        let mut people = people();
        people.edits.extra_groups.insert(1_000_000, vec![Who::Contact(3), Who::Contact(4)]);
        assert_eq!(people.room_owner(1_000_000), Who::Own);
        assert_eq!(people.members(1_000_000), [Who::Own, Who::Contact(3), Who::Contact(4)]);
    }

    #[test]
    fn the_same_seed_makes_the_same_people() {
        for at in 0..50 {
            let who = Who::Contact(at);
            assert_eq!(people().nick(who), people().nick(who));
            assert_eq!(people().permanent_id(who), people().permanent_id(who));
        }
        assert_ne!(people().permanent_id(Who::Contact(1)), people().permanent_id(Who::Contact(2)));
    }

    #[test]
    fn twins_differ_in_their_permanent_id_only() {
        let mut people = people();
        let (one, other) = (Who::Contact(4), Who::Contact(9));
        people.edits.twins.insert(other, one);
        let shown = |who| (people.nick(who), people.sex(who), people.attr_status(who), people.place(who));
        assert_eq!(shown(one), shown(other));
        assert_eq!(people.signature(one), people.signature(other));
        assert_ne!(people.permanent_id(one), people.permanent_id(other));
    }

    #[test]
    fn groups_have_us_friends_and_strangers_each_once() {
        let members = people().members(2);
        assert_eq!(members.len(), 8);
        assert!(members.contains(&Who::Own));
        assert!(members.iter().any(|who| matches!(who, Who::Contact(_))));
        assert!(members.iter().any(|who| matches!(who, Who::Stranger(..))));
        let mut unique = members.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), members.len());
    }

    #[test]
    fn edits_win_over_what_is_made_up() {
        let mut people = people();
        people.edits.nicks.insert(Who::Contact(1), "New".to_owned());
        people.edits.members_gone.entry(2).or_default().insert(Who::Own);
        assert_eq!(people.nick(Who::Contact(1)), "New");
        assert!(!people.members(2).contains(&Who::Own));
        people.edits.gone.insert(Who::Contact(1));
        assert!(!people.exists(Who::Contact(1)));
    }
}

//! How much of an account's contacts is held while they are loaded. Lists without end are an account's own
//! trouble; the memory is everybody's.

use wechat_proto::Contact;

use super::record::MAX_MEMBERS;

/// People and groups of one account. The service lets nobody have more than 10,000 friends; twice that
/// leaves room for groups and for those who speak without being friends. Chosen.
/// Source: seen in the service's own help pages, 2023, not confirmed.
const MAX_RECORDS: usize = 20_000;
/// All records together with their members, as they lie in memory: 2,000 groups of a hundred. Four accounts
/// load at once, and each list is held about twice. Chosen.
const MAX_BYTES: usize = 48 << 20;

/// What is held so far, and what did not fit.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    records: usize,
    bytes: usize,
    left_out: u64,
}

impl Bounds {
    /// Lets a record in, without its members where they do not fit.
    pub(crate) fn admit(&mut self, mut record: Contact) -> Option<Contact> {
        if record.member_list.len() > MAX_MEMBERS {
            self.count(record.member_list.len() - MAX_MEMBERS);
            record.member_list.truncate(MAX_MEMBERS);
            record.member_list.shrink_to_fit();
        }
        if self.bytes + weight(&record) > MAX_BYTES {
            self.count(record.member_list.len());
            record.member_list = Vec::new();
        }
        if self.records >= MAX_RECORDS || self.bytes + weight(&record) > MAX_BYTES {
            self.count(1);
            return None;
        }
        self.records += 1;
        self.bytes += weight(&record);
        Some(record)
    }

    /// More was there that was not even asked for.
    pub(crate) fn cut_short(&mut self) {
        self.count(1);
    }

    /// Nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        self.records >= MAX_RECORDS || self.bytes >= MAX_BYTES
    }

    /// People, groups and members that did not fit.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    fn count(&mut self, more: usize) {
        self.left_out = self.left_out.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
    }
}

/// What a record holds: itself, its texts, its members.
fn weight(record: &Contact) -> usize {
    let texts = [
        record.user_name.as_str(),
        record.nick_name.raw(),
        &record.head_img_url,
        record.remark_name.raw(),
        record.signature.raw(),
        &record.py_initial,
        &record.py_quan_pin,
        &record.remark_py_initial,
        &record.remark_py_quan_pin,
        &record.province,
        &record.city,
        &record.alias,
        record.display_name.raw(),
        &record.key_word,
        &record.encry_chat_room_id,
    ];
    let members = record.member_list.iter().map(|member| {
        let texts = [
            member.user_name.as_str(),
            member.nick_name.raw(),
            &member.py_initial,
            &member.py_quan_pin,
            &member.remark_py_initial,
            &member.remark_py_quan_pin,
            member.display_name.raw(),
            &member.key_word,
        ];
        size_of_val(member) + texts.iter().map(|text| text.len()).sum::<usize>()
    });
    size_of_val(record) + texts.iter().map(|text| text.len()).sum::<usize>() + members.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use wechat_proto::{Member, UserName};

    use super::*;

    fn record(members: usize, name_bytes: usize) -> Contact {
        let member = Member { nick_name: "m".repeat(name_bytes).as_str().into(), ..Member::default() };
        let member_list = vec![member; members];
        Contact { user_name: UserName::from("@@g"), member_list, ..Contact::default() }
    }

    #[test]
    fn what_people_have_fits() {
        let mut bounds = Bounds::default();
        for _ in 0..10_000 {
            assert!(bounds.admit(Contact { signature: "a motto".into(), ..record(0, 0) }).is_some());
        }
        for _ in 0..100 {
            assert_eq!(bounds.admit(record(500, 24)).map(|record| record.member_list.len()), Some(500));
        }
        assert_eq!(bounds.left_out(), 0);
    }

    #[test]
    fn a_list_without_end_is_cut_and_counted() {
        let mut bounds = Bounds::default();
        let held = (0..25_000).filter(|_| bounds.admit(record(0, 0)).is_some()).count();
        assert_eq!((held, bounds.left_out(), bounds.is_full()), (20_000, 5_000, true));
    }

    #[test]
    fn large_groups_lose_members_and_not_themselves() {
        let mut bounds = Bounds::default();
        assert_eq!(bounds.admit(record(5_000, 8)).map(|record| record.member_list.len()), Some(2_000));
        assert_eq!(bounds.left_out(), 3_000);
        let mut emptied = 0;
        for _ in 0..100 {
            let held = bounds.admit(record(2_000, 400)).map(|record| record.member_list.len());
            emptied += usize::from(held == Some(0));
        }
        assert!(emptied > 30, "{emptied}");
        assert!(bounds.bytes <= MAX_BYTES);
    }

    #[test]
    fn one_record_that_is_too_large_is_left_out() {
        let mut bounds = Bounds::default();
        let huge = Contact { signature: "x".repeat(MAX_BYTES).as_str().into(), ..record(0, 0) };
        assert!(bounds.admit(huge).is_none());
        assert_eq!(bounds.left_out(), 1);
        assert!(bounds.admit(record(3, 3)).is_some(), "the next one fits");
    }
}

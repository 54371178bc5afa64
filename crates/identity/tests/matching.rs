//! The matcher on small address books, told as stories.

use proptest::prelude::*;
use wxgate_identity::{
    Book, Codes, Field, Group, GroupMember, GroupSight, Kind, Login, MarkState, MemberSight, Person, Profile,
    Seen, Sight, Verdict, recognise, text_code,
};

const WEEK_S: i64 = 604_800;

/// Somebody whose every field is their own.
fn somebody(n: u64) -> Sight {
    let mut codes: Codes = [0; Field::COUNT];
    for field in Field::ALL {
        codes[field as usize] = match field {
            Field::Sex => 1 + n % 2,
            Field::Sns => 17,
            Field::Star | Field::Pin | Field::Mute => 1,
            Field::KeyWord => 0,
            Field::NameLen => 64,
            Field::Remark if n.is_multiple_of(2) => 0,
            Field::Attr => 4096 + n * 37,
            _ => text_code(&format!("{}{n}", field.word())),
        };
    }
    Sight { kind: Kind::Person, seq: 0, codes, marker: None }
}

fn set(sight: &mut Sight, field: Field, code: u64) {
    sight.codes[field as usize] = code;
}

fn named(login: u32, n: usize) -> String {
    format!("@{login}-{n}")
}

/// A login of these people, in another order each time.
fn login(at: u32, people: &[Sight]) -> Login {
    let mut people: Vec<Person> = people
        .iter()
        .enumerate()
        .map(|(n, sight)| Person { name: named(at, n), sight: sight.clone() })
        .collect();
    let half = people.len() / 2;
    people.rotate_left(if at.is_multiple_of(2) { 0 } else { half });
    Login { uin: 7, at_s: 1_700_000_000 + i64::from(at) * WEEK_S, bound: 0, people, ..Login::default() }
}

/// Matches and applies; the ids by the number of the person.
fn see(book: &mut Book, login: &Login, at: u32) -> Vec<(String, bool)> {
    let verdicts = recognise(book, login);
    assert_eq!(verdicts, recognise(book, login), "the same input gives the same answers");
    let answers = book.apply(login, &verdicts, |name| format!("id of {name}"));
    let count = login.people.len() + login.groups.len();
    let mut ids: Vec<(String, bool)> = Vec::new();
    for n in 0..count {
        let answer = answers.records.iter().find(|answer| answer.name == named(at, n));
        ids.extend(answer.map(|answer| (answer.id.clone(), answer.is_open)));
    }
    ids
}

fn world() -> Vec<Sight> {
    (0..60).map(somebody).collect()
}

fn started() -> (Book, Vec<(String, bool)>) {
    let mut book = Book::default();
    let ids = see(&mut book, &login(0, &world()), 0);
    assert!(ids.iter().all(|(_, open)| !open));
    (book, ids)
}

#[test]
fn everybody_is_known_again_without_versions() {
    let (mut book, ids) = started();
    assert_eq!(see(&mut book, &login(1, &world()), 1), ids);
}

#[test]
fn an_equal_version_is_believed_while_the_names_agree_with_it() {
    let versioned = |shift: usize| -> Vec<Sight> {
        let all = world();
        let of = |n: usize| i64::try_from(1000 + n).unwrap();
        (0..all.len()).map(|n| Sight { seq: of((n + shift) % all.len()), ..all[n].clone() }).collect()
    };
    let mut book = Book::default();
    let ids = see(&mut book, &login(0, &versioned(0)), 0);
    let verdicts = recognise(&book, &login(1, &versioned(0)));
    assert!(verdicts.kept.versions);
    // The same numbers at other people: the service counted anew, and versions say nothing at this login.
    let verdicts = recognise(&book, &login(1, &versioned(1)));
    assert!(!verdicts.kept.versions);
    assert_eq!(see(&mut book, &login(1, &versioned(1)), 1), ids);
}

#[test]
fn one_new_name_or_picture_does_not_hide_anybody() {
    let (mut book, ids) = started();
    let mut people = world();
    set(&mut people[3], Field::Nick, text_code("something else"));
    set(&mut people[8], Field::Avatar, text_code("another picture"));
    assert_eq!(see(&mut book, &login(1, &people), 1), ids);
}

#[test]
fn a_remark_that_was_taken_away_hides_nobody_and_is_asked_about_in_a_small_book() {
    // Whoever copies a public profile has no remark either; how much the rest says grows with the book.
    for (count, is_open) in [(60, true), (600, false)] {
        let mut people: Vec<Sight> = (0..count).map(somebody).collect();
        let mut book = Book::default();
        let ids = see(&mut book, &login(0, &people), 0);
        set(&mut people[9], Field::Remark, 0);
        let seen = see(&mut book, &login(1, &people), 1);
        assert_eq!(seen[9].1, is_open, "{count} contacts");
        assert!(is_open || seen == ids, "{count} contacts");
        assert!(ids.iter().all(|id| id.0 != seen[9].0 || id == &ids[9]), "nobody else's chat");
    }
}

#[test]
fn a_newcomer_who_copies_somebody_who_left_is_not_taken_for_them() {
    let (mut book, ids) = started();
    let mut people = world();
    let mut impostor = somebody(999);
    for field in [Field::Nick, Field::Avatar, Field::Sex, Field::Region, Field::Signature] {
        set(&mut impostor, field, people[4].code(field));
    }
    people[4] = impostor;
    let seen = see(&mut book, &login(1, &people), 1);
    assert_ne!(seen[4].0, ids[4].0);
}

#[test]
fn a_remark_that_moved_to_somebody_else_moves_nobody() {
    let (mut book, ids) = started();
    let mut people = world();
    let courier = people[5].code(Field::Remark);
    people[5] = somebody(998);
    set(&mut people[5], Field::Remark, courier);
    let seen = see(&mut book, &login(1, &people), 1);
    assert_ne!(seen[5].0, ids[5].0, "a remark alone is no link");
}

#[test]
fn two_who_exchange_name_and_picture_are_told_apart_or_asked_about() {
    let (mut book, ids) = started();
    let mut people = world();
    for field in [Field::Nick, Field::Avatar] {
        let (a, b) = (people[10].code(field), people[12].code(field));
        set(&mut people[10], field, b);
        set(&mut people[12], field, a);
    }
    let seen = see(&mut book, &login(1, &people), 1);
    assert_ne!(seen[10].0, ids[12].0);
    assert_ne!(seen[12].0, ids[10].0);
}

#[test]
fn another_account_matches_nobody() {
    let (book, _) = started();
    let other = Login { uin: 8, ..login(1, &world()) };
    assert!(recognise(&book, &other).people.iter().all(|verdict| *verdict == Verdict::New));
    let mut book = book;
    let seen = see(&mut book, &other, 1);
    assert_eq!(book.people.len(), seen.len(), "what was known belongs to another account");
}

#[test]
fn who_is_absent_is_kept_and_known_again_later() {
    let (mut book, ids) = started();
    see(&mut book, &login(1, &world()[..50]), 1);
    assert_eq!(see(&mut book, &login(2, &world()), 2), ids);
}

#[test]
fn a_field_that_goes_dark_for_everybody_is_no_disagreement() {
    let (mut book, ids) = started();
    let mut people = world();
    for sight in &mut people {
        set(sight, Field::Signature, 0);
        let code = sight.code(Field::Avatar);
        set(sight, Field::Avatar, code ^ 1); // all pictures re-encoded
    }
    assert_eq!(see(&mut book, &login(1, &people), 1), ids);
    let before = world()[3].code(Field::Signature);
    let profile = book.people.iter().find(|profile| profile.id == ids[3].0).unwrap();
    assert_eq!(profile.sight.code(Field::Signature), before, "what the service hid is not forgotten");
}

/// Everything public of person 6 is new, and the settings are those of many: nobody can tell.
fn unclear() -> (Book, Vec<(String, bool)>, Vec<Sight>) {
    let mut start = world();
    for sight in start.iter_mut().take(8) {
        set(sight, Field::Attr, 5000);
    }
    let mut book = Book::default();
    let ids = see(&mut book, &login(0, &start), 0);
    let mut people = start;
    for field in [Field::Nick, Field::Avatar, Field::Signature] {
        set(&mut people[6], field, text_code(&format!("new {}", field.word())));
    }
    (book, ids, people)
}

#[test]
fn thin_evidence_is_a_question_and_the_answer_is_final() {
    let (mut book, ids, people) = unclear();
    let seen = see(&mut book, &login(1, &people), 1);
    let (open, is_open) = seen[6].clone();
    assert!(is_open && open != ids[6].0);
    let profile = book.people.iter().find(|profile| profile.id == open).unwrap();
    assert!(profile.open.contains(&ids[6].0), "the right one is among those named");

    // Unanswered: the same question at the next login, under the same id.
    let mut later = book.clone();
    assert_eq!(see(&mut later, &login(2, &people), 2)[6], (open.clone(), true));

    let lesson = book.resolve(&open, Some(&ids[6].0), |_| unreachable!("nobody is displaced"));
    assert_eq!(lesson.moved, [(open.clone(), ids[6].0.clone())]);
    assert_eq!(see(&mut book, &login(2, &people), 2), ids);
}

#[test]
fn somebody_new_is_an_answer_too_and_the_old_profile_stays() {
    let (mut book, ids, people) = unclear();
    let open = see(&mut book, &login(1, &people), 1)[6].0.clone();
    let lesson = book.resolve(&open, None, |_| unreachable!("nobody is displaced"));
    assert_eq!(lesson.settled, std::slice::from_ref(&open));
    assert_eq!(see(&mut book, &login(2, &people), 2)[6], (open, false));
    assert!(book.people.iter().any(|profile| profile.id == ids[6].0));
}

#[test]
fn a_permanent_name_answers_the_question_by_itself() {
    let (mut book, ids, people) = unclear();
    book.learn(&ids[6].0, text_code("wxid_fixture6"), |_| unreachable!());
    let open = see(&mut book, &login(1, &people), 1)[6].0.clone();
    let lesson = book.learn(&open, text_code("wxid_fixture6"), |_| unreachable!());
    assert_eq!(lesson.moved, [(open, ids[6].0.clone())]);
}

#[test]
fn a_permanent_name_that_contradicts_gives_the_old_profile_its_record_back() {
    let (mut book, ids) = started();
    book.learn(&ids[2].0, text_code("wxid_fixture2"), |_| unreachable!());
    let mut people = world();
    set(&mut people[2], Field::Nick, text_code("renamed"));
    assert_eq!(see(&mut book, &login(1, &people), 1), ids);
    let lesson = book.learn(&ids[2].0, text_code("wxid_other"), |_| "fresh".to_owned());
    assert_eq!(lesson.moved, [(ids[2].0.clone(), "fresh".to_owned())]);
    let find = |id: &str| book.people.iter().find(|profile| profile.id == id).unwrap();
    assert_eq!(find(&ids[2].0).sight, world()[2], "the record from before");
    assert_eq!(find("fresh").sight, people[2]);
    assert_eq!(find("fresh").permanent, text_code("wxid_other"));
}

#[test]
fn of_two_records_that_change_places_each_has_an_id_of_its_own() {
    let (mut book, ids) = started();
    let (anna, bo) = (ids[2].0.clone(), ids[3].0.clone());
    book.learn(&anna, 1, |_| unreachable!());
    book.learn(&bo, 2, |_| unreachable!());
    // Linked crosswise: the record of each stands under the other's id.
    let lesson = book.learn(&bo, 1, |id| format!("new-{id}"));
    let (new_anna, new_bo) = (format!("new-{anna}"), format!("new-{bo}"));
    let moved = [(bo.clone(), new_bo.clone()), (anna.clone(), new_anna.clone()), (new_bo, anna.clone())];
    assert_eq!(lesson.moved, moved);
    assert_eq!(lesson.ends(), [(bo.as_str(), anna.as_str()), (anna.as_str(), new_anna.as_str())]);
}

#[test]
fn an_id_that_is_somebody_is_given_to_nobody_else() {
    let (mut book, ids) = started();
    book.learn(&ids[2].0, 1, |_| unreachable!());
    let lesson = book.learn(&ids[2].0, 2, |id| id.to_owned());
    let fresh = format!("{}-2", ids[2].0);
    assert_eq!(lesson.moved, [(ids[2].0.clone(), fresh.clone())]);
    let count = |id: &str| book.people.iter().filter(|known| known.id == *id).count();
    assert_eq!([count(&ids[2].0), count(&fresh)], [1, 1]);
}

#[test]
fn a_permanent_name_stored_from_inside_of_media_is_not_believed() {
    let (book, ids) = started();
    let mut stored = serde_json::to_value(book.people.iter().find(|known| known.id == ids[2].0)).unwrap();
    stored["permanent"] = 7.into();
    let read: Profile = serde_json::from_value(stored).unwrap();
    assert_eq!(read.permanent, 0);
    let stored = serde_json::to_vec(&Profile { permanent: 7, ..read }).unwrap();
    assert_eq!(serde_json::from_slice::<Profile>(&stored).unwrap().permanent, 7);
}

#[test]
fn a_link_can_be_taken_back() {
    let (mut book, ids) = started();
    let mut people = world();
    set(&mut people[2], Field::Nick, text_code("renamed"));
    see(&mut book, &login(1, &people), 1);
    let lesson = book.undo(&ids[2].0, |_| "fresh".to_owned());
    assert_eq!(lesson.moved, [(ids[2].0.clone(), "fresh".to_owned())]);
    assert_eq!(see(&mut book, &login(2, &people), 2)[2].0, "fresh", "the mistake is not made again");
}

#[test]
fn that_somebody_is_new_can_be_taken_back_and_the_question_is_open_again() {
    let (mut book, ids, people) = unclear();
    let open = see(&mut book, &login(1, &people), 1)[6].0.clone();
    let asked = |book: &Book| book.people.iter().find(|known| known.id == open).unwrap().open.clone();
    let candidates = asked(&book);
    assert!(candidates.contains(&ids[6].0));
    book.resolve(&open, None, |_| unreachable!("nobody is displaced"));
    assert!(asked(&book).is_empty());
    let lesson = book.undo(&open, |_| unreachable!("nobody is displaced"));
    assert_eq!((&lesson.reopened, lesson.moved.len()), (&vec![open.clone()], 0));
    assert_eq!(asked(&book), candidates);
    let lesson = book.resolve(&open, Some(&ids[6].0), |_| unreachable!("nobody is displaced"));
    assert_eq!(lesson.moved, [(open, ids[6].0.clone())]);
}

#[test]
fn a_wrong_answer_can_be_taken_back_and_another_one_given() {
    let (mut book, ids, people) = unclear();
    let open = see(&mut book, &login(1, &people), 1)[6].0.clone();
    let at = book.people.iter().position(|known| known.id == open).unwrap();
    // Somebody who was there before and is not now.
    book.people.push(Profile::new("absent".to_owned(), somebody(99), Seen::default()));
    book.people[at].open.push("absent".to_owned());
    let asked = book.people[at].open.clone();
    book.resolve(&open, Some("absent"), |_| unreachable!("nobody is displaced"));
    let lesson = book.undo("absent", |_| open.clone());
    assert_eq!(lesson.moved, [("absent".to_owned(), open.clone())]);
    assert_eq!(lesson.reopened, std::slice::from_ref(&open));
    let again = book.people.iter().find(|known| known.id == open).unwrap();
    assert_eq!((&again.open, &*again.taken_back), (&asked, &["absent".to_owned()][..]));
    let lesson = book.resolve(&open, Some(&ids[6].0), |_| unreachable!("nobody is displaced"));
    assert_eq!(lesson.moved, [(open, ids[6].0.clone())]);
    assert_eq!(see(&mut book, &login(2, &people), 2)[6].0, ids[6].0);
}

#[test]
fn the_answer_of_an_earlier_login_is_a_link_by_now_and_is_taken_back_as_one() {
    let (mut book, _, people) = unclear();
    let open = see(&mut book, &login(1, &people), 1)[6].0.clone();
    book.resolve(&open, None, |_| unreachable!("nobody is displaced"));
    see(&mut book, &login(2, &people), 2);
    let lesson = book.undo(&open, |_| "fresh".to_owned());
    assert_eq!((lesson.reopened.len(), lesson.moved), (0, vec![(open, "fresh".to_owned())]));
}

fn group(at: u32, n: usize, title: &str, members: &[usize], owned: bool) -> Group {
    let member = |m: &usize| GroupMember {
        name: if *m == 0 { "@me".to_owned() } else { named(at, *m) },
        is_self: *m == 0,
        sight: MemberSight {
            nick: text_code(&format!("member {m}")),
            attr: 4096 + *m as u64,
            name_len: 64,
            ..MemberSight::default()
        },
    };
    let sight =
        GroupSight { title: text_code(title), is_owned: owned, name_len: 64, ..GroupSight::default() };
    Group { name: named(at, n), sight, members: members.iter().map(member).collect() }
}

#[test]
fn groups_of_the_same_people_are_told_apart_by_the_order_of_their_members() {
    let lists: [&[usize]; 3] = [&[0, 1, 2, 3, 4, 5, 6], &[4, 2, 6, 0, 1, 5, 3], &[10, 0, 11, 12, 13, 14]];
    let groups = |at: u32, order: [usize; 3]| -> Login {
        let mut login = login(at, &world());
        login.groups = order.map(|g| group(at, 100 + g, "family", lists[g], false)).to_vec();
        login
    };
    let mut book = Book::default();
    let answer = |book: &mut Book, login: &Login, at: u32| {
        let verdicts = recognise(book, login);
        let answers = book.apply(login, &verdicts, |name| format!("id of {name}"));
        [100, 101, 102].map(|n| answers.records.iter().find(|a| a.name == named(at, n)).unwrap().id.clone())
    };
    let first = answer(&mut book, &groups(0, [0, 1, 2]), 0);
    assert_eq!(answer(&mut book, &groups(1, [1, 2, 0]), 1), first);
}

#[test]
fn a_member_who_is_no_contact_keeps_an_id_from_login_to_login() {
    let with_group = |at: u32, members: &[usize]| {
        let mut login = login(at, &world());
        login.groups = vec![group(at, 100, "club", members, false)];
        login
    };
    let mut book = Book::default();
    // 70 and above are in no address book.
    let first = with_group(0, &[0, 1, 2, 70, 3, 71, 4, 5]);
    let verdicts = recognise(&book, &first);
    let ids = book.apply(&first, &verdicts, |name| format!("id of {name}")).strangers;
    let second = with_group(1, &[0, 1, 2, 70, 3, 71, 4, 5, 72]);
    let verdicts = recognise(&book, &second);
    let again = book.apply(&second, &verdicts, |name| format!("id of {name}")).strangers;
    assert_eq!(again[&named(1, 70)], ids[&named(0, 70)]);
    assert_eq!(again[&named(1, 71)], ids[&named(0, 71)]);
    assert_eq!(again[&named(1, 72)], format!("id of {}", named(1, 72)));
}

prop_compose! {
    fn odd_sight()(
        official in any::<bool>(),
        seq in prop_oneof![Just(0_i64), Just(-1), Just(i64::MAX), 0_i64..40],
        codes in proptest::collection::vec(prop_oneof![Just(0_u64), Just(u64::MAX), 0_u64..4], Field::COUNT),
    ) -> Sight {
        let mut all = [0; Field::COUNT];
        all.copy_from_slice(&codes);
        Sight { kind: if official { Kind::Official } else { Kind::Person }, seq, codes: all, marker: None }
    }
}

prop_compose! {
    fn odd_login()(
        people in proptest::collection::vec((0_u8..30, odd_sight()), 0..25),
        groups in proptest::collection::vec((0_u8..9, any::<bool>(), 0_u64..3, proptest::collection::vec((0_u8..35, 0_u64..5), 0..9)), 0..7),
        at_s in prop_oneof![Just(0), Just(-5), Just(i64::MIN), Just(i64::MAX), 0_i64..9_000_000],
        bound in prop_oneof![Just(0), Just(i64::MIN), 0_i64..60],
        uin in 0_i64..3,
    ) -> Login {
        let people = people.into_iter().map(|(name, sight)| Person { name: format!("@{name}"), sight }).collect();
        let groups = groups.into_iter().map(|(name, is_owned, title, members)| Group {
            name: format!("@@{name}"),
            sight: GroupSight { title, is_owned, ..GroupSight::default() },
            members: members.into_iter().map(|(name, nick)| GroupMember {
                name: format!("@{name}"),
                is_self: name == 0,
                sight: MemberSight { nick, ..MemberSight::default() },
            }).collect(),
        }).collect();
        Login { uin, at_s, bound, people, groups, ..Login::default() }
    }
}

proptest! {
    #[test]
    fn odd_values_break_nothing_and_nobody_is_two_people(logins in proptest::collection::vec(odd_login(), 1..5)) {
        let mut book = Book::default();
        let mut minted = 0;
        for login in &logins {
            let verdicts = recognise(&book, login);
            prop_assert_eq!(&verdicts, &recognise(&book, login));
            prop_assert_eq!(verdicts.people.len(), login.people.len());
            prop_assert_eq!(verdicts.groups.len(), login.groups.len());
            let answers = book.apply(login, &verdicts, |_| { minted += 1; minted.to_string() });
            let mut ids: Vec<&str> = answers.records.iter().map(|answer| answer.id.as_str()).collect();
            let all = ids.len();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), all, "two records of one login are never one");
            for (at, answer) in answers.records.iter().enumerate() {
                let (id, other) = (answer.id.as_str(), answers.records.get(at / 2).map(|other| other.id.as_str()));
                match at % 4 {
                    0 => drop(book.resolve(id, None, |_| { minted += 1; minted.to_string() })),
                    1 => drop(book.learn(id, at as u64 % 3, |_| { minted += 1; minted.to_string() })),
                    2 => drop(book.resolve(id, other, |_| { minted += 1; minted.to_string() })),
                    _ => drop(book.undo(id, |_| { minted += 1; minted.to_string() })),
                }
            }
            let json = serde_json::to_string(&book).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Book>(&json).unwrap(), &book);
            let mut ids: Vec<&str> = book.people.iter().map(|known| known.id.as_str()).collect();
            ids.extend(book.groups.iter().map(|known| known.id.as_str()));
            let all = ids.len();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), all, "an id is one profile");
        }
    }
}

/// Everything public and private that can change about somebody, changed.
fn made_over(sight: &Sight) -> Sight {
    let mut other = somebody(900);
    other.codes[Field::NameLen as usize] = sight.codes[Field::NameLen as usize];
    other.codes[Field::Remark as usize] = sight.codes[Field::Remark as usize];
    other
}

#[test]
fn a_marker_knows_somebody_of_whom_one_thing_of_their_own_is_left() {
    let (mut book, ids) = started();
    let marked = book.mark(&ids[4].0).expect("is present");
    let mut people = world();
    people[4] = Sight { marker: Some(marked.marker), ..made_over(&people[4]) };
    set(&mut people[4], Field::Signature, world()[4].codes[Field::Signature as usize]);
    let seen = see(&mut book, &login(1, &people), 1);
    assert_eq!(seen[4], (ids[4].0.clone(), false));
    let known = book.people.iter().find(|known| known.id == ids[4].0).unwrap();
    assert!(known.why.unwrap().words().contains("your marker"), "{:?}", known.why);
    assert_eq!(book.mark_state(known), Some(MarkState::There));
}

#[test]
fn a_remark_that_was_given_to_somebody_else_with_its_marker_is_a_question() {
    let (mut book, ids) = started();
    let marked = book.mark(&ids[4].0).unwrap();
    let mut people = world();
    people[4] = Sight { marker: Some(marked.marker), ..made_over(&people[4]) };
    let seen = see(&mut book, &login(1, &people), 1);
    assert!(seen[4].1 && seen[4].0 != ids[4].0, "{:?}", seen[4]);
    let open = book.people.iter().find(|known| known.id == seen[4].0).unwrap();
    assert_eq!(open.open[0], ids[4].0, "the contact of the marker is named first");
}

#[test]
fn a_marker_proves_nothing_against_what_never_changes() {
    let (mut book, ids) = started();
    let marked = book.mark(&ids[4].0).unwrap();
    let mut people = world();
    people[4] = Sight { marker: Some(marked.marker), ..made_over(&people[4]) };
    set(&mut people[4], Field::Signature, world()[4].codes[Field::Signature as usize]);
    set(&mut people[4], Field::NameLen, 32);
    let seen = see(&mut book, &login(1, &people), 1);
    assert_ne!(seen[4].0, ids[4].0);
}

#[test]
fn a_marker_on_two_contacts_is_void_for_both() {
    let (mut book, ids) = started();
    let marked = book.mark(&ids[4].0).unwrap();
    let mut people = world();
    people[4] = Sight { marker: Some(marked.marker), ..made_over(&people[4]) };
    set(&mut people[4], Field::Signature, world()[4].codes[Field::Signature as usize]);
    people[5].marker = Some(marked.marker);
    let seen = see(&mut book, &login(1, &people), 1);
    assert_ne!(seen[4], (ids[4].0.clone(), false), "not by the marker");
    assert_eq!(seen[5], (ids[5].0.clone(), false), "known by everything else");
    let mut back = world();
    (back[4].marker, back[5].marker) = (Some(marked.marker), Some(marked.marker));
    let (mut book, ids) = started();
    book.mark(&ids[4].0).unwrap();
    see(&mut book, &login(1, &back), 1);
    let known = book.people.iter().find(|known| known.id == ids[4].0).unwrap();
    assert_eq!(book.mark_state(known), Some(MarkState::Void));
}

#[test]
fn a_marker_that_is_edited_away_costs_nothing_but_itself() {
    let (mut book, ids) = started();
    let mut marked = book.mark(&ids[4].0).unwrap();
    marked.written = book.login;
    let place = book.people.iter().position(|known| known.id == ids[4].0).unwrap();
    book.people[place].marked = Some(marked);
    assert_eq!(book.mark_state(&book.people[place]), Some(MarkState::Written));
    assert_eq!(see(&mut book, &login(1, &world()), 1), ids);
    assert_eq!(book.mark_state(&book.people[place]), Some(MarkState::NotKept));
}

#[test]
fn a_marker_whose_link_the_owner_takes_back_leads_nowhere_any_more() {
    let (mut book, ids) = started();
    let marked = book.mark(&ids[4].0).unwrap();
    let mut people = world();
    people[4] = Sight { marker: Some(marked.marker), ..made_over(&people[4]) };
    set(&mut people[4], Field::Signature, world()[4].codes[Field::Signature as usize]);
    see(&mut book, &login(1, &people), 1);
    let lesson = book.undo(&ids[4].0, |_| "somebody else".to_owned());
    assert_eq!(lesson.moved, [(ids[4].0.clone(), "somebody else".to_owned())]);
    let seen = see(&mut book, &login(2, &people), 2);
    assert_eq!(seen[4].0, "somebody else");
}

#[test]
fn a_marker_goes_when_it_was_taken_away_and_no_two_are_alike() {
    let (mut book, ids) = started();
    let marks: std::collections::BTreeSet<_> =
        ids.iter().map(|(id, _)| book.mark(id).unwrap().marker).collect();
    assert_eq!(marks.len(), ids.len());
    let mut people = world();
    people[4].marker =
        book.people.iter().find(|known| known.id == ids[4].0).unwrap().marked.map(|m| m.marker);
    see(&mut book, &login(1, &people), 1);
    assert_eq!(book.unmark(&ids[4].0), Some(true), "it has to be taken out of the remark");
    assert_eq!(book.unmark(&ids[5].0), Some(false), "it never was in the remark");
    see(&mut book, &login(2, &world()), 2);
    assert!(book.people.iter().find(|known| known.id == ids[4].0).unwrap().marked.is_none());
    assert_eq!(book.unmark(&ids[4].0), None);
}

#[test]
fn a_second_look_at_a_login_keeps_who_is_settled_and_finds_who_was_not_listed() {
    let (mut book, ids) = started();
    // Nobody but the last is in the first list of the second login, and everybody's evidence has moved since.
    let all = world();
    let listed = |people: &[Sight]| {
        let mut seen = login(1, people);
        seen.people.retain(|person| person.name != named(1, 5));
        seen
    };
    see(&mut book, &listed(&all), 1);
    let before = book.people.iter().find(|known| known.id == ids[2].0).unwrap().before.clone();
    let mut people = all;
    people.swap(2, 3);
    let mut again = login(1, &people);
    let settled = (0..60).filter(|n| *n != 5).map(|n| (named(1, n), ids[n].0.clone()));
    again.known = settled.collect();
    assert_eq!(see(&mut book, &again, 1), ids, "names decide where they are known, and evidence where not");
    let known = book.people.iter().find(|known| known.id == ids[2].0).unwrap();
    assert_eq!((&known.sight, known.seen.login, book.login), (&people[2], 2, 2));
    assert_eq!(known.before, before, "what a link can be taken back to stays");
}

#[test]
fn at_a_second_look_nobody_is_somebody_with_another_name_in_the_same_login() {
    let (mut book, ids) = started();
    see(&mut book, &login(1, &world()), 1);
    let mut again = login(1, &world());
    again.people.retain(|person| person.name != named(1, 5));
    again.known = (0..60).filter(|n| *n != 5).map(|n| (named(1, n), ids[n].0.clone())).collect();
    again.people.push(Person { name: "@another".to_owned(), sight: somebody(5) });
    let verdicts = recognise(&book, &again);
    assert_eq!(verdicts.people.last(), Some(&Verdict::New));
    let answers = book.apply(&again, &verdicts, |name| format!("id of {name}"));
    assert_eq!(answers.records.last().unwrap().id, "id of @another");
}

#[test]
fn who_is_proven_is_nobody_with_another_permanent_name_whatever_the_evidence_says() {
    let (mut book, ids) = started();
    book.learn(&ids[3].0, 8, |_| unreachable!());
    book.learn(&ids[5].0, 9, |_| unreachable!());
    let mut people = world();
    people[5] = somebody(999);
    let mut shown = login(1, &people);
    assert_eq!(see(&mut book.clone(), &shown, 1)[3], ids[3], "by all evidence");
    shown.proven = [(named(1, 3), 7), (named(1, 5), 9)].into();
    let seen = see(&mut book, &shown, 1);
    assert_eq!(seen[3], ("id of @1-3".to_owned(), false), "nor is it asked");
    assert_eq!(seen[5], ids[5], "and a proof needs no evidence");
    let others = |at: usize| at != 3 && at != 5;
    assert!((0..60).filter(|at| others(*at)).all(|at| seen[at] == ids[at]), "nobody else is touched");
}

#[test]
fn a_group_that_is_proven_is_no_group_with_another_permanent_name() {
    let with = |at: u32, numbers: &[usize]| {
        let mut login = login(at, &world());
        let made = |n: &usize| group(at, *n, &format!("club {n}"), &[0, 1, 2, 3, 4, 5, 6], false);
        login.groups = numbers.iter().map(made).collect();
        login
    };
    let id = |book: &mut Book, login: &Login, name: &str| {
        let verdicts = recognise(book, login);
        let answers = book.apply(login, &verdicts, |name| format!("id of {name}"));
        answers.records.into_iter().find(|answer| answer.name == name).unwrap().id
    };
    let mut book = Book::default();
    let first = id(&mut book, &with(0, &[100]), &named(0, 100));
    book.learn(&first, 8, |_| unreachable!());
    let mut again = with(1, &[100]);
    assert_eq!(id(&mut book.clone(), &again, &named(1, 100)), first, "by all evidence");
    again.proven = [(named(1, 100), 7)].into();
    assert_eq!(id(&mut book.clone(), &again, &named(1, 100)), "id of @1-100");
    let mut changed = with(1, &[100]);
    changed.groups = vec![group(1, 100, "another title", &[0, 20, 21, 22], true)];
    changed.proven = [(named(1, 100), 8)].into();
    assert_eq!(id(&mut book, &changed, &named(1, 100)), first);
}

#[test]
fn whoever_a_proof_says_is_present_is_nobody_else_at_the_next_look() {
    let (mut book, ids) = started();
    book.learn(&ids[5].0, 9, |_| unreachable!());
    let listed = |at: u32| {
        let mut seen = login(at, &world());
        seen.people.retain(|person| person.name != named(at, 5));
        seen
    };
    see(&mut book, &listed(1), 1);
    // A sync made a profile for a name that no list showed, and a recall says who it is.
    book.people.push(Profile::new("made".to_owned(), somebody(5), Seen { at_s: 1, ..Seen::default() }));
    let lesson = book.learn("made", 9, |_| unreachable!());
    assert_eq!(lesson.moved, [("made".to_owned(), ids[5].0.clone())]);
    let known = book.people.iter().find(|known| known.id == ids[5].0).unwrap();
    assert_eq!((known.seen.login, known.before.is_some()), (book.login, true));
    let mut again = listed(1);
    again.known = (0..60).filter(|n| *n != 5).map(|n| (named(1, n), ids[n].0.clone())).collect();
    again.people.push(Person { name: "@twin".to_owned(), sight: somebody(5) });
    assert_eq!(recognise(&book, &again).people.last(), Some(&Verdict::New), "two names on one id");
}

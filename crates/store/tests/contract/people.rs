//! People of the instance, their accounts, and links.

use wxgate_contract::*;
use wxgate_store::*;

use crate::setup::*;

fn name(text: &str) -> UserName {
    text.into()
}

#[tokio::test]
async fn names_that_addresses_cannot_carry_or_tell_apart_are_refused() {
    each_engine(|bench| async move {
        let store = &bench.store;
        store.add_user(&name("ann"), None, false).await.unwrap();
        let account =
            async |text: &str| store.add_account(&text.into(), &name("ann")).await.map(|row| row.network);
        for dots in [".", ".."] {
            let refused = store.add_user(&name(dots), None, false).await.unwrap_err();
            assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
            let refused = account(&format!("wechat:{dots}")).await.unwrap_err();
            assert!(matches!(refused, StoreError::Invalid { .. }), "{refused}");
        }
        store.add_user(&name("a.b"), None, false).await.unwrap();
        account("wechat:...").await.unwrap();
        account("wechat:Paula").await.unwrap();
        let refused = account("wechat:paula").await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
        assert!(refused.to_string().contains("differs from wechat:Paula only by its case"), "{refused}");
        let refused = account("wechat:Paula").await.unwrap_err();
        assert!(refused.to_string().contains("there is an account wechat:Paula already"), "{refused}");
        // What an earlier version let in stays what it is.
        let text = "INSERT INTO network (id, name) VALUES (901, 'wechat:PAULA'), (902, 'wechat:..')";
        bench.change(text).await;
        let text = "INSERT INTO account (network, owner, own_name, wants_online, is_leaving, created_ms) \
                    SELECT id, 'ann', '', 0, 0, 1 FROM network WHERE id > 900";
        bench.change(text).await;
        let bench = bench.reopen().await;
        let all = bench.store.accounts().await.unwrap();
        assert_eq!(all.len(), 4, "{all:?}");
        bench
    })
    .await;
}

#[tokio::test]
async fn passwords_and_tokens_open_the_door_to_their_owner_only() {
    each_engine(|bench| async move {
        let store = &bench.store;
        store.add_user(&name("ann"), Some("s3cret"), true).await.unwrap();
        store.add_user(&name("bob"), None, false).await.unwrap();
        let taken = store.add_user(&name("ann"), None, false).await.unwrap_err();
        assert!(matches!(taken, StoreError::Conflict { .. }), "{taken}");
        assert!(store.verify_password(&name("ann"), "s3cret").await.unwrap().is_some());
        // Each of these costs a whole Argon2 run, which is slow in a debug build.
        for (who, password) in [("ann", "wrong"), ("bob", "s3cret"), ("nobody", "s3cret")] {
            assert!(store.verify_password(&name(who), password).await.unwrap().is_none(), "{who} {password}");
        }
        store.set_password(&name("bob"), Some("new")).await.unwrap();
        assert!(store.verify_password(&name("bob"), "new").await.unwrap().is_some());
        store.set_password(&name("bob"), None).await.unwrap();
        assert!(!store.user(&name("bob")).await.unwrap().unwrap().has_password);
        let token = store.add_token(&name("ann"), "main", Opens::ALL).await.unwrap();
        assert_eq!(store.verify_token(&token).await.unwrap(), Some((name("ann"), Opens::ALL)));
        let newer = store.add_token(&name("ann"), "main", Opens::READ).await.unwrap();
        assert_eq!(store.verify_token(&token).await.unwrap(), None, "the old one is forgotten");
        assert_eq!(store.verify_token(&newer).await.unwrap(), Some((name("ann"), Opens::READ)));
        assert_eq!(store.verify_token("").await.unwrap(), None);
        let ann = UserRow {
            name: name("ann"),
            is_admin: true,
            has_password: true,
            has_token: true,
            accounts_max: None,
        };
        let bob = UserRow {
            name: name("bob"),
            is_admin: false,
            has_password: false,
            has_token: false,
            accounts_max: None,
        };
        assert_eq!(store.users().await.unwrap(), [ann.clone(), bob]);
        assert_eq!(store.user(&name("ann")).await.unwrap(), Some(ann));
        store.remove_user(&name("bob")).await.unwrap();
        assert!(matches!(store.remove_user(&name("bob")).await, Err(StoreError::Invalid { .. })));
        assert!(matches!(
            store.add_token(&name("bob"), "main", Opens::ALL).await,
            Err(StoreError::Invalid { .. })
        ));
        assert!(matches!(
            store.add_user(&name("eve"), Some(""), false).await,
            Err(StoreError::Invalid { .. })
        ));
        bench
    })
    .await;
}

#[tokio::test]
async fn how_many_accounts_somebody_may_have_is_kept() {
    each_engine(|bench| async move {
        let quota = async |bench: &Bench| bench.store.user(&name("ann")).await.unwrap().unwrap().accounts_max;
        bench.store.add_user(&name("ann"), None, false).await.unwrap();
        assert_eq!(quota(&bench).await, None);
        bench.store.set_quota(&name("ann"), Some(0)).await.unwrap();
        let bench = bench.reopen().await;
        assert_eq!(quota(&bench).await, Some(0));
        bench.store.set_quota(&name("ann"), None).await.unwrap();
        assert_eq!(quota(&bench).await, None);
        let unknown = bench.store.set_quota(&name("bob"), Some(1)).await;
        assert!(matches!(unknown, Err(StoreError::Invalid { .. })));
        bench
    })
    .await;
}

#[tokio::test]
async fn a_name_is_one_that_every_login_can_carry() {
    each_engine(|bench| async move {
        let store = &bench.store;
        let long = "x".repeat(65);
        for bad in ["", " ", "a b", "a/b", "a@b", "a:b", "-x", "two\nlines", "me ", &long] {
            let refused = store.add_user(&name(bad), None, false).await;
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{bad:?}");
        }
        for good in ["me", "小明", "a.b-c_9"] {
            store.add_user(&name(good), None, false).await.unwrap();
        }
        for same in ["ME", "Me"] {
            let refused = store.add_user(&name(same), None, false).await;
            assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{same}");
        }
        bench
    })
    .await;
}

#[tokio::test]
async fn an_account_belongs_to_a_person_and_keeps_its_state() {
    each_engine(|bench| async move {
        let (store, a) = (&bench.store, NetworkId::from("w:a"));
        let nobody = store.add_account(&a, &name("ann")).await.unwrap_err();
        assert!(matches!(nobody, StoreError::Invalid { .. }), "{nobody}");
        store.add_user(&name("ann"), None, false).await.unwrap();
        let row = store.add_account(&a, &name("ann")).await.unwrap();
        assert!(matches!(store.add_account(&a, &name("ann")).await, Err(StoreError::Conflict { .. })));
        assert_eq!(store.accounts().await.unwrap(), std::slice::from_ref(&row));
        store.add_user(&name("bob"), None, false).await.unwrap();
        let theirs = store.add_account(&"w:b".into(), &name("bob")).await.unwrap();
        assert_eq!(store.accounts_of(&name("ann")).await.unwrap(), std::slice::from_ref(&row));
        assert_eq!(store.accounts_of(&name("bob")).await.unwrap(), [theirs]);
        assert_eq!(store.accounts_of(&name("eve")).await.unwrap(), []);
        let own_name = Some("Ann 安".to_owned());
        let change = AccountChange { own_name: own_name.clone(), wants_online: None };
        store.set_account_state(&a, change).await.unwrap();
        let change = AccountChange { own_name: None, wants_online: Some(true) };
        store.set_account_state(&a, change.clone()).await.unwrap();
        let expected = AccountRow { own_name: "Ann 安".to_owned(), wants_online: true, ..row };
        assert_eq!(store.account(&a).await.unwrap(), Some(expected));
        assert!(matches!(
            store.set_account_state(&"w:x".into(), change).await,
            Err(StoreError::Invalid { .. })
        ));
        assert!(matches!(store.remove_user(&name("ann")).await, Err(StoreError::Conflict { .. })));
        assert_eq!(store.account(&"w:x".into()).await.unwrap(), None);
        bench
    })
    .await;
}

#[tokio::test]
async fn removing_an_account_leaves_nothing_of_it_and_everything_of_others() {
    each_engine(|bench| async move {
        let (store, a) = (&bench.store, NetworkId::from("w:a"));
        store.add_user(&name("ann"), None, false).await.unwrap();
        for network in ["w:a", "w:b"] {
            store.add_account(&network.into(), &name("ann")).await.unwrap();
            let place = format!("{network}/c");
            bench.link(&[&place, &format!("m/r-{network}")]).await;
            let posts = (0..1200).map(|n| post(&n.to_string(), &place, "x")).collect();
            bench.commit(network, posts).await;
            bench.notes(network, vec![note("k", "v", true)]).await;
            bench.commit("irc:local", vec![post(&format!("l-{network}"), &place, "mine")]).await;
        }
        store.remove_account(&a).await.unwrap();
        assert_eq!(store.accounts().await.unwrap().len(), 1);
        assert_eq!(store.leaving_accounts().await.unwrap(), []);
        assert_eq!(store.note(&a, "k").await.unwrap(), None);
        assert_eq!(bench.history("w:a").await, []);
        assert_eq!(bench.next("w:a/c").await, None);
        assert_eq!(store.links().await.unwrap().len(), 1);
        let rows = bench.count("SELECT COUNT(*) FROM post").await;
        assert_eq!(rows, 1201, "the other account's posts");
        assert_eq!(bench.count("SELECT COUNT(*) FROM remote_id").await, 1201);
        assert_eq!(bench.count("SELECT COUNT(*) FROM note").await, 1);
        assert_eq!(bench.history("w:b").await.len(), 1000);
        // The name can be used again, and starts empty.
        store.add_account(&a, &name("ann")).await.unwrap();
        let report = bench.commit("w:a", vec![post("1", "w:a/c", "again")]).await;
        assert!(matches!(report.committed.posts[..], [PostFate::Kept(_)]));
        assert_eq!(report.lanes, [], "the link went with the old account");
        bench
    })
    .await;
}

#[tokio::test]
async fn a_chat_is_in_one_link_at_most() {
    each_engine(|bench| async move {
        let first = bench.link(&["w:a/c", "m/r", "m/r"]).await;
        let twice = bench.store.add_link(&[chat("w:b/c"), chat("m/r")]).await.unwrap_err();
        assert!(matches!(twice, StoreError::Conflict { .. }), "{twice}");
        let alone = bench.store.add_link(&[chat("w:b/c"), chat("w:b/c")]).await.unwrap_err();
        assert!(matches!(alone, StoreError::Invalid { .. }), "{alone}");
        let links = bench.store.links().await.unwrap();
        assert_eq!(
            links,
            [Link { id: first, since: Timestamp(1_000_000), members: vec![chat("m/r"), chat("w:a/c")] }]
        );
        assert!(bench.store.remove_link(first).await.unwrap());
        assert!(!bench.store.remove_link(first).await.unwrap());
        assert_eq!(bench.commit("w:a", vec![post("1", "w:a/c", "x")]).await.lanes, []);
        bench.link(&["w:b/c", "m/r"]).await;
        bench
    })
    .await;
}

#[tokio::test]
async fn settled_deliveries_are_forgotten_after_thirty_days_and_open_ones_never() {
    each_engine(|bench| async move {
        bench.link(&["w:a/c", "m/r"]).await;
        bench.commit("w:a", vec![post("1", "w:a/c", "one"), post("2", "w:a/c", "two")]).await;
        bench.settle("m", bench.next("m/r").await.unwrap().id, sent(&["e1"])).await;
        bench.clock.set(1_000_000 + 29 * 86_400_000);
        assert_eq!(bench.store.prune().await.unwrap().deliveries, 0);
        bench.clock.set(1_000_000 + 31 * 86_400_000);
        assert_eq!(bench.store.prune().await.unwrap().deliveries, 1);
        assert!(bench.next("m/r").await.is_some());
        let back = bench.commit("m", vec![post("e1", "m/r", "one")]).await;
        assert!(matches!(back.committed.posts[..], [PostFate::Known(_)]), "its id is still known");
        bench
    })
    .await;
}

#[tokio::test]
async fn a_password_is_checked_in_scram_too_and_certificates_open_doors() {
    each_engine(|bench| async move {
        let store = &bench.store;
        store.add_user(&name("ann"), Some("s3cret"), false).await.unwrap();
        store.add_user(&name("bob"), None, false).await.unwrap();
        let first = store.scram(&name("ann")).await.unwrap().unwrap();
        assert!(first.rounds >= 4096 && first.salt.len() == 16);
        assert_eq!((first.stored_key.len(), first.server_key.len()), (32, 32));
        for nobody in ["bob", "eve", ""] {
            assert_eq!(store.scram(&name(nobody)).await.unwrap(), None, "{nobody}");
        }
        store.set_password(&name("ann"), Some("other")).await.unwrap();
        assert_ne!(store.scram(&name("ann")).await.unwrap().unwrap(), first);
        store.set_password(&name("ann"), None).await.unwrap();
        assert_eq!(store.scram(&name("ann")).await.unwrap(), None);

        let (one, two) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(store.user_of_certificate(&one).await.unwrap(), None);
        store.add_certificate(&name("ann"), &one).await.unwrap();
        store.add_certificate(&name("bob"), &two).await.unwrap();
        assert_eq!(store.user_of_certificate(&one).await.unwrap(), Some(name("ann")));
        assert_eq!(store.certificates(&name("ann")).await.unwrap(), std::slice::from_ref(&one));
        let taken = store.add_certificate(&name("bob"), &one).await;
        assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
        for (who, print) in [("eve", one.as_str()), ("ann", "abc"), ("ann", &"A".repeat(64)), ("ann", "")] {
            let refused = store.add_certificate(&name(who), print).await;
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{who} {print}: {refused:?}");
        }
        let foreign = store.remove_certificate(&name("bob"), &one).await;
        assert!(matches!(foreign, Err(StoreError::Invalid { .. })), "{foreign:?}");
        store.remove_certificate(&name("ann"), &one).await.unwrap();
        assert_eq!(store.user_of_certificate(&one).await.unwrap(), None);
        store.remove_user(&name("bob")).await.unwrap();
        assert_eq!(store.user_of_certificate(&two).await.unwrap(), None, "gone with the person");
        bench
    })
    .await;
}

#[tokio::test]
async fn a_person_has_tokens_by_label_and_each_ends_alone() {
    each_engine(|bench| async move {
        let store = &bench.store;
        store.add_user(&name("ann"), None, false).await.unwrap();
        store.add_user(&name("bob"), None, false).await.unwrap();
        let phone = store.add_token(&name("ann"), "phone", Opens::LOGIN).await.unwrap();
        bench.clock.set(1_000_500);
        let script = store.add_token(&name("ann"), "cron job", Opens::READ).await.unwrap();
        let bobs = store.add_token(&name("bob"), "phone", Opens::ALL).await.unwrap();
        let rows = store.tokens(&name("ann")).await.unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.label.as_str(), row.opens, row.made.ms())).collect();
        assert_eq!(told, [("phone", Opens::LOGIN, 1_000_000), ("cron job", Opens::READ, 1_000_500)]);
        let used = async || {
            let rows = store.tokens(&name("ann")).await.unwrap();
            rows.iter().map(|row| row.used.map(Timestamp::ms)).collect::<Vec<_>>()
        };
        assert_eq!(used().await, [None, None]);
        store.verify_token(&phone).await.unwrap();
        assert_eq!(used().await, [Some(1_000_500), None]);
        bench.clock.set(1_000_500 + 3_599_999);
        store.verify_token(&phone).await.unwrap();
        assert_eq!(used().await, [Some(1_000_500), None], "looking is not writing");
        bench.clock.set(1_000_500 + 3_600_000);
        store.verify_token(&phone).await.unwrap();
        assert_eq!(used().await, [Some(4_600_500), None]);
        store.remove_token(&name("ann"), "phone").await.unwrap();
        assert_eq!(store.verify_token(&phone).await.unwrap(), None);
        assert_eq!(store.verify_token(&script).await.unwrap(), Some((name("ann"), Opens::READ)));
        assert!(store.verify_token(&bobs).await.unwrap().is_some(), "the same label is somebody else's");
        assert!(matches!(store.remove_token(&name("ann"), "phone").await, Err(StoreError::Invalid { .. })));
        for bad in ["", " x", "x\n", &"x".repeat(65)] {
            let refused = store.add_token(&name("ann"), bad, Opens::ALL).await;
            assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{bad:?}");
        }
        for at in 1..32 {
            store.add_token(&name("ann"), &format!("t{at}"), Opens::ALL).await.unwrap();
        }
        let full = store.add_token(&name("ann"), "one more", Opens::ALL).await;
        assert!(matches!(full, Err(StoreError::Conflict { .. })), "{full:?}");
        store.add_token(&name("ann"), "t1", Opens::ALL).await.expect("replacing is no more");
        store.remove_user(&name("ann")).await.unwrap();
        assert_eq!(store.verify_token(&script).await.unwrap(), None, "gone with the person");
        bench
    })
    .await;
}

#[tokio::test]
async fn what_was_done_is_written_down_newest_first_and_goes_with_the_person() {
    each_engine(|bench| async move {
        let store = &bench.store;
        for person in ["ann", "bob"] {
            store.add_user(&name(person), None, false).await.unwrap();
        }
        let act = |who: Option<&str>, what: &str, about: &str| Act {
            who: who.map(name),
            door: "api".to_owned(),
            what: what.to_owned(),
            about: about.to_owned(),
        };
        let done = [
            act(None, "person-added", "ann"),
            act(Some("ann"), "account-added", "work"),
            act(Some("bob"), "account-added", "x\0y"),
            act(Some("bob"), "account-added", "ann"),
            act(Some("bob"), "token-made", "ann"),
            act(Some("ann"), "token-made", "ann"),
            act(Some("ann"), "password-changed", "bob"),
            act(Some("ann"), "backup-taken-with-key", ""),
        ];
        for one in done.clone() {
            store.record(one).await.unwrap();
        }
        let rows = store.acts(Some(store.acts(None, 3).await.unwrap()[2].id), 4).await.unwrap();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[2].act, act(Some("bob"), "account-added", "xy"), "NUL is left out");
        assert_eq!(rows[3].act, done[1]);
        assert!(rows[0].id > rows[1].id && rows[0].at.ms() == 1_000_000);
        let rest = store.acts(Some(rows[3].id), 10).await.unwrap();
        assert_eq!(rest.iter().map(|row| &row.act).collect::<Vec<_>>(), [&done[0]]);
        store.remove_user(&name("ann")).await.unwrap();
        let left = store.acts(None, 10).await.unwrap();
        let left: Vec<_> = left.iter().map(|row| (&*row.act.what, &*row.act.about)).collect();
        let wanted = [
            ("backup-taken-with-key", ""),
            ("password-changed", "bob"),
            ("account-added", "ann"),
            ("account-added", "xy"),
        ];
        assert_eq!(left, wanted, "of a person stays what they did to others, and what has their name only");
        bench
    })
    .await;
}

#[tokio::test]
async fn whoever_repeats_something_pushes_out_what_they_repeated() {
    each_engine(|bench| async move {
        let store = &bench.store;
        let act = |who: Option<&str>, what: &str, about: &str| Act {
            who: who.map(name),
            door: "api".to_owned(),
            what: what.to_owned(),
            about: about.to_owned(),
        };
        let early = [
            act(None, "person-added", "ann"),
            act(Some("bob"), "account-added", "work"),
            act(Some("eve"), "password-changed", "ann"),
        ];
        for one in early.clone() {
            store.record(one).await.unwrap();
        }
        bench
            .change(
                "INSERT INTO act (at_ms, who, door, what, about) \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
                 SELECT i, 'eve', 'api', 'account-signed-out', 'x' FROM n",
            )
            .await;
        for _ in 0..256 {
            store.record(act(Some("eve"), "account-signed-out", "x")).await.unwrap();
        }
        let first = store.acts(Some(4), 10).await.unwrap();
        let first: Vec<_> = first.into_iter().rev().map(|row| row.act).collect();
        assert_eq!(first, early);
        let count = bench.count("SELECT COUNT(*) FROM act").await;
        assert!((100_000..100_256).contains(&count), "{count} are kept");
        let oldest = bench.count("SELECT MIN(at_ms) FROM act WHERE what = 'account-signed-out'").await;
        assert!((4..=259).contains(&oldest), "the oldest of them went, up to {oldest}");
        bench
    })
    .await;
}

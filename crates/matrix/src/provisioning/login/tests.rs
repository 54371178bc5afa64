use super::*;

fn shown(step: SignInStep) -> Shown {
    Shown { step, number: 2, txn_id: "t2".to_owned(), before: "t1".to_owned() }
}

/// A sign-in of an account of somebody's, and what tells how far it is.
fn process(owner: &str, account: &str) -> (Process, tokio::sync::watch::Sender<SignInStep>) {
    let (tell, steps) = tokio::sync::watch::channel(SignInStep::Starting);
    let process = Process {
        owner: owner.to_owned(),
        user: owner.into(),
        account: account.into(),
        is_new: false,
        steps,
        asked: Timestamp(0),
        shown: shown(SignInStep::Starting),
        turn: watch::Sender::new(()),
    };
    (process, tell)
}

/// Begins a start, and ends it.
fn has_room(logins: &mut Logins, owner: &str, login: Option<&str>) -> bool {
    let is_room = logins.make_room(owner, login).is_ok();
    if is_room {
        logins.has_started(owner);
    }
    is_room
}

#[test]
fn a_start_counts_from_its_beginning() {
    let mut logins = Logins::default();
    let begun = (0..10).filter(|_| logins.make_room("@ann:x", Some("0")).is_ok()).count();
    assert_eq!(begun, OF_ONE, "also of one login");
    assert!(has_room(&mut logins, "@bob:x", None));
    (0..OF_ONE).for_each(|_| logins.has_started("@ann:x"));
    assert!(logins.starting.is_empty());
    assert!(has_room(&mut logins, "@ann:x", None));
}

#[test]
fn what_is_over_does_not_count_as_under_way() {
    let mut logins = Logins::default();
    let mut told = Vec::new();
    for n in 0..OF_ONE {
        let (process, tell) = process("@ann:x", &format!("wechat:{n}"));
        logins.put(n.to_string(), process);
        told.push(tell);
    }
    let (other, _tell) = process("@bob:x", "wechat:bob");
    logins.put("bob".to_owned(), other);
    assert!(has_room(&mut logins, "@bob:x", None));
    assert!(!has_room(&mut logins, "@ann:x", None));
    assert!(has_room(&mut logins, "@ann:x", Some("0")), "it takes the place of one");
    told[0].send_replace(SignInStep::Done);
    assert!(has_room(&mut logins, "@ann:x", None));
    let (again, _tell) = process("@ann:x", "wechat:0");
    logins.put("again".to_owned(), again);
    assert!(!has_room(&mut logins, "@ann:x", None));
    told[1].send_replace(SignInStep::Failed { why: "declined".to_owned() });
    assert!(has_room(&mut logins, "@ann:x", None));
    assert_eq!(logins.processes.len(), OF_ONE + 1, "one of each account");
}

#[test]
fn an_account_is_unused_as_long_as_nobody_signed_it_in_or_does_so() {
    let view = |health, own_name: &str| AccountView {
        network: "wechat:ann".into(),
        owner: "ann".into(),
        health,
        own_name: own_name.to_owned(),
    };
    let scan = || Health::NeedsHuman { step: "scan the code with the phone".to_owned() };
    assert_eq!(is_unused(&view(Health::signed_out(Some("the codes ran out")), "")), Some(true));
    assert_eq!(is_unused(&view(Health::signed_out(None), "Ann")), Some(false));
    assert_eq!(is_unused(&view(Health::Starting, "")), Some(false), "the phone has agreed");
    assert_eq!(is_unused(&view(scan(), "")), None);
}

#[test]
fn a_code_is_a_step_that_is_shown_and_waited_for() {
    let shown = shown(SignInStep::ShowQr { text: "https://login.weixin.qq.com/l/x".to_owned(), number: 1 });
    let step = shown.answer("p", &"wechat:ann".into()).unwrap();
    let wanted = json!({
        "login_id": "p", "type": "display_and_wait", "step_id": "wxgate.qr.2", "txn_id": "t2",
        "instructions": "Scan this code with WeChat on your phone.",
        "display_and_wait": { "type": "qr", "data": "https://login.weixin.qq.com/l/x" },
    });
    assert_eq!(step, wanted);
}

#[test]
fn the_end_names_the_login_and_a_failure_is_an_error() {
    let step = shown(SignInStep::Done).answer("p", &"wechat:ann".into()).unwrap();
    assert_eq!((&step["type"], &step["complete"]["user_login_id"]), (&json!("complete"), &json!("ann")));
    let failed = shown(SignInStep::Failed { why: "declined".to_owned() }).answer("p", &"wechat:ann".into());
    assert!(failed.is_err_and(|refusal| refusal.error.contains("declined")));
}

#[test]
fn a_wrong_type_or_step_is_a_bad_state() {
    let shown = shown(SignInStep::ConfirmOnPhone { is_push: false, picture: None });
    let check = |step, kind| shown.check(&Submitted { step, kind, txn_id: None });
    assert!(check("wxgate.confirm.2", "display_and_wait").is_ok());
    assert!(check("wxgate.confirm.2", "user_input").is_err_and(|refusal| refusal.code == "M_BAD_STATE"));
    assert!(check("wxgate.qr.1", "display_and_wait").is_err_and(|refusal| refusal.code == "M_BAD_STATE"));
}

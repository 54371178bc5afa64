use proptest::prelude::*;

use super::*;

const WX2: Place<'_> =
    Place { host: "wx2.qq.com", path: "/cgi-bin/mmwebwx-bin/webwxnewloginpage", stand_in: None };
const NOW: i64 = 1_700_000_000_000;

fn set(jar: &mut Jar, place: Place<'_>, lines: &[&str]) -> bool {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(header::SET_COOKIE, HeaderValue::from_str(line).unwrap());
    }
    jar.keep(place, &headers, NOW)
}

fn sent(jar: &Jar, host: &str) -> String {
    let place = Place { host, path: "/cgi-bin/mmwebwx-bin/webwxsync", stand_in: None };
    jar.header(place, NOW).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

#[test]
fn domains_reach_their_own_hosts_only() {
    let mut jar = Jar::default();
    set(
        &mut jar,
        WX2,
        &[
            "webwx_data_ticket=T; Domain=.qq.com; Path=/",
            "wxsid=S; Domain=wx2.qq.com; Path=/; Secure",
            "own=1; Path=/",
            "foreign=1; Domain=example.org; Path=/",
            "sibling=1; Domain=wx8.qq.com; Path=/",
            "public=1; Domain=com; Path=/",
        ],
    );
    assert_eq!(sent(&jar, "wx2.qq.com"), "webwx_data_ticket=T; wxsid=S; own=1");
    assert_eq!(sent(&jar, "file.wx2.qq.com"), "webwx_data_ticket=T; wxsid=S");
    assert_eq!(sent(&jar, "wx8.qq.com"), "webwx_data_ticket=T");
    assert_eq!(sent(&jar, "evilqq.com"), "");
    assert_eq!(sent(&jar, "xwx2.qq.com"), "webwx_data_ticket=T");
}

#[test]
fn a_later_value_replaces_the_earlier_and_an_expired_one_removes_it() {
    let mut jar = Jar::default();
    assert!(set(&mut jar, WX2, &["wxloadtime=1; Domain=wx2.qq.com; Path=/"]));
    assert!(!set(&mut jar, WX2, &["wxloadtime=1; Domain=wx2.qq.com; Path=/"]), "nothing new");
    assert!(set(&mut jar, WX2, &["wxloadtime=1_expired; Domain=wx2.qq.com; Path=/"]));
    assert_eq!(sent(&jar, "wx2.qq.com"), "wxloadtime=1_expired");
    assert!(set(
        &mut jar,
        WX2,
        &["wxloadtime=x; Domain=wx2.qq.com; Path=/; Expires=Thu, 01-Jan-1970 00:00:10 GMT"]
    ));
    assert_eq!(jar.len(), 0);
}

#[test]
fn paths_and_expiry_are_kept() {
    let mut jar = Jar::default();
    set(&mut jar, WX2, &["a=1; Path=/other", "b=2; Max-Age=60; Path=/cgi-bin", "c=3"]);
    assert_eq!(sent(&jar, "wx2.qq.com"), "c=3; b=2", "the longer path comes first");
    let later = Place { host: "wx2.qq.com", path: "/cgi-bin/x", stand_in: None };
    assert_eq!(jar.header(later, NOW + 61_000 + GRACE_MS), None);
}

/// One answer, by the service's clock.
fn answered(jar: &mut Jar, now_ms: i64, date: &str, line: &str) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert(header::DATE, HeaderValue::from_str(date).unwrap());
    headers.append(header::SET_COOKIE, HeaderValue::from_str(line).unwrap());
    jar.keep(WX2, &headers, now_ms)
}

#[test]
fn a_clock_that_is_wrong_or_set_signs_nobody_out() {
    let hour = 3_600_000;
    let place = Place { path: "/", ..WX2 };
    let line = "wxsid=S; Path=/; Expires=Wed, 21 Oct 2015 19:28:00 GMT";
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let at = http_date_ms(date).unwrap();
    for ahead in [0, 13 * hour, -13 * hour, 24 * 365 * hour] {
        let mut jar = Jar::default();
        assert!(answered(&mut jar, at + ahead, date, line));
        for jump in [0, 11 * hour, 13 * hour, 35 * hour, -hour] {
            assert!(jar.header(place, at + ahead + jump).is_some(), "{ahead} {jump}");
        }
        assert_eq!(jar.header(place, at + ahead + 37 * hour), None, "{ahead}");
    }
    // What the service takes away is gone, however late it is here.
    let mut jar = Jar::default();
    answered(&mut jar, at - 13 * hour, date, line);
    assert!(answered(
        &mut jar,
        at - 13 * hour,
        date,
        "wxsid=; Path=/; Expires=Wed, 21 Oct 2015 07:27:00 GMT"
    ));
    assert_eq!(jar.len(), 0);
}

#[test]
fn a_session_of_days_is_stored_with_cookies_that_have_not_expired() {
    let (mut jar, line) = (Jar::default(), "wxsid=S; Path=/; Max-Age=43200");
    let answer = |jar: &mut Jar, now_ms| {
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, HeaderValue::from_static(line));
        jar.keep(WX2, &headers, now_ms)
    };
    assert!(answer(&mut jar, NOW));
    let (mut stored, mut writes) = (jar.clone(), 0);
    // Three days of polls.
    for n in 1..=3 * 24 * 120 {
        if answer(&mut jar, NOW + n * 30_000) {
            (stored, writes) = (jar.clone(), writes + 1);
        }
    }
    let restart = NOW + 3 * 86_400_000;
    assert!(stored.0[0].expires_ms.unwrap() > restart, "a restart finds a session that is over");
    assert!((60..=72).contains(&writes), "{writes} writes in three days");
}

#[test]
fn a_stand_in_sets_cookies_for_the_hosts_it_stands_for() {
    let place = Place { stand_in: Some("127.0.0.1"), ..WX2 };
    let mut jar = Jar::default();
    set(
        &mut jar,
        place,
        &[
            "wxsid=S; Path=/",
            "a=1; Domain=127.0.0.1; Path=/",
            "b=2; Domain=.wx2.qq.com; Path=/",
            "c=3; Domain=example.org",
        ],
    );
    assert_eq!(sent(&jar, "webpush.wx2.qq.com"), "wxsid=S; a=1; b=2");
    assert_eq!(sent(&jar, "file.wx8.qq.com"), "wxsid=S; a=1");
}

#[test]
fn a_sign_out_leaves_what_push_login_needs() {
    let mut jar = Jar::default();
    set(
        &mut jar,
        WX2,
        &["wxsid=S; Path=/", "webwxuvid=U; Path=/", "webwx_auth_ticket=T; Path=/", "wxuin=1; Path=/"],
    );
    jar.keep_long_lived();
    assert_eq!(sent(&jar, "wx2.qq.com"), "webwxuvid=U; webwx_auth_ticket=T; wxuin=1");
}

#[test]
fn item_81_values_are_not_printed() {
    let mut jar = Jar::default();
    set(&mut jar, WX2, &["wxsid=verysecret; Path=/"]);
    let text = format!("{jar:?} {:?}", jar.header(WX2, NOW));
    assert!(!text.contains("verysecret"), "{text}");
}

#[test]
fn item_04_a_stored_jar_keeps_domains_paths_and_expiry() {
    let mut jar = Jar::default();
    set(&mut jar, WX2, &["t=T; Domain=.qq.com; Path=/; Max-Age=43200", "own=1; Path=/x; Secure"]);
    let json = serde_json::to_string(&jar).unwrap();
    assert_eq!(serde_json::from_str::<Jar>(&json).unwrap(), jar);
}

#[test]
fn dates_are_read() {
    assert_eq!(http_date_ms("Wed, 21 Oct 2015 07:28:00 GMT"), Some(1_445_412_480_000));
    assert_eq!(http_date_ms("Thu, 29-Feb-2024 00:00:00 GMT"), Some(1_709_164_800_000));
    assert_eq!(http_date_ms("tomorrow"), None);
}

proptest! {
    #[test]
    fn any_line_is_survived_and_foreign_domains_are_never_kept(line in "[ -~]{0,80}", domain in "[a-z.]{1,20}") {
        let mut jar = Jar::default();
        set(&mut jar, WX2, &[&line, &format!("x=1; Domain={domain}")]);
        prop_assert_eq!(sent(&jar, "attacker.example"), "");
    }

    #[test]
    fn dates_never_panic(text in ".{0,60}") {
        let _ = http_date_ms(&text);
    }
}

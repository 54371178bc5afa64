use super::*;

#[test]
fn only_paths_of_ours_are_led_to() {
    for (given, wanted) in [
        ("/accounts/x?page=2", "/accounts/x?page=2"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("/\t/evil.example", "/"),
        ("/\u{85}/evil.example", "/"),
    ] {
        assert_eq!(way_back(given), wanted, "{given:?}");
    }
}

#[test]
fn a_form_of_another_site_is_known_also_where_nothing_but_its_origin_tells() {
    let is = |site: Option<&str>, origin: Option<&str>, host: &str| {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        };
        put("host", host);
        site.into_iter().for_each(|site| put("sec-fetch-site", site));
        origin.into_iter().for_each(|origin| put("origin", origin));
        is_foreign(&headers, "http://wx.example.org")
    };
    let near = "192.168.1.5:8480";
    for (site, origin, host, is_known) in [
        (Some("same-origin"), Some("http://192.168.1.5:8480"), near, false),
        (Some("none"), None, near, false),
        (Some("cross-site"), Some("http://192.168.1.5:8480"), near, true),
        (Some("same-site"), None, near, true),
        (None, None, near, false),
        (None, Some("http://192.168.1.5:8480"), near, false),
        (None, Some("http://evil.example"), near, true),
        (None, Some("http://192.168.1.5:8481"), near, true),
        (None, Some("null"), near, true),
        (None, Some("http://evil.example"), "evil.example@wx", true),
        // A proxy that names itself to us.
        (None, Some("http://wx.example.org"), "127.0.0.1:8480", false),
        (None, Some("http://wx.example.org:80"), "127.0.0.1:8480", false),
        (None, Some("https://wx.example.org"), "wx.example.org", false),
    ] {
        assert_eq!(is(site, origin, host), is_known, "{site:?} {origin:?} {host}");
    }
}

/// A browser that is signed in to one gateway of a machine keeps that session when it signs in to another.
#[test]
fn two_gateways_of_one_host_have_a_cookie_each() {
    let name = |base: &str| {
        let clock = Arc::new(|| wxgate_contract::Timestamp(0));
        cookie_name(&Links::new(base.to_owned(), &[7; 32], std::time::Duration::from_secs(1), clock))
    };
    for (base, wanted) in [
        ("http://127.0.0.1:8480", "wxgate-8480"),
        ("http://[::1]:8481", "wxgate-8481"),
        ("http://wx.example.org", "wxgate-80"),
        ("https://wx.example.org:8443", "__Host-wxgate"),
    ] {
        assert_eq!(name(base), wanted);
    }
}

#[test]
fn a_cookie_is_found_among_others() {
    let mut headers = HeaderMap::new();
    headers.append(header::COOKIE, HeaderValue::from_static("a=1; wxgate=token; b"));
    headers.append(header::COOKIE, HeaderValue::from_static("c=3"));
    assert_eq!(cookie(&headers, "wxgate"), Some("token"));
    assert_eq!(cookie(&headers, "c"), Some("3"));
    assert_eq!(cookie(&headers, "b"), None);
}

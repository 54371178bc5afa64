//! When two names are the same name.

use unicode_normalization::UnicodeNormalization;

/// The form under which names are compared: NFC, each character in simple lower case. Han has no
/// case; spellings are kept elsewhere as they were given.
pub fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    name.nfc().map(lower).collect()
}

/// One character's lower case, where that is one character.
fn lower(c: char) -> char {
    let mut lowered = c.to_lowercase();
    match (lowered.next(), lowered.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

/// True when both spell the same name.
pub fn is_same(a: &str, b: &str) -> bool {
    a == b || fold(a) == fold(b)
}

/// True when `name` matches a mask of `*` and `?`. Linear in both: a mask comes from outside.
pub fn matches_mask(mask: &str, name: &str) -> bool {
    let (mask, name): (Vec<char>, Vec<char>) = (fold(mask).chars().collect(), fold(name).chars().collect());
    let (mut m, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(c) = name.get(n) {
        match mask.get(m) {
            Some('*') => {
                back = Some((m, n));
                m += 1;
            }
            Some(x) if *x == '?' || x == c => {
                m += 1;
                n += 1;
            }
            _ => match back {
                Some((star, at)) => {
                    back = Some((star, at + 1));
                    m = star + 1;
                    n = at + 1;
                }
                None => return false,
            },
        }
    }
    mask.iter().skip(m).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_are_the_same() {
        assert!(is_same("Alice", "aLICE"));
        assert!(is_same("Ünal", "u\u{308}nal"));
        assert!(is_same("张三", "张三"));
        assert!(!is_same("张三", "张四"));
        // `{` is not the lower case of `[` under casemapping ascii.
        assert!(!is_same("a[", "a{"));
    }

    #[test]
    fn masks_match_as_people_expect() {
        assert!(matches_mask("#测*", "#测试群"));
        assert!(matches_mask("*B?b*", "xbobby"));
        assert!(!matches_mask("a?", "a"));
        assert!(matches_mask("*", ""));
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(name in any::<String>()) {
            let once = fold(&name);
            prop_assert_eq!(fold(&once), once);
        }
    }
}

//! Names in Latin letters, for old clients and terminals without fonts: Chinese by its sound without
//! tones, other scripts by theirs, emoji not at all.
//!
//! Source: the IRC notes, section 3. The sounds are those of `any_ascii`, one per character; the surnames
//! below are read otherwise than the character alone.

/// How names are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As they are.
    #[default]
    Utf8,
    /// In Latin letters.
    Pinyin,
}

impl Style {
    /// The word for it, in the service's commands and in notes.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Pinyin => "pinyin",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Utf8, Self::Pinyin].into_iter().find(|style| style.word().eq_ignore_ascii_case(word))
    }

    /// A name in this style. Latin names pass through unchanged in each.
    pub(crate) fn write(self, name: &str) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Utf8 => name.into(),
            Self::Pinyin => in_letters(name).into(),
        }
    }
}

/// Characters of the longest Chinese name whose first is taken for a surname: two and two. Chosen.
const NAME_CHARS: usize = 4;

/// Surnames of one character that sound otherwise than the character does elsewhere.
/// Source: "Xiandai Hanyu Cidian", the entries marked as surnames.
const SURNAMES: [(char, &str); 44] = [
    ('单', "shan"),
    ('單', "shan"),
    ('曾', "zeng"),
    ('解', "xie"),
    ('仇', "qiu"),
    ('朴', "piao"),
    ('查', "zha"),
    ('区', "ou"),
    ('區', "ou"),
    ('任', "ren"),
    ('盖', "ge"),
    ('蓋', "ge"),
    ('覃', "qin"),
    ('翟', "zhai"),
    ('缪', "miao"),
    ('繆', "miao"),
    ('乐', "yue"),
    ('樂', "yue"),
    ('员', "yun"),
    ('折', "she"),
    ('种', "chong"),
    ('秘', "bi"),
    ('黑', "he"),
    ('召', "shao"),
    ('洗', "xian"),
    ('冼', "xian"),
    ('郇', "xun"),
    ('贲', "ben"),
    ('那', "na"),
    ('纪', "ji"),
    ('宁', "ning"),
    ('牟', "mu"),
    ('华', "hua"),
    ('柏', "bai"),
    ('薄', "bo"),
    ('葛', "ge"),
    ('沈', "shen"),
    ('车', "che"),
    ('燕', "yan"),
    ('应', "ying"),
    ('隗', "wei"),
    ('谌', "chen"),
    ('繁', "po"),
    ('祭', "zhai"),
];

/// Surnames of two characters that are read otherwise than the two.
const DOUBLE_SURNAMES: [(&str, &str); 6] = [
    ("尉迟", "yuchi"),
    ("万俟", "moqi"),
    ("长孙", "zhangsun"),
    ("單于", "chanyu"),
    ("单于", "chanyu"),
    ("澹台", "tantai"),
];

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

fn in_letters(name: &str) -> String {
    let (mut out, rest) = surname(name);
    for c in rest.chars() {
        let sound = any_ascii::any_ascii_char(c);
        // `:name:` is an emoji; what has no sound is nothing.
        if c.is_ascii() {
            out.push(c);
        } else if c.is_lowercase() || c.is_uppercase() {
            out.extend(sound.chars().filter(|c| *c != '\''));
        } else if !(sound.len() > 2 && sound.starts_with(':')) {
            // A script without capitals gets none.
            out.extend(sound.chars().filter(|c| *c != '\'').map(|c| c.to_ascii_lowercase()));
        }
    }
    out
}

/// The sound of a surname, where the name looks like one of a person and has one of those above, and what
/// stands behind it.
fn surname(name: &str) -> (String, &str) {
    let count = name.chars().count();
    if !(2..=NAME_CHARS).contains(&count) || !name.chars().all(is_han) {
        return (String::new(), name);
    }
    let double = DOUBLE_SURNAMES.iter().find_map(|(surname, sound)| {
        let rest = name.strip_prefix(surname).filter(|rest| !rest.is_empty())?;
        Some(((*sound).to_owned(), rest))
    });
    let single = || {
        SURNAMES.iter().find_map(|(surname, sound)| Some(((*sound).to_owned(), name.strip_prefix(*surname)?)))
    };
    double.or_else(single).unwrap_or((String::new(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_is_written_by_its_sound() {
        for (name, letters) in [
            ("张伟", "zhangwei"),
            ("单雄信", "shanxiongxin"),
            ("简单", "jiandan"),
            ("曾国藩", "zengguofan"),
            ("尉迟恭", "yuchigong"),
            ("乐嘉", "yuejia"),
            ("测试群", "ceshiqun"),
            ("王 Wang", "wang Wang"),
            ("Anna_🌺", "Anna_"),
            ("👨\u{200d}👩\u{200d}👧", ""),
            ("Ольга", "Olga"),
            ("さくら", "sakura"),
            ("김철수", "gimcheolsu"),
            ("Zoë", "Zoe"),
            ("José_1", "Jose_1"),
            ("plain", "plain"),
        ] {
            assert_eq!(in_letters(name), letters, "{name}");
        }
    }

    #[test]
    fn styles_are_named_and_latin_names_stay() {
        for style in [Style::Utf8, Style::Pinyin] {
            assert_eq!(Style::parse(style.word()), Some(style));
            assert_eq!(style.write("Bob"), "Bob");
        }
        assert_eq!(Style::parse("klingon"), None);
    }
}

//! QQ faces: the bracketed words that WeChat draws as pictures.

use std::borrow::Cow;

/// Every face that the page knows: its emoji if one fits (else empty), and its names.
///
/// The first name is the one that is sent. Source: the protocol sheet, appendix A (every row);
/// the emoji are chosen by likeness.
pub const FACES: [Face; 113] = [
    face("🙂", &["微笑", "Smile"]),
    face("😖", &["撇嘴", "Grimace"]),
    face("😍", &["色", "Drool", "Love"]),
    face("😳", &["发呆", "Scowl", "發呆"]),
    face("😎", &["得意", "Chill", "CoolGuy"]),
    face("😢", &["流泪", "Sob", "流淚"]),
    face("😊", &["害羞", "Shy"]),
    face("🤐", &["闭嘴", "Shutup", "Silent", "閉嘴"]),
    face("😴", &["睡", "Sleep"]),
    face("😭", &["大哭", "Cry"]),
    face("😅", &["尴尬", "Awkward", "尷尬"]),
    face("😡", &["发怒", "Pout", "Angry", "發怒"]),
    face("😜", &["调皮", "Wink", "Tongue", "調皮"]),
    face("😁", &["呲牙", "Grin"]),
    face("😲", &["惊讶", "Surprised", "Surprise", "驚訝"]),
    face("🙁", &["难过", "Frown", "難過"]),
    face("🆒", &["酷", "Cool", "Ruthless"]),
    face("😰", &["冷汗", "Tension", "Blush"]),
    face("😫", &["抓狂", "Scream", "Crazy"]),
    face("🤮", &["吐", "Puke"]),
    face("🤭", &["偷笑", "Chuckle"]),
    face("☺️", &["可爱", "愉快", "Joyful"]),
    face("🙄", &["白眼", "Slight"]),
    face("😤", &["傲慢", "Smug"]),
    face("😋", &["饥饿", "Hungry", "饑餓"]),
    face("🥱", &["困", "Drowsy", "累"]),
    face("😱", &["惊恐", "Panic", "驚恐"]),
    face("😓", &["流汗", "Sweat"]),
    face("😄", &["憨笑", "Laugh"]),
    face("🪖", &["悠闲", "大兵", "Loafer", "Commando", "悠閑"]),
    face("💪", &["奋斗", "Strive", "Determined", "奮鬥"]),
    face("🤬", &["咒骂", "Scold", "咒罵"]),
    face("🤔", &["疑问", "Doubt", "Shocked", "疑問"]),
    face("🤫", &["嘘", "Shhh", "噓"]),
    face("😵", &["晕", "Dizzy", "暈"]),
    face("🤪", &["疯了", "折磨", "Tormented", "瘋了"]),
    face("😩", &["衰", "BadLuck", "Toasted"]),
    face("💀", &["骷髅", "Skull", "骷髏頭"]),
    face("🔨", &["敲打", "Hammer"]),
    face("👋", &["再见", "Wave", "再見"]),
    face("😥", &["擦汗", "Relief", "Speechless"]),
    face("👃", &["抠鼻", "DigNose", "NosePick", "摳鼻"]),
    face("👏", &["鼓掌", "Clap"]),
    face("😳", &["糗大了", "Shame", "羞辱"]),
    face("😏", &["坏笑", "Trick", "壞笑"]),
    face("", &["左哼哼", "Bah！L"]),
    face("", &["右哼哼", "Bah！R"]),
    face("🥱", &["哈欠", "Yawn"]),
    face("👎", &["鄙视", "Lookdown", "Pooh-pooh", "鄙視"]),
    face("🥺", &["委屈", "Wronged", "Shrunken"]),
    face("😿", &["快哭了", "Puling", "TearingUp"]),
    face("😈", &["阴险", "Sly", "陰險"]),
    face("😚", &["亲亲", "Kiss", "親親"]),
    face("😨", &["吓", "Uh-oh", "Wrath", "嚇"]),
    face("🥹", &["可怜", "Whimper", "可憐"]),
    face("🔪", &["菜刀", "Cleaver"]),
    face("🍉", &["西瓜", "Melon", "Watermelon"]),
    face("🍺", &["啤酒", "Beer"]),
    face("🏀", &["篮球", "Basketball", "籃球"]),
    face("🏓", &["乒乓", "PingPong"]),
    face("☕", &["咖啡", "Coffee"]),
    face("🍚", &["饭", "Rice", "飯"]),
    face("🐷", &["猪头", "Pig", "豬頭"]),
    face("🌹", &["玫瑰", "Rose"]),
    face("🥀", &["凋谢", "Wilt", "枯萎"]),
    face("💋", &["嘴唇", "示爱", "Lip", "Lips"]),
    face("❤️", &["爱心", "Heart", "愛心"]),
    face("💔", &["心碎", "BrokenHeart"]),
    face("🎂", &["蛋糕", "Cake"]),
    face("⚡", &["闪电", "Lightning", "閃電"]),
    face("💣", &["炸弹", "Bomb", "炸彈"]),
    face("🗡️", &["刀", "Dagger"]),
    face("⚽", &["足球", "Soccer"]),
    face("🐞", &["瓢虫", "Ladybug", "甲蟲"]),
    face("💩", &["便便", "Poop"]),
    face("🌙", &["月亮", "Moon"]),
    face("☀️", &["太阳", "Sun", "太陽"]),
    face("🎁", &["礼物", "Gift", "禮物"]),
    face("🤗", &["拥抱", "Hug", "擁抱"]),
    face("👍", &["强", "Strong", "ThumbsUp", "強"]),
    face("👎", &["弱", "Weak", "ThumbsDown"]),
    face("🤝", &["握手", "Shake"]),
    face("✌️", &["胜利", "Victory", "Peace", "勝利"]),
    face("🙏", &["抱拳", "Admire", "Fight"]),
    face("", &["勾引", "Beckon"]),
    face("👊", &["拳头", "Fist", "拳頭"]),
    face("🤏", &["差劲", "Pinky", "差勁"]),
    face("🤟", &["爱你", "RockOn"]),
    face("🙅", &["NO", "No", "Nuh-uh", "愛你"]),
    face("👌", &["OK"]),
    face("💑", &["爱情", "InLove", "愛情"]),
    face("😘", &["飞吻", "Blowkiss", "飛吻"]),
    face("🕺", &["跳跳", "Waddle"]),
    face("🥶", &["发抖", "Tremble", "發抖"]),
    face("😠", &["怄火", "Aaagh!", "噴火"]),
    face("", &["转圈", "Twirl", "轉圈"]),
    face("🙇", &["磕头", "Kotow", "磕頭"]),
    face("", &["回头", "Lookback", "Dramatic", "回頭"]),
    face("🤸", &["跳绳", "Jump", "JumpRope", "跳繩"]),
    face("🏳️", &["投降", "Give-in", "Surrender"]),
    face("🎉", &["激动", "Hooray", "激動"]),
    face("💃", &["乱舞", "HeyHey", "Meditate", "亂舞"]),
    face("😗", &["献吻", "Smooch", "獻吻"]),
    face("", &["左太极", "TaiJi L", "TaiChi L", "左太極"]),
    face("", &["右太极", "TaiJi R", "TaiChi R", "右太極"]),
    face("", &["嘿哈", "Hey", "吼嘿"]),
    face("🤦", &["捂脸", "Facepalm", "掩面"]),
    face("😼", &["奸笑", "Smirk"]),
    face("🤓", &["机智", "Smart", "機智"]),
    face("😟", &["皱眉", "Concerned", "皺眉"]),
    face("✌️", &["耶", "Yeah!", "歐耶"]),
    face("🐔", &["鸡", "Chicken", "雞"]),
    face("🧧", &["红包", "Packet", "紅包"]),
];

/// One face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Face {
    /// An emoji that looks alike; empty if none does.
    pub emoji: &'static str,
    /// Simplified, traditional and English names, without brackets.
    pub names: &'static [&'static str],
}

const fn face(emoji: &'static str, names: &'static [&'static str]) -> Face {
    Face { emoji, names }
}

/// Longest name that is looked for between brackets, in bytes.
const NAME_BYTES: usize = 24;

/// The face of a name, without brackets.
#[must_use]
pub fn find(name: &str) -> Option<&'static Face> {
    FACES.iter().find(|face| face.names.contains(&name))
}

/// Replaces the faces of a decoded text by emoji; a bracketed word that is no face, or a face that
/// no emoji resembles, stays text.
#[must_use]
pub fn to_emoji(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let found = after
            .bytes()
            .take(NAME_BYTES)
            .position(|byte| byte == b']')
            .and_then(|end| Some((find(after.get(..end)?)?, after.get(end + 1..)?)))
            .filter(|(face, _)| !face.emoji.is_empty());
        if let Some((face, tail)) = found {
            out.push_str(face.emoji);
            rest = tail;
        } else {
            out.push('[');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Replaces emoji by the bracketed words of faces that look alike, so that [`to_emoji`] gives the same text again. An emoji
/// that is a part of a longer one (joined, with a skin tone, drawn otherwise) stays.
#[must_use]
pub fn from_emoji_in(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let goes_on =
        |c: char| matches!(c, JOINER | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}' | '\u{1f3fb}'..='\u{1f3ff}');
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut before) = (text, None);
    while let Some(first) = rest.chars().next() {
        let fits = |face: &&Face| !face.emoji.is_empty() && rest.starts_with(face.emoji);
        let emoji = FACES.iter().filter(fits).map(|face| face.emoji).max_by_key(|emoji| emoji.len());
        let emoji = emoji.filter(|_| !first.is_ascii() && before != Some(JOINER));
        let tail = emoji.and_then(|emoji| Some((emoji, rest.get(emoji.len()..)?)));
        match tail.filter(|(_, tail)| !tail.starts_with(goes_on)) {
            Some((emoji, tail)) => {
                out.push_str(&from_emoji(emoji).unwrap_or_else(|| emoji.to_owned()));
                (rest, before) = (tail, None);
            }
            None => {
                out.push(first);
                (rest, before) = (rest.get(first.len_utf8()..).unwrap_or_default(), Some(first));
            }
        }
    }
    Cow::Owned(out)
}

/// Makes one emoji of several.
const JOINER: char = '\u{200d}';

/// The bracketed word for an emoji, in its first name; the first face that has this emoji wins.
#[must_use]
pub fn from_emoji(emoji: &str) -> Option<String> {
    FACES
        .iter()
        .find(|face| !emoji.is_empty() && face.emoji == emoji)
        .and_then(|face| face.names.first())
        .map(|name| format!("[{name}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_become_emoji_and_others_stay() {
        assert_eq!(
            to_emoji("hi [微笑][Smile] [發呆] [TaiChi L] [链接] [ [] ]["),
            "hi 🙂🙂 😳 [TaiChi L] [链接] [ [] ]["
        );
        assert_eq!(to_emoji("[[微笑]]"), "[🙂]");
    }

    #[test]
    fn the_table_goes_both_ways() {
        for face in FACES.iter().filter(|face| !face.emoji.is_empty()) {
            assert_eq!(to_emoji(&from_emoji(face.emoji).unwrap()), face.emoji);
        }
        assert_eq!(from_emoji("🙂").unwrap(), "[微笑]");
        assert_eq!(from_emoji("🦀"), None);
        assert_eq!(from_emoji(""), None);
    }

    #[test]
    fn emoji_become_words_that_become_the_same_emoji() {
        for (text, words) in [
            ("hi 🙂👋!", "hi [微笑][再见]!"),
            ("❤️ and ❤", "[爱心] and ❤"),
            (
                "👍🏽 👍\u{200d}x 👩\u{200d}❤️\u{200d}👩 ☕\u{fe0f}",
                "👍🏽 👍\u{200d}x 👩\u{200d}❤️\u{200d}👩 ☕\u{fe0f}",
            ),
            ("🦀 你好 [🙂]", "🦀 你好 [[微笑]]"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(from_emoji_in(text), words);
            assert_eq!(to_emoji(words), text);
        }
        for face in FACES.iter().filter(|face| !face.emoji.is_empty()) {
            let text = format!("a{0}{0}b", face.emoji);
            assert_eq!(to_emoji(&from_emoji_in(&text)), text);
        }
    }

    #[test]
    fn no_name_means_two_faces() {
        let mut names: Vec<&str> = FACES.iter().flat_map(|face| face.names).copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

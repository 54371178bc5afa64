//! Texts that the service puts in place of what the web cannot show.

/// Parts that tell such a text, in lower case. The service writes them in the account's language.
///
/// Source: the protocol sheet, section 4.1 ("prompt texts"); of the Japanese and the Burmese
/// variant the wording is not known.
const PROMPTS: [&str; 5] = [
    "该类型暂不支持，请在手机上查看",
    "网页版微信暂不支持的消息类型",
    "該類型暫不支持，請在手機上查看",
    "暫時不支援該類型，請在手機上查看",
    "this type of message is not supported on web wechat",
];

/// Longest text that can be a prompt, in bytes; a longer one merely quotes it.
const PROMPT_BYTES: usize = 240;

/// Whether a decoded text says "view it on your phone" instead of being what somebody wrote.
#[must_use]
pub fn is_prompt(text: &str) -> bool {
    let text = text.trim().trim_start_matches('[');
    if text.len() > PROMPT_BYTES {
        return false;
    }
    let lower = text.to_lowercase();
    PROMPTS.iter().any(|prompt| lower.starts_with(prompt)) || lower.starts_with("收到一条网页版微信暂不支持")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_60_prompts_are_told_from_what_people_write() {
        for text in [
            "该类型暂不支持，请在手机上查看",
            "[收到一条网页版微信暂不支持的消息类型，请在手机上查看]",
            "該類型暫不支持，請在手機上查看。",
            "暫時不支援該類型，請在手機上查看。",
            "This type of message is not supported on Web WeChat. View it on your phone.",
        ] {
            assert!(is_prompt(text), "{text}");
        }
        assert!(!is_prompt("为什么显示“该类型暂不支持，请在手机上查看”？"));
        assert!(!is_prompt("请在手机上查看"));
    }
}

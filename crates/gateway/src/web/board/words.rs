//! The words of the pages, in English and Chinese. A field that one language lacks does not compile.
//! What an account says about its state, about who somebody may be and about what it did not send is in both, and why
//! something was refused; what homeservers and IRC networks say is theirs.

use std::borrow::Cow;

use wxgate_wechat::{UNCONFIRMED, in_chinese};

use super::refusals;

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

impl Language {
    /// Its tag. Source: BCP 47.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The language of a tag.
    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        match tag.split('-').next().unwrap_or_default().trim() {
            "en" => Some(Self::English),
            "zh" => Some(Self::Chinese),
            _ => None,
        }
    }

    /// The best of those that a browser asks for.
    ///
    /// Source: RFC 9110, 12.5.4: tags with weights between 0 and 1, 1 when none is given.
    pub(crate) fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::English);
        for range in header.split(',').take(32) {
            let (tag, rest) = range.split_once(';').unwrap_or((range, ""));
            let weight: f32 = match rest.trim().strip_prefix("q=") {
                Some(q) => q.trim().parse().unwrap_or(0.0),
                None => 1.0,
            };
            if let Some(language) = Self::of_tag(tag.trim())
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }

    /// Its words.
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

/// Puts `value` where a text has its `{}`.
pub(crate) fn fill(text: &str, value: impl std::fmt::Display) -> String {
    text.replacen("{}", &value.to_string(), 1)
}

macro_rules! words {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// Every text of the pages.
        pub(crate) struct Words { $(pub(crate) $name: &'static str,)* }
        static ENGLISH: Words = Words { $($name: $english,)* };
        static CHINESE: Words = Words { $($name: $chinese,)* };
        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $chinese),)*];
    };
}

impl Words {
    /// What an account says about its state, or a command about what it did not do.
    pub(crate) fn told<'a>(&self, sentence: &'a str) -> Cow<'a, str> {
        let chinese = match self.is_chinese() {
            true => in_chinese(sentence).or_else(|| refusals::in_chinese(sentence)),
            false => None,
        };
        chinese.map_or(Cow::Borrowed(sentence), Cow::Owned)
    }

    /// The title of a chat: it is as people wrote it, but for what an account puts behind that of one whose identity is
    /// open.
    pub(crate) fn title<'a>(&self, title: &'a str) -> Cow<'a, str> {
        match title.strip_suffix(UNCONFIRMED).filter(|_| self.is_chinese()) {
            Some(plain) => Cow::Owned(format!("{plain}{}", self.unconfirmed)),
            None => Cow::Borrowed(title),
        }
    }

    fn is_chinese(&self) -> bool {
        std::ptr::eq(self, &CHINESE)
    }
}

words! {
    sign_in: "Sign in", "登录";
    sign_out: "Sign out", "退出";
    user: "User", "用户名";
    password: "Password or token", "密码或令牌";
    wrong: "Wrong user or password.", "用户名或密码错误。";
    too_often: "Too many attempts. Wait half a minute and try again.", "尝试次数过多，请半分钟后再试。";
    stale: "This form is out of date, so nothing was done. Please do it once more.", "页面已过期，操作未执行，请再试一次。";
    not_found: "Not found", "未找到";
    no_page: "There is no page at this address.", "这个地址没有页面。";
    no_account: "There is no such account, or it is somebody else's.", "没有这个账号，或者它属于别人。";
    not_done: "That was not done", "操作未执行";
    back: "Back", "返回";
    skip: "Skip to the content", "跳到正文";
    accounts: "WeChat accounts", "微信账号";
    no_accounts: "You have no WeChat account here yet. Give one a name below, then scan a code with your phone.", "你还没有微信账号。在下面取个名字，然后用手机扫码。";
    account: "Account", "账号";
    state: "State", "状态";
    own_name: "Known there as", "微信昵称";
    add_account: "Add an account", "添加账号";
    account_name: "Name for it here", "在这里的名称";
    account_rule: "Letters, digits, '-', '_' and '.'; at most 32. It becomes the name of the network on IRC.", "字母、数字、-、_ 和 .，最多 32 个；它会成为 IRC 上的网络名。";
    add: "Add", "添加";
    open: "Open", "打开";
    starting: "starting", "启动中";
    up: "online", "在线";
    partial: "works, but not everywhere", "部分可用";
    degraded: "in trouble, coming back by itself", "有故障，正在自动恢复";
    needs_human: "needs you", "需要你处理";
    down: "not working", "不可用";
    waiting: "Waiting to be sent to WeChat: {}", "等待发往微信：{} 条";
    oldest: "the oldest for {}", "最早一条已等 {}";
    sign_in_wechat: "Sign in to WeChat", "登录微信";
    sign_in_again: "Start again", "重新开始";
    scan_title: "Sign {} in to WeChat", "为 {} 登录微信";
    scan_starting: "Asking WeChat for a code …", "正在向微信获取二维码…";
    scan_show: "Open WeChat on your phone and scan this code with it.", "打开手机微信，扫描这个二维码。";
    scan_renewed: "The last code ran out; this is number {}.", "上一个二维码已过期，这是第 {} 个。";
    scan_alt: "QR code to scan with WeChat", "用微信扫描的二维码";
    scan_scanned: "Scanned. Confirm on your phone.", "已扫描，请在手机上确认。";
    face_of: "The picture of {}", "{} 的头像";
    scan_face: "The picture of whoever scanned the code", "扫码者的头像";
    scan_push: "Your phone was asked. Confirm there; no scan is needed.", "已向手机发出请求，请在手机上确认，无需扫码。";
    scan_loading: "Confirmed. Loading contacts …", "已确认，正在载入联系人…";
    loading: "Contacts that are loaded", "联系人载入进度";
    loading_contacts: "Contacts loaded: {}", "已载入联系人：{}";
    loading_groups: "Groups loaded: {}", "已载入群聊：{}";
    loading_stored: "Contacts and groups stored: {}", "已保存联系人和群聊：{}";
    so_many_of: "{} of {}", "{} / {}";
    scan_done: "Online.", "已上线。";
    scan_failed: "This did not work: {}", "登录失败：{}";
    house_full: "Too many pages follow this gateway just now. Close some, or try again in a minute.", "当前打开的页面过多，请关闭一些或一分钟后再试。";
    scan_script: "This page needs JavaScript to follow your phone. Without it, sign in from IRC or with: wxgate account sign-in {}", "此页需要 JavaScript。也可以在 IRC 中登录，或运行：wxgate account sign-in {}";
    sign_out_wechat: "Sign out of WeChat", "退出微信";
    remove: "Remove", "删除";
    remove_title: "Remove this account", "删除此账号";
    remove_warning: "Signs the account out and forgets its chats and media here. Nothing is deleted on the phone. Type its name to confirm.", "将退出该账号，并删除这里的会话与媒体；手机上的内容不受影响。请输入账号名以确认。";
    removing: "{} is being removed", "正在删除 {}";
    removing_long: "There is much to remove, and the gateway goes on with it by itself. You need not wait for it.", "内容较多，网关会自行完成删除，无需等待。";
    remove_mismatch: "The name that you typed is not that of the account.", "输入的名称与账号不符。";
    chats: "Chats", "会话";
    search: "Search", "搜索";
    search_chats: "Search chats by title", "按标题搜索会话";
    search_links: "Search links by a chat's title or name", "按会话标题或名称搜索链接";
    no_answer: "The account did not answer just now: what it has to ask you is missing here. Load the page again in a moment.", "账号暂时没有回应，需要你确认的内容未能显示。请稍后重新加载此页。";
    no_chats: "No chats yet. They come once the account is online.", "还没有会话。账号上线后就会出现。";
    no_match: "No chat has that in its title.", "没有标题匹配的会话。";
    kind: "Kind", "类型";
    title: "Title", "标题";
    unnamed: "(without a name)", "（未命名）";
    private: "private", "私聊";
    group: "group", "群聊";
    official: "official account", "公众号";
    system: "system", "系统";
    unconfirmed: " (unconfirmed)", "（未确认）";
    gone: "gone", "已不存在";
    next: "Next", "下一页";
    first: "First page", "第一页";
    questions: "Who is this?", "这是谁？";
    questions_why: "WeChat names everybody anew at each sign-in. For these chats it is not certain who they are, so what is said there waits in a place of its own until you answer.", "微信每次登录都会更换所有人的标识。以下会话无法确定是谁，消息会单独保留，直到你回答。";
    same_as: "It is {}", "是 {}";
    somebody_new: "Somebody new", "是新的人";
    answered: "Noted. What was waiting goes on in its place.", "已记录，等待的消息已归位。";
    undo: "Undo", "撤销";
    no_chat: "There is no such chat in this account.", "此账号没有这个会话。";
    why_this: "Why it is taken for who it is", "身份判断的依据";
    undo_this: "Take it back", "撤销判断";
    undo_why: "Takes back the last decision about who this is, yours or the gateway's: it is asked anew, or whoever writes now has a chat of their own.", "撤销最近一次身份判断（无论由你还是由网关作出）：会重新询问，或者之后的消息进入单独的会话。";
    undone: "Undone: whoever writes now has a chat of their own.", "已撤销：之后的消息会进入单独的会话。";
    more_questions: "There is something new for you to answer here.", "这里有新的内容需要你确认。";
    not_followed: "What you see here may be out of date: this page does not follow it any more.", "以上内容可能已过时：此页不再自动更新。";
    load_again: "Load it again", "重新加载";
    connect: "Connect a client", "连接客户端";
    admin: "Administration", "管理";
    people: "People", "用户";
    role: "Role", "角色";
    role_admin: "administrator", "管理员";
    role_user: "user", "普通用户";
    faces: "Networks", "网络";
    network: "Network", "网络";
    by_state: "Accounts by state", "各状态账号数";
    deliveries: "Deliveries", "投递";
    to: "To", "发往";
    sent: "sent", "已送达";
    refused: "given up", "已放弃";
    later: "put off", "已推迟";
    uncertain: "uncertain", "不确定";
    age: "The oldest for", "最早已等";
    reasons: "Did not arrive because", "未送达原因";
    open_now: "open now", "未完成";
    owner: "Owner", "所有者";
    memory: "Memory of the program: {} MiB", "程序内存：{} MiB";
    last_day: "The last day", "最近一天";
    no_plots: "The first plots come ten minutes after the start.", "启动十分钟后开始显示图表。";
    messages_per_hour: "Messages per hour", "每小时消息数";
    commit_time: "Time of a durable commit", "落盘耗时";
    memory_used: "Memory", "内存";
    at_most: "at most {}", "最高 {}";
    every_account: "All accounts", "全部账号";
    search_own: "Search your accounts by name", "按名称搜索账号";
    search_accounts: "Search by account or owner", "按账号或所有者搜索";
    nothing: "Nothing to show.", "没有内容。";
    seconds: "{} s", "{} 秒";
    minutes: "{} min", "{} 分钟";
    hours: "{} h", "{} 小时";
    other_language: "中文", "English";
    yours: "Yours", "我的";
    enter_once: "This link lets you in once.", "此链接只能使用一次。";
    enter_as: "Sign in as {}", "以 {} 的身份登录";
    enter_gone: "This link was used already, or more than ten minutes passed. Ask for another, or sign in.", "链接已用过或已超过十分钟。请重新获取，或直接登录。";
    new_password: "New password", "新密码";
    bot: "The Matrix account of this gateway", "本网关的 Matrix 账号";
    bot_begin: "It is signed in on a page of {}.", "需要在 {} 的页面上登录。";
    bot_go: "Go there", "前往";
    bot_nothing: "There is nothing to sign in now.", "现在没有需要登录的账号。";
    bot_done: "The account is signed in.", "账号已登录。";
    way_out: "Way to WeChat", "连接微信的方式";
    way_out_rule: "http://HOST:PORT or socks5://HOST:PORT, “direct”, or “default” for what the configuration says.", "http://主机:端口 或 socks5://主机:端口，direct 表示直连，default 表示按配置。";
    send_rate: "Messages a minute", "每分钟消息数";
    send_rate_rule: "How often it sends to WeChat; “default” is {}, as for everybody.", "向微信发送的频率；default 为 {}，与所有账号相同。";
    starts_anew: "A change starts the account anew; nobody has to scan.", "修改后账号会重新启动，无需重新扫码。";
    accounts_at_most: "Accounts at most", "最多账号数";
    choices: "How it is shown", "显示方式";
    choices_of_all: "These hold for all your accounts on Matrix.", "以下选项适用于你在 Matrix 上的所有账号。";
    change_quota: "Set", "设定";
    no_number: "That is no number of accounts.", "这不是账号数量。";
    password_now: "Present password", "当前密码";
    password_rule: "At least eight characters. Everywhere else you are signed out of these pages, and of IRC where you logged in with the old one.", "至少八个字符。其他地方的网页登录都会退出，用旧密码登录的 IRC 连接也会断开。";
    opens_too_little: "What you signed in with does not open that. Sign in with your password, or with a token that does.", "你登录时所用的凭据没有这个权限。请用密码或有此权限的令牌登录。";
    password_there: "Your own password is changed on the page “Yours”.", "自己的密码请在“我的”页面修改。";
    wrong_password: "That is not your present password.", "当前密码不正确。";
    change: "Change it", "修改";
    tokens: "Tokens", "令牌";
    tokens_why: "A token stands in the place of your password for one device or script, and you can end it alone. “login” opens IRC and these pages, “read” and “write” the API.", "令牌可代替密码用于某个设备或脚本，并可单独作废。login 用于 IRC 和网页，read 和 write 用于 API。";
    token_made: "This token is shown only now:", "此令牌只显示这一次：";
    make_token: "Make a token", "生成令牌";
    label: "Label", "标签";
    opens: "Opens", "权限";
    made: "Made (UTC)", "创建时间 (UTC)";
    last_used: "Last used", "最近使用";
    never: "not yet", "尚未";
    action: "Action", "操作";
    end: "End {}", "作废 {}";
    certificates: "Certificates", "证书";
    certificates_why: "A client certificate with one of these SHA-256 fingerprints logs you in on IRC (SASL EXTERNAL).", "持有以下 SHA-256 指纹的客户端证书可在 IRC 上登录（SASL EXTERNAL）。";
    friend_requests: "Friend requests", "好友请求";
    accept: "Accept", "接受";
    decline: "Decline", "拒绝";
    on_matrix: "This account is shown in your Matrix rooms.", "此账号显示在你的 Matrix 房间中。";
    not_on_matrix: "This account is not shown on Matrix.", "此账号未显示在 Matrix 上。";
    show_on_matrix: "Show it on Matrix", "在 Matrix 上显示";
    hide_on_matrix: "Do not show it on Matrix any more", "不再在 Matrix 上显示";
    links: "Links", "链接";
    links_why: "What is said in one chat of a link appears in all others of it.", "链接中任一会话的消息会出现在其他会话中。";
    all_links: "All links of your chats", "全部链接";
    no_links: "None of your chats is linked with others. Administrators make links.", "你的会话尚未与其他会话链接。链接由管理员建立。";
    somebody_elses: "a chat of somebody else", "他人的会话";
    add_link: "Make a link", "添加链接";
    first_chat: "One chat", "会话一";
    second_chat: "The other chat", "会话二";
    link_rule: "A chat is written NETWORK/CHAT: wechat:alice/家 (its title, or the beginning of it), irc:libera/#channel.", "会话写作 网络/会话：wechat:alice/家（标题或其开头），irc:libera/#channel。";
    unlink: "Take link {} apart", "解除链接 {}";
    audit: "Audit trail", "操作记录";
    when: "Time (UTC)", "时间 (UTC)";
    who: "Who", "谁";
    from: "From", "来源";
    what: "What", "操作";
    about: "About", "对象";
    the_operator: "the operator", "运维者";
    irc_off: "The IRC server is switched off.", "IRC 服务器未启用。";
    wechat: "WeChat", "微信";
    troubles: "What did not arrive", "未送达的消息";
    tried: "waiting, tried {} times", "等待中，已尝试 {} 次";
    next_try: "again at {}", "下次 {}";
    not_delivered: "not delivered", "未送达";
    maybe_delivered: "perhaps delivered", "可能已送达";
    search_people: "Search people by name", "按名称搜索用户";
    comes_in_with: "Signs in with", "登录方式";
    only_password: "Password", "密码";
    only_token: "Token", "令牌";
    nothing_opens: "Nothing", "无";
    add_person: "Add somebody", "添加用户";
    add_person_rule: "A password is made and shown once. They change it on their page “Yours”.", "系统会生成密码并只显示一次，用户可在“我的”页面修改。";
    password_made: "The password of {}, shown only now:", "{} 的密码（只显示这一次）：";
    remove_person: "Remove somebody", "删除用户";
    remove_person_warning: "Type the name. Somebody who still has accounts is removed only together with them: they are signed out, and what was said in them is forgotten here, for good.", "请输入用户名。仍有账号的用户只能连同账号一起删除：账号会退出，这里的消息将永久删除。";
    with_accounts: "with all accounts and messages", "连同全部账号和消息";
    not_yourself: "You cannot remove yourself here.", "不能在这里删除自己。";
    instances: "Instances", "实例";
    instance: "Instance", "实例";
    does: "Does", "职责";
    leads: "has the database, answers people, runs accounts", "持有数据库、响应用户、运行账号";
    works: "runs accounts", "运行账号";
    alone: "{} is alone: an instance on another machine would go on when this one is gone.", "只有 {} 一个实例；如果另一台机器上还有实例，它会在本机失效时接手。";
    room: "Room and limits", "空间与限额";
    database: "Database", "数据库";
    attachments: "Attachments", "附件";
    data: "Data", "数据";
    takes: "Takes", "占用";
    kept: "Kept", "保留";
    for_ever: "for ever", "永久";
    days: "{} days", "{} 天";
    quota_accounts: "Each person may have {} accounts.", "每人最多 {} 个账号。";
    quota_sends: "Each account sends at most {} messages a minute to WeChat.", "每个账号每分钟最多向微信发送 {} 条消息。";
    media_expired: "Expired", "链接已过期";
    media_expired_why: "This link has expired. Ask for the message again in your client to get a new one.", "此链接已过期。请在客户端中重新查看该消息，以获得新的链接。";
    media_nothing: "There is nothing at this address. Was the whole link copied?", "这个地址没有内容。链接复制完整了吗？";
    media_failed: "Not available", "无法取得";
    media_failed_why: "This attachment could not be had from WeChat: {}.", "无法从微信取得此附件：{}。";
    media_pending: "Not here yet", "尚未到达";
    media_pending_why: "This attachment is still on its way from WeChat. Try again in a few seconds.", "附件还在从微信传来的途中，请几秒后重试。";
    media_gone: "No longer kept", "已不再保留";
    media_gone_why: "This attachment is no longer kept here.", "此附件已不在这里保留。";
    media_unreadable: "Not readable", "无法读取";
    media_unreadable_why: "The gateway cannot read this attachment now. Try again later.", "网关现在无法读取此附件，请稍后再试。";
    media_odd: "The gateway cannot describe this attachment.", "网关无法描述此附件。";
    signed_in_as: "Signed in as {}", "当前用户：{}";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_language_that_there_is_answers() {
        for (header, wanted) in [
            ("", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-US,en;q=0.5", Language::English),
            ("de,zh;q=0.3,en;q=0.2", Language::Chinese),
            ("zh;q=0,en;q=0.1", Language::English),
            ("fr", Language::English),
            (";;;q=,zh;q=x", Language::English),
        ] {
            assert_eq!(Language::accepted(header), wanted, "{header:?}");
        }
    }

    #[test]
    fn what_stands_behind_a_title_is_in_the_language_of_the_page() {
        let title = format!("Ben{UNCONFIRMED}");
        assert_eq!(ENGLISH.title(&title), title);
        assert_eq!(ENGLISH.unconfirmed, UNCONFIRMED);
        assert_eq!(CHINESE.title(&title), "Ben（未确认）");
        assert_eq!(CHINESE.title("(unconfirmed)"), "(unconfirmed)", "somebody is called so");
    }

    #[test]
    fn both_languages_have_the_same_gaps() {
        for (name, english, chinese) in PAIRS {
            assert!(!english.is_empty() && !chinese.is_empty(), "{name}");
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count(), "{name}");
        }
    }
}

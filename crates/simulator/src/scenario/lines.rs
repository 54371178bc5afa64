//! What the cast says. All of it is invented.

pub(super) const FAMILY: [&str; 12] = [
    "晚上回家吃饭吗？🍲",
    "妈包了饺子，韭菜鸡蛋的",
    "我七点到，路上有点堵",
    "Grandma says hi 👋",
    "周末带孩子去动物园吧",
    "天气预报说明天下雨☔",
    "记得带伞",
    "好的😄",
    "爸的药买了吗？\n在门口那家药店",
    "买了，放桌上了",
    "Happy birthday 🎂🎉",
    "[微笑]",
];

pub(super) const COLLEAGUES: [&str; 10] = [
    "@me 下午的会改到三点了",
    "The build is green again",
    "谁有会议室的钥匙？",
    "@me could you review my change?",
    "新版本已经发到测试环境",
    "a < b && c > d ，这个判断写反了",
    "Lunch at 12?",
    "文档我更新了，大家看一下",
    "收到",
    "周报别忘了📝",
];

pub(super) const NOISE: [&str; 14] = [
    "哈哈哈哈",
    "+1",
    "早！",
    "有人拼车吗",
    "周六几点集合？",
    "8点，东门",
    "I'm in 🙋",
    "带水带帽子",
    "这张照片谁拍的，真好看",
    "👍👍👍",
    "路线改了，看群公告",
    "[强]",
    "收到",
    "see http://example.com/route:\n两个小时就到",
];

pub(super) const PRIVATE: [&str; 10] = [
    "在吗？",
    "明天几点见？",
    "I left the book at your desk",
    "刚刚看到你的消息😅",
    "那家咖啡馆还开着吗",
    "Thanks! 🌺",
    "晚点给你打电话",
    "\"引用\"和 <标签> 都没问题",
    "好，听你的",
    "照片我发你邮箱了",
];

pub(super) const PHONE: [&str; 4] = ["我在路上", "马上到", "ok, sending it now", "手机上回的😄"];

pub(super) const ANSWERS: [&str; 6] =
    ["收到：{}", "好的👌", "“{}”？真的吗", "Got it", "哈哈，{}", "等我一下"];

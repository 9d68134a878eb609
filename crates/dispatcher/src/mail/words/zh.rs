//! Chinese (simplified).

use super::{Text, Words};

pub(super) static WORDS: Words = Words {
    tag: "zh-Hans",
    verify_address: Text {
        subject: "请确认您的邮箱地址",
        before: &["{name}，您好：", "请确认这个邮箱地址属于您，以便在 Picket 中使用。"],
        action: Some("确认邮箱地址"),
        after: &[
            "该链接只能使用一次，有效期至 {expires}。",
            "如果您没有注册 Picket，请忽略本邮件：未经您确认，不会有任何变化。",
        ],
    },
    address_taken: Text {
        subject: "您已拥有 Picket 账户",
        before: &[
            "{name}，您好：",
            "刚刚有人尝试用这个邮箱地址注册 Picket，但您已经拥有账户。如果是您本人操作，请照常登录；如果忘记了密码，可以设置新密码。",
        ],
        action: Some("设置新密码"),
        after: &["如果不是您本人操作，无需任何处理：您的账户没有变化。"],
    },
    reset_password: Text {
        subject: "设置新密码",
        before: &["{name}，您好：", "您申请为 Picket 账户设置新密码。"],
        action: Some("设置新密码"),
        after: &[
            "该链接只能使用一次，有效期至 {expires}。设置新密码后，您在其他设备上的登录将全部退出。",
            "如果您没有提出申请，请忽略本邮件：您的密码不会改变。",
        ],
    },
    password_changed: Text {
        subject: "您的密码已更改",
        before: &["{name}，您好：", "您的 Picket 账户密码已于 {at} 更改，操作来自网络地址 {address}。"],
        action: None,
        after: &["如果不是您本人操作，请立即通过“忘记密码”设置新密码，并告知管理员。"],
    },
    mfa_enabled: Text {
        subject: "双重验证已开启",
        before: &[
            "{name}，您好：",
            "您的 Picket 账户已于 {at} 开启双重验证。今后登录时需要输入身份验证器应用中的验证码。请妥善保管备用码。",
        ],
        action: None,
        after: &["如果不是您本人操作，请立即设置新密码，并告知管理员。"],
    },
    mfa_disabled: Text {
        subject: "双重验证已关闭",
        before: &["{name}，您好：", "您的 Picket 账户已于 {at} 关闭双重验证。现在账户仅由密码保护。"],
        action: None,
        after: &["如果不是您本人操作，请立即设置新密码，并告知管理员。"],
    },
    identity_linked: Text {
        subject: "您的账户已关联新的登录方式",
        before: &["{name}，您好：", "您的 Picket 账户已于 {at} 关联 {provider} 账户。今后使用该账户即可登录 Picket。"],
        action: None,
        after: &["如果不是您本人操作，请在账户中取消关联，立即设置新密码，并告知管理员。"],
    },
    identity_unlinked: Text {
        subject: "您的账户已移除一种登录方式",
        before: &[
            "{name}，您好：",
            "您的 Picket 账户已于 {at} 取消关联 {provider} 账户。该账户不能再用于登录 Picket。",
        ],
        action: None,
        after: &["如果不是您本人操作，请立即设置新密码，并告知管理员。"],
    },
    confirm_new_address: Text {
        subject: "请确认您的新邮箱地址",
        before: &["{name}，您好：", "请确认这个邮箱地址属于您，今后您的 Picket 账户将使用它。"],
        action: Some("确认新邮箱地址"),
        after: &[
            "该链接只能使用一次，有效期至 {expires}。",
            "如果您没有提出申请，请忽略本邮件：未经您确认，不会有任何变化。",
        ],
    },
    address_change_asked: Text {
        subject: "有人申请更换您的邮箱地址",
        before: &[
            "{name}，您好：",
            "{at}，有人在登录您的 Picket 账户后申请将邮箱地址更换为 {email}。只有该地址得到确认后才会更换。",
        ],
        action: None,
        after: &["如果不是您本人操作，请立即设置新密码，该申请将随之失效，并请告知管理员。"],
    },
    address_changed: Text {
        subject: "您的邮箱地址已更换",
        before: &["{name}，您好：", "您的 Picket 账户邮箱地址已于 {at} 更换为 {email}。本地址不能再用于登录。"],
        action: None,
        after: &["如果不是您本人操作，请立即告知管理员。"],
    },
    scan_completed: Text {
        subject: "对 {target} 的扫描已完成",
        before: &[
            "{name}，您好：",
            "您在 {organization} 中发起的对 {target} 的扫描已于 {at} 完成。",
            "发现的问题：严重 {critical} 个，高危 {high} 个，中危 {medium} 个，低危 {low} 个，信息 {info} 个。",
        ],
        action: Some("查看结果"),
        after: &[
            "结果中还说明了哪些内容已检查、哪些未检查：仅凭问题数量少并不能说明一切正常。",
            "您收到本邮件，是因为创建扫描时要求在结束后通知您。",
        ],
    },
    scan_failed: Text {
        subject: "对 {target} 的扫描失败",
        before: &[
            "{name}，您好：",
            "您在 {organization} 中发起的对 {target} 的扫描已于 {at} 失败：没有任何内容得到检查。",
            "发现的问题：严重 {critical} 个，高危 {high} 个，中危 {medium} 个，低危 {low} 个，信息 {info} 个。",
        ],
        action: Some("查看原因"),
        after: &["您收到本邮件，是因为创建扫描时要求在结束后通知您。"],
    },
    scan_cancelled: Text {
        subject: "对 {target} 的扫描已取消",
        before: &[
            "{name}，您好：",
            "您在 {organization} 中发起的对 {target} 的扫描已于 {at} 被取消。此前发现的内容已保留。",
            "发现的问题：严重 {critical} 个，高危 {high} 个，中危 {medium} 个，低危 {low} 个，信息 {info} 个。",
        ],
        action: Some("查看结果"),
        after: &["您收到本邮件，是因为创建扫描时要求在结束后通知您。"],
    },
    proof_missing: Text {
        subject: "未找到 {target} 的所有权证明",
        before: &["{name}，您好：", "用于证明 {organization} 控制 {target} 的令牌在 {at} 未被找到。"],
        action: None,
        after: &["我们将在一天后再次检查。如果届时仍未找到，证明将失效，依赖它的扫描将不再继续。请恢复该令牌。"],
    },
    proof_ended: Text {
        subject: "{target} 的所有权证明已失效",
        before: &[
            "{name}，您好：",
            "用于证明 {organization} 控制 {target} 的令牌连续两次未被找到，证明已于 {at} 失效。",
        ],
        action: None,
        after: &["仅依赖该证明的扫描中尚未开始的部分已结束。如需再次扫描该目标，请重新证明。"],
    },
    target_shared: Text {
        subject: "另一个组织也证明了对 {target} 的控制",
        before: &[
            "{name}，您好：",
            "{organization} 已证明其控制 {target}。截至 {at}，Picket 上的另一个组织也作出了同样的证明。",
        ],
        action: None,
        after: &[
            "如果您知情，则无需任何操作。否则，其他人可能控制了该目标或其 DNS：请检查其记录；如果它已不属于您，请撤回您的证明。",
        ],
    },
    invitation: Text {
        subject: "邀请您加入 Picket 上的 {organization}",
        before: &["您好：", "{inviter} 邀请您以{role}身份加入 Picket 上的组织 {organization}。"],
        action: Some("接受邀请"),
        after: &["邀请有效期至 {expires}。", "如果您不认识邀请人，请忽略本邮件：没有人能以您的名义加入。"],
    },
    viewer: "查看者",
    analyst: "分析员",
    admin: "管理员",
    owner: "所有者",
    copy_link: "如果按钮无法点击，请将以下地址复制到浏览器中打开：",
    footer: "本邮件由 Picket 因账户操作自动发送，请勿回复。",
};

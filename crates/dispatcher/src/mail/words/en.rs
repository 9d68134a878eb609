//! English.

use super::{Text, Words};

pub(super) static WORDS: Words = Words {
    tag: "en",
    verify_address: Text {
        subject: "Confirm your e-mail address",
        before: &[
            "Hello {name},",
            "Please confirm that this e-mail address is yours, so that you can use Picket with it.",
        ],
        action: Some("Confirm address"),
        after: &[
            "The link works once, until {expires}.",
            "If you did not sign up for Picket, ignore this message: without your confirmation nothing happens.",
        ],
    },
    address_taken: Text {
        subject: "You already have a Picket account",
        before: &[
            "Hello {name},",
            "Somebody just tried to sign up for Picket with this e-mail address, but you already have an account. If it \
             was you, sign in as usual. If you forgot your password, you can set a new one.",
        ],
        action: Some("Set a new password"),
        after: &["If it was not you, there is nothing to do: your account has not changed."],
    },
    reset_password: Text {
        subject: "Set a new password",
        before: &["Hello {name},", "You asked to set a new password for your Picket account."],
        action: Some("Set a new password"),
        after: &[
            "The link works once, until {expires}. When you have set a new password, you are signed out everywhere else.",
            "If you did not ask for this, ignore this message: your password stays as it is.",
        ],
    },
    password_changed: Text {
        subject: "Your password was changed",
        before: &[
            "Hello {name},",
            "The password of your Picket account was changed on {at}, from the network address {address}.",
        ],
        action: None,
        after: &["If it was not you, set a new password at once with “Forgot password” and tell your administrator."],
    },
    mfa_enabled: Text {
        subject: "Two-factor authentication is on",
        before: &[
            "Hello {name},",
            "Two-factor authentication was turned on for your Picket account on {at}. From now on you need a code from \
             your authenticator app to sign in. Keep your backup codes in a safe place.",
        ],
        action: None,
        after: &["If it was not you, set a new password at once and tell your administrator."],
    },
    mfa_disabled: Text {
        subject: "Two-factor authentication is off",
        before: &[
            "Hello {name},",
            "Two-factor authentication was turned off for your Picket account on {at}. Your password alone now protects \
             it.",
        ],
        action: None,
        after: &["If it was not you, set a new password at once and tell your administrator."],
    },
    identity_linked: Text {
        subject: "A sign-in was linked to your account",
        before: &[
            "Hello {name},",
            "On {at} an account at {provider} was linked to your Picket account. Whoever signs in there can now sign in here.",
        ],
        action: None,
        after: &[
            "If it was not you, unlink it in your account, set a new password at once and tell your administrator.",
        ],
    },
    identity_unlinked: Text {
        subject: "A sign-in was removed from your account",
        before: &[
            "Hello {name},",
            "On {at} the account at {provider} was removed from your Picket account. It no longer signs you in here.",
        ],
        action: None,
        after: &["If it was not you, set a new password at once and tell your administrator."],
    },
    confirm_new_address: Text {
        subject: "Confirm your new e-mail address",
        before: &[
            "Hello {name},",
            "Please confirm that this e-mail address is yours, so that your Picket account uses it from now on.",
        ],
        action: Some("Confirm new address"),
        after: &[
            "The link works once, until {expires}.",
            "If you did not ask for this, ignore this message: without your confirmation nothing changes.",
        ],
    },
    address_change_asked: Text {
        subject: "A new e-mail address was requested",
        before: &[
            "Hello {name},",
            "On {at} somebody who is signed in to your Picket account asked to change its e-mail address to {email}. It changes only when that address is confirmed.",
        ],
        action: None,
        after: &[
            "If it was not you, set a new password at once: that voids the request. Tell your administrator, too.",
        ],
    },
    address_changed: Text {
        subject: "Your e-mail address was changed",
        before: &[
            "Hello {name},",
            "On {at} the e-mail address of your Picket account was changed to {email}. This address no longer signs you in.",
        ],
        action: None,
        after: &["If it was not you, tell your administrator at once."],
    },
    scan_completed: Text {
        subject: "The scan of {target} has completed",
        before: &[
            "Hello {name},",
            "The scan of {target} that you asked for in {organization} completed on {at}.",
            "Findings: {critical} critical, {high} high, {medium} medium, {low} low, {info} informational.",
        ],
        action: Some("Open the result"),
        after: &[
            "The result also says what was examined and what was not: few findings alone do not mean that all is well.",
            "You get this message because you asked for it when the scan was created.",
        ],
    },
    scan_failed: Text {
        subject: "The scan of {target} has failed",
        before: &[
            "Hello {name},",
            "The scan of {target} that you asked for in {organization} failed on {at}: nothing could be examined.",
            "Findings: {critical} critical, {high} high, {medium} medium, {low} low, {info} informational.",
        ],
        action: Some("See why"),
        after: &["You get this message because you asked for it when the scan was created."],
    },
    scan_cancelled: Text {
        subject: "The scan of {target} was cancelled",
        before: &[
            "Hello {name},",
            "The scan of {target} that you asked for in {organization} was cancelled on {at}. What it had found until then is kept.",
            "Findings: {critical} critical, {high} high, {medium} medium, {low} low, {info} informational.",
        ],
        action: Some("Open the result"),
        after: &["You get this message because you asked for it when the scan was created."],
    },
    proof_missing: Text {
        subject: "The proof for {target} was not found",
        before: &[
            "Hello {name},",
            "The token that proves that {organization} controls {target} was not found on {at}.",
        ],
        action: None,
        after: &[
            "We look again in a day. If it is still missing then, the proof ends, and scans that rely on it do not go on. Please put the token back.",
        ],
    },
    proof_ended: Text {
        subject: "The proof for {target} has ended",
        before: &[
            "Hello {name},",
            "The token that proves that {organization} controls {target} was missing twice in a row, so the proof ended on {at}.",
        ],
        action: None,
        after: &[
            "What had not begun of scans that rely on it alone was ended. To scan the target again, please prove it anew.",
        ],
    },
    target_shared: Text {
        subject: "{target} was proven by another organization too",
        before: &[
            "Hello {name},",
            "{organization} has proven that it controls {target}. As of {at}, another organization on Picket has proven the same.",
        ],
        action: None,
        after: &[
            "If you expect that, you need not do anything. If not, somebody else may control the target or its DNS: please look at its records, and withdraw your proof if it is not yours any more.",
        ],
    },
    invitation: Text {
        subject: "Invitation to join {organization} on Picket",
        before: &["Hello,", "{inviter} invites you to join the organization {organization} on Picket as {role}."],
        action: Some("Accept the invitation"),
        after: &[
            "The invitation is valid until {expires}.",
            "If you do not know who invites you, ignore this message: nobody can join in your name.",
        ],
    },
    viewer: "viewer",
    analyst: "analyst",
    admin: "administrator",
    owner: "owner",
    copy_link: "If the button does not work, copy this address into your browser:",
    footer: "Picket sent this message because of an action on an account. Nobody reads replies to it.",
};

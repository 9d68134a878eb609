//! A mail server of an old version. It takes no mail.

use std::io;

use tokio::net::TcpStream;

use super::conversation::{Conversation, command};

/// Speaks until the other side leaves.
pub(super) async fn speak(stream: TcpStream) -> io::Result<()> {
    let mut conversation = Conversation::new(stream);
    conversation.say("220 mail.demo.invalid ESMTP Exim 4.87 Sun, 01 May 2016 12:00:00 +0000").await?;
    while let Some(line) = conversation.hear().await? {
        let (verb, _) = command(&line);
        conversation.say(answer(&verb)).await?;
        if verb == "QUIT" {
            break;
        }
    }
    Ok(())
}

fn answer(verb: &str) -> &'static str {
    match verb {
        "EHLO" => {
            "250-mail.demo.invalid Hello\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-PIPELINING\r\n\
             250-AUTH PLAIN LOGIN\r\n250 HELP"
        }
        "HELO" => "250 mail.demo.invalid Hello",
        "HELP" => "214-Commands supported:\r\n214 AUTH HELO EHLO MAIL RCPT DATA NOOP QUIT RSET HELP",
        "NOOP" | "RSET" => "250 OK",
        "MAIL" | "RCPT" | "DATA" => "550 This server takes no mail",
        "AUTH" => "535 Incorrect authentication data",
        "QUIT" => "221 mail.demo.invalid closing connection",
        _ => "500 unrecognized command",
    }
}

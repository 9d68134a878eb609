//! The first line of an SSH server of an old version. It goes no further: no key is exchanged, nobody logs in.

use std::io;

use tokio::net::TcpStream;

use super::conversation::Conversation;

/// Says which version it is and hears which the other side is.
pub(super) async fn speak(stream: TcpStream) -> io::Result<()> {
    let mut conversation = Conversation::new(stream);
    conversation.say("SSH-2.0-OpenSSH_7.4").await?;
    conversation.hear().await.map(drop)
}

//! A file server that lets everybody in and shows a folder. It reads no file and takes none: the listing is text of ours.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::conversation::{Conversation, command};

/// How long the other side may take to fetch a listing.
const LISTING_WAIT: Duration = Duration::from_secs(10);

const LISTING: &str = "\
drwxr-xr-x    2 0        0            4096 Mar 04  2011 docs\r\n\
-rw-r--r--    1 0        0           18244 Mar 04  2011 customers.csv\r\n\
-rw-r--r--    1 0        0             731 Mar 04  2011 README\r\n";

/// Speaks until the other side leaves.
pub(super) async fn speak(stream: TcpStream) -> io::Result<()> {
    let mut session = Session { address: stream.local_addr()?.ip(), is_guest: false, is_in: false, data: None };
    let mut conversation = Conversation::new(stream);
    conversation.say("220 (vsFTPd 2.3.4)").await?;
    while let Some(line) = conversation.hear().await? {
        let (verb, argument) = command(&line);
        match verb.as_str() {
            "QUIT" => return conversation.say("221 Goodbye.").await,
            "LIST" | "NLST" if session.is_in => session.list(&mut conversation).await?,
            "PASV" | "EPSV" if session.is_in => {
                let answer = session.open(verb == "EPSV").await?;
                conversation.say(&answer).await?;
            }
            verb => conversation.say(session.answer(verb, argument)).await?,
        }
    }
    Ok(())
}

struct Session {
    address: IpAddr,
    is_guest: bool,
    is_in: bool,
    data: Option<TcpListener>,
}

impl Session {
    fn answer(&mut self, verb: &str, argument: &str) -> &'static str {
        match (verb, self.is_in) {
            ("USER", _) => {
                self.is_guest = argument.eq_ignore_ascii_case("anonymous") || argument.eq_ignore_ascii_case("ftp");
                self.is_in = false;
                "331 Please specify the password."
            }
            ("PASS", _) if self.is_guest => {
                self.is_in = true;
                "230 Login successful."
            }
            ("PASS", _) => "530 Login incorrect.",
            (_, false) => "530 Please login with USER and PASS.",
            ("SYST", true) => "215 UNIX Type: L8",
            ("PWD", true) => "257 \"/\"",
            ("TYPE", true) => "200 Switching to Binary mode.",
            ("CWD", true) => "250 Directory successfully changed.",
            ("NOOP", true) => "200 NOOP ok.",
            ("STAT", true) => {
                "211-FTP server status:\r\n     Logged in as ftp\r\n     TYPE: ASCII\r\n     \
                 Control connection is plain text\r\n     Data connections will be plain text\r\n     \
                 vsFTPd 2.3.4 - secure, fast, stable\r\n211 End of status"
            }
            // Data flows to no address that the other side names: that would be a bounce.
            ("PORT" | "EPRT", true) => "500 Illegal PORT command.",
            ("STOR" | "APPE" | "MKD" | "DELE" | "RMD" | "RNFR", true) => "550 Permission denied.",
            ("RETR", true) => "550 Failed to open file.",
            (_, true) => "500 Unknown command.",
        }
    }

    /// Opens a port for the next listing, on the address that the other side already talks to.
    async fn open(&mut self, is_extended: bool) -> io::Result<String> {
        let listener = TcpListener::bind(SocketAddr::new(self.address, 0)).await?;
        let port = listener.local_addr()?.port();
        self.data = Some(listener);
        let [high, low] = port.to_be_bytes();
        Ok(match self.address {
            IpAddr::V4(v4) if !is_extended => {
                let [a, b, c, d] = v4.octets();
                format!("227 Entering Passive Mode ({a},{b},{c},{d},{high},{low}).")
            }
            IpAddr::V4(_) | IpAddr::V6(_) => format!("229 Entering Extended Passive Mode (|||{port}|)."),
        })
    }

    async fn list(&mut self, conversation: &mut Conversation) -> io::Result<()> {
        let Some(listener) = self.data.take() else { return conversation.say("425 Use PORT or PASV first.").await };
        conversation.say("150 Here comes the directory listing.").await?;
        let Ok(accepted) = timeout(LISTING_WAIT, listener.accept()).await else {
            return conversation.say("425 Failed to establish connection.").await;
        };
        let (mut data, _) = accepted?;
        data.write_all(LISTING.as_bytes()).await?;
        data.shutdown().await?;
        conversation.say("226 Directory send OK.").await
    }
}

//! A remote screen without a password (RFB 3.8, RFC 6143): it greets everybody, and shows nothing.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const VERSION: &[u8; 12] = b"RFB 003.008\n";
/// One security type is offered: 1, "none" (RFC 6143 §7.1.2, §7.2.1).
const SECURITY_TYPES: [u8; 2] = [1, 1];
const SECURITY_NONE: u8 = 1;
const SECURITY_OK: [u8; 4] = [0; 4];
/// 640 × 480, 32 bits per pixel, true colour (RFC 6143 §7.3.2, §7.4); the name's length and the name follow.
const SCREEN: [u8; 20] = [2, 128, 1, 224, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
const NAME_LENGTH: [u8; 4] = [0, 0, 0, 11];
const NAME: &[u8; 11] = b"demo screen";
/// What is read of a client that is let in, before it is left.
const MOST_BYTES: u64 = 4096;

/// Shakes hands; what comes after is read and forgotten.
pub(super) async fn speak(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(VERSION).await?;
    let mut version = [0; VERSION.len()];
    stream.read_exact(&mut version).await?;
    stream.write_all(&SECURITY_TYPES).await?;
    if stream.read_u8().await? != SECURITY_NONE {
        return Ok(());
    }
    stream.write_all(&SECURITY_OK).await?;
    stream.read_u8().await?;
    stream.write_all(&[SCREEN.as_slice(), &NAME_LENGTH, NAME].concat()).await?;
    tokio::io::copy(&mut stream.take(MOST_BYTES), &mut tokio::io::sink()).await.map(drop)
}

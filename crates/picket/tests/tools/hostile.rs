//! Web sites that mean harm (case O3 of the security design): answers without an end, answers that grow, and answers that
//! lead elsewhere. Each lives until the test program ends.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// What a bomb unpacks to, in mebibytes.
const BOMB_MIB: usize = 1024;
const MIB: usize = 1 << 20;

/// A site, and how often it was asked.
pub(crate) struct Site {
    pub(crate) port: u16,
    pub(crate) visits: Arc<AtomicU64>,
}

/// Serves one answer to every request, on a port of loopback that the system chose.
fn serve(answer: impl Fn(&str, &mut TcpStream) -> io::Result<()> + Clone + Send + 'static) -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let visits = Arc::new(AtomicU64::new(0));
    let counted = visits.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (answer, counted) = (answer.clone(), counted.clone());
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                lines.by_ref().take(100).find(String::is_empty);
                counted.fetch_add(1, Ordering::Relaxed);
                // The visitor goes when it has had enough.
                let _ = answer(request.split(' ').nth(1).unwrap_or("/"), &mut stream);
            });
        }
    });
    Site { port, visits }
}

/// A page of which a byte comes now and then, for ever.
pub(crate) fn dripping() -> Site {
    serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>")?;
        loop {
            stream.write_all(b"a")?;
            // Often enough that no time between two reads is ever over.
            thread::sleep(Duration::from_millis(100));
        }
    })
}

/// A page that comes as fast as it is read, for ever.
pub(crate) fn endless() -> Site {
    serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>")?;
        loop {
            stream.write_all(&[b'a'; 65536])?;
        }
    })
}

/// A page of one megabyte that unpacks to a gigabyte of zeros.
pub(crate) fn bomb() -> Site {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    let bomb = BOMB.get_or_init(zeros);
    serve(|_, stream| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            bomb.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(bomb)
    })
}

/// One gzip member (RFC 1952) of a gigabyte of zeros. One block of deflate that ends at a byte and looks at nothing before
/// it (RFC 1951) stands for a mebibyte, as often as it is repeated.
fn zeros() -> Vec<u8> {
    let (mut deflate, zeros) = (Compress::new(Compression::best(), false), vec![0; MIB]);
    let mut block = Vec::with_capacity(MIB);
    assert_eq!(deflate.compress_vec(&zeros, &mut block, FlushCompress::Full).unwrap(), Status::Ok);
    let mut one = Crc::new();
    one.update(&zeros);
    let mut sum = Crc::new();
    (0..BOMB_MIB).for_each(|_| sum.combine(&one));
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    (0..BOMB_MIB).for_each(|_| bomb.extend_from_slice(&block));
    bomb.extend([3, 0]);
    bomb.extend(sum.sum().to_le_bytes());
    bomb.extend(u32::try_from(BOMB_MIB * MIB).unwrap().to_le_bytes());
    bomb
}

fn redirect(stream: &mut TcpStream, to: &str) -> io::Result<()> {
    let body = format!("<html><meta http-equiv=refresh content='0;url={to}'><a href='{to}'>there</a></html>");
    let head = format!(
        "HTTP/1.1 302 Found\r\nContent-Type: text/html\r\nLocation: {to}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}

/// Every page leads to another one of this site, and never to an end.
pub(crate) fn looping() -> Site {
    serve(|path, stream| redirect(stream, if path == "/a" { "/b" } else { "/a" }))
}

/// A site every page of which leads elsewhere, to each of `places` in turn.
pub(crate) fn leading_to(places: Vec<String>) -> Site {
    let asked = Arc::new(AtomicU64::new(0));
    serve(move |_, stream| {
        let turn = usize::try_from(asked.fetch_add(1, Ordering::Relaxed)).unwrap() % places.len();
        redirect(stream, &places[turn])
    })
}

/// Somebody at every address of this machine whom no tool may visit, and how many have.
pub(crate) fn trap() -> Site {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let visits = Arc::new(AtomicU64::new(0));
    let counted = visits.clone();
    thread::spawn(move || {
        for _visitor in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    Site { port, visits }
}

#[test]
fn a_bomb_is_a_gzip_file_of_a_gigabyte() {
    use flate2::read::GzDecoder;
    let bomb = zeros();
    assert!(bomb.len() < 2 * MIB, "{}", bomb.len());
    // The end is checked by whoever unpacks it: here its beginning is enough.
    let mut begin = vec![1; MIB];
    io::Read::read_exact(&mut GzDecoder::new(bomb.as_slice()), &mut begin).unwrap();
    assert!(begin.iter().all(|byte| *byte == 0));
}

//! A small web application with weaknesses that are known: script and SQL errors from parameters, an open redirect, a
//! careless cookie, no security headers, and files that should not be served.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

const FILES: &[(&str, &str)] = &[
    ("/.git/HEAD", "ref: refs/heads/main\n"),
    ("/.env", "DATABASE_PASSWORD=hunter2\n"),
    ("/backup.sql", "-- dump\nCREATE TABLE users (id int);\n"),
    ("/robots.txt", "User-agent: *\nDisallow: /admin/\n"),
];
const START: &str = "<html><head><title>Shop</title><meta name=\"generator\" content=\"WordPress 5.0\"></head><body>\
    <a href=\"/item?id=1\">item</a> <a href=\"/search?q=x\">search</a> <a href=\"/go?url=/\">go</a></body></html>";

/// Serves the shop on a free port of loopback until the test ends.
pub(crate) fn open() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
    port
}

/// Answers one request and closes. What goes wrong on the way is the visitor's loss.
fn serve(stream: &TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    lines.by_ref().take(100).find(String::is_empty);
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or("/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, more, body) = answer(path, &value(query));
    let kind = if FILES.iter().any(|(name, _)| *name == path) { "text/plain" } else { "text/html" };
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: nginx/1.16.1\r\nContent-Type: {kind}\r\nSet-Cookie: session=abc123; Path=/\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if method == "HEAD" { "" } else { &body };
    let mut stream = stream;
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn answer(path: &str, value: &str) -> (&'static str, String, String) {
    let page = |text: &str| ("200 OK", String::new(), format!("<html><body>{text}</body></html>"));
    match path {
        "/" => ("200 OK", String::new(), START.to_owned()),
        "/item" if value.bytes().all(|byte| byte.is_ascii_digit()) => page("item"),
        "/item" => page(
            "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for the right syntax to use near '' at line 1",
        ),
        "/search" => page(&format!("Results for {value}")),
        "/go" => ("302 Found", format!("Location: {}\r\n", value.replace(['\r', '\n'], "")), String::new()),
        "/admin/" => page("<form><input type=password name=p></form>"),
        _ => match FILES.iter().find(|(name, _)| *name == path) {
            Some((_, text)) => ("200 OK", String::new(), (*text).to_owned()),
            None => ("404 Not Found", String::new(), "<html>not here</html>".to_owned()),
        },
    }
}

/// The value of the first parameter, decoded.
fn value(query: &str) -> String {
    let raw = query.split('&').next().and_then(|pair| pair.split_once('=')).map_or("", |(_, value)| value);
    let (mut bytes, mut rest) = (Vec::new(), raw.as_bytes());
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        (bytes, rest) = match (first, hex) {
            (b'%', Some(byte)) => ([bytes, vec![byte]].concat(), &tail[2..]),
            (b'+', _) => ([bytes, vec![b' ']].concat(), tail),
            (byte, _) => ([bytes, vec![*byte]].concat(), tail),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

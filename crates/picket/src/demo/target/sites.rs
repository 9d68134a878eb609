//! The sites of the demo target. Every name ends in `.invalid`, every secret is invented and opens nothing.

use super::web::{Page, Site};

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain";

/// A shop that was deployed with its repository.
pub(super) static SHOP: Site = Site {
    weakness: "Apache 2.4.49 with TRACE, a repository and a careless cookie",
    server: "Apache/2.4.49 (Unix)",
    allow: "GET,HEAD,POST,OPTIONS,TRACE",
    headers: &[("x-powered-by", "PHP/7.2.0"), ("set-cookie", "PHPSESSID=6f1ed002ab5595859014ebf0951522d9; path=/")],
    challenge: None,
    pages: &[
        Page {
            path: "/",
            media_type: HTML,
            body: "<!DOCTYPE html>\n<html><head><title>Demo shop</title></head><body><h1>Demo shop</h1>\
                   <p>Nothing here is for sale.</p></body></html>\n",
        },
        Page {
            path: "/robots.txt",
            media_type: TEXT,
            body: "User-agent: *\nDisallow: /admin/\nDisallow: /backup/\nDisallow: /old-shop/\n",
        },
        Page { path: "/.git/HEAD", media_type: TEXT, body: "ref: refs/heads/main\n" },
        Page {
            path: "/.git/config",
            media_type: TEXT,
            body: "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\
                   [remote \"origin\"]\n\turl = https://deploy:demo-only@git.demo.invalid/shop.git\n\
                   \tfetch = +refs/heads/*:refs/remotes/origin/*\n",
        },
        Page { path: "/.git/description", media_type: TEXT, body: "The demo shop\n" },
        Page { path: "/.git/COMMIT_EDITMSG", media_type: TEXT, body: "Put the password into the settings for now\n" },
    ],
};

/// A folder that everybody can look into, and that announces more than it should.
pub(super) static FILES: Site = Site {
    weakness: "nginx 1.16.1 that lists its files and announces PUT and DELETE",
    server: "nginx/1.16.1",
    allow: "GET,HEAD,PUT,DELETE,OPTIONS",
    headers: &[],
    challenge: None,
    pages: &[
        Page {
            path: "/",
            media_type: HTML,
            body: "<html>\r\n<head><title>Index of /</title></head>\r\n<body>\r\n<h1>Index of /</h1><hr><pre>\
                   <a href=\"../\">../</a>\r\n\
                   <a href=\"backup-2019.sql\">backup-2019.sql</a>      12-Feb-2019 04:00      83\r\n\
                   <a href=\"staff.txt\">staff.txt</a>            03-Mar-2019 09:41      41\r\n\
                   </pre><hr></body>\r\n</html>\r\n",
        },
        Page {
            path: "/backup-2019.sql",
            media_type: TEXT,
            body: "-- A demo: nothing of this was ever a database.\nCREATE TABLE customer (name text);\n",
        },
        Page { path: "/staff.txt", media_type: TEXT, body: "A demo: nobody of this list ever worked.\n" },
    ],
};

/// A router's settings behind a password that travels in the clear.
pub(super) static ROUTER: Site = Site {
    weakness: "lighttpd 1.4.28 that asks for a password without TLS",
    server: "lighttpd/1.4.28",
    allow: "GET,HEAD,POST,OPTIONS",
    headers: &[],
    challenge: Some("Basic realm=\"Router settings\""),
    pages: &[],
};

/// A portal behind TLS that nobody looks after.
pub(super) static PORTAL: Site = Site {
    weakness: "a self-signed certificate that expired in 2020, and a careless cookie",
    server: "Apache/2.4.6 (CentOS) OpenSSL/1.0.2k-fips PHP/5.4.16",
    allow: "GET,HEAD,POST,OPTIONS",
    headers: &[("set-cookie", "JSESSIONID=0BD3C1F2A75E4D96; Path=/")],
    challenge: None,
    pages: &[Page {
        path: "/",
        media_type: HTML,
        body: "<!DOCTYPE html>\n<html><head><title>Staff portal</title></head><body><h1>Staff portal</h1>\
               <form method=\"post\"><input name=\"user\"><input name=\"password\" type=\"password\"></form>\
               </body></html>\n",
    }],
};

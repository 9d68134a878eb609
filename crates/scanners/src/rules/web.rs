//! Rules of web servers.

use super::rules;

rules! {
    HTTP_GIT_EXPOSED = "http.git_exposed", High, "A Git repository is served to everybody",
        "The files below .git give away source code, its history and often credentials.",
        "Deny access to .git, deploy without it, and change every secret that was ever committed.";
    HTTP_SVN_EXPOSED = "http.svn_exposed", Medium, "Subversion metadata is served to everybody",
        "The metadata names the repository, its authors and its files.",
        "Deny access to .svn and deploy an export instead of a working copy.";
    HTTP_RISKY_METHOD = "http.risky_method", Medium, "The web server announces a risky method",
        "A method that writes, deletes or tunnels is announced; whether it needs a login was not tried.",
        "Switch the method off where the application does not need it, and check who may use it.";
    HTTP_TRACE = "http.trace_enabled", Low, "The web server answers TRACE",
        "TRACE repeats a request with its headers, which helps an attacker to read cookies and tokens.",
        "Switch TRACE off.";
    HTTP_COOKIE_HTTPONLY = "http.cookie_without_httponly", Low, "A session cookie lacks HttpOnly",
        "A script in the page, for instance an injected one, can read the cookie.",
        "Set HttpOnly on every cookie that scripts need not read.";
    HTTP_COOKIE_SECURE = "http.cookie_without_secure", Low, "A session cookie lacks Secure",
        "The browser also sends the cookie over unencrypted connections.",
        "Set Secure on every cookie of a site that is served over HTTPS.";
    HTTP_DIRECTORY_LISTING = "http.directory_listing", Low, "A directory listing is served",
        "A listing names files that no page links to.",
        "Switch directory listings off or put an index page there.";
    HTTP_OPEN_PROXY = "http.open_proxy", High, "The server is an open HTTP proxy",
        "Everybody can reach other servers, internal ones perhaps among them, under the address of this one.",
        "Let the proxy serve known clients and destinations alone.";
    HTTP_BASIC_CLEARTEXT = "http.basic_auth_without_tls", Medium, "A password is asked for over unencrypted HTTP",
        "Basic authentication sends the password with every request, readable for everybody on its way.",
        "Serve the page over HTTPS alone.";
    HTTP_INTERNAL_ADDRESS = "http.internal_address_disclosed", Low, "The web server gives away an internal address",
        "An address of the network behind the server helps an attacker who is already inside.",
        "Configure the name that the server uses in redirects.";
    HTTP_INTERESTING_PATH = "http.interesting_path", Info, "A path worth a look is served",
        "A well-known path answered; what is behind it was not examined.",
        "";
    HTTP_ROBOTS = "http.robots_txt", Info, "robots.txt names paths",
        "The file asks crawlers to leave out paths, and so tells everybody that they exist.",
        "";
    HTTP_TITLE = "http.title", Info, "Title of the web page",
        "The title that the server's first page has.",
        "";
    HTTP_SERVER_HEADER = "http.server_header", Info, "The web server names its software",
        "The Server header names a product, often with its version.",
        "";
}
